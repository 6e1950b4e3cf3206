"""Symbols to bytes and back: range coding with a table id per symbol (FORMAT.md, section 7).

Both sides group the symbols of one call by table, so the coder runs once per table over a whole array. The range coder itself
is constriction's (Bamler 2022, "Understanding Entropy Coding With Asymmetric Numeral Systems", arXiv 2201.01741).
"""

from __future__ import annotations

import zlib

import numpy as np
from constriction import stream

from .errors import Corrupt
from .tables import TOTAL, TableSet

# Excess of an escaped symbol, as Elias gamma codes it: a class (bit length less 1), here with a table, then the bits below the
# leading one, plain. All entries of this table are classes; none is an escape.
CLASSES = 33
_CLASS_TABLE = TableSet(np.array([0]), np.array([CLASSES]), 1 << np.maximum(0, 20 - np.arange(CLASSES)))
_PLAIN_BITS = 16
# The table of each symbol comes with the call, as widths of its intervals less 1: see TableSet.model for why that is exact.
_OWN_TABLES = stream.model.Categorical(perfect=False)
_INT32 = np.dtype("<i4")


class SymbolEncoder:
    """Codes symbols with the tables of a set. write() any number of times, then finish()."""

    def __init__(self, tables: TableSet):
        self._tables = tables
        self._coder = stream.queue.RangeEncoder()
        self.digest = 0

    def write(self, symbols: np.ndarray, table_ids: np.ndarray) -> None:
        """symbols: int32 of any shape. table_ids: uint8 or uint16 of the same shape.

        Raises ValueError when shapes or types do not fit, an id names no table, or a certain table is given another symbol.
        """
        symbols = np.asarray(symbols)
        table_ids = np.asarray(table_ids)
        if symbols.dtype != np.int32 or symbols.shape != table_ids.shape:
            raise ValueError(f"symbols are {symbols.dtype} {symbols.shape}: int32 {table_ids.shape} is needed")
        symbols, table_ids = symbols.ravel(), table_ids.ravel()
        groups = _Groups(self._tables, table_ids)
        if groups.certain is not None and (groups.certain & (symbols != self._tables.low.take(table_ids))).any():
            raise ValueError("a table of size 1 was given a symbol that is not its own")
        grouped, tables = symbols.take(groups.order), table_ids.take(groups.order)
        low, high = self._tables.low.take(tables), self._tables.high.take(tables)
        outside = np.flatnonzero((grouped < low) | (grouped > high))
        entries = grouped - low
        entries[outside] = high[outside] - low[outside] + 1
        for table, start, end in groups.spans:
            self._coder.encode(entries[start:end], self._tables.model(table))
        if len(outside):
            excesses = _fold(grouped[outside], low[outside], high[outside])
            self._write_excesses(excesses[np.argsort(groups.order[outside])])
        self.digest = zlib.crc32(symbols.astype(_INT32, copy=False), self.digest)

    def _write_excesses(self, excesses: np.ndarray) -> None:
        """excesses: int64 (n,), 0 .. 2**33 - 3, in order of position."""
        values = excesses + 1
        # frexp is exact below 2**53: value = mantissa * 2**exponent with a mantissa in [0.5, 1).
        classes = (np.frexp(values.astype(np.float64))[1] - 1).astype(np.int32)
        self._coder.encode(classes, _CLASS_TABLE.model(0))
        for bits in np.unique(classes[classes > 0]).tolist():
            rest = values[classes == bits] - (1 << bits)
            if bits > _PLAIN_BITS:
                self._coder.encode((rest >> _PLAIN_BITS).astype(np.int32), stream.model.Uniform(1 << (bits - _PLAIN_BITS)))
                rest &= (1 << _PLAIN_BITS) - 1
                bits = _PLAIN_BITS
            self._coder.encode(rest.astype(np.int32), stream.model.Uniform(1 << bits))

    def write_each(self, symbols: np.ndarray, counts: np.ndarray) -> None:
        """symbols: int32 (n,), each with a table of its own without an escape. counts: int64 (n, N), see `_own_tables`.

        Raises ValueError when shapes or types do not fit, or a symbol is outside 0 .. N - 1.
        """
        symbols = np.asarray(symbols)
        tables = _own_tables(counts)
        if symbols.dtype != np.int32 or symbols.shape != tables.shape[:1]:
            raise ValueError(f"symbols are {symbols.dtype} {symbols.shape}: int32 {tables.shape[:1]} is needed")
        if not len(symbols):
            return
        if symbols.min() < 0 or symbols.max() >= tables.shape[1]:
            raise ValueError(f"a symbol is outside 0 .. {tables.shape[1] - 1}")
        self._coder.encode(symbols, _OWN_TABLES, tables)
        self.digest = zlib.crc32(symbols.astype(_INT32, copy=False), self.digest)

    def finish(self) -> bytes:
        """The coded bytes, without the zero bytes at their end: the decoder reads zeros there anyway."""
        return self._coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")


class SymbolDecoder:
    """Decodes what SymbolEncoder wrote with the same tables: read() with the table ids of each write(), then finish()."""

    def __init__(self, tables: TableSet, data: bytes):
        self._tables = tables
        # One word of zeros more than the data have: then the coder has taken all its words at the end of a valid
        # stream, and has some left when a whole word too many came with the data.
        padded = bytes(data) + bytes(-len(data) % 4 + 4)
        self._trailing_zero = data[-1:] == b"\0"
        self._untouched = bool(data)
        self._coder = stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
        self.digest = 0

    def read(self, table_ids: np.ndarray) -> np.ndarray:
        """table_ids: uint8 or uint16 of any shape. Returns symbols: int32 of the same shape.

        Raises Corrupt when the data cannot come from an encoder, ValueError when an id names no table.
        """
        shape = np.shape(table_ids)
        table_ids = np.asarray(table_ids).ravel()
        groups = _Groups(self._tables, table_ids)
        grouped = np.empty(len(groups.order), np.int32)
        escaped: list[np.ndarray] = []
        for table, start, end in groups.spans:
            entries = self._decode(self._tables.model(table), end - start)
            escape = int(self._tables.size[table]) - 1
            if entries.max() == escape:
                outside = np.flatnonzero(entries == escape)
                escaped.append(groups.order[start:end][outside])
                entries[outside] = 0  # so that the first symbol of its table stands here until the excess is known
            np.add(entries, int(self._tables.low[table]), out=grouped[start:end])
        symbols = self._tables.low.take(table_ids) if groups.certain is not None else np.empty(len(table_ids), np.int32)
        symbols[groups.order] = grouped
        if escaped:
            positions = np.sort(np.concatenate(escaped))
            excesses = self._read_excesses(len(positions))
            symbols[positions] = _unfold(excesses, symbols[positions].astype(np.int64), self._tables.high[table_ids[positions]])
        self.digest = zlib.crc32(symbols.astype(_INT32, copy=False), self.digest)
        return symbols.reshape(shape)

    def read_each(self, counts: np.ndarray) -> np.ndarray:
        """counts: int64 (n, N), as for SymbolEncoder.write_each. Returns symbols: int32 (n,). Raises Corrupt, ValueError."""
        tables = _own_tables(counts)
        symbols = self._decode(_OWN_TABLES, tables) if len(tables) else np.empty(0, np.int32)
        self.digest = zlib.crc32(symbols.astype(_INT32, copy=False), self.digest)
        return symbols

    def _decode(self, model, amount: int | np.ndarray) -> np.ndarray:
        self._untouched = False
        try:
            return self._coder.decode(model, amount)
        except AssertionError:  # what constriction raises for a point outside every interval
            raise Corrupt("the coded symbols cannot come from an encoder") from None

    def _read_excesses(self, amount: int) -> np.ndarray:
        classes = self._decode(_CLASS_TABLE.model(0), amount)
        values = np.left_shift(np.int64(1), classes.astype(np.int64))
        for bits in np.unique(classes[classes > 0]).tolist():
            chosen = np.flatnonzero(classes == bits)
            if bits > _PLAIN_BITS:
                upper = self._decode(stream.model.Uniform(1 << (bits - _PLAIN_BITS)), len(chosen)).astype(np.int64)
                values[chosen] += upper << _PLAIN_BITS
                bits = _PLAIN_BITS
            values[chosen] += self._decode(stream.model.Uniform(1 << bits), len(chosen))
        return values - 1

    def finish(self) -> None:
        """Checks that the data end where the symbols do. Raises Corrupt when data are left over or have run out.

        Data that end too early decode as if zeros followed. Most such ends are seen here, but only the digest sees all of them.
        """
        if self._trailing_zero or self._untouched or not self._coder.maybe_exhausted():
            raise Corrupt("the coded symbols do not end where their data end")


class _Groups:
    """The positions of one call in coding order: by table id, ascending, then by position; those of certain tables left out.

    order: intp (n,), positions. spans: (table, start, end) of each group, a range of order. certain: bool, one for each
    position, or None when no table of the call is certain.
    """

    def __init__(self, tables: TableSet, table_ids: np.ndarray):
        if table_ids.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"table ids are {table_ids.dtype}: uint8 or uint16 are needed")
        counts = np.bincount(table_ids, minlength=len(tables))
        if len(counts) > len(tables):
            raise ValueError(f"table id {len(counts) - 1}, but there are {len(tables)} tables")
        self.certain = None
        # A stable sort of 8 or 16 bits is a radix sort in numpy.
        if counts[: len(tables)][tables.certain].any():
            self.certain = tables.certain.take(table_ids)
            coded = np.flatnonzero(~self.certain)
            self.order = coded.take(table_ids.take(coded).argsort(kind="stable"))
            counts[tables.certain] = 0
        else:
            self.order = table_ids.argsort(kind="stable")
        present = np.flatnonzero(counts)
        ends = np.cumsum(counts[present])
        self.spans = list(zip(present.tolist(), (ends - counts[present]).tolist(), ends.tolist(), strict=True))


def _own_tables(counts: np.ndarray) -> np.ndarray:
    """Counts (n, N), N at least 2, each at least 1 and 2**24 in every row, as constriction takes them; or ValueError."""
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.dtype.kind not in "iu" or counts.shape[1] < 2:
        raise ValueError(f"counts are {counts.dtype} {counts.shape}: integers (n, N) are needed, N at least 2")
    if counts.size and (counts.min() < 1 or (counts.sum(axis=1) != TOTAL).any()):
        raise ValueError(f"counts are not at least 1 each and {TOTAL} together in every row")
    return (counts - 1).astype(np.float64)


def _fold(symbols: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Excess of symbols outside low .. high: even above (0, 2, ...), odd below (1, 3, ...). int64."""
    wide, low, high = (part.astype(np.int64) for part in (symbols, low, high))
    return np.where(wide > high, 2 * (wide - high - 1), 2 * (low - wide) - 1)


def _unfold(excesses: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    half = excesses >> 1
    symbols = np.where(excesses & 1, low - 1 - half, high + 1 + half)
    if symbols.min() < -(2**31) or symbols.max() > 2**31 - 1:
        raise Corrupt("an escaped symbol does not fit 32 bits")
    return symbols.astype(np.int32)
