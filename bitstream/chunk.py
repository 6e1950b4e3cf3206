"""Chunks: one type byte, length, payload, CRC-32 (FORMAT.md, section 4), and reading them in pieces of bounded size."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import BinaryIO

from .errors import Corrupt, Truncated
from .limits import Limits
from .varint import pack_varint, read_varint

SEGMENT = "S"
METADATA = "m"
INDEX = "i"
FOOTER = "E"
NAMES = {SEGMENT: "segment", METADATA: "metadata", INDEX: "index", FOOTER: "footer"}

# A length in a file may lie: at most this many bytes are asked for at a time.
PIECE = 1 << 20
CRC_SIZE = 4


def is_ancillary(kind: str) -> bool:
    """Whether a reader that does not know this type of chunk may skip it."""
    return kind.islower()


@dataclass(frozen=True)
class Chunk:
    """kind: one ASCII letter, small for ancillary chunks. offset: of its type byte in the file. size: of all its bytes.

    intact: whether its CRC-32 matches.
    """

    kind: str
    payload: bytes
    offset: int = 0
    size: int = 0
    intact: bool = True

    @property
    def name(self) -> str:
        return NAMES.get(self.kind, self.kind)

    @property
    def payload_offset(self) -> int:
        return self.offset + self.size - len(self.payload) - CRC_SIZE


def pack_chunk(kind: str, payload: bytes) -> bytes:
    """The bytes of a chunk. Raises ValueError for a type that is no ASCII letter or not that of a chunk."""
    if not (len(kind) == 1 and kind.isascii() and kind.isalpha()) or kind == FOOTER:
        raise ValueError(f"{kind!r} is not a type of chunk")
    start = kind.encode("ascii") + pack_varint(len(payload))
    return b"".join([start, payload, zlib.crc32(payload, zlib.crc32(start)).to_bytes(4, "little")])


class Source:
    """A binary file being read, with its position counted from where it stood when it came here. Needs no seeking."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.seekable = bool(getattr(file, "seekable", bool)())
        self._base = file.tell() if self.seekable else 0
        self.position = 0
        self._ahead = b""

    def seek(self, offset: int) -> None:
        self._file.seek(self._base + offset)
        self.position = offset
        self._ahead = b""

    def size(self) -> int:
        """Bytes from the start to the end of the file; needs seeking, and leaves the position alone."""
        end = self._file.seek(0, 2) - self._base
        self._file.seek(self._base + self.position + len(self._ahead))
        return end

    def read(self, count: int) -> bytes:
        """Up to count bytes; fewer only at the end of the file."""
        pieces = [self._ahead[:count]] if self._ahead else []
        self._ahead = self._ahead[count:]
        missing = count - sum(map(len, pieces))
        while missing:
            piece = self._file.read(min(missing, PIECE))
            if not piece:
                break
            if isinstance(piece, str):
                raise TypeError("a .vqc file is read from a binary file, not from a text file")
            pieces.append(piece)
            missing -= len(piece)
        self.position += count - missing
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def peek(self) -> bytes:
        """The next byte, without moving on; empty at the end of the file."""
        if not self._ahead:
            self._ahead = self._file.read(1) or b""
        return self._ahead

    def read_exactly(self, count: int, chunk: str) -> bytes:
        data = self.read(count)
        if len(data) < count:
            raise Truncated(f"the file ends here, {count - len(data)} bytes too early", self.position, chunk)
        return data

    def read_chunk(self, limits: Limits) -> Chunk:
        """The chunk that starts here, intact or not; the position is then where it ends by its length.

        Raises Truncated, Corrupt or LimitExceeded.
        """
        offset = self.position
        start = bytearray(self.read(1))
        if not start:
            raise Truncated("the file ends where a chunk or the footer should begin", offset)
        kind = start.decode("latin-1")
        if not (kind.isascii() and kind.isalpha()):
            raise Corrupt(f"no chunk starts here: {start[0]:#04x} is not a type", offset)
        name = NAMES.get(kind, kind)

        def next_byte() -> int:
            start.extend(self.read_exactly(1, name))
            return start[-1]

        try:
            length = read_varint(next_byte)
        except Truncated:
            raise
        except Corrupt as error:
            raise Corrupt(error.message, offset + 1, name) from None
        limits.check("chunk", length, offset + 1, name)
        payload = self.read_exactly(length, name)
        crc = int.from_bytes(self.read_exactly(CRC_SIZE, name), "little")
        return Chunk(kind, payload, offset, self.position - offset, zlib.crc32(payload, zlib.crc32(start)) == crc)
