"""A whole file: head, metadata, segments, index and footer (FORMAT.md, sections 1 to 5). Neither side needs to seek."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from .chunk import FOOTER, INDEX, METADATA, SEGMENT, Chunk, Source, is_ancillary, pack_chunk
from .cursor import Cursor
from .errors import Corrupt, Truncated, UnsupportedVersion, VqcError
from .header import PREFIX_SIZE, VERSION, Header, check_prefix, unpack_header
from .index import FOOTER_SIZE, Entry, pack_footer, pack_index, pack_place, unpack_footer, unpack_index, unpack_place
from .limits import Limits
from .metadata import pack_metadata, unpack_metadata

_DIGEST_SIZE = 4
# Number and plane of a segment.
Place = tuple[int, int]


@dataclass(frozen=True)
class Segment:
    """One independently coded piece, such as a tile. number: from 0. plane: 0 main, 1 alpha. digest: CRC-32 of its symbols."""

    number: int
    plane: int
    payload: bytes
    digest: int


class Damage(NamedTuple):
    """One fault that was passed over. offset, chunk: as in VqcError."""

    offset: int | None
    chunk: str | None
    message: str


class Writer:
    """Writes a file from front to back: metadata() and ancillary() first, then segment(), then close().

    file: binary and buffered; it is neither sought nor closed. header: written at once.
    Raises ValueError for what the format has no place for, and for calls out of order.
    """

    def __init__(self, file: BinaryIO, header: Header):
        self._file = file
        self._position = 0
        self._entries: list[Entry] = []
        self._places: set[Place] = set()
        self._kinds: set[str] = set()
        self._has_extras = False
        self._closed = False
        self._write(header.pack())

    def metadata(self, kind: str, data: bytes) -> None:
        """kind: a name such as "icc", "exif", "xmp" or "tags", once each."""
        if kind in self._kinds:
            raise ValueError(f"{kind} is there already")
        self._write_extra(METADATA, pack_metadata(kind, data))
        self._kinds.add(kind)

    def ancillary(self, chunk: Chunk) -> None:
        """A chunk of another file that its reader did not know (Reader.unknown)."""
        if not is_ancillary(chunk.kind) or chunk.kind in (METADATA, INDEX):
            raise ValueError(f"a chunk of type {chunk.kind!r} cannot be copied unread")
        self._write_extra(chunk.kind, chunk.payload)

    def segment(self, segment: Segment) -> None:
        """Segments may come in any order, each number once in a plane."""
        if (segment.number, segment.plane) in self._places:
            raise ValueError(f"segment {segment.number} of plane {segment.plane} is there already")
        place = pack_place(segment.number, segment.plane)
        chunk = pack_chunk(SEGMENT, place + segment.digest.to_bytes(_DIGEST_SIZE, "little") + segment.payload)
        self._entries.append(Entry(segment.number, segment.plane, self._position, len(chunk)))
        self._places.add((segment.number, segment.plane))
        self._write(chunk)

    def close(self) -> None:
        """Writes index and footer. A file of one segment and nothing beside it needs no index."""
        index = b""
        if len(self._entries) > 1 or self._has_extras:
            index = pack_chunk(INDEX, pack_index(self._entries))
            self._write(index)
        self._write(pack_footer(len(index)))
        self._closed = True

    def _write_extra(self, kind: str, payload: bytes) -> None:
        if self._entries:
            raise ValueError("metadata come before the first segment")
        self._write(pack_chunk(kind, payload))
        self._has_extras = True

    def _write(self, data: bytes) -> None:
        if self._closed:
            raise ValueError("the writer is closed")
        self._file.write(data)
        self._position += len(data)


class Reader:
    """Reads a file; all that stands before its first segment is read at once.

    file: binary, read from where it stands. limits: the default ones when None. Strict (partial=False): the first fault raises.
    partial=True: faults behind the header are listed in damage and passed over.

    header, versions, metadata (kind -> bytes), unknown (ancillary chunks for Writer.ancillary). Raises NotVqc, Truncated,
    Corrupt, LimitExceeded or UnsupportedVersion, the last for an intact, critical and unknown chunk even when partial.
    """

    def __init__(self, file: BinaryIO, limits: Limits | None = None, partial: bool = False):
        self._source = Source(file)
        self._limits = limits or Limits()
        self._partial = partial
        self._damage: dict[Damage, None] = {}  # a set that keeps its order
        self.metadata: dict[str, bytes] = {}
        self.unknown: list[Chunk] = []
        self._extra_bytes = 0
        self._extras_end = 0
        self._scanned = False

        prefix = self._source.read(PREFIX_SIZE)
        self.versions, left = check_prefix(prefix)
        self._head_size = len(prefix) + left
        self.header = unpack_header(prefix + self._source.read(left), self._limits)
        # Strict reading goes by the index only where one segment is asked for: from front to back it checks every byte.
        self._entries = self._entries_by_footer() if partial and self._source.seekable else None
        self._read_front()
        self._front_end = self._source.position

    @property
    def damage(self) -> list[Damage]:
        """What was wrong so far, in the order of finding; empty unless partial."""
        return list(self._damage)

    @property
    def version(self) -> int:
        """Version of the format that the file was written by."""
        return self.versions.written

    @property
    def seekable(self) -> bool:
        """Whether segment() and index() can be used."""
        return self._source.seekable

    @property
    def size(self) -> int:
        """Bytes of the file; from a pipe, of what has been read so far."""
        return self._source.size() if self.seekable else self._source.position

    def segments(self) -> Iterator[Segment]:
        """All segments, in the order of the file; from a pipe once only. Whatever follows them is checked too."""
        if self._partial and self._entries is not None:
            for entry in self._entries.values():
                segment = self._read_entry(entry)
                if segment is not None:
                    yield segment
        else:
            for _, segment in self._scan():
                yield segment

    def segment(self, number: int, plane: int = 0) -> Segment | None:
        """One segment, found by the index. None when partial and it is missing or damaged. Needs a seekable file."""
        entry = self._located().get((number, plane))
        if entry is None:
            self._fault(Corrupt(f"there is no segment {number} of plane {plane}"))
            return None
        return self._read_entry(entry)

    def index(self) -> list[Entry]:
        """Where the segments stand, in the order of the file; without an index in the file all of it is read for that.

        Needs a seekable file (ValueError).
        """
        return list(self._located().values())

    def _located(self) -> dict[Place, Entry]:
        if self._entries is None:
            if not self._source.seekable:
                raise ValueError("segments out of order need a seekable file")
            self._entries = self._entries_by_footer()
        if self._entries is None:
            self._entries = {entry[:2]: entry for entry, _ in self._scan()}
        return self._entries

    def _entries_by_footer(self) -> dict[Place, Entry] | None:
        """The index that the footer points to. None when there is none, or when partial and it is damaged: a scan will tell."""
        source = self._source
        before = source.position
        try:
            end = source.size() - FOOTER_SIZE
            source.seek(max(end, self._head_size))
            footer = source.read_exactly(FOOTER_SIZE, "footer")
            if footer[:1] != FOOTER.encode("ascii"):
                raise Truncated("the file does not end with a footer", end, "footer")
            size = unpack_footer(footer)
            if size == 0:
                return None
            if size > end - self._head_size:
                raise Corrupt(f"an index of {size} bytes is longer than the file", end, "footer")
            source.seek(end - size)
            chunk = source.read_chunk(self._limits)
            self._require(chunk, INDEX)
            if chunk.size != size:
                raise Corrupt(f"the index has {chunk.size} bytes, the footer says {size}", end, "footer")
            return {entry[:2]: entry for entry in unpack_index(chunk, self._limits)}
        except VqcError:
            if not self._partial:
                raise
            return None
        finally:
            source.seek(before)

    def _read_front(self) -> None:
        """Reads the chunks before the first segment."""
        first = next(iter(self._entries.values()), None) if self._entries else None
        while self._source.peek() not in (b"", SEGMENT.encode(), INDEX.encode(), FOOTER.encode()):
            try:
                chunk = self._source.read_chunk(self._limits)
            except VqcError as error:
                self._fault(error)
                return
            self._take(chunk)
            if first is not None and self._source.position >= first.offset:
                return

    def _scan(self) -> Iterator[tuple[Entry, Segment]]:
        """Reads from the first segment to the end of the file and checks all that is met."""
        source = self._source
        if source.seekable:
            source.seek(self._front_end)
        elif self._scanned:
            raise ValueError("the segments of a pipe can be read once only")
        self._scanned = True
        entries: dict[Place, Entry] = {}
        index_size = 0
        while source.peek() != FOOTER.encode():
            try:
                chunk = source.read_chunk(self._limits)
            except VqcError as error:
                self._fault(error)
                return
            if chunk.kind == INDEX:
                index_size = chunk.size
                self._check_index(chunk, entries)
            elif chunk.kind == SEGMENT:
                segment = self._take_segment(chunk, entries)
                if segment is not None:
                    yield entries[segment.number, segment.plane], segment
                    if source.seekable:  # someone may have read elsewhere meanwhile
                        source.seek(chunk.offset + chunk.size)
            else:
                self._take(chunk)
        self._check_footer(index_size)

    def _take_segment(self, chunk: Chunk, entries: dict[Place, Entry]) -> Segment | None:
        """Checks a segment against those before it and adds it to them."""
        try:
            segment = self._unpack_segment(chunk)
            self._limits.check("segments", len(entries) + 1, chunk.offset, chunk.name)
            if (segment.number, segment.plane) in entries:
                raise Corrupt(f"segment {segment.number} of plane {segment.plane} is there twice", chunk.offset, chunk.name)
            if entries and next(reversed(entries.values())).end != chunk.offset and not self._partial:
                raise Corrupt("segments do not follow one another", chunk.offset, chunk.name)
        except VqcError as error:
            self._fault(error)
            return None
        entries[segment.number, segment.plane] = Entry(segment.number, segment.plane, chunk.offset, chunk.size)
        return segment

    def _check_index(self, chunk: Chunk, entries: dict[Place, Entry]) -> None:
        try:
            self._require(chunk, INDEX)
            # Where segments are damaged the index knows of more than were found.
            if unpack_index(chunk, self._limits) != list(entries.values()) and not self._damage:
                raise Corrupt("the index does not tell where the segments are", chunk.offset, chunk.name)
        except VqcError as error:
            self._fault(error)

    def _check_footer(self, index_size: int) -> None:
        offset = self._source.position
        try:
            if unpack_footer(self._source.read_exactly(FOOTER_SIZE, "footer")) != index_size:
                raise Corrupt("the size of the index does not match", offset, "footer")
            if self._source.peek():
                raise Corrupt("data follow the footer", self._source.position, "footer")
        except VqcError as error:
            self._fault(error)

    def _read_entry(self, entry: Entry) -> Segment | None:
        try:
            self._source.seek(entry.offset)
            chunk = self._source.read_chunk(self._limits)
            segment = self._unpack_segment(chunk)
            if (segment.number, segment.plane, chunk.size) != (entry.number, entry.plane, entry.size):
                raise Corrupt("this is not the segment that the index lists here", chunk.offset, chunk.name)
            return segment
        except VqcError as error:
            self._fault(error)
            return None

    def _unpack_segment(self, chunk: Chunk) -> Segment:
        self._require(chunk, SEGMENT)
        cursor = Cursor(chunk.payload, chunk.payload_offset, chunk.name)
        number, plane = unpack_place(cursor)
        digest = int.from_bytes(cursor.take(_DIGEST_SIZE), "little")
        return Segment(number, plane, cursor.rest(), digest)

    def _take(self, chunk: Chunk) -> None:
        """Keeps metadata and unknown ancillary chunks, each once however often the file is read."""
        if chunk.offset < self._extras_end:
            return
        self._extras_end = chunk.offset + chunk.size
        try:
            self._require(chunk, chunk.kind)
            if chunk.kind == METADATA:
                kind, data = unpack_metadata(chunk, self._limits, self._extra_bytes)
                if kind in self.metadata:
                    raise Corrupt(f"{kind} is there twice", chunk.offset, chunk.name)
                self.metadata[kind] = data
                self._extra_bytes += len(data)
                return
        except VqcError as error:
            self._fault(error)
            return
        if not is_ancillary(chunk.kind):
            raise UnsupportedVersion(
                f"the critical chunk {chunk.kind!r} is unknown to this reader of format version {VERSION}; "
                f"the file was written by version {self.versions.written}",
                chunk.offset,
                chunk.name,
            )
        self._extra_bytes += len(chunk.payload)
        self._limits.check("metadata", self._extra_bytes, chunk.offset, chunk.name)
        self.unknown.append(chunk)

    def _require(self, chunk: Chunk, kind: str) -> None:
        """Raises Corrupt unless the chunk is intact and of this type."""
        if not chunk.intact:
            raise Corrupt("the CRC-32 does not match", chunk.offset, chunk.name)
        if chunk.kind != kind:
            raise Corrupt(f"a chunk of type {kind!r} should stand here", chunk.offset, chunk.name)

    def _fault(self, error: VqcError) -> None:
        """Strict: raises the error. Partial: notes it, once."""
        if not self._partial:
            raise error
        self._damage[Damage(error.offset, error.chunk, error.message)] = None
