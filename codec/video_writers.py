"""Frames and sound to video files: lossless FFV1 in Matroska, y4m, numbered PNG pictures, and H.264 for a quick look."""

from __future__ import annotations

import io
import re
from fractions import Fraction
from typing import BinaryIO, Protocol

import av
import numpy as np
from PIL import Image

from .copied_payload import SoundPacket
from .copied_sound import fits
from .matroska import opened
from .outputs import open_output
from .video import Frame, VideoFormat

# Extension: container of FFmpeg, codec of frames and its options, codec of sound.
_CONTAINERS: dict[str, tuple[str, str, dict[str, str], str]] = {
    ".mkv": ("matroska", "ffv1", {"level": "3", "slicecrc": "1"}, "flac"),
    ".avi": ("avi", "ffv1", {"level": "3", "slicecrc": "1"}, "pcm_s16le"),
    ".mp4": ("mp4", "libx264", {"crf": "14", "preset": "veryfast"}, "aac"),
    ".mov": ("mov", "libx264", {"crf": "14", "preset": "veryfast"}, "aac"),
}
_SLICED = 64  # pixels, each way, below which FFV1 is written without slices: it cannot cut what is small
_NEEDS_SEEKING = (".mp4", ".mov", ".avi")
EXTENSIONS = (*_CONTAINERS, ".y4m")
PICTURES = ".png"
_NUMBER = re.compile(r"%0?[1-9]?d")  # in the names of pictures


class VideoWriter(Protocol):
    """Takes frames, upright, and the sound, then `close`. copies: whether it wants sound that is copied in packets."""

    copies: bool

    def frame(self, frame: Frame) -> None: ...

    def sound(self, block: np.ndarray) -> None: ...

    def packet(self, packet: SoundPacket) -> None: ...

    def close(self) -> None: ...


def open_writer(file: BinaryIO, kind: VideoFormat, extension: str) -> VideoWriter:
    """A writer of the format that `extension` names; raises ValueError for an unknown one. It turns frames upright."""
    if extension == ".y4m":
        return Y4mWriter(file, kind)
    if extension not in _CONTAINERS:
        raise ValueError(f"no format for video with the extension '{extension}'; one of {' '.join(EXTENSIONS)}")
    return ContainerWriter(file, kind, extension)


def upright(kind: VideoFormat) -> tuple[int, int, Fraction]:
    """Width, height and pixel aspect of the frames when turned."""
    if kind.rotation in (90, 270):
        return kind.height, kind.width, 1 / kind.aspect
    return kind.width, kind.height, kind.aspect


class _Soundless:
    """What has no place for sound."""

    copies = False

    def sound(self, block: np.ndarray) -> None:
        pass

    def packet(self, packet: SoundPacket) -> None:
        pass


class Y4mWriter(_Soundless):
    """YUV4MPEG2: samples as they are, at the nominal frame rate."""

    def __init__(self, file: BinaryIO, kind: VideoFormat) -> None:
        self._file, self._rotation = file, kind.rotation
        width, height, aspect = upright(kind)
        space = "420jpeg XCOLORRANGE=FULL" if kind.full_range else "420mpeg2 XCOLORRANGE=LIMITED"
        rate, pixel = f"{kind.rate.numerator}:{kind.rate.denominator}", f"{aspect.numerator}:{aspect.denominator}"
        file.write(f"YUV4MPEG2 W{width} H{height} F{rate} Ip A{pixel} C{space}\n".encode())

    def frame(self, frame: Frame) -> None:
        turned = frame.turned(self._rotation)
        self._file.write(b"FRAME\n" + turned.y.tobytes() + turned.uv.tobytes())

    def close(self) -> None:
        pass


class PictureSequence(_Soundless):
    """A PNG picture of each frame, upright and in RGB, numbered from 1: `name` holds %d, or %05d for five digits.

    Each appears whole or not at all, and replaces none that is there without `force`. Raises ValueError, OutputError.
    """

    def __init__(self, name: str, kind: VideoFormat, force: bool) -> None:
        if len(_NUMBER.findall(name)) != 1 or name.replace("%%", "").count("%") != 1:
            raise ValueError(f"pictures of frames need a place for a number in their name, as in frame-%05d.png; not '{name}'")
        self._name, self._kind, self._force, self._count = name, kind, force, 0

    def frame(self, frame: Frame) -> None:
        self._count += 1
        width, height, _ = upright(self._kind)
        # the conversion needs even sides
        picture = to_picture(frame, self._kind, width + width % 2, height + height % 2)
        rgb = picture.to_ndarray(format="rgb24")[:height, :width]
        with open_output(self._name % self._count, force=self._force) as file:
            Image.fromarray(np.ascontiguousarray(rgb)).save(file, "PNG", compress_level=4)

    def close(self) -> None:
        pass


def to_picture(frame: Frame, kind: VideoFormat, width: int, height: int) -> av.VideoFrame:
    """A frame upright, its last row and column repeated up to `width` and `height`."""
    turned = frame.turned(kind.rotation)
    picture = av.VideoFrame(width, height, "yuv420p")
    for plane, samples in zip(picture.planes, (turned.y, *turned.uv)):
        rows, columns = plane.height, plane.line_size
        missing = ((0, rows - samples.shape[0]), (0, plane.width - samples.shape[1]))
        whole = np.zeros((rows, columns), np.uint8)
        whole[:, : plane.width] = np.pad(samples, missing, mode="edge")
        plane.update(whole.tobytes())
    picture.pts, picture.time_base = frame.tick, kind.base
    picture.color_range, picture.colorspace = 2 if kind.full_range else 1, kind.matrix
    return picture


class ContainerWriter:
    """What FFmpeg writes. Time stamps, colour and aspect are kept."""

    def __init__(self, file: BinaryIO, kind: VideoFormat, extension: str) -> None:
        container, codec, options, sound_codec = _CONTAINERS[extension]
        self._kind = kind
        self._pipe: BinaryIO | None = None
        if extension in _NEEDS_SEEKING and not file.seekable():
            self._pipe, file = file, io.BytesIO()
        self._file = file
        self._output = av.open(file, "w", format=container)
        self._output.metadata.update(kind.tags)
        width, height, aspect = upright(kind)
        even = codec == "libx264"  # which codes 4:2:0 of even sides only
        self._width, self._height = (width + width % 2, height + height % 2) if even else (width, height)
        if codec == "ffv1" and min(width, height) < _SLICED:
            options = {"level": "1"}
        stream = self._output.add_stream(codec, rate=kind.rate, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = self._width, self._height, "yuv420p"
        stream.time_base = stream.codec_context.time_base = kind.base
        stream.codec_context.sample_aspect_ratio = aspect
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = kind.primaries, kind.transfer, kind.matrix
        context.color_range = 2 if kind.full_range else 1
        self._stream, self._sound, self._samples = stream, None, 0
        self.copies = kind.sound is not None and kind.track is not None and fits(kind.track, container)
        self._negative = extension != ".avi"  # which cannot tell that the sound begins before the frames
        if self.copies:
            with opened(kind.track.entry) as source:
                self._sound = self._output.add_stream_from_template(source.streams.audio[0])
        elif kind.sound is not None:
            self._layout = "mono" if kind.sound.channels == 1 else "stereo"
            self._sound = self._output.add_stream(sound_codec, rate=kind.sound.rate, layout=self._layout)
            if kind.sound.depth > 16 and sound_codec == "flac":
                self._sound.codec_context.format = "s32"

    def frame(self, frame: Frame) -> None:
        picture = to_picture(frame, self._kind, self._width, self._height)
        self._output.mux(self._stream.encode(picture))

    def sound(self, block: np.ndarray) -> None:
        if self._sound is None or block.shape[1] == 0:
            return
        samples = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.clip(-1, 1), np.float32), "fltp", self._layout)
        samples.sample_rate, samples.pts = self._kind.sound.rate, self._samples
        samples.time_base = Fraction(1, self._kind.sound.rate)
        self._samples += block.shape[1]
        self._output.mux(self._sound.encode(samples))

    def packet(self, packet: SoundPacket) -> None:
        if packet.tick < 0 and not self._negative:
            return
        native = av.Packet(packet.data)
        native.stream, native.time_base, native.is_keyframe = self._sound, self._kind.track.base, True
        native.pts = native.dts = packet.tick
        native.duration = packet.duration
        self._output.mux(native)

    def close(self) -> None:
        for stream in filter(None, (self._stream, None if self.copies else self._sound)):
            self._output.mux(stream.encode(None))
        self._output.close()
        if self._pipe is not None:
            self._pipe.write(self._file.getvalue())  # type: ignore[attr-defined]
