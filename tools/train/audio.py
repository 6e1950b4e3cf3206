"""Trains the audio model: `python -m vqc.tools.train.audio --data FOLDER --run FOLDER --minutes 60`.

Loss per sample: (distortion + lambda * kbit/s of a channel) / lambda^(1/4), lambda drawn with the quality row; the distortion
is that of audio_losses.py. The loop stands in loop.py.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqc.models.audio_net import AudioNet, lagrangian
from vqc.models.audio_transform import HOP, RATE
from vqc.models.transform import QUALITY_ROWS
from vqc.tools.train.audio_losses import AudioLoss
from vqc.tools.train.loop import Settings, device_of, parse, train
from vqc.tools.train.restore import load_start
from vqc.tools.train.sounds import SoundLoader, list_sounds, load_sounds, resampled


@dataclasses.dataclass
class AudioSettings(Settings):
    """Settings of the audio model."""

    batch: int = 12
    frames: int = 64  # of a crop, 20 ms each
    stereo: float = 0.3  # part of the batches with two channels
    complex_weight: float = 1.0
    wave_weight: float = 0.05
    envelope_weight: float = 0.0
    low_rates: float = 1.3  # quality rows are drawn as a uniform number to this power: above 1, more of the low ones


def with_left_and_right(wave: Tensor) -> Tensor:
    """Mid and side (B, 2, N) to mid, side, left and right (B, 4, N); mono stays.

    Heard are left and right. Were mid and side compared alone, what is made up in both could have one sign, and right be empty.
    """
    if wave.shape[1] == 1:
        return wave
    mid, side = wave[:, :1], wave[:, 1:]
    return torch.cat([wave, mid + side, mid - side], dim=1)


class AudioTask:
    """The audio model on random crops of sounds; see loop.Task."""

    def __init__(self, settings: AudioSettings) -> None:
        self.settings, self.device = settings, device_of(settings)
        self.net = AudioNet()
        self.paths = list_sounds(Path(settings.data))
        self.files = len(self.paths)
        self.distortion = AudioLoss(settings.complex_weight, settings.wave_weight, settings.envelope_weight).to(self.device)

    def load(self, seed: int) -> None:
        s = self.settings
        self.loader = SoundLoader(load_sounds(self.paths), s.batch, (s.frames + 1) * HOP, s.stereo, seed)

    def loss(self, entropy_only: bool) -> tuple[Tensor, dict[str, Tensor]]:
        wave = next(self.loader).to(self.device, non_blocking=True)
        row = torch.rand(wave.shape[0], device=self.device) ** self.settings.low_rates * (QUALITY_ROWS - 1)
        weight = lagrangian(row)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            if entropy_only:
                with torch.no_grad():
                    latents = self.net.analysis(wave, row)
                _, bits, hyper_bits = self.net.entropy(latents, row, training_noise=True)
                rate = (bits + hyper_bits) * RATE / HOP / 1000 / (latents.shape[2] * latents.shape[3])
            else:
                out = self.net(wave, row)
                rate, coded = out["rate"], out["wave"].float()
        if entropy_only:
            return (weight**0.75 * rate).mean(), {"kbps": rate.mean()}
        whole = slice(HOP, -HOP)  # frames at the ends miss their overlap
        parts = self.distortion(*(with_left_and_right(w[..., whole]) for w in (coded, wave)))
        loss = ((parts["total"] + weight * rate) * weight**-0.25).mean()
        return loss, {"kbps": rate.mean(), **{k: parts[k].mean() for k in ("mel", "complex", "wave", "envelope")}}

    def evaluate(self) -> dict[int, list[float]]:
        """Mean kbit/s of a channel (estimated, rounded latents), parts of the distortion for some quality rows."""
        result = {}
        waves = []
        for path in list_sounds(Path(self.settings.evaluate)):
            mono = resampled(path)
            length = (len(mono) // HOP) * HOP
            waves.append(torch.from_numpy(mono[:length]).to(self.device)[None, None])
        for r in (0, 2, 4, 6, 8, 10):
            figures = []
            for wave in waves:
                out = self.net(wave, torch.full((1,), float(r), device=self.device), training_noise=False)
                parts = self.distortion(out["wave"][..., HOP:-HOP], wave[..., HOP:-HOP])
                figures.append([out["rate"].item(), *(parts[k].item() for k in ("mel", "complex", "wave", "envelope"))])
            result[r] = np.mean(figures, axis=0).tolist()
        return result


if __name__ == "__main__":
    settings = parse(AudioSettings, __doc__)
    task = AudioTask(settings)
    train(settings, task, load_start(task.net, settings.start) if settings.start else None)
