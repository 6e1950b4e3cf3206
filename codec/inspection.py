"""What a .vqc file says of itself, read without decoding it and without torch."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vqc.bitstream import AudioHeader, CopiedSound, Header, Limits, Reader, VideoHeader

from .audio_payload import samples_of
from .video_payload import frames_of


@dataclass(frozen=True)
class FileInfo:
    """What every file says of itself. weights: hexadecimal prefix of the SHA-256 of the decoder's weights."""

    media: str
    model: str
    weights: str
    version: int
    quality: float
    segments: int
    metadata: Mapping[str, bytes]
    file_size: int


@dataclass(frozen=True)
class Info(FileInfo):
    """What a file that holds a picture says of itself; see `inspect`."""

    width: int
    height: int
    depth: int
    channels: int
    alpha: bool
    orientation: int
    tile: int  # side of a tile in pixels

    @property
    def bpp(self) -> float:
        """Bits per pixel of the whole file."""
        return 8 * self.file_size / (self.width * self.height)


@dataclass(frozen=True)
class SoundInfo(FileInfo):
    """What a file that holds sound says of itself; see `inspect`."""

    rate: int
    channels: int
    depth: int
    samples: int  # of each channel; 0 when only decoding can tell
    span: int  # frames of 20 ms in a segment

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.samples / self.rate

    @property
    def kbps(self) -> float:
        """Kilobits per second: the whole file over its duration."""
        return 8 * self.file_size / self.seconds / 1000 if self.samples else 0.0


@dataclass(frozen=True)
class CopiedSoundInfo:
    """What a file says of the sound track of its video where that is copied. codec: its name."""

    codec: str
    rate: int
    channels: int


@dataclass(frozen=True)
class VideoInfo(FileInfo):
    """What a file that holds video says of itself; see `inspect`."""

    width: int
    height: int
    rate: float  # frames a second
    frames: int  # 0 when only reading it all can tell
    rotation: int
    group: int  # most frames of a segment
    sound: SoundInfo | CopiedSoundInfo | None

    @property
    def seconds(self) -> float:
        """Duration at the nominal rate."""
        return self.frames / self.rate

    @property
    def kbps(self) -> float:
        """Kilobits per second: the whole file over its duration."""
        return 8 * self.file_size / self.seconds / 1000 if self.frames else 0.0


def inspect(source: Any, *, limits: Limits | None = None) -> Info | SoundInfo | VideoInfo:
    """Header, metadata and size of a .vqc file, without decoding it. source: path, binary file object or bytes."""
    with open_reader(source, limits, False) as reader:
        header = reader.header
        segments = len(reader.index()) if reader.seekable else sum(1 for _ in reader.segments())
        if isinstance(header, AudioHeader):
            return _sound_info(header, reader, segments, samples_of(reader))
        if isinstance(header, VideoHeader):
            sound: SoundInfo | CopiedSoundInfo | None = None
            if isinstance(header.sound, CopiedSound):
                sound = CopiedSoundInfo(header.sound.codec, header.sound.rate, header.sound.channels)
            elif header.sound is not None:
                sound = _sound_info(header.sound, reader, segments, header.sound.samples)
            return VideoInfo(
                **_common("video", header, reader, segments),
                width=header.width,
                height=header.height,
                rate=header.rate_numerator / header.rate_denominator,
                frames=frames_of(reader),
                rotation=header.rotation,
                group=header.group,
                sound=sound,
            )
        return Info(
            **_common("image", header, reader, segments),
            width=header.width,
            height=header.height,
            depth=header.depth,
            channels=header.channels,
            alpha=header.alpha,
            orientation=header.orientation,
            tile=1 << header.tile,
        )


def _common(media: str, header: Header, reader: Reader, segments: int) -> dict[str, Any]:
    return {
        "media": media,
        "model": header.model,
        "weights": header.weights.hex(),
        "version": reader.version,
        "quality": header.quality / 10,
        "segments": segments,
        "metadata": dict(reader.metadata),
        "file_size": reader.size,
    }


def _sound_info(header: AudioHeader, reader: Reader, segments: int, samples: int) -> SoundInfo:
    return SoundInfo(
        **_common("audio", header, reader, segments),
        rate=header.rate,
        channels=header.channels,
        depth=header.depth,
        samples=samples,
        span=header.span,
    )


@contextmanager
def open_reader(source: Any, limits: Limits | None, partial: bool) -> Iterator[Reader]:
    """A reader of a path, bytes or a binary file object."""
    limits = limits or Limits()
    if isinstance(source, bytes | bytearray | memoryview):
        yield Reader(io.BytesIO(source), limits, partial)
    elif isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            yield Reader(file, limits, partial)
    elif hasattr(source, "read"):
        yield Reader(source, limits, partial)
    else:
        raise TypeError(f"cannot read a .vqc file from {type(source).__name__}")
