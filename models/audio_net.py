"""The audio model as it is trained: transforms around the entropy model of hyperprior_net.py."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .audio_transform import BANDS, HOP, LATENTS, RATE, AudioAnalysis, AudioSynthesis
from .hyperprior_net import HyperpriorNet, Widths
from .transform import QUALITY_ROWS

WIDTHS = Widths(groups=(BANDS, 96, LATENTS - BANDS - 96), hyper_latents=32, hyper_features=128, context=224)


def lagrangian(row: Tensor) -> Tensor:
    """Lambda of a quality row, 0.1 (row 0) to 0.0004 (row 10); loss = distortion + lambda * kbit/s of a channel."""
    return 0.1 * 0.004 ** (row / (QUALITY_ROWS - 1))


class AudioNet(HyperpriorNet):
    """Everything of the audio model that is trained together."""

    def __init__(self) -> None:
        super().__init__(WIDTHS)
        self.analysis = AudioAnalysis()
        self.synthesis = AudioSynthesis()
        with torch.no_grad():  # the envelope is worth finer steps than the spectrum
            self.log_gain[:, :BANDS] = math.log(4)

    def base_step(self, row: Tensor) -> Tensor:
        """3 (row 0) to 0.083 (row 10), in units of the shaped spectrum."""
        return 3 * 0.0277 ** (row / (QUALITY_ROWS - 1))

    def forward(self, wave: Tensor, row: Tensor, training_noise: bool = True) -> dict[str, Tensor]:
        """Wave (B, C, (T + 1) * 960) and quality rows (B,) to the decoded wave and kbit/s per channel (B,)."""
        latents = self.analysis(wave, row)
        quantised, bits, hyper_bits = self.entropy(latents, row, training_noise)
        noise = torch.randn((wave.shape[0], HOP, *latents.shape[2:]), device=wave.device)
        seconds = latents.shape[2] * latents.shape[3] * HOP / RATE
        wave = self.synthesis(self.restore(quantised, row), noise, row)
        return {"wave": wave, "rate": (bits + hyper_bits) / seconds / 1000}
