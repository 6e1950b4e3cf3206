"""Video files to frames and sound: any container and codec that PyAV reads, from a path, bytes or a pipe."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange

from .copied_payload import SoundPacket, Track
from .image_files import UnreadableInput
from .matroska import describe
from .sound import SoundFormat
from .sound_files import TAGS
from .video import Frame, VideoFormat

_NATIVE = {"yuv420p": False, "yuvj420p": True}  # whether samples take the full range
_FULL_RANGE = int(ColorRange.JPEG)
_BT709 = 1  # what RGB is converted to, where a source names no matrix


class Demuxer:
    """The frames and the sound of one file, read together: whoever is asked first reads on for both.

    With `copy` the sound comes in packets, else in blocks of samples.
    kind: the format. conversion: what had to be converted to 4:2:0 of 8 bits, for people; empty when nothing.
    """

    def __init__(self, container: Any, name: str, sound: bool, copy: bool) -> None:
        self._container, self._name, self._copy = container, name, copy
        self._video = container.streams.video[0]
        self._audio = container.streams.audio[0] if sound and container.streams.audio else None
        self._frames: deque[Any] = deque()
        self._blocks: deque[Any] = deque()  # decoded frames of sound; packets where they are copied
        self._heard = False  # whether a packet of sound has come that is to be heard
        self._packets = container.demux([s for s in (self._video, self._audio) if s is not None])
        first = self._pull(self._frames)
        if first is None:
            raise UnreadableInput(name, "there is no frame in this file")
        self._frames.appendleft(first)
        self.conversion = "" if first.format.name in _NATIVE else f"{first.format.name} is converted to 4:2:0 of 8 bits"
        self._base = self._video.time_base or Fraction(1, 25)
        self._delay = 0.0  # seconds at the begin of copied sound that are not to be heard
        self._origin, self._lead = self._start(first)
        self.kind = self._format(first)

    def _pull(self, wanted: deque[Any]) -> Any:
        """The next decoded frame of the stream whose queue this is; None at the end."""
        try:
            while not wanted:
                packet = next(self._packets, None)
                if packet is None:
                    return None
                if packet.stream is self._video:
                    self._frames.extend(packet.decode())
                elif not self._copy:
                    self._blocks.extend(packet.decode())
                elif packet.size and not (packet.is_discard and self._heard):  # what an edit list cuts off at the end
                    self._heard = not packet.is_discard
                    self._blocks.append(packet)
        except av.FFmpegError as error:
            raise UnreadableInput(self._name, f"damaged video: {error}") from None
        return wanted.popleft()

    def _start(self, first: Any) -> tuple[int, float]:
        """The time stamp that becomes 0, in ticks, and the seconds of silence before the sound begins."""
        begin = first.pts or 0
        if self._audio is None:
            return begin, 0.0
        sound = self._pull(self._blocks)
        if sound is None or sound.pts is None:
            if sound is not None:
                self._blocks.appendleft(sound)
            return begin, 0.0
        self._blocks.appendleft(sound)
        seconds = float(sound.pts * sound.time_base)
        if self._copy:  # what decoders drop at its begin does not count
            self._delay = _skipped(sound) / self._audio.codec_context.sample_rate
            seconds += self._delay + float(sound.time_base)  # a tick is as near as packets tell it
        origin = min(begin, int(seconds // self._base))
        return origin, max(0.0, seconds - float(origin * self._base))

    def _format(self, first: Any) -> VideoFormat:
        stream, context = self._video, self._video.codec_context
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        rate = min(max(Fraction(rate), Fraction(1, 1000)), Fraction(1000)).limit_denominator(2**20)
        matrix = int(first.colorspace) if first.format.name.startswith("yuv") else _BT709
        return VideoFormat(
            width=first.width,
            height=first.height,
            base=Fraction(self._base),
            rate=rate,
            aspect=_aspect(stream.sample_aspect_ratio or context.sample_aspect_ratio),
            primaries=_code_point(context.color_primaries),
            transfer=_code_point(context.color_trc),
            matrix=_code_point(matrix),
            full_range=_NATIVE.get(first.format.name, False) or int(first.color_range) == _FULL_RANGE,
            rotation=-round(first.rotation / 90) * 90 % 360,
            sound=self._sound_format(),
            track=self._track() if self._copy and self._audio is not None else None,
            tags={k.lower(): v for k, v in self._container.metadata.items() if k.lower() in TAGS},
        )

    def _sound_format(self) -> SoundFormat | None:
        if self._audio is None:
            return None
        context = self._audio.codec_context
        channels = 1 if context.channels == 1 else 2
        rate = min(max(context.sample_rate, 8000), 192000)
        return SoundFormat(rate, channels, 24 if context.name.startswith(("flac", "alac", "pcm_s24")) else 16)

    def _track(self) -> Track:
        context = self._audio.codec_context
        codec = context.codec.canonical_name
        try:
            entry = describe(self._audio, round(self._delay * 1e9))
        except ValueError:
            message = f"its sound, {codec}, cannot be copied, since Matroska has no place for it"
            raise UnreadableInput(self._name, message) from None
        return Track(codec, context.channels, Fraction(self._audio.time_base), entry)

    def frames(self) -> Iterator[Frame]:
        """The frames, their time stamps rising; one that does not come after the one before is moved behind it."""
        last = -1
        size = None
        while (frame := self._pull(self._frames)) is not None:
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise UnreadableInput(self._name, f"the size changes from {size[0]}x{size[1]} to {frame.width}x{frame.height}")
            tick = last + 1 if frame.pts is None else max(frame.pts - self._origin, last + 1)
            if frame.pts is None and last >= 0:
                tick = last + max(1, round(1 / (self.kind.rate * self._base)))
            last = tick
            yield _planes(frame, tick, self._base)

    def packets(self) -> Iterator[SoundPacket]:
        """The packets of the sound where it is copied, their time stamps counted from that of the frames, and rising."""
        if self.kind.track is None:
            return
        base = self.kind.track.base
        origin, last, lasted = round(self._origin * self._base / base), -(2**62), 1
        while (packet := self._pull(self._blocks)) is not None:
            told = packet.pts - origin if packet.pts is not None else max(last + lasted, 0)
            tick = last = max(told, last + 1)
            lasted = packet.duration or lasted
            yield SoundPacket(tick, lasted, bytes(packet))

    def blocks(self) -> Iterator[np.ndarray]:
        """The sound, (C, n) float32 at its rate, from the origin of the time stamps on."""
        kind = self.kind.sound
        if kind is None:
            return
        if silence := round(self._lead * kind.rate):
            yield np.zeros((kind.channels, silence), np.float32)
        convert = av.AudioResampler(format="fltp", layout="mono" if kind.channels == 1 else "stereo", rate=kind.rate)
        while (frame := self._pull(self._blocks)) is not None:
            for part in convert.resample(frame):
                yield part.to_ndarray()
        for part in convert.resample(None):
            yield part.to_ndarray()


@contextmanager
def open_video(source: Any, sound: bool = True, copy: bool = False) -> Iterator[Demuxer]:
    """Opens a path, bytes or a binary file object, seekable or not; `copy`: the sound in packets. Raises UnreadableInput."""
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    name = path or "the input"
    file = io.BytesIO(source) if isinstance(source, bytes | bytearray | memoryview) else source
    try:
        container = av.open(path or file)
    except av.FFmpegError:
        raise UnreadableInput(name, "no picture, sound or video that can be read") from None
    with container:
        if not container.streams.video:
            raise UnreadableInput(name, "there are no frames in this file")
        container.streams.video[0].thread_type = "AUTO"
        yield Demuxer(container, name, sound, copy)


def _planes(frame: Any, tick: int, base: Fraction) -> Frame:
    """The samples of a frame in 4:2:0 of 8 bits, converted where need be."""
    if frame.format.name not in _NATIVE:
        target = None if frame.format.name.startswith("yuv") else "itu709"
        frame = frame.reformat(format="yuv420p", dst_colorspace=target)
    planes = [
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width] for plane in frame.planes[:3]
    ]
    return Frame(planes[0].copy(), np.stack(planes[1:]), tick, Fraction(base))


def _skipped(packet: Any) -> int:
    """Samples at the begin of what a packet decodes to that are not to be heard."""
    found = [bytes(data) for data in packet.iter_sidedata() if data.data_type == "skip_samples"]
    return int.from_bytes(found[0][:4], "little") if found else 0


def _aspect(value: Any) -> Fraction:
    if not value or value <= 0:
        return Fraction(1)
    return Fraction(value).limit_denominator(2**15) or Fraction(1)


def _code_point(value: Any) -> int:
    return int(value) if value is not None and 0 < int(value) < 256 else 2
