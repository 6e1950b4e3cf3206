"""The description of a track in Matroska (RFC 9559): taken from FFmpeg's demuxer to a few bytes, and back to its muxers.

It is how a copied sound track tells its codec: one standard has names and setup data for all of them, and delay and layout.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av

from vqc.bitstream import Corrupt
from vqc.bitstream.cursor import Cursor

MAX_ENTRY = 2**20  # bytes; some codecs keep their tables there
_HEAD, _SEGMENT, _INFO, _TRACKS, _ENTRY, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0x1F43B675
_DOC_TYPE, _SCALE, _TIME, _NUMBER, _UID, _TYPE = 0x4282, 0x2AD7B1, 0xE7, 0xD7, 0x73C5, 0x83
_CODEC, _SETUP, _DELAY, _PREROLL, _AUDIO = 0x86, 0x63A2, 0x56AA, 0x56BB, 0xE1
_KEPT = (_CODEC, _SETUP, _DELAY, _PREROLL, _AUDIO)  # above all no ContentEncodings: packets are plain


def describe(stream: Any, delay: int) -> bytes:
    """The children of a TrackEntry that matter, for an audio stream of a demuxer.

    delay: nanoseconds of its first packets that are not to be heard, where the stream itself does not tell. Raises ValueError
    where Matroska has no place for the codec.
    """
    file = io.BytesIO()
    try:
        with av.open(file, "w", format="matroska", options={"fflags": "bitexact"}) as output:
            output.add_stream_from_template(stream)
            output.start_encoding()
    except av.FFmpegError as error:
        raise ValueError(str(error)) from None
    segment = dict(_children(file.getvalue()))[_SEGMENT]
    entry = dict(_children(dict(_children(segment))[_TRACKS]))[_ENTRY]
    kept = {identity: data for identity, data in _children(entry) if identity in _KEPT}
    if delay and _DELAY not in kept:
        kept[_DELAY] = delay.to_bytes(8, "big")
    return b"".join(_element(identity, kept[identity]) for identity in _KEPT if identity in kept)


def opened(entry: bytes) -> Any:
    """An open container of the one audio stream that `describe` told, empty; its ticks are nanoseconds. Raises Corrupt."""
    if len(entry) > MAX_ENTRY:
        raise Corrupt(f"the description of the sound track takes {len(entry)} bytes, more than {MAX_ENTRY}")
    for identity, _ in _children(entry):
        if identity not in _KEPT:
            raise Corrupt(f"the description of the sound track has an element {identity:X}")
    track = _element(_NUMBER, b"\1") + _element(_UID, b"\1") + _element(_TYPE, b"\2") + entry
    body = _element(_INFO, _element(_SCALE, b"\1")) + _element(_TRACKS, _element(_ENTRY, track))
    body += _element(_CLUSTER, _element(_TIME, b"\0"))
    file = _element(_HEAD, _element(_DOC_TYPE, b"matroska")) + _element(_SEGMENT, body)
    try:
        container = av.open(io.BytesIO(file), format="matroska")
    except av.FFmpegError as error:
        raise Corrupt(f"the description of the sound track: {error}") from None
    if len(container.streams.audio) != 1:
        container.close()
        raise Corrupt("the description of the sound track is not one of sound")
    return container


def _element(identity: int, data: bytes) -> bytes:
    """An EBML element, its size in four bytes."""
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + (0x10000000 | len(data)).to_bytes(4, "big") + data


def _children(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Identity and data of each element in `data`. Raises Corrupt."""
    cursor = Cursor(data, 0, "track")
    while cursor.position < len(data):
        identity = _number(cursor, keep_marker=True)
        yield identity, cursor.take(_number(cursor, keep_marker=False))


def _number(cursor: Cursor, keep_marker: bool) -> int:
    """A number of EBML: as many bytes follow the first as it has zero bits at its top; of sizes the marking bit is no part."""
    first = cursor.byte()
    more = 8 - first.bit_length()
    if more > 7:
        raise cursor.corrupt("a number of EBML is longer than 8 bytes")
    return int.from_bytes(bytes([first if keep_marker else first ^ 1 << 7 - more]) + cursor.take(more), "big")
