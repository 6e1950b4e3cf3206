"""The head of a file: signature, versions and header (FORMAT.md, section 3).

The fields of a header are declared once, in the order of the file; writer and reader both follow that declaration.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from .cursor import Cursor, pack_ascii
from .errors import Corrupt, NotVqc, Truncated, UnsupportedVersion
from .limits import Limits
from .varint import pack_varint

SIGNATURE = b"\x89VQC\r\n\x1a\n"
# The newest version that this code reads. It writes the least that a file needs, so that older readers take what they can.
VERSION = 2
# Signature, two versions, length of the fields.
PREFIX_SIZE = len(SIGNATURE) + 3
IMAGE, AUDIO, VIDEO = 1, 2, 3
NAME = "header"


class Ascii:
    """A name: length byte, then printable ASCII."""

    def __init__(self, most: int):
        self.most = most

    def pack(self, value: str) -> bytes:
        return pack_ascii(value, self.most)

    def unpack(self, cursor: Cursor) -> str:
        return cursor.ascii(self.most)


class Raw:
    """Bytes of a fixed number."""

    def __init__(self, size: int):
        self.size = size

    def pack(self, value: bytes) -> bytes:
        if len(value) != self.size:
            raise ValueError(f"{len(value)} bytes instead of {self.size}")
        return bytes(value)

    def unpack(self, cursor: Cursor) -> bytes:
        return cursor.take(self.size)


class Number:
    """A varint between two bounds, both included."""

    def __init__(self, least: int, most: int):
        self.least, self.most = least, most

    def pack(self, value: int) -> bytes:
        if not self.least <= value <= self.most:
            raise ValueError(f"{value} is outside {self.least} .. {self.most}")
        return pack_varint(value)

    def unpack(self, cursor: Cursor) -> int:
        value = cursor.varint()
        if not self.least <= value <= self.most:
            raise cursor.corrupt(f"{value} is outside {self.least} .. {self.most}")
        return value


class Choices:
    """Several small fields in one byte, the first in its lowest bits: numbers of a choice among 2, 4 or 8."""

    def __init__(self, *choices: tuple):
        self.choices = choices

    def pack(self, values: tuple) -> bytes:
        byte = shift = 0
        for value, allowed in zip(values, self.choices, strict=True):
            if value not in allowed:
                raise ValueError(f"{value} is none of {allowed}")
            byte |= allowed.index(value) << shift
            shift += len(allowed).bit_length() - 1
        return bytes([byte])

    def unpack(self, cursor: Cursor) -> tuple:
        byte = cursor.byte()
        values = []
        for allowed in self.choices:
            values.append(allowed[byte % len(allowed)])
            byte //= len(allowed)
        if byte:
            raise cursor.corrupt("reserved bits are set")
        return tuple(values)


class Fields(ABC):
    """Fields of a header, or of a part of one: declared once, in the order of the file."""

    FIELDS: ClassVar[tuple]

    def pack_fields(self) -> bytes:
        """The fields alone. Raises ValueError."""
        fields = b""
        for name, field in self.FIELDS:
            try:
                fields += field.pack(getattr(self, name) if isinstance(name, str) else tuple(getattr(self, n) for n in name))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return fields

    @classmethod
    def _values(cls, cursor: Cursor) -> dict:
        values = {}
        for name, field in cls.FIELDS:
            value = field.unpack(cursor)
            values.update({name: value} if isinstance(name, str) else zip(name, value, strict=True))
        return values

    @classmethod
    @abstractmethod
    def _unpack(cls, cursor: Cursor, limits: Limits) -> Fields:
        """What has the fields that come next. Raises Corrupt or LimitExceeded."""


class Header(Fields):
    """The base of the headers."""

    MEDIUM: ClassVar[int]
    # As all headers have them; see ImageHeader.
    model: str
    weights: bytes
    profile: int
    quality: int

    @property
    def needed(self) -> int:
        """The least version of the format that has all that this header tells."""
        return 1

    def pack(self) -> bytes:
        """The head of a file with this header. Raises ValueError when a field has a value that the format has no place for."""
        fields = bytes([self.MEDIUM]) + self.pack_fields()
        head = SIGNATURE + bytes([self.needed, self.needed, len(fields)]) + fields
        return head + zlib.crc32(head).to_bytes(4, "little")


@dataclass(frozen=True)
class ImageHeader(Header):
    """All that a reader has to know before it decodes an image.

    model: name of the model, at most 16 characters. weights: first 8 bytes of the SHA-256 of the decoder's weights file.
    profile: numeric profile of the entropy path. width, height: pixels as coded, before the orientation is applied.
    depth: 8 or 16 bits a sample. channels: 1 grey, 3 RGB. alpha: whether there is an alpha plane. orientation: 1 .. 8, as
    in EXIF. quality: what the encoder was asked for, in tenths, 0 .. 1000. tile: log2 of the side of a tile, 5 .. 11:
    smaller ones are less than synthesis sees around a tile, larger ones take memory that a small file should not.
    """

    model: str
    weights: bytes
    profile: int
    width: int
    height: int
    depth: int = 8
    channels: int = 3
    alpha: bool = False
    orientation: int = 1
    quality: int = 750
    tile: int = 9

    MEDIUM: ClassVar[int] = IMAGE
    FIELDS: ClassVar[tuple] = (
        ("model", Ascii(16)),
        ("weights", Raw(8)),
        ("profile", Number(0, 2**16 - 1)),
        ("width", Number(1, 2**31 - 1)),
        ("height", Number(1, 2**31 - 1)),
        (
            ("depth", "channels", "alpha", "orientation", "limits_class"),
            Choices((8, 16), (1, 3), (False, True), (1, 2, 3, 4, 5, 6, 7, 8), (0, 1)),
        ),
        ("quality", Number(0, 1000)),
        ("tile", Number(5, 11)),
    )

    @property
    def limits_class(self) -> int:
        """0 when the default limits of a reader allow the image, 1 when it is larger."""
        default = Limits()
        return int(max(self.width, self.height) > default.side or self.width * self.height > default.pixels)

    @classmethod
    def _unpack(cls, cursor: Cursor, limits: Limits) -> ImageHeader:
        values = cls._values(cursor)
        limits_class = values.pop("limits_class")
        header = cls(**values)
        if limits_class != header.limits_class:
            raise cursor.corrupt(f"limits class {limits_class} does not fit {header.width}x{header.height} pixels")
        limits.check("side", max(header.width, header.height), chunk=NAME)
        limits.check("pixels", header.width * header.height, chunk=NAME)
        return header


@dataclass(frozen=True)
class AudioHeader(Header):
    """All that a reader has to know before it decodes sound.

    model, weights, profile, quality: as in ImageHeader. rate: samples a second of the original, which decoding restores.
    samples: of each channel at that rate; 0 when the writer did not know it (the last segment tells then). channels: 1 mono,
    2 stereo. depth: of the original's samples, 16 or 24 bits, 32 for floating point. span: frames of a segment.
    """

    model: str
    weights: bytes
    profile: int
    rate: int
    samples: int
    channels: int = 1
    depth: int = 16
    quality: int = 500
    span: int = 128

    MEDIUM: ClassVar[int] = AUDIO
    FIELDS: ClassVar[tuple] = (
        ("model", Ascii(16)),
        ("weights", Raw(8)),
        ("profile", Number(0, 2**16 - 1)),
        ("rate", Number(8000, 192000)),
        ("samples", Number(0, 2**40)),
        (("channels", "depth"), Choices((1, 2), (16, 24, 32, 64))),
        ("quality", Number(0, 1000)),
        ("span", Number(16, 1024)),
    )

    @classmethod
    def _unpack(cls, cursor: Cursor, limits: Limits) -> AudioHeader:
        header = cls(**cls._values(cursor))
        if header.depth == 64:
            raise cursor.corrupt("a depth of 64 bits is reserved")
        limits.check("samples", header.samples, chunk=NAME)
        return header


@dataclass(frozen=True)
class CopiedSound(Fields):
    """A sound track whose packets were taken over as they are; the metadata of kind `track` tell how to decode them.

    codec: its name, for people. rate: samples a second, channels: of what the packets decode to. numerator / denominator:
    seconds of a tick, in which the time stamps of packets count.
    """

    codec: str
    rate: int
    channels: int
    numerator: int
    denominator: int

    FIELDS: ClassVar[tuple] = (
        ("codec", Ascii(16)),
        ("rate", Number(8000, 192000)),
        ("channels", Number(1, 255)),
        ("numerator", Number(1, 2**31 - 1)),
        ("denominator", Number(1, 2**31 - 1)),
    )

    @classmethod
    def _unpack(cls, cursor: Cursor, limits: Limits) -> CopiedSound:
        return cls(**cls._values(cursor))


class Perhaps:
    """A byte, 0 for nothing, else the number of a kind, counted from 1, and then its fields."""

    def __init__(self, *kinds: type[Fields]):
        self.kinds = kinds

    def pack(self, value: Fields | None) -> bytes:
        return b"\0" if value is None else bytes([self.kinds.index(type(value)) + 1]) + value.pack_fields()

    def unpack(self, cursor: Cursor) -> Fields | None:
        number = cursor.byte()
        if number > len(self.kinds):
            raise cursor.corrupt(f"{number} is above {len(self.kinds)}")
        return self.kinds[number - 1]._unpack(cursor, Limits.none()) if number else None


@dataclass(frozen=True)
class VideoHeader(Header):
    """All that a reader has to know before it decodes a video.

    model, weights, profile, quality: as in ImageHeader, of the model of predicted frames; intra, intra_weights: of the image
    model that codes the first frame of each group. width, height: pixels as coded. rotation: degrees clockwise to turn the
    frames by before they are shown. numerator / denominator: seconds of a tick, in which time stamps count.
    rate_numerator / rate_denominator: frames a second, where they are regular. aspect_width / aspect_height: of a pixel.
    primaries, transfer, matrix: code points of ITU-T H.273; full_range: whether samples take all values, and not 16 to 235.
    group: most frames of a segment. refresh: predicted frames after which features and past latents are forgotten.
    sound: the header of the sound track, which stands on plane 1, coded or copied; None without one.
    """

    model: str
    weights: bytes
    profile: int
    intra: str
    intra_weights: bytes
    width: int
    height: int
    numerator: int
    denominator: int
    rate_numerator: int
    rate_denominator: int
    aspect_width: int = 1
    aspect_height: int = 1
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False
    rotation: int = 0
    quality: int = 500
    group: int = 32
    refresh: int = 32
    sound: AudioHeader | CopiedSound | None = None

    MEDIUM: ClassVar[int] = VIDEO
    FIELDS: ClassVar[tuple] = (
        ("model", Ascii(16)),
        ("weights", Raw(8)),
        ("profile", Number(0, 2**16 - 1)),
        ("intra", Ascii(16)),
        ("intra_weights", Raw(8)),
        ("width", Number(1, 2**31 - 1)),
        ("height", Number(1, 2**31 - 1)),
        ("numerator", Number(1, 2**31 - 1)),
        ("denominator", Number(1, 2**31 - 1)),
        ("rate_numerator", Number(1, 2**31 - 1)),
        ("rate_denominator", Number(1, 2**31 - 1)),
        ("aspect_width", Number(1, 2**16 - 1)),
        ("aspect_height", Number(1, 2**16 - 1)),
        ("primaries", Number(0, 255)),
        ("transfer", Number(0, 255)),
        ("matrix", Number(0, 255)),
        (("full_range", "rotation"), Choices((False, True), (0, 90, 180, 270))),
        ("quality", Number(0, 1000)),
        ("group", Number(1, 2**12)),
        ("refresh", Number(1, 2**12)),
        ("sound", Perhaps(AudioHeader, CopiedSound)),
    )

    @property
    def needed(self) -> int:
        """2 with copied sound, else 1."""
        return 2 if isinstance(self.sound, CopiedSound) else 1

    @classmethod
    def _unpack(cls, cursor: Cursor, limits: Limits) -> VideoHeader:
        header = cls(**cls._values(cursor))
        limits.check("side", max(header.width, header.height), chunk=NAME)
        limits.check("pixels", header.width * header.height, chunk=NAME)
        if isinstance(header.sound, AudioHeader):
            limits.check("samples", header.sound.samples, chunk=NAME)
        return header


# One class for each medium.
MEDIA: dict[int, type[Header]] = {IMAGE: ImageHeader, AUDIO: AudioHeader, VIDEO: VideoHeader}


@dataclass(frozen=True)
class Versions:
    """Version of the format that a file was written by, and the least that its reader needs."""

    written: int
    needed: int


def check_prefix(prefix: bytes) -> tuple[Versions, int]:
    """Checks the first PREFIX_SIZE bytes of a file (fewer if it has no more).

    Returns the versions and how many bytes of the head follow. Raises NotVqc, Truncated, UnsupportedVersion or Corrupt.
    """
    signature = prefix[: len(SIGNATURE)]
    if not prefix:
        raise NotVqc("the input is empty")
    if not SIGNATURE.startswith(signature):
        raise NotVqc("the input is not a vqc file: its first bytes are not the signature", 0)
    if len(signature) < len(SIGNATURE):
        raise NotVqc(f"the input ends after {len(signature)} bytes, within the signature", 0)
    if len(prefix) < PREFIX_SIZE:
        raise Truncated("the file ends within its header", len(prefix), NAME)
    versions = Versions(prefix[-3], prefix[-2])
    if versions.needed > VERSION:
        raise UnsupportedVersion(
            f"the file needs a reader of format version {versions.needed}; this one reads up to version {VERSION}", 9, NAME
        )
    if not 1 <= versions.needed <= versions.written:
        raise Corrupt(f"written by format version {versions.written}, needs version {versions.needed}", 8, NAME)
    return versions, prefix[-1] + 4


def unpack_header(head: bytes, limits: Limits | None = None) -> Header:
    """The header in the head of a file, from its first byte to the CRC-32 of the header. limits: the default ones when None.

    Raises NotVqc, Truncated, UnsupportedVersion, Corrupt or LimitExceeded.
    """
    versions, left = check_prefix(head[:PREFIX_SIZE])
    if len(head) < PREFIX_SIZE + left:
        raise Truncated("the file ends within its header", len(head), NAME)
    if len(head) > PREFIX_SIZE + left:
        raise Corrupt(f"{len(head) - PREFIX_SIZE - left} bytes follow the header", PREFIX_SIZE + left, NAME)
    if zlib.crc32(head[:-4]) != int.from_bytes(head[-4:], "little"):
        raise Corrupt("the CRC-32 does not match", 0, NAME)
    cursor = Cursor(head[PREFIX_SIZE:-4], PREFIX_SIZE, NAME)
    medium = cursor.byte()
    if medium not in MEDIA:
        raise UnsupportedVersion(
            f"medium {medium} is unknown to this reader of format version {VERSION}; the file was written by version "
            f"{versions.written}",
            PREFIX_SIZE,
            NAME,
        )
    header = MEDIA[medium]._unpack(cursor, limits or Limits())
    cursor.end()
    if header.needed > versions.needed:
        raise Corrupt(f"the header needs version {header.needed}, the file says {versions.needed}", 9, NAME)
    return header
