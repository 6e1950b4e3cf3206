"""Frequency tables as data: which symbols a table codes and the exact interval of each (FORMAT.md, section 6)."""

from __future__ import annotations

import numpy as np
from constriction import stream

PRECISION = 24
TOTAL = 1 << PRECISION
MAX_TABLE_SIZE = 1 << 16
MAX_TABLES = 1 << 16


class TableSet:
    """T frequency tables, chosen by an integer id per symbol.

    low: int32 (T,), the first symbol of each table. size: int32 (T,), the number of entries of each table.
    counts: uint32 (sum of size,), the entries of all tables one after the other, each at least 1, at most 2**24 together per
    table.

    Table t codes low[t] .. low[t] + size[t] - 2 plainly; its last entry is the escape. A table of size 1 has no escape: its one
    symbol low[t] is certain and takes no bits. Raises ValueError when the arrays break these rules.
    """

    def __init__(self, low: np.ndarray, size: np.ndarray, counts: np.ndarray):
        self.low = _integers("low", low, -(2**31), 2**31 - 1).astype(np.int32)
        self.size = _integers("size", size, 1, MAX_TABLE_SIZE).astype(np.int32)
        self.counts = _integers("counts", counts, 1, TOTAL).astype(np.uint32)
        if len(self.low) != len(self.size) or not 1 <= len(self.low) <= MAX_TABLES:
            raise ValueError(
                f"{len(self.low)} first symbols, {len(self.size)} sizes: not the same number from 1 to {MAX_TABLES}"
            )
        self._start = np.concatenate([[0], np.cumsum(self.size, dtype=np.int64)])
        if self._start[-1] != len(self.counts):
            raise ValueError(f"the sizes of the tables add up to {self._start[-1]}, but there are {len(self.counts)} counts")
        self.certain = self.size == 1
        self.high = self.low.astype(np.int64) + np.maximum(self.size - 2, 0)  # the last symbol that a table codes plainly
        if self.high.max() > 2**31 - 1:
            raise ValueError("a table codes symbols beyond 2**31 - 1")
        totals = np.add.reduceat(self.counts.astype(np.int64), self._start[:-1])
        if totals.max() > TOTAL:
            raise ValueError(f"the counts of table {int(totals.argmax())} add up to {totals.max()}, more than {TOTAL}")
        self._models: list[stream.model.Categorical | None] = [None] * len(self.low)

    def __len__(self) -> int:
        return len(self.low)

    def cumulative(self, table: int) -> np.ndarray:
        """Borders of the intervals of a table: int64 (size + 1,), strictly rising from 0 to 2**24."""
        counts = self.counts[self._start[table] : self._start[table + 1]].astype(np.int64)
        sums = np.concatenate([[0], np.cumsum(counts)])
        return (sums << PRECISION) // sums[-1]

    def model(self, table: int) -> stream.model.Categorical:
        """The table as an entropy model of the range coder (size 2 or more), built at its first use.

        constriction turns n floats p into the borders i + floor((2**24 - n) / sum(p) * sum(p[:i])). With p[i] = width of
        interval i less 1, the sum is 2**24 - n, the factor is exactly 1.0 and every product an integer below 2**53: nothing
        is rounded.
        """
        model = self._models[table]
        if model is None:
            widths = np.diff(self.cumulative(table))
            model = self._models[table] = stream.model.Categorical((widths - 1).astype(np.float64), lazy=False, perfect=False)
        return model


def _integers(name: str, values: np.ndarray, least: int, most: int) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"{name} is an array of {values.dtype} with {values.ndim} axes; integers with one axis are needed")
    if values.size and (values.min() < least or values.max() > most):
        raise ValueError(f"{name} has values outside {least} .. {most}")
    return values
