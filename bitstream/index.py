"""Where the segments stand: index chunk and footer (FORMAT.md, section 5)."""

from __future__ import annotations

from typing import NamedTuple

from .chunk import FOOTER, Chunk
from .cursor import Cursor
from .limits import Limits
from .varint import pack_varint

PLANES = 4
MAX_NUMBER = 2**40
FOOTER_SIZE = 5


class Entry(NamedTuple):
    """One segment chunk. offset: of its type byte in the file. size: bytes in the file, all in all."""

    number: int
    plane: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


def pack_place(number: int, plane: int) -> bytes:
    """Number and plane of a segment in one varint. Raises ValueError."""
    if not (0 <= number < MAX_NUMBER and 0 <= plane < PLANES):
        raise ValueError(f"segment {number} of plane {plane}: numbers below {MAX_NUMBER} and planes below {PLANES} are allowed")
    return pack_varint(number * PLANES + plane)


def unpack_place(cursor: Cursor) -> tuple[int, int]:
    number, plane = divmod(cursor.varint(), PLANES)
    if number >= MAX_NUMBER:
        raise cursor.corrupt(f"segment number {number} is too large")
    return number, plane


def pack_index(entries: list[Entry]) -> bytes:
    """Payload of the index of entries that stand one after the other in the file."""
    payload = pack_varint(entries[0].offset if entries else 0) + pack_varint(len(entries))
    return payload + b"".join(pack_place(entry.number, entry.plane) + pack_varint(entry.size) for entry in entries)


def unpack_index(chunk: Chunk, limits: Limits) -> list[Entry]:
    """The entries of an index chunk. Raises Corrupt or LimitExceeded."""
    cursor = Cursor(chunk.payload, chunk.payload_offset, chunk.name)
    offset = cursor.varint()
    count = cursor.varint()
    limits.check("segments", count, chunk.offset, chunk.name)
    entries = []
    for _ in range(count):
        number, plane = unpack_place(cursor)
        entries.append(Entry(number, plane, offset, cursor.varint()))
        offset = entries[-1].end
        if offset > chunk.offset:
            raise cursor.corrupt(f"segment {number} would end behind the index")
    cursor.end()
    if len({entry[:2] for entry in entries}) < count:
        raise cursor.corrupt("a segment is listed twice")
    return entries


def pack_footer(index_size: int) -> bytes:
    """index_size: bytes of the whole index chunk, 0 when there is none."""
    return FOOTER.encode("ascii") + index_size.to_bytes(FOOTER_SIZE - 1, "little")


def unpack_footer(footer: bytes) -> int:
    """The size of the index chunk from FOOTER_SIZE bytes that begin with the type of the footer."""
    return int.from_bytes(footer[1:], "little")
