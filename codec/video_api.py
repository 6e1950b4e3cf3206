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

from vqc.bitstream import AudioHeader, Damage, Entry, Reader, Segment, VideoHeader, Writer

from .audio_api import TAGS, DecodedSound, tags_of
from .audio_decoding import SpanDecoder, check_spans
from .audio_encoding import SpanEncoder
from .audio_encoding import header_for as sound_header
from .audio_payload import CODED_RATE, HOP
from .latent_coding import Lost
from .sound import SoundFormat
from .timing import span
from .video import Frame, VideoFormat
from .video_decoding import GroupDecoder, check_groups, first_entry
from .video_encoding import GROUP, group_segments, header_for
from .video_payload import FRAMES, SOUND, groups_of, unpack_group

LEAST_SOUND_QUALITY = 70.0  # of a sound track, unless another is asked for


def write_video(
    kind: VideoFormat,
    frames: Iterable[Frame],
    blocks: Iterator[np.ndarray],
    file: BinaryIO,
    device: torch.device,
    quality: float,
    sound_quality: float | None = None,
    group: int = GROUP,
    workers: int = 1,
) -> None:
    """Codes frames, and the blocks (C, n) of the sound, to a file as they come; the sound follows the frames it belongs to."""
    sound = None
    if kind.sound is not None:
        wanted = max(quality, LEAST_SOUND_QUALITY) if sound_quality is None else sound_quality
        sound = sound_header(replace(kind.sound, samples=0), round(wanted * 10))
    header = header_for(kind, round(quality * 10), sound, group)
    writer = Writer(file, header)
    if kind.tags:
        writer.metadata(TAGS, json.dumps(kind.tags, ensure_ascii=False, sort_keys=True).encode())
    spans = SpanEncoder(sound, device).segments(blocks) if sound else iter(())
    spans_ready = 0.0  # seconds of sound that are written
    for segment in group_segments(frames, header, device, workers):
        with span("I/O"):
            writer.segment(segment)
        end = unpack_group(segment, header).ticks[-1] * kind.base
        while sound and spans_ready <= end and (coded := next(spans, None)):
            writer.segment(replace(coded, plane=SOUND))
            spans_ready += sound.span * HOP / CODED_RATE
    for coded in spans:
        writer.segment(replace(coded, plane=SOUND))
    writer.close()


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
                self._waiting[segment.plane].append(segment)
            yield own.popleft()


class SoundTrack:
    """The sound in a video, as `SpanDecoder` reads a sound file."""

    def __init__(self, header: AudioHeader, reader: Reader, segments: Iterator[Segment] | None) -> None:
        self.header, self._reader, self._segments = header, reader, segments
        self.seekable = segments is None  # read by the index

    def segments(self) -> Iterator[Segment]:
        """All of them, in order."""
        if self._segments is None:
            return (self.segment(entry.number) for entry in self.index())
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
        self._sound: SpanDecoder | None = None
        if header.sound is not None:
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

    def together(self) -> Iterator[Frame | np.ndarray]:
        """Frames and blocks of sound in the order of time."""
        blocks, heard = self.sound(), 0
        begin = None
        for frame in self.frames():
            begin = frame.seconds if begin is None else begin
            yield frame
            while self.kind.sound and heard <= (frame.seconds - begin) * self.kind.sound.rate:
                block = next(blocks, None)
                if block is None:
                    break
                heard += block.shape[1]
                yield block
        yield from blocks

    @property
    def damage(self) -> list[Damage]:
        """What was wrong so far."""
        lost = self._decoder.lost + (self._sound.lost if self._sound else [])
        return self._reader.damage + [Damage(e.error.offset, e.error.chunk, e.error.message) for e in lost]


def format_of(header: VideoHeader, reader: Reader) -> VideoFormat:
    """What a header says of the video."""
    sound = header.sound
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
        sound=None if sound is None else SoundFormat(sound.rate, sound.channels, sound.depth, sound.samples),
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
    if header.sound is not None:
        tracks = Tracks(reader)
        spans, lost_spans = check_spans(SoundTrack(header.sound, reader, tracks.of(SOUND)), device)  # type: ignore[arg-type]
        count, lost = count + spans, lost + lost_spans
    return count, lost
