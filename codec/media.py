"""Which medium a source is of: by its first bytes, and where those can hold sound or video by its streams.

What is neither counts as a picture.
"""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

IMAGE, AUDIO, VIDEO = "image", "audio", "video"
MEDIA = {b"\1": IMAGE, b"\2": AUDIO, b"\3": VIDEO}  # by the byte that stands for them in a header
# Extensions that folders are searched for.
SOUND_EXTENSIONS = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aiff", ".aif", ".aifc", ".w64", ".rf64", ".caf", ".au"}
    | {".snd", ".wma", ".mka"}
)
VIDEO_EXTENSIONS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".y4m", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".ogv"}
    | {".3gp", ".ivf", ".264", ".h264", ".265", ".hevc"}
)
_SIGNATURES = (b"fLaC", b"OggS", b"ID3", b"caff", b".snd", b"riff", b"\x1aE\xdf\xa3", b"0&\xb2u\x8ef\xcf\x11", b"wvpk")
# What holds video and nothing else, and what holds video, sound or both.
_VIDEO_SIGNATURES = (b"YUV4MPEG2", b"DKIF", b"FLV\x01", b"\0\0\x01\xba", b"\0\0\x01\xb3")
_CONTAINER_SIGNATURES = (b"\x1aE\xdf\xa3", b"0&\xb2u\x8ef\xcf\x11", b"OggS")
_SOUND_BRANDS = (b"M4A ", b"M4B ")
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"jp2 ", b"jpx ")
PREFIX = 12


def is_sound(prefix: bytes) -> bool:
    """Whether a file that begins so (12 bytes) is a sound, or a film whose sound can be coded."""
    if prefix[:4] in (b"RIFF", b"RF64", b"FORM"):
        return prefix[8:12] in (b"WAVE", b"AIFF", b"AIFC")
    if prefix[4:8] == b"ftyp":
        return prefix[8:12] not in _PICTURE_BRANDS
    # MPEG audio, layers 1 to 3, and AAC in ADTS frames begin with 11 or 12 set bits; JPEG with ff d8
    frame_sync = len(prefix) > 1 and prefix[0] == 0xFF and prefix[1] & 0xE0 == 0xE0 and prefix[1] != 0xFF
    return frame_sync or prefix.startswith(_SIGNATURES)


def may_be_video(prefix: bytes) -> bool:
    """Whether a file that begins so (12 bytes) can hold moving pictures."""
    if prefix[:4] == b"RIFF":
        return prefix[8:12] == b"AVI "
    if prefix[4:8] == b"ftyp":
        return prefix[8:12] not in _PICTURE_BRANDS
    return prefix.startswith(_VIDEO_SIGNATURES + _CONTAINER_SIGNATURES)


def medium_of(source: Any) -> tuple[str, Any]:
    """IMAGE, AUDIO or VIDEO, and the source to go on with: itself, or a pipe with what was read of it put back.

    A pipe cannot be looked into: where both are possible it counts as video, but for Ogg and for MP4 of a brand for sound.
    """
    prefix, source = peek(source, PREFIX)
    named = isinstance(source, str | os.PathLike) and os.path.splitext(source)[1].lower() in VIDEO_EXTENSIONS
    if named or may_be_video(prefix):
        if isinstance(source, Pipe):
            sound = prefix.startswith(b"OggS") or prefix[8:12] in _SOUND_BRANDS
            return (AUDIO if sound else VIDEO), source
        if has_video(source):
            return VIDEO, source
    return (AUDIO if is_sound(prefix) else IMAGE), source


def has_video(source: Any) -> bool:
    """Whether a path, bytes or a seekable file object holds moving pictures; a cover beside music is none."""
    import av  # not above: `vqc info` has no use for it

    file = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    start = file.tell() if hasattr(file, "seek") else None
    try:
        with av.open(os.fspath(file) if start is None else file) as container:
            if container.format.name.endswith("_pipe"):  # a picture
                return False
            return any(not s.disposition & av.stream.Disposition.attached_pic for s in container.streams.video)
    except (av.FFmpegError, OSError, ValueError):
        return False
    finally:
        if start is not None:
            file.seek(start)


def peek(source: Any, size: int) -> tuple[bytes, Any]:
    """The first bytes of a path, bytes or a binary file object (of others: none), and a source that still begins with them."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source[:size]), source
    if isinstance(source, str | os.PathLike):
        try:
            with open(source, "rb") as file:
                return file.read(size), source
        except OSError:
            return b"", source  # whoever opens it next will say why
    if not hasattr(source, "read"):
        return b"", source
    if not getattr(source, "seekable", bool)():
        source = Pipe(source, size)
        return source.ahead, source
    start = source.tell()
    prefix = source.read(size)
    source.seek(start)
    return prefix if isinstance(prefix, bytes) else b"", source  # of a text file its reader will say what is wrong


class Pipe:
    """A binary file object that cannot seek, with its first bytes known."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.ahead = b""
        while len(self.ahead) < size and (more := file.read(size - len(self.ahead))):
            self.ahead += more
        self._left = self.ahead

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            left, self._left = self._left, b""
            return left + self._file.read()
        if self._left:
            left, self._left = self._left[:size], self._left[size:]
            return left
        return self._file.read(size)

    def seekable(self) -> bool:
        return False
