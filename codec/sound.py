"""Sound in memory, and its blocks on their way through the codec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import av
import numpy as np

CODED_RATE = 48000  # samples per second inside the codec


@dataclass(frozen=True)
class SoundFormat:
    """What is known of a sound before its samples: rate in Hz, channels (1 or 2), depth 16, 24 or 32 (float), tags, and length.

    samples: of each channel; 0 when unknown.
    """

    rate: int
    channels: int
    depth: int = 16
    samples: int = 0
    tags: dict[str, str] = field(default_factory=dict)


class Resampler:
    """Blocks (C, n) float32 at one rate to blocks at another, by libswresample; equal rates pass through."""

    def __init__(self, channels: int, rate: int, target: int) -> None:
        self.rate, self.target = rate, target
        self.layout = "mono" if channels == 1 else "stereo"
        self._resampler = av.AudioResampler(format="fltp", layout=self.layout, rate=target) if rate != target else None
        self._position = 0

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """The samples that are ready after this block."""
        if self._resampler is None or block.shape[1] == 0:
            return block
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block, np.float32), format="fltp", layout=self.layout)
        frame.sample_rate, frame.pts = self.rate, self._position
        self._position += block.shape[1]
        return self._join(self._resampler.resample(frame), block.shape[0])

    def finish(self, channels: int) -> np.ndarray:
        """What was still inside."""
        if self._resampler is None or self._position == 0:
            return np.zeros((channels, 0), np.float32)
        return self._join(self._resampler.resample(None), channels)

    @staticmethod
    def _join(frames: list[av.AudioFrame], channels: int) -> np.ndarray:
        return np.concatenate([np.zeros((channels, 0), np.float32), *(f.to_ndarray() for f in frames)], axis=1)


def resample(blocks: Iterable[np.ndarray], channels: int, rate: int, target: int) -> Iterator[np.ndarray]:
    """Blocks (C, n) at `rate` to blocks at `target`."""
    resampler = Resampler(channels, rate, target)
    for block in blocks:
        yield resampler(block)
    yield resampler.finish(channels)
