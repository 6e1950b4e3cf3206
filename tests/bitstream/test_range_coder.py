import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder
from test_tables import table_set

from vqc.bitstream import Corrupt, SymbolDecoder, SymbolEncoder

INT32 = st.integers(-(2**31), 2**31 - 1)
tables = st.lists(
    st.tuples(st.integers(-60, 60), st.lists(st.integers(1, 5000), min_size=1, max_size=12)), min_size=1, max_size=5
)


@st.composite
def coded_calls(draw):
    """Tables, and calls of symbols with table ids; many symbols are escapes of all sizes."""
    drawn = draw(tables)
    calls = []
    for _ in range(draw(st.integers(0, 3))):
        ids = draw(st.lists(st.integers(0, len(drawn) - 1), max_size=30))
        symbols = []
        for table in ids:
            low, counts = drawn[table]
            near = st.integers(low - 3, low + len(counts) + 3)
            symbols.append(low if len(counts) == 1 else draw(st.one_of(near, near, INT32)))
        calls.append((symbols, ids))
    return drawn, calls


def encode(tables, calls, id_type=np.uint8):
    encoder = SymbolEncoder(tables)
    for symbols, ids in calls:
        encoder.write(np.array(symbols, np.int32), np.array(ids, id_type))
    return encoder.finish(), encoder.digest


@given(coded_calls())
@example(([(0, [1, 1])], [([2**31 - 1, -(2**31), 0, 1, -1], [0] * 5)]))
@example(([(2**31 - 1, [1, 1])], [([-(2**31), 2**31 - 1], [0, 0])]))
@example(([(-(2**31), [1, 1, 1])], [([2**31 - 1, -(2**31), 1 - 2**31], [0] * 3)]))
def test_symbols_come_back_and_a_second_decoder_agrees(drawn):
    plain_tables, calls = drawn
    tables = table_set(*plain_tables)
    payload, digest = encode(tables, calls)
    assert encode(tables, calls, np.uint16) == (payload, digest)
    assert digest == zlib.crc32(b"".join(np.array(symbols, "<i4").tobytes() for symbols, _ in calls))
    decoder, reference = SymbolDecoder(tables, payload), ReferenceDecoder(plain_tables, payload)
    for symbols, ids in calls:
        found = decoder.read(np.array(ids, np.uint8))
        assert found.dtype == np.int32 and found.tolist() == symbols
        assert reference.decode(ids) == symbols
    decoder.finish()
    assert reference.ends_well()
    assert decoder.digest == digest


@st.composite
def own_tables(draw):
    """Calls of symbols that bring their own counts, 2**24 in a row."""
    calls = []
    for _ in range(draw(st.integers(0, 3))):
        size, rows = draw(st.integers(2, 40)), draw(st.integers(0, 6))
        weights = draw(st.lists(st.lists(st.integers(0, 2**30), min_size=size, max_size=size), min_size=rows, max_size=rows))
        counts = [[1 + w * (2**24 - size) // max(sum(row), 1) for w in row] for row in weights]
        for row in counts:
            row[row.index(max(row))] += 2**24 - sum(row)
        symbols = draw(st.lists(st.integers(0, size - 1), min_size=rows, max_size=rows))
        calls.append((symbols, np.array(counts, np.int64).reshape(rows, size)))
    return calls


@given(own_tables(), coded_calls())
def test_symbols_with_tables_of_their_own_come_back_and_a_second_decoder_agrees(calls, plain):
    plain_tables, plain_calls = plain
    tables = table_set(*plain_tables)
    encoder = SymbolEncoder(tables)
    for symbols, counts in calls:
        encoder.write_each(np.array(symbols, np.int32), counts)
    for symbols, ids in plain_calls:
        encoder.write(np.array(symbols, np.int32), np.array(ids, np.uint8))
    payload = encoder.finish()
    decoder, reference = SymbolDecoder(tables, payload), ReferenceDecoder(plain_tables, payload)
    for symbols, counts in calls:
        assert decoder.read_each(counts).tolist() == symbols
        assert reference.decode_each(counts.tolist()) == symbols
    for symbols, ids in plain_calls:
        assert decoder.read(np.array(ids, np.uint8)).tolist() == symbols
        assert reference.decode(ids) == symbols
    decoder.finish()
    assert reference.ends_well() and decoder.digest == encoder.digest


@pytest.mark.parametrize(
    ("symbols", "counts"),
    [
        (np.zeros(1, np.int32), np.full((1, 4), 2**22) - 1),
        (np.zeros(1, np.int32), np.array([[2**24, 0]])),
        (np.zeros(1, np.int32), np.array([[2**23, 2**23]], np.float64)),
        (np.zeros(1, np.int32), np.array([[2**24]])),
        (np.zeros(2, np.int32), np.array([[2**23, 2**23]])),
        (np.zeros(1, np.int64), np.array([[2**23, 2**23]])),
        (np.full(1, 2, np.int32), np.array([[2**23, 2**23]])),
        (np.full(1, -1, np.int32), np.array([[2**23, 2**23]])),
    ],
)
def test_false_tables_of_their_own_are_refused(symbols, counts):
    with pytest.raises(ValueError):
        SymbolEncoder(table_set((0, [1, 1]))).write_each(symbols, counts)


def gaussian_tables(scales) -> list[tuple[int, list[int]]]:
    tables = [(0, [1])]
    for scale in scales:
        half = max(1, int(3 * scale))
        weights = np.exp(-0.5 * (np.arange(-half, half + 1) / scale) ** 2)
        tables.append((-half, [*np.maximum(1, np.round(weights / weights.sum() * 2**16)).astype(int).tolist(), 40]))
    return tables


def gaussian_call(rng, scales, count):
    ids = rng.integers(0, len(scales) + 1, count)
    symbols = np.round(rng.normal(size=count) * np.concatenate([[0], scales])[ids])
    return symbols.astype(np.int32).reshape(-1, 10), ids.astype(np.uint16).reshape(-1, 10)


def test_a_large_call_costs_its_cross_entropy():
    scales = np.geomspace(0.3, 40, 30)
    tables = table_set(*gaussian_tables(scales))
    symbols, ids = gaussian_call(np.random.default_rng(1), scales, 50_000)
    payload, digest = encode(tables, [(symbols, ids)])
    decoder = SymbolDecoder(tables, payload)
    assert (decoder.read(ids) == symbols).all()
    decoder.finish()
    assert decoder.digest == digest
    bits = 0.0
    for table in range(1, len(tables)):
        entries = symbols[ids == table].astype(np.int64) - tables.low[table]
        escape = tables.size[table] - 1
        escaped = (entries < 0) | (entries >= escape)
        widths = np.diff(tables.cumulative(table))
        bits -= np.log2(widths[np.where(escaped, escape, entries)] / 2**24).sum()
        excess = np.where(entries < 0, -2 * entries - 1, 2 * (entries - escape))[escaped]
        bits += (2 * np.floor(np.log2(excess + 1)) + 1).sum()
    assert bits / 8 < len(payload) < bits / 8 * 1.0001 + 5


def test_symbols_of_certain_tables_take_no_bytes():
    tables = table_set((7, [1]), (0, [5, 5, 1]), (-3, [9]))
    payload, digest = encode(tables, [([7] * 1000 + [-3] * 1000, [0] * 1000 + [2] * 1000)])
    assert payload == b""
    assert digest == zlib.crc32(np.repeat(np.array([7, -3], "<i4"), 1000).tobytes())


def test_a_payload_never_ends_with_a_zero_byte_and_is_no_longer_than_needed():
    tables = table_set((0, [2, 1, 1]))
    assert encode(tables, [([0] * 500, [0] * 500)])[0] == b""
    lengths = {}
    for count in range(1, 200):
        payload, _ = encode(tables, [([1] * count, [0] * count)])
        assert not payload.endswith(b"\0")
        lengths[count] = len(payload)
    assert all(length <= count / 4 + 5 for count, length in lengths.items())


@pytest.mark.parametrize("extra", [b"\0", b"\0\0\0\0\0", b"\x55" * 5, b"\x55" * 50])
def test_data_left_over_are_corrupt(extra):
    scales = np.geomspace(0.5, 9, 8)
    tables = table_set(*gaussian_tables(scales))
    symbols, ids = gaussian_call(np.random.default_rng(2), scales, 1000)
    payload, _ = encode(tables, [(symbols, ids)])
    decoder = SymbolDecoder(tables, payload + extra)
    decoder.read(ids)
    with pytest.raises(Corrupt, match="do not end where their data end"):
        decoder.finish()


def test_data_of_no_symbols_are_left_over():
    decoder = SymbolDecoder(table_set((0, [1])), b"\1")
    decoder.read(np.zeros(4, np.uint8))
    with pytest.raises(Corrupt):
        decoder.finish()


def test_a_cut_payload_never_passes_for_whole():
    scales = np.geomspace(0.5, 9, 8)
    tables = table_set(*gaussian_tables(scales))
    symbols, ids = gaussian_call(np.random.default_rng(3), scales, 400)
    payload, digest = encode(tables, [(symbols, ids)])
    caught = 0
    for length in range(len(payload)):
        decoder = SymbolDecoder(tables, payload[:length])
        try:
            decoder.read(ids)
            decoder.finish()
        except Corrupt:
            caught += 1
        else:
            assert decoder.digest != digest
    assert caught > 0.8 * len(payload)


@settings(max_examples=300)
@given(tables, st.binary(max_size=60), st.lists(st.integers(0, 4), max_size=200))
def test_garbage_gives_symbols_or_corrupt(plain_tables, payload, ids):
    tables = table_set(*plain_tables)
    ids = np.array(ids, np.uint8) % len(plain_tables)
    decoder = SymbolDecoder(tables, payload)
    try:
        for _ in range(3):
            assert decoder.read(ids.astype(np.uint8)).shape == ids.shape
        decoder.finish()
    except Corrupt:
        pass


def test_all_ones_are_corrupt():
    decoder = SymbolDecoder(table_set((0, [1, 1])), b"\xff" * 40)
    with pytest.raises(Corrupt, match="cannot come from an encoder"):
        decoder.read(np.zeros(100, np.uint8))


def test_an_excess_beyond_32_bits_is_corrupt():
    # Both tables escape alike, so what one writes the other reads, with its own first symbol.
    payload, _ = encode(table_set((-(2**31), [1, 1])), [([2**31 - 1], [0])])
    with pytest.raises(Corrupt, match="does not fit 32 bits"):
        SymbolDecoder(table_set((0, [1, 1])), payload).read(np.zeros(1, np.uint8))


def test_arrays_keep_their_shape():
    tables = table_set((0, [1, 1, 1]))
    symbols = np.arange(24, dtype=np.int32).reshape(2, 3, 4)[:, ::-1, ::2]
    ids = np.zeros(symbols.shape, np.uint8)
    payload, _ = encode(tables, [(symbols, ids)])
    assert (SymbolDecoder(tables, payload).read(ids) == symbols).all()


def test_the_callers_arrays_are_left_alone():
    tables = table_set((0, [1, 1, 1]), (3, [2]))
    symbols, ids = np.array([0, 99, 3, -5], np.int32), np.array([0, 0, 1, 0], np.uint8)
    symbols.flags.writeable = ids.flags.writeable = False
    payload, _ = encode(tables, [(symbols, ids)])
    assert SymbolDecoder(tables, payload).read(ids).tolist() == [0, 99, 3, -5]


@pytest.mark.parametrize(
    ("symbols", "ids", "message"),
    [
        (np.zeros(2, np.int32), np.zeros(3, np.uint8), "is needed"),
        (np.zeros(2, np.int64), np.zeros(2, np.uint8), "symbols are int64"),
        (np.zeros(2, np.int32), np.zeros(2, np.int64), "table ids are int64"),
        (np.zeros(2, np.int32), np.full(2, 2, np.uint8), "table id 2, but there are 2 tables"),
        (np.zeros(2, np.int32), np.ones(2, np.uint8), "size 1 was given a symbol that is not its own"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(symbols, ids, message):
    tables = table_set((0, [1, 1, 1]), (3, [2]))
    with pytest.raises(ValueError, match=message):
        SymbolEncoder(tables).write(symbols, ids)
