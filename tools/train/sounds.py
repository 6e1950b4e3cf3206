"""Training sounds in memory, and random augmented crops of them."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from vqc.models.audio_transform import RATE

EXTENSIONS = {".flac", ".ogg", ".opus", ".wav"}


def list_sounds(folder: Path) -> list[Path]:
    """Sound files below `folder`, sorted by path; raises FileNotFoundError when there are none."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not files:
        raise FileNotFoundError(f"no sounds below {folder}")
    return files


def load_sounds(files: list[Path]) -> list[np.ndarray]:
    """First channel of every file at 48 kHz, int16 (N,); others are refused. An hour takes 0.35 GB."""
    sounds = []
    for path in files:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
        if rate != RATE:
            raise ValueError(f"{path} has {rate} samples per second, not {RATE}")
        sounds.append(np.ascontiguousarray(samples[:, 0]))
    return sounds


def resampled(path: Path) -> np.ndarray:
    """Mean of the channels of a file at 48 kHz, float32 (N,)."""
    import av  # the training sounds are 48 kHz already, so that only evaluation needs it

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = np.ascontiguousarray(samples.mean(axis=1))
    if rate == RATE:
        return mono
    frame = av.AudioFrame.from_ndarray(mono[None], format="flt", layout="mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    return np.concatenate([f.to_ndarray()[0] for f in [*resampler.resample(frame), *resampler.resample(None)]])


class SoundLoader:
    """Endless batches (B, C, length) float32, the next one made in a thread while the last is used.

    C is 1 for mono; for a part `stereo` of the batches it is 2 (mid and side) with half as many samples. Sounds are drawn with
    a chance that grows with their length; they are cut, scaled, mixed now and then, and given a side channel.
    """

    def __init__(self, sounds: list[np.ndarray], batch: int, length: int, stereo: float = 0.35, seed: int = 1) -> None:
        self.sounds, self.batch, self.length, self.stereo = sounds, batch, length, stereo
        self.weights = [min(len(s), 15 * RATE) for s in sounds]
        self.rng = random.Random(seed)
        self.pool = ThreadPoolExecutor(1)
        self.next = self.pool.submit(self._make)

    def __iter__(self) -> SoundLoader:
        return self

    def __next__(self) -> Tensor:
        batch = self.next.result()
        self.next = self.pool.submit(self._make)
        return batch

    def _cut(self) -> np.ndarray:
        sound = self.rng.choices(self.sounds, self.weights)[0]
        start = self.rng.randrange(-self.length // 8, max(1, len(sound) - self.length * 7 // 8))
        cut = np.zeros(self.length, np.float32)
        part = sound[max(0, start) : start + self.length]
        first = max(0, -start)
        cut[first : first + len(part)] = part / np.float32(32768)
        return cut * 10 ** (self.rng.uniform(-14, 4) / 20) * self.rng.choice((-1, 1))

    def _mono(self) -> np.ndarray:
        return self._cut() + self._cut() if self.rng.random() < 0.15 else self._cut()

    def _stereo(self) -> np.ndarray:
        """Mid and side of a synthetic mix: sources panned, some delayed between the channels, some unrelated."""
        left, right = np.zeros(self.length, np.float32), np.zeros(self.length, np.float32)
        for _ in range(self.rng.choice((1, 2, 2, 3))):
            source, pan = self._cut(), self.rng.uniform(0, 1)
            delay = self.rng.choice((0, 0, 0, self.rng.randrange(1, 600)))
            left += source * np.float32(np.cos(pan * np.pi / 2))
            right += np.roll(source, delay) * np.float32(np.sin(pan * np.pi / 2))
        return np.stack([left + right, left - right]) / 2

    def _make(self) -> Tensor:
        if self.rng.random() < self.stereo:
            waves = np.stack([self._stereo() for _ in range(self.batch // 2)])
        else:
            waves = np.stack([self._mono() for _ in range(self.batch)])[:, None]
        peak = np.abs(waves).max((1, 2), keepdims=True)
        return torch.from_numpy(waves / np.maximum(peak, 1))
