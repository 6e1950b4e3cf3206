import io
import tracemalloc
import zlib

import pytest
from bitstream_strategies import headers, metadata, segments, write_file
from hypothesis import given
from hypothesis import strategies as st

from vqc.bitstream import (
    Chunk,
    Corrupt,
    ImageHeader,
    LimitExceeded,
    Limits,
    NotVqc,
    Reader,
    Segment,
    Truncated,
    UnsupportedVersion,
    VqcError,
    Writer,
)
from vqc.bitstream.chunk import PIECE, pack_chunk
from vqc.bitstream.metadata import pack_metadata
from vqc.bitstream.varint import pack_varint

HEADER = ImageHeader("img1", bytes(range(8)), 1, 768, 512)
SEGMENTS = [Segment(0, 0, b"first", 1), Segment(0, 1, b"", 2**32 - 1), Segment(1, 0, b"third" * 40, 3), Segment(1, 1, b"x", 4)]
FILE = write_file(HEADER, SEGMENTS, {"icc": b"profile" * 30, "tags": b"t"})


class Pipe(io.RawIOBase):
    """Bytes that can be read or written in order only, a few at a time."""

    def __init__(self, data: bytes = b""):
        self._data = io.BytesIO(data)
        self.written = bytearray()
        self.largest = 0

    def read(self, size=-1):
        self.largest = max(self.largest, size)
        return self._data.read(min(size, 7))

    def write(self, data):
        self.written += data
        return len(data)

    def seekable(self):
        return False


def read_all(file, **options):
    reader = Reader(file, **options)
    return reader, list(reader.segments())


@given(headers, segments, metadata)
def test_files_come_back_from_a_file_and_from_a_pipe(header, segments, metadata):
    data = write_file(header, segments, metadata)
    for file in (io.BytesIO(data), Pipe(data)):
        reader, found = read_all(file, limits=Limits.none())
        assert (reader.header, reader.metadata, found) == (header, metadata, segments)
        assert (reader.size, reader.version, reader.unknown, reader.damage) == (len(data), 1, [], [])
    reader = Reader(io.BytesIO(data), Limits.none())
    for segment in reversed(segments):
        assert reader.segment(segment.number, segment.plane) == segment
    assert [entry[:2] for entry in reader.index()] == [(segment.number, segment.plane) for segment in segments]


@given(st.binary(max_size=120), st.booleans())
def test_garbage_raises_nothing_but_vqc_errors(data, partial):
    for start in (b"", HEADER.pack()):
        try:
            reader, _ = read_all(io.BytesIO(start + data), partial=partial)
            reader.segment(0)
        except VqcError:
            continue
        assert partial and reader.damage


def test_writing_needs_no_seeking():
    pipe = Pipe()
    writer = Writer(pipe, HEADER)
    for segment in SEGMENTS:
        writer.segment(segment)
    writer.close()
    assert bytes(pipe.written) == write_file(HEADER, SEGMENTS)


@pytest.mark.parametrize(("size", "cost"), [(0, 54), (200, 55), (20_000, 56), (1_000_000, 56)])
def test_the_fixed_cost_of_a_picture_of_one_tile(size, cost):
    assert len(write_file(HEADER, [Segment(0, 0, bytes(size), 7)])) - size == cost <= 64


@pytest.mark.parametrize("make", [io.BytesIO, Pipe])
def test_every_change_of_a_byte_is_found(make):
    for position in range(len(FILE)):
        for flip in (0x01, 0x04, 0x20, 0x80, 0xFF):
            changed = bytearray(FILE)
            changed[position] ^= flip
            with pytest.raises(VqcError):
                read_all(make(bytes(changed)))


@pytest.mark.parametrize("make", [io.BytesIO, Pipe])
def test_every_truncation_is_named(make):
    for length in range(len(FILE)):
        with pytest.raises(Truncated if length >= 8 else NotVqc):
            read_all(make(FILE[:length]))


def test_bytes_behind_the_footer_are_corrupt():
    with pytest.raises(Corrupt, match="data follow the footer") as caught:
        read_all(io.BytesIO(FILE + b"\0"))
    assert caught.value.offset == len(FILE)


def test_a_fault_names_chunk_and_byte():
    offset = FILE.index(b"third") - 10
    changed = bytearray(FILE)
    changed[offset + 30] ^= 1
    with pytest.raises(Corrupt, match="CRC-32") as caught:
        read_all(io.BytesIO(bytes(changed)))
    assert caught.value.chunk == "segment"
    assert FILE[caught.value.offset : caught.value.offset + 1] == b"S"
    assert offset - 5 < caught.value.offset < offset + 10


def test_a_file_inside_another_is_read_from_where_it_starts():
    file = io.BytesIO(b"something else" + FILE)
    file.seek(14)
    reader, found = read_all(file)
    assert found == SEGMENTS
    assert reader.segment(1, 1) == SEGMENTS[3]


def test_one_segment_is_read_without_reading_the_others():
    file = io.BytesIO(FILE)
    reader = Reader(file)
    changed = bytearray(FILE)
    changed[FILE.index(b"first")] ^= 1
    file.seek(0)
    file.write(changed)
    assert reader.segment(1, 0) == SEGMENTS[2]
    with pytest.raises(Corrupt, match="CRC-32"):
        reader.segment(0, 0)
    with pytest.raises(Corrupt, match="there is no segment 7 of plane 0"):
        reader.segment(7)


def test_segments_are_found_without_an_index():
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    writer.segment(SEGMENTS[2])
    writer.close()
    assert file.getvalue().endswith(b"E" + bytes(4))
    reader = Reader(io.BytesIO(file.getvalue()))
    assert reader.segment(1, 0) == SEGMENTS[2]


def test_segments_of_a_pipe_come_once_and_in_order_only():
    reader, found = read_all(Pipe(FILE))
    assert found == SEGMENTS
    with pytest.raises(ValueError, match="once only"):
        list(reader.segments())
    with pytest.raises(ValueError, match="seekable"):
        reader.segment(0)


def test_reading_in_order_and_out_of_order_may_be_mixed():
    reader = Reader(io.BytesIO(FILE))
    found = []
    for segment in reader.segments():
        found.append(segment)
        assert reader.segment(0, 0) == SEGMENTS[0]
    assert found == SEGMENTS == list(reader.segments())


def test_an_unknown_ancillary_chunk_is_kept_for_a_copy():
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    writer.metadata("xmp", b"<x/>")
    writer.ancillary(Chunk("q", b"of a later version"))
    writer.segment(SEGMENTS[0])
    writer.close()
    reader, found = read_all(io.BytesIO(file.getvalue()))
    assert [(chunk.kind, chunk.payload) for chunk in reader.unknown] == [("q", b"of a later version")]
    copy = io.BytesIO()
    writer = Writer(copy, reader.header)
    for kind, data in reader.metadata.items():
        writer.metadata(kind, data)
    for chunk in reader.unknown:
        writer.ancillary(chunk)
    for segment in found:
        writer.segment(segment)
    writer.close()
    assert copy.getvalue() == file.getvalue()


@pytest.mark.parametrize("partial", [False, True])
def test_an_unknown_critical_chunk_is_named(partial):
    data = HEADER.pack() + pack_chunk("Q", b"") + FILE[len(HEADER.pack()) :]
    with pytest.raises(UnsupportedVersion, match=r"critical chunk 'Q' .* format version 2; .* written by version 1"):
        read_all(io.BytesIO(data), partial=partial)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([("S", b"\0" + bytes(4)), ("S", b"\0" + bytes(4))], "is there twice"),
        ([("S", b"\0" + bytes(4)), ("x", b""), ("S", b"\4" + bytes(4))], "do not follow one another"),
        ([("S", b"\0\1\2")], "4 bytes are needed"),
        ([("S", pack_varint(2**43) + bytes(4))], "is too large"),
        ([("m", pack_metadata("a", b"")), ("m", pack_metadata("a", b""))], "a is there twice"),
        ([("S", b"\0" + bytes(4)), ("i", b"\x27\x01\x00\x09")], "does not tell where"),
        ([("i", b"\x00\x02\x00\x00\x00\x00")], "listed twice"),
        ([("i", b"\x00\x01\x00\x7f")], "end behind the index"),
        ([("i", b"\x00\x00\x00")], "left over"),
    ],
)
def test_files_against_the_rules_are_corrupt(chunks, message):
    data = HEADER.pack() + b"".join(pack_chunk(*chunk) for chunk in chunks)
    with pytest.raises(Corrupt, match=message):
        read_all(io.BytesIO(data + b"E" + bytes(4)))


def test_the_writer_refuses_what_a_reader_would():
    writer = Writer(io.BytesIO(), HEADER)
    writer.metadata("icc", b"1")
    with pytest.raises(ValueError, match="icc is there already"):
        writer.metadata("icc", b"2")
    for kind in ("m", "i", "Q", "E", "1", "ab"):
        with pytest.raises(ValueError):
            writer.ancillary(Chunk(kind, b""))
    writer.segment(SEGMENTS[0])
    with pytest.raises(ValueError, match="is there already"):
        writer.segment(SEGMENTS[0])
    with pytest.raises(ValueError, match="before the first segment"):
        writer.metadata("xmp", b"")
    for number, plane in ((-1, 0), (2**40, 0), (1, 4)):
        with pytest.raises(ValueError, match="planes below 4"):
            writer.segment(Segment(number, plane, b"", 0))
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.segment(SEGMENTS[1])


def test_a_length_that_lies_costs_no_memory():
    data = HEADER.pack() + b"S" + pack_varint(2**62) + b"short"
    pipe = Pipe(data)
    tracemalloc.start()
    with pytest.raises(Truncated):
        read_all(pipe, limits=Limits.none())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pipe.largest <= PIECE
    assert peak < PIECE


@pytest.mark.parametrize(
    ("limits", "message"), [(Limits(chunk=50), "chunk"), (Limits(metadata=100), "metadata"), (Limits(segments=3), "segments")]
)
def test_limits_hold_for_chunks_metadata_and_segments(limits, message):
    with pytest.raises(LimitExceeded, match=message):
        read_all(io.BytesIO(FILE), limits=limits)


def test_metadata_that_inflate_beyond_the_limit_are_refused_before_they_do():
    bomb = zlib.compress(bytes(2**24), 9)
    for size in (2**24, 10):
        chunk = pack_chunk("m", b"\x03icc\x01" + pack_varint(size) + bomb)
        tracemalloc.start()
        with pytest.raises((LimitExceeded, Corrupt)):
            Reader(io.BytesIO(HEADER.pack() + chunk), Limits(metadata=2**20))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**20


def test_unknown_chunks_count_as_metadata():
    data = HEADER.pack() + pack_chunk("q", bytes(80)) + pack_chunk("q", bytes(80)) + b"E" + bytes(4)
    assert len(Reader(io.BytesIO(data), Limits(metadata=160)).unknown) == 2
    with pytest.raises(LimitExceeded, match="metadata"):
        Reader(io.BytesIO(data), Limits(metadata=159))


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00", b"\x03icc", b"\x03icc\x02data", b"\x03icc\x01\x05junk", b"\x03icc\x01\x00" + zlib.compress(b"") + b"!"],
)
def test_malformed_metadata_are_corrupt(payload):
    with pytest.raises(Corrupt) as caught:
        Reader(io.BytesIO(HEADER.pack() + pack_chunk("m", payload)))
    assert caught.value.chunk == "metadata"
