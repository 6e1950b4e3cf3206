"""A sound track that is copied: the packets of a source to segments, and segments to packets, or to samples."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np

from vqc.bitstream import CopiedSound, Corrupt, Entry, Segment, UnsupportedModel, VqcError

from .copied_payload import SoundPacket, Track, first_tick, pack_run, unpack_run
from .latent_coding import Lost
from .matroska import opened
from .sound import SoundFormat
from .video_payload import SOUND

RUN = 1  # seconds of a segment, about
PREROLL = 0.3  # seconds before a start that decoders are given to settle: the reservoir of MP3, the overlap of Opus
MAX_GAP = 3600  # seconds without a packet, which decode to silence
_JITTER = 0.003  # seconds that the time stamps of a source may be off without a gap being meant
_NANOSECOND = Fraction(1, 10**9)


class Segments(Protocol):
    """Where the segments of sound come from; as `video_api.SoundTrack`."""

    seekable: bool

    def segments(self) -> Iterator[Segment]: ...

    def index(self) -> list[Entry]: ...

    def segment(self, number: int, plane: int = 0) -> Segment | None: ...


def header_for(kind: SoundFormat, track: Track) -> CopiedSound:
    """What the header of a file says of a copied track."""
    return CopiedSound(track.codec[:16], kind.rate, track.channels, track.base.numerator, track.base.denominator)


def runs(packets: Iterable[SoundPacket], base: Fraction) -> Iterator[tuple[Segment, float]]:
    """Segments of about a second each, as their packets come, and the seconds at which they end."""
    run: list[SoundPacket] = []
    number = 0
    for packet in packets:
        if run:  # a packet lasts until the next, whatever its source says
            run[-1] = run[-1]._replace(duration=packet.tick - run[-1].tick)
            if (packet.tick - run[0].tick) * base >= RUN:
                yield Segment(number, SOUND, pack_run(run), 0), float(packet.tick * base)
                run, number = [], number + 1
        run.append(packet)
    if run:
        yield Segment(number, SOUND, pack_run(run), 0), float((run[-1].tick + run[-1].duration) * base)


def fits(track: Track, container: str) -> bool:
    """Whether FFmpeg's muxer of that name takes the packets of the track as they are."""
    try:
        with opened(track.entry) as source, av.open(io.BytesIO(), "w", format=container) as output:
            output.add_stream_from_template(source.streams.audio[0])
            output.start_encoding()  # some codecs are refused only here
    except (ValueError, av.FFmpegError, VqcError):
        return False
    return True


class PacketReader:
    """The copied sound in `source` from `start` seconds to `stop` (None: to the end), as packets or decoded.

    `lost` lists what could not be had: with partial=True it is passed over, and silence when decoded; otherwise the first
    raises.
    """

    def __init__(
        self, source: Segments, kind: SoundFormat, track: Track, partial: bool, start: float = 0.0, stop: float | None = None
    ) -> None:
        self._source, self._kind, self._track, self._partial = source, kind, track, partial
        self._start, self._stop = start, stop
        self.lost: list[Lost] = []

    def packets(self) -> Iterator[SoundPacket]:
        """Those that begin within the part; from the start of the sound on, also those before 0 that only decoders need."""
        return self._packets(self._start)

    def blocks(self) -> Iterator[np.ndarray]:
        """The samples of the part, (C, n) float32, mixed to one or two channels; silence where there are no packets."""
        rate = self._kind.rate
        position, stop = round(self._start * rate), None if self._stop is None else round(self._stop * rate)
        for at, block in self._decoded():
            gap = at - position
            if gap > MAX_GAP * rate:
                self._fault(0, Corrupt(f"the sound has a gap of {gap // rate} s"))
                return
            while position < at and (stop is None or position < stop):
                silence = min(at - position, rate, *([] if stop is None else [stop - position]))
                yield np.zeros((self._kind.channels, silence), np.float32)
                position += silence
            part = block[:, position - at : None if stop is None else max(stop - at, 0)]
            if part.shape[1]:
                yield part
                position += part.shape[1]
            if stop is not None and position >= stop:
                return

    def check(self) -> int:
        """Takes every segment apart; returns their number. `lost` tells what is wrong."""
        count = sum(1 for _ in self._runs(0.0))
        try:
            opened(self._track.entry).close()
        except Corrupt as error:
            self._fault(0, error)
        return count

    def _packets(self, start: float) -> Iterator[SoundPacket]:
        base = float(self._track.base)
        for run in self._runs(start):
            for packet in run:
                if self._stop is not None and packet.tick * base >= self._stop - 1e-9:
                    return
                if start <= 0 or packet.tick * base >= start - 1e-9:
                    yield packet

    def _runs(self, start: float) -> Iterator[list[SoundPacket]]:
        """The packets of each segment, from that on in which `start` lies."""
        number, end = 0, -(2**62)
        if start > 0 and self._source.seekable:
            number = self._first_run(start)
            segments: Iterable[Segment | None] = (
                self._source.segment(entry.number) for entry in self._source.index() if entry.number >= number
            )
        else:
            segments = self._source.segments()
        for segment in segments:
            if segment is None:
                continue
            if segment.number > number:
                self._fault(number, Corrupt(_missing(number, segment.number - 1)))
            try:
                if segment.number < number:
                    raise Corrupt(f"run {segment.number} of the sound is out of order")
                packets = unpack_run(segment)
                if packets[0].tick < end:
                    raise Corrupt(f"run {segment.number} of the sound begins before the one before it ends")
                end = packets[-1].tick + packets[-1].duration
                yield packets
            except Corrupt as error:
                self._fault(segment.number, error)
            number = max(number, segment.number + 1)

    def _first_run(self, start: float) -> int:
        """Number of the last run that begins by `start`."""
        entries = self._source.index()
        low, high = 0, len(entries) - 1
        while low < high:
            middle = (low + high + 1) // 2
            segment = self._source.segment(entries[middle].number)
            if segment is not None and first_tick(segment) * float(self._track.base) <= start:
                low = middle
            else:
                high = middle - 1
        return entries[low].number if entries else 0

    def _decoded(self) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks (C, n) and the number of their first sample: where the one before ended, but for a gap that is meant."""
        kind, base = self._kind, self._track.base
        jitter = max(2 * base, Fraction(_JITTER)) * kind.rate
        layout = "mono" if kind.channels == 1 else "stereo"
        convert, form = None, None
        expected: int | None = None
        for frame, end in self._frames():
            if form != (form := (frame.format.name, frame.layout.name, frame.sample_rate)):  # it may change on the way
                convert = av.AudioResampler(format="fltp", layout=layout, rate=kind.rate)
            at = expected or 0
            if frame.pts is not None:
                told = round(frame.pts * _NANOSECOND * kind.rate)
                at = told if expected is None or told - expected > jitter else expected
            try:
                blocks = [part.to_ndarray() for part in convert.resample(frame)]
            except (ValueError, av.FFmpegError):
                self._fault(0, Corrupt(f"the sound at {at / kind.rate:.3f} s has no form that can be converted"))
                continue
            for block in blocks:
                # the last packet may hold more than was to be heard; a tick may be longer than a sample
                most = None if end is None else math.ceil((end + (base if base * kind.rate > 1 else 0)) * kind.rate) - at
                yield at, block if most is None else block[:, : max(most, 0)]
                at += block.shape[1]
            expected = at

    def _frames(self) -> Iterator[tuple[Any, Fraction | None]]:
        """What the packets decode to, time stamps in nanoseconds; of the last also the seconds at which it ends."""
        try:
            container = opened(self._track.entry)
        except Corrupt as error:
            self._fault(0, error)
            return
        base = self._track.base
        with container:
            context = container.streams.audio[0].codec_context
            if context is None:
                self._fault(0, UnsupportedModel(f"FFmpeg has no decoder here for the copied sound, {self._track.codec}"))
                return
            packets = self._packets(max(self._start - PREROLL, 0.0))
            packet = next(packets, None)
            while packet is not None:
                following = next(packets, None)
                end = (packet.tick + packet.duration) * base
                native = av.Packet(packet.data)
                native.pts = native.dts = round(packet.tick * base / _NANOSECOND)
                native.time_base = _NANOSECOND
                try:
                    frames = context.decode(native) + (context.decode(None) if following is None else [])
                    yield from ((frame, None if following else end) for frame in frames)
                except av.FFmpegError:
                    if end > self._start:  # before it, what came earlier may be missed
                        self._fault(0, Corrupt(f"the sound at {float(packet.tick * base):.3f} s cannot be decoded"))
                packet = following

    def _fault(self, number: int, error: VqcError) -> None:
        if not self._partial:
            raise error
        self.lost.append(Lost(number, SOUND, error))


def _missing(first: int, last: int) -> str:
    return f"run {first} of the sound is missing" if first == last else f"runs {first} to {last} of the sound are missing"
