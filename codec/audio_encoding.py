"""Sound to segments: analysis, exact entropy networks and range coder, span by span, as the sound comes.

Frame t covers samples (t - 1) * 960 to (t + 1) * 960 of the 48 kHz signal, which is zero before its start and after its end; N
samples take ceil(N / 960) + 1 frames. Analysis of a span sees 12 frames around it (those that exist), so that spans join as
if the sound had been coded whole: a span is coded when those 12 frames, 0.24 s, have come after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from vqc.bitstream import AudioHeader, Segment
from vqc.bitstream.varint import pack_varint
from vqc.models import weights
from vqc.models.audio_hyperprior import HALO
from vqc.models.audio_rvq import RvqEncoder
from vqc.models.audio_transform import HOP

from .code_coding import encode_codes
from .latent_coding import PROFILE, encode_latents
from .sound import CODED_RATE, SoundFormat, resample
from .timing import span

SPAN = 128  # frames of a segment: 2.56 s
SILENCE = 2.0**-24  # amplitude up to which a span is silence


def header_for(kind: SoundFormat, quality: int, model: str = weights.AUDIO_MODEL, frames: int = SPAN) -> AudioHeader:
    """The header of a sound coded at `quality` (0..1000)."""
    return AudioHeader(
        model=model,
        weights=weights.fingerprint(model),
        profile=PROFILE,
        rate=kind.rate,
        samples=kind.samples,
        channels=kind.channels,
        depth=kind.depth,
        quality=quality,
        span=frames,
    )


def mid_side(block: np.ndarray) -> np.ndarray:
    """Left and right (2, n) to mid and side; mono (1, n) stays."""
    if len(block) == 1:
        return block
    return np.stack([block[0] + block[1], block[0] - block[1]]) * np.float32(0.5)


class SpanEncoder:
    """Codes blocks of samples at the original rate; `segments` yields each as soon as it can be made."""

    def __init__(self, header: AudioHeader, device: torch.device) -> None:
        self.header = header
        self.encoder = weights.audio_encoder(header.model, device)
        self.decoder = weights.audio_decoder(header.model, device)
        # Samples that are still needed; the first of them is number _start, and that of the signal is number 0.
        self._samples = np.zeros((header.channels, HOP), np.float32)
        self._start = -HOP
        self._received = 0

    def segments(self, blocks: Iterable[np.ndarray]) -> Iterator[Segment]:
        """Blocks (C, n) float32 at the header's rate to segments."""
        number, frames = 0, self.header.span

        def counted() -> Iterator[np.ndarray]:
            for block in blocks:
                self._received += block.shape[1]
                yield block

        pending = [self._samples]
        for block in resample(counted(), self.header.channels, self.header.rate, CODED_RATE):
            pending.append(mid_side(block))
            have = self._start + sum(p.shape[1] for p in pending)
            while have >= ((number + 1) * frames + HALO) * HOP:
                self._samples = np.concatenate(pending, axis=1)
                yield self._code(number, number * frames, (number + 1) * frames, None)
                number += 1
                self._drop((number * frames - HALO - 1) * HOP)
                pending = [self._samples]
        self._samples = np.concatenate(pending, axis=1)
        end = max(self._start + self._samples.shape[1], 0)
        total = -(-end // HOP) + 1 if end else 0
        missing = total * HOP - end
        self._samples = np.pad(self._samples, ((0, 0), (0, max(missing, 0))))
        while number == 0 or number * frames < total:
            first, last = number * frames, min((number + 1) * frames, total)
            yield self._code(number, first, last, total)
            number += 1

    def _drop(self, start: int) -> None:
        if start > self._start:
            self._samples = self._samples[:, start - self._start :]
            self._start = start

    def _code(self, number: int, first: int, last: int, total: int | None) -> Segment:
        """Frames first..last as a segment; total: frames in all, when the end has come."""
        own = self._samples[:, (first - 1) * HOP - self._start : last * HOP - self._start]
        silent = not np.abs(own).max(initial=0) > SILENCE
        head = pack_varint(2 * (last - first) + silent) + pack_varint(self._received + 1 if total == last else 0)
        if silent:
            return Segment(number, 0, head, 0)
        before = max(first - HALO, 0)
        after = last + HALO if total is None else min(last + HALO, total)
        with span("transform"):
            wave = self._samples[:, (before - 1) * HOP - self._start : after * HOP - self._start]
            latents = self.encoder.analyse(wave, self.header.quality)[..., first - before : last - before]
        payload, digest = self._payload(latents)
        return Segment(number, 0, head + payload, digest)

    def _payload(self, latents: torch.Tensor) -> tuple[bytes, int]:
        """Latents (1, 384, C, T) to coded symbols and their digest, by the route of the model."""
        encoder, decoder, quality = self.encoder, self.decoder, self.header.quality
        if isinstance(encoder, RvqEncoder):
            with span("transform"):
                choose = encoder.chooser(decoder, latents, quality)
            return encode_codes(decoder, choose, *latents.shape[2:], quality)
        with span("transform"):
            hyper = encoder.hyper(latents)
        return encode_latents(encoder, decoder, latents, hyper, quality)
