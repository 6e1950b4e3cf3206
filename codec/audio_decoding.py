"""Segments to sound: the decoder half, which needs no encoder weights.

A span is synthesised when the one after it is there too, since synthesis sees 12 frames around each: working memory is three
spans, and a pipe is enough to read from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from vqc.bitstream import AudioHeader, Corrupt, Header, Reader, Segment, VqcError
from vqc.models import weights
from vqc.models.audio_hyperprior import HALO, AudioDecoder, silence
from vqc.models.audio_rvq import RvqDecoder
from vqc.models.audio_transform import BANDS, HOP, LATENTS

from .audio_encoding import mid_side
from .audio_payload import split_payload
from .code_coding import decode_codes
from .latent_coding import Lost, decode_latents, load_decoder
from .sound import CODED_RATE, Resampler
from .timing import span

FADE = 4.0  # how much the mean level of a concealed span falls, in units of the first envelope latent


def load_audio_decoder(header: Header, device: torch.device) -> AudioDecoder | RvqDecoder:
    """The decoder that a file asks for; raises UnsupportedModel."""
    return load_decoder(header, device, weights.audio_decoder, weights.AUDIO_MODEL)


def decode_symbols(
    decoder: AudioDecoder | RvqDecoder, data: bytes, digest: int, header: AudioHeader, frames: int
) -> np.ndarray:
    """Quantised latents or codes of a span, by the route of the model. Raises Corrupt."""
    decode = decode_codes if isinstance(decoder, RvqDecoder) else decode_latents
    return decode(decoder, data, digest, header.channels, frames, header.quality)


def decode_span(decoder: AudioDecoder | RvqDecoder, segment: Segment, header: AudioHeader) -> tuple[np.ndarray, int | None]:
    """Latents (384, C, T) of a segment, and the samples of the whole sound if it is the last. Raises Corrupt."""
    try:
        frames, samples, data = split_payload(segment, header)
        if data is None:
            return silence(header.channels, frames), samples
        symbols = decode_symbols(decoder, data, segment.digest, header, frames)
    except Corrupt as error:
        raise Corrupt(f"span {segment.number}: {error.message}") from error
    with span("transform"):
        return decoder.dequantise(symbols, header.channels, frames, header.quality), samples


class SpanDecoder:
    """Decodes the samples `start` to `stop` (None: to the end), counted at the original rate, of the sound in `reader`.

    `lost` lists what could not be had: with partial=True such spans are concealed; otherwise the first raises.
    """

    def __init__(self, reader: Reader, device: torch.device, partial: bool, start: int = 0, stop: int | None = None) -> None:
        self.header: AudioHeader = reader.header  # type: ignore[assignment]
        self.decoder = load_audio_decoder(self.header, device)
        self.reader, self.partial = reader, partial
        self.start, self.stop = start, stop
        self.lost: list[Lost] = []
        self.samples: int | None = self.header.samples or None  # of the whole sound, when known

    def blocks(self) -> Iterator[np.ndarray]:
        """Blocks (C, n) float32 at the original rate, not clipped."""
        header = self.header
        first_span, skip = self._entry() if self.start and self.reader.seekable else (0, 0)
        resampler = Resampler(header.channels, CODED_RATE, header.rate)
        # Number of the next sample at the original rate; `skip` makes it a whole one.
        position = (max(first_span * header.span - 1, 0) * HOP + skip) * header.rate // CODED_RATE
        for wave in self._coded_blocks(first_span):
            wave, skip = wave[:, skip:], max(0, skip - wave.shape[1])
            position = yield from self._cut(resampler(wave), position)
            if self.stop is not None and position >= self.stop:
                return
        position = yield from self._cut(resampler.finish(header.channels), position)
        end = self.samples if self.stop is None else min(self.stop, self.samples or self.stop)
        if end is not None and position < end:  # the resampler's last samples, or a file that was cut
            yield np.zeros((header.channels, end - max(position, self.start)), np.float32)

    def _entry(self) -> tuple[int, int]:
        """The span to begin with, and samples at 48 kHz to drop then, so that both rates meet in a whole sample."""
        header = self.header
        # what synthesis and the resampler look back on, and a second in which the two rates meet
        first = max(self.start * CODED_RATE // header.rate // HOP - HALO - 52, 0) // header.span
        block = max(first * header.span - 1, 0)
        drop = next(d for d in range(50) if (block + d) * header.rate % 50 == 0)
        return first, drop * HOP

    def _cut(self, block: np.ndarray, position: int) -> Iterator[np.ndarray]:
        """Yields what of `block` is wanted; returns the position after it."""
        stops = [s for s in (self.stop, self.samples) if s is not None]
        end = min([position + block.shape[1], *stops])
        part = block[:, max(self.start - position, 0) : max(end - position, 0)]
        if part.shape[1]:
            yield part
        return position + block.shape[1]

    def _coded_blocks(self, first_span: int) -> Iterator[np.ndarray]:
        """Left and right, or mono, at 48 kHz from the first sample of span `first_span` on."""
        spans = self._spans(first_span)
        channels = self.header.channels
        before = np.zeros((LATENTS, channels, 0), np.float32)
        current, number = next(spans, None), first_span
        while current is not None:
            following = next(spans, None)
            after = following[..., :HALO] if following is not None else current[..., :0]
            seen = np.concatenate([before, current, after], axis=2)
            left, right = before.shape[2], before.shape[2] + current.shape[2]
            if right > left:
                with span("transform"):
                    first = number * self.header.span - left
                    wave = self.decoder.synthesise(seen, first, self.header.quality)
                    wave = mid_side(wave) * 2 if channels == 2 else wave
                # Frame t ends with block t, which frame t + 1 completes; block -1 does not belong to the sound.
                yield wave[:, (left if number else 1) * HOP : right * HOP]
            before = seen[..., :right][..., -HALO:]
            current, number = following, number + 1

    def _spans(self, first: int) -> Iterator[np.ndarray]:
        """Latents of the spans from `first` on; lost ones concealed."""
        header = self.header
        source = self._segments(first)
        number, level = first, None
        ended = False
        for segment in source:
            if segment.number < number or ended:
                self._fault(segment.number, Corrupt(f"span {segment.number} is one too many"))
                continue
            while segment.number > number:
                self._fault(number, Corrupt(f"span {number} is missing"))
                yield self._conceal(level, header.span)
                number += 1
            try:
                latents, samples = decode_span(self.decoder, segment, header)
                if samples is not None:
                    self.samples, ended = samples, True
                if latents.shape[2]:
                    level = latents[:BANDS, :, -8:].mean(axis=2)
                yield latents
            except VqcError as error:
                self._fault(number, error)
                yield self._conceal(level, header.span)
            number += 1
            if self.stop is not None and number * header.span * HOP * header.rate > self._needed() * CODED_RATE:
                return
        if not ended:
            self._fault(number, Corrupt(f"span {number} is missing"))

    def _needed(self) -> int:
        """Samples at the original rate after which nothing is needed."""
        return (self.stop or 0) + -(-(HALO + 3) * HOP * self.header.rate // CODED_RATE)

    def _segments(self, first: int) -> Iterator[Segment]:
        if first == 0 or not self.reader.seekable:
            for segment in self.reader.segments():
                if segment.number >= first:
                    yield segment
            return
        for entry in self.reader.index():
            if entry.number >= first and entry.plane == 0:
                segment = self.reader.segment(entry.number, entry.plane)
                if segment is not None:
                    yield segment

    def _fault(self, number: int, error: VqcError) -> None:
        if not self.partial:
            raise error
        self.lost.append(Lost(number, 0, error))

    def _conceal(self, level: np.ndarray | None, frames: int) -> np.ndarray:
        """Noise of the last known spectrum, fading (silence where nothing is known)."""
        latents = silence(self.header.channels, frames)
        if level is not None:
            latents[:BANDS] = level[:, :, None]
            latents[0] -= np.linspace(0, FADE, frames, dtype=np.float32)
        return latents


def check_spans(reader: Reader, device: torch.device) -> tuple[int, list[Lost]]:
    """Decodes the symbols of every segment without making sound; returns their number and what is wrong."""
    decoder = SpanDecoder(reader, device, partial=True)
    count = sum(1 for _ in decoder._spans(0))
    return count, decoder.lost
