"""Payload of a metadata chunk: a kind such as "icc", "exif" or "xmp", and its bytes, deflated where that is smaller.

FORMAT.md, section 5.
"""

from __future__ import annotations

import zlib

from .chunk import Chunk
from .cursor import Cursor, pack_ascii
from .limits import Limits
from .varint import pack_varint

MAX_KIND = 16
_PLAIN, _ZLIB = 0, 1


def pack_metadata(kind: str, data: bytes) -> bytes:
    """kind: 1 to 16 printable ASCII characters. Raises ValueError for another kind."""
    plain = bytes([_PLAIN]) + data
    deflated = bytes([_ZLIB]) + pack_varint(len(data)) + zlib.compress(data, 9)
    return pack_ascii(kind, MAX_KIND) + min(plain, deflated, key=len)


def unpack_metadata(chunk: Chunk, limits: Limits, used: int) -> tuple[str, bytes]:
    """Kind and bytes. used: bytes of metadata that the file has had already, for the limit.

    Raises Corrupt or LimitExceeded.
    """
    cursor = Cursor(chunk.payload, chunk.payload_offset, chunk.name)
    kind = cursor.ascii(MAX_KIND)
    method = cursor.byte()
    if method == _PLAIN:
        data = cursor.rest()
        limits.check("metadata", used + len(data), chunk.offset, chunk.name)
        return kind, data
    if method != _ZLIB:
        raise cursor.corrupt(f"compression method {method} is unknown")
    size = cursor.varint()
    limits.check("metadata", used + size, chunk.offset, chunk.name)
    inflater = zlib.decompressobj()
    try:
        # One byte more than declared is enough to see that there is too much.
        data = inflater.decompress(cursor.rest(), size + 1)
    except zlib.error as error:
        raise cursor.corrupt(f"{kind} does not inflate: {error}") from None
    if len(data) != size or not inflater.eof or inflater.unused_data:
        raise cursor.corrupt(f"{kind} does not inflate to {size} bytes")
    return kind, data
