"""Video on its way through the codec: frames and sound together, in the order of time."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
import torch

from vqc.bitstream import AudioHeader, CopiedSound, Damage, Entry, Reader, Segment, VideoHeader, Writer
from vqc.models import weights

from .audio_api import TAGS, DecodedSound, tags_of
from .audio_decoding import SpanDecoder, check_spans
from .audio_encoding import SpanEncoder
from .audio_encoding import header_for as sound_header
from .audio_payload import CODED_RATE, HOP
from .copied_payload import TRACK, SoundPacket, Track
from .copied_sound import PacketReader, runs
from .copied_sound import header_for as copied_header
from .latent_coding import Lost
from .motion_search import LONGEST_RUN
from .rate_control import RateControl
from .sound import SoundFormat
from .timing import span
from .video import Frame, VideoFormat
from .video_decoding import GroupDecoder, check_groups, first_entry
from .video_encoding import GROUP, Settings, group_segments, header_for
from .video_payload import FRAMES, SOUND, groups_of, unpack_group

LEAST_SOUND_QUALITY = 60.0  # of a sound track, unless another is asked for


def write_video(
    kind: VideoFormat,
    frames: Iterable[Frame],
    track: Iterator[np.ndarray] | Iterator[SoundPacket],
    file: BinaryIO,
    device: torch.device,
    quality: float,
    sound_quality: float | None = None,
    group: int = GROUP,
    run: int = LONGEST_RUN,
    steady: bool = True,
    workers: int = 1,
    bitrate: float | None = None,
) -> None:
    """Codes frames to a file as they come, and the sound after the frames it belongs to.

    run: frames that are coded together at most, all but the last predicted from both sides; 1 codes without delay.
    steady: whether the quality of long groups is held. bitrate: of the frames, in kbit/s: kept to from group to group, from
    `quality` on. track: blocks (C, n) of the sound; its packets where `kind` says that they are copied.
    """
    sound = None
    if kind.sound is not None and kind.track is not None:
        sound = copied_header(kind.sound, kind.track)
    elif kind.sound is not None:
        wanted = max(quality, LEAST_SOUND_QUALITY) if sound_quality is None else sound_quality
        sound = sound_header(replace(kind.sound, samples=0), round(wanted * 10))
    header = header_for(kind, round(quality * 10), sound, group)
    writer = Writer(file, header)
    if kind.tags:
        writer.metadata(TAGS, json.dumps(kind.tags, ensure_ascii=False, sort_keys=True).encode())
    if isinstance(sound, CopiedSound):
        writer.metadata(TRACK, kind.track.entry)
    parts = _sound_segments(kind, sound, track, device)
    control = None if bitrate is None else RateControl(bitrate * 1000 / 8, header.quality)
    ready = 0.0  # seconds of sound that are written
    for segment in group_segments(frames, Settings(header, device, run, steady), workers, control):
        with span("I/O"):
            writer.segment(segment)
        end = unpack_group(segment, header).ticks[-1] * kind.base
        while sound and ready <= end and (part := next(parts, None)):
            writer.segment(part[0])
            ready = part[1]
    for coded, _ in parts:
        writer.segment(coded)
    writer.close()


def _sound_segments(
    kind: VideoFormat, sound: AudioHeader | CopiedSound | None, track: Iterator[Any], device: torch.device
) -> Iterator[tuple[Segment, float]]:
    """Segments of the sound track, and the seconds at which they end."""
    if isinstance(sound, CopiedSound):
        yield from runs(track, kind.track.base)
    elif sound is not None:
        for coded in SpanEncoder(sound, device).segments(track):
            yield replace(coded, plane=SOUND), (coded.number + 1) * sound.span * HOP / CODED_RATE


def missing_sound_codec() -> str:
    """What is missing of the weights that code sound; empty where nothing is."""
    try:
        weights.encoder_path(weights.AUDIO_MODEL)
    except weights.ModelNotFound as error:
        return str(error)
    return ""


def _tick_at(seconds: float, base: Fraction) -> int:
    """The first tick that is not before `seconds`, but for what floating point loses."""
    return math.ceil(seconds / float(base) - 1e-6)


class Tracks:
    """The segments of a file, read once and handed out by plane: whoever is asked first reads on for both."""

    def __init__(self, reader: Reader) -> None:
        self._segments = reader.segments()
        self._waiting: dict[int, deque[Segment]] = {FRAMES: deque(), SOUND: deque()}

    def of(self, plane: int) -> Iterator[Segment]:
        """The segments of a plane, in the order of the file."""
        own = self._waiting[plane]
        while True:
            while not own:
                segment = next(self._segments, None)
                if segment is None:
                    return
                if segment.plane in self._waiting:  # a video has no others; what stands there is passed over
                    self._waiting[segment.plane].append(segment)
            yield own.popleft()


class SoundTrack:
    """The sound in a video, as `SpanDecoder` reads a sound file, and `PacketReader`."""

    def __init__(self, header: AudioHeader | CopiedSound, reader: Reader, segments: Iterator[Segment] | None) -> None:
        self.header, self._reader, self._segments = header, reader, segments
        self.seekable = segments is None  # read by the index

    def segments(self) -> Iterator[Segment]:
        """All of them, in order."""
        if self._segments is None:
            found = (self.segment(entry.number) for entry in self.index())
            return (segment for segment in found if segment is not None)
        return (replace(segment, plane=0) for segment in self._segments)

    def index(self) -> list[Entry]:
        """Where they stand, by number."""
        return sorted(entry._replace(plane=0) for entry in self._reader.index() if entry.plane == SOUND)

    def segment(self, number: int, plane: int = 0) -> Segment | None:
        """One of them."""
        return self._reader.segment(number, SOUND)


class VideoStream:
    """The video in `reader` from `start` seconds on, `duration` seconds of it (None: all): its format, frames and sound.

    Frames are those whose time stamps lie in this part. Time stamps are those of the whole video. Both can be read once, in any
    order.
    """

    def __init__(
        self, reader: Reader, device: torch.device, partial: bool, start: float, duration: float | None, workers: int = 1
    ) -> None:
        header: VideoHeader = reader.header  # type: ignore[assignment]
        if not start >= 0 or (duration is not None and not duration > 0):
            raise ValueError(f"start {start} and duration {duration}: at least 0, and above 0")
        self.kind = format_of(header, reader)
        self._reader, self._header = reader, header
        first = _tick_at(start, self.kind.base)
        last = None if duration is None else _tick_at(start + duration, self.kind.base) - 1
        self._decoder = GroupDecoder(header, device, partial, first, last, workers)
        if start and reader.seekable:
            entries = groups_of(reader)
            position = first_entry(reader, header, first) if entries else 0
            chosen = (reader.segment(entry.number, FRAMES) for entry in entries[position:])
            self._segments: Iterator[Segment] = (segment for segment in chosen if segment is not None)
            self._number = entries[position].number if entries else 0
            sound: Iterator[Segment] | None = None
        else:
            tracks = Tracks(reader)
            self._segments, self._number, sound = tracks.of(FRAMES), 0, tracks.of(SOUND)
        self._sound: SpanDecoder | PacketReader | None = None
        if isinstance(header.sound, CopiedSound):
            stop_at = None if duration is None else start + duration
            track = SoundTrack(header.sound, reader, sound)
            self._sound = PacketReader(track, self.kind.sound, self.kind.track, partial, start, stop_at)
        elif header.sound is not None:
            rate = header.sound.rate
            stop = None if duration is None else round((start + duration) * rate)
            track = SoundTrack(header.sound, reader, sound)
            self._sound = SpanDecoder(track, device, partial, round(start * rate), stop)  # type: ignore[arg-type]

    def frames(self) -> Iterator[Frame]:
        """The frames, in order, as they are decoded."""
        return self._decoder.frames(self._segments, self._number)

    def sound(self) -> Iterator[np.ndarray]:
        """Blocks (C, n) float32 of the sound; none where there is no sound track."""
        return self._sound.blocks() if self._sound else iter(())

    def packets(self) -> Iterator[SoundPacket]:
        """The packets of sound that is copied; none where there is none, or where it is coded."""
        return self._sound.packets() if isinstance(self._sound, PacketReader) else iter(())

    def together(self, copies: bool = False) -> Iterator[Frame | np.ndarray | SoundPacket]:
        """Frames and blocks of sound in the order of time; with `copies`, packets of copied sound in place of blocks."""
        kind = self.kind
        sound: Iterator[Any] = self.packets() if copies else self.sound()
        heard = 0.0  # seconds of sound that are given out
        begin = None
        for frame in self.frames():
            begin = frame.seconds if begin is None else begin
            yield frame
            # packets are short, and the last of a part has to reach the end of its last frame
            until = frame.seconds + float(1 / kind.rate) if copies else frame.seconds - begin
            while kind.sound and heard <= until:
                part = next(sound, None)
                if part is None:
                    break
                if isinstance(part, SoundPacket):
                    heard = float((part.tick + part.duration) * kind.track.base)
                else:
                    heard += part.shape[1] / kind.sound.rate
                yield part
        yield from sound

    @property
    def damage(self) -> list[Damage]:
        """What was wrong so far."""
        lost = self._decoder.lost + (self._sound.lost if self._sound else [])
        return self._reader.damage + [Damage(e.error.offset, e.error.chunk, e.error.message) for e in lost]


def format_of(header: VideoHeader, reader: Reader) -> VideoFormat:
    """What a header says of the video."""
    sound, track = None, None
    if isinstance(header.sound, CopiedSound):
        sound = SoundFormat(header.sound.rate, min(header.sound.channels, 2))
        base = Fraction(header.sound.numerator, header.sound.denominator)
        track = Track(header.sound.codec, header.sound.channels, base, reader.metadata.get(TRACK, b""))
    elif header.sound is not None:
        sound = SoundFormat(header.sound.rate, header.sound.channels, header.sound.depth, header.sound.samples)
    return VideoFormat(
        width=header.width,
        height=header.height,
        base=Fraction(header.numerator, header.denominator),
        rate=Fraction(header.rate_numerator, header.rate_denominator),
        aspect=Fraction(header.aspect_width, header.aspect_height),
        primaries=header.primaries,
        transfer=header.transfer,
        matrix=header.matrix,
        full_range=header.full_range,
        rotation=header.rotation,
        sound=sound,
        track=track,
        tags=tags_of(reader),
    )


def frames_from_arrays(arrays: Iterable[np.ndarray | Frame], rate: Fraction) -> tuple[VideoFormat, Iterator[Frame]]:
    """Format and frames of an iterable of RGB pictures (H, W, 3) uint8 or of `Frame`s, at `rate` frames a second.

    Raises ValueError for other arrays and for none at all.
    """

    def frame_of(item: np.ndarray | Frame, number: int) -> Frame:
        if isinstance(item, Frame):
            return item
        if item.dtype != np.uint8 or item.ndim != 3 or item.shape[2] != 3:
            raise ValueError(f"frame {number} is {item.dtype} {item.shape}: uint8 (H, W, 3) is needed")
        h, w = item.shape[:2]
        even = np.pad(item, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge")
        native = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuv420p", dst_colorspace="itu709")
        planes = native.to_ndarray()
        rows = even.shape[0]
        uv = planes[rows:].reshape(2, rows // 2, even.shape[1] // 2)
        return Frame(planes[:h, :w], uv, number, 1 / rate)

    frames = (frame_of(item, number) for number, item in enumerate(arrays))
    first = next(frames, None)
    if first is None:
        raise ValueError("there are no frames")
    h, w = first.y.shape
    kind = VideoFormat(w, h, first.base, rate, matrix=1)
    return kind, itertools.chain([first], frames)


class DecodedVideo:
    """A video that is decoded as it is read: iterate over it for its frames, with time stamps.

    Decodes anew each time, but from a pipe, which can be read once. kind: the format. damage: what was wrong so far.
    """

    def __init__(self, kind: VideoFormat, again: Callable[[], AbstractContextManager[VideoStream]]) -> None:
        self.kind = kind
        self.damage: list[Damage] = []
        self._again = again

    @classmethod
    def of(
        cls, source: Any, reader: Reader, options: dict[str, Any], opener: Callable[..., AbstractContextManager[VideoStream]]
    ) -> DecodedVideo:
        """The video in `source`, that `reader` has just opened. Raises UnsupportedModel, and ValueError for a wrong start."""
        with opener(reader, **options) as stream:
            kind = stream.kind
        lasting = isinstance(source, str | os.PathLike | bytes | bytearray | memoryview)
        return cls(kind, lambda: opener(source if lasting else reader, **options))

    def __iter__(self) -> Iterator[Frame]:
        with self._again() as stream:
            try:
                yield from stream.frames()
            finally:
                self.damage = stream.damage

    def sound(self) -> DecodedSound | None:
        """The sound track, all of it; None when there is none."""
        track = self.kind.sound
        if track is None:
            return None
        with self._again() as stream:
            parts = [np.zeros((track.channels, 0), np.float32), *stream.sound()]
            samples = np.ascontiguousarray(np.concatenate(parts, axis=1).T)
            return DecodedSound(samples, track.rate, track.depth, {}, stream.damage)


def check_tracks(reader: Reader, device: torch.device) -> tuple[int, list[Lost]]:
    """Decodes the symbols of every segment without making frames or sound; returns their number and what is wrong."""
    count, lost = check_groups(reader, device)
    header: VideoHeader = reader.header  # type: ignore[assignment]
    if header.sound is None:
        return count, lost
    track = SoundTrack(header.sound, reader, Tracks(reader).of(SOUND))
    if isinstance(header.sound, CopiedSound):
        kind = format_of(header, reader)
        packets = PacketReader(track, kind.sound, kind.track, partial=True)
        return count + packets.check(), lost + packets.lost
    spans, lost_spans = check_spans(track, device)  # type: ignore[arg-type]
    return count + spans, lost + lost_spans
