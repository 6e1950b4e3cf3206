"""Partial reading: one damaged byte costs one segment, wherever it is (FORMAT.md, section 5)."""

import io

import pytest
from bitstream_strategies import write_file
from hypothesis import given
from hypothesis import strategies as st
from test_container import Pipe

from vqc.bitstream import Chunk, ImageHeader, Reader, Segment, VqcError, Writer

HEADER = ImageHeader("img1", bytes(8), 1, 768, 512)
SEGMENTS = [Segment(n, p, bytes([65 + n, p]) * (5 + 60 * n), n) for n in range(3) for p in range(2)]
HEAD = len(HEADER.pack())


def file_with_everything() -> bytes:
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    writer.metadata("icc", b"some profile")
    writer.ancillary(Chunk("q", b"unknown"))
    for segment in SEGMENTS:
        writer.segment(segment)
    writer.close()
    return file.getvalue()


FILE = file_with_everything()
ENTRIES = Reader(io.BytesIO(FILE)).index()


def partial(data: bytes, make=io.BytesIO) -> tuple[Reader, list[Segment]]:
    reader = Reader(make(data), partial=True)
    return reader, list(reader.segments())


@pytest.mark.parametrize("flip", [0x01, 0x02, 0x20, 0x80, 0xFF])
def test_one_damaged_byte_loses_at_most_the_segment_it_is_in(flip):
    for position in range(HEAD, len(FILE)):
        changed = bytearray(FILE)
        changed[position] ^= flip
        reader, found = partial(bytes(changed))
        hit = [entry[:2] for entry in ENTRIES if entry.offset <= position < entry.end]
        assert found == [segment for segment in SEGMENTS if (segment.number, segment.plane) not in hit], position
        assert reader.damage or position >= ENTRIES[-1].end, position
        for segment in SEGMENTS:
            expected = None if (segment.number, segment.plane) in hit else segment
            assert reader.segment(segment.number, segment.plane) == expected


def test_one_damaged_byte_of_a_file_with_metadata_and_one_segment_spares_the_segment():
    data = write_file(HEADER, SEGMENTS[:1], {"icc": bytes(range(100))})
    entry = Reader(io.BytesIO(data)).index()[0]
    for position in [*range(HEAD, entry.offset), *range(entry.end, len(data))]:
        changed = bytearray(data)
        changed[position] ^= 0xFF
        assert partial(bytes(changed))[1] == SEGMENTS[:1]


def test_a_damaged_index_or_footer_loses_nothing_and_is_noted():
    for position in (len(FILE) - 12, len(FILE) - 5, len(FILE) - 1):
        changed = bytearray(FILE)
        changed[position] ^= 0x10
        reader, found = partial(bytes(changed))
        assert found == SEGMENTS
        assert {damage.chunk for damage in reader.damage} <= {"index", "footer", None, "U"}
        assert reader.damage


def test_a_damaged_header_is_fatal():
    for position in range(HEAD):
        changed = bytearray(FILE)
        changed[position] ^= 1
        with pytest.raises(VqcError):
            Reader(io.BytesIO(bytes(changed)), partial=True)


@pytest.mark.parametrize("make", [io.BytesIO, Pipe])
def test_a_cut_file_gives_every_segment_that_is_whole(make):
    for length in range(HEAD, len(FILE)):
        reader, found = partial(FILE[:length], make)
        whole = [entry[:2] for entry in ENTRIES if entry.end <= length]
        assert [(segment.number, segment.plane) for segment in found] == whole
        assert reader.damage


def test_from_a_pipe_a_damaged_payload_costs_its_segment_only():
    for entry in ENTRIES:
        changed = bytearray(FILE)
        changed[entry.end - 1] ^= 1
        reader, found = partial(bytes(changed), Pipe)
        assert [s for s in SEGMENTS if s not in found] == [s for s in SEGMENTS if (s.number, s.plane) == entry[:2]]
        assert [(damage.offset, damage.chunk) for damage in reader.damage] == [(entry.offset, "segment")]


def test_an_undamaged_file_shows_no_damage():
    for make in (io.BytesIO, Pipe):
        reader, found = partial(FILE, make)
        assert (found, reader.damage, reader.metadata) == (SEGMENTS, [], {"icc": b"some profile"})


@given(
    st.lists(st.tuples(st.integers(HEAD, len(FILE) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(HEAD, len(FILE)),
)
def test_any_damage_gives_true_segments_and_nothing_else(changes, length):
    changed = bytearray(FILE)
    for position, value in changes:
        changed[position] = value
    for make in (io.BytesIO, Pipe):
        assert all(segment in SEGMENTS for segment in partial(bytes(changed[:length]), make)[1])
