"""The image model as it is trained: transforms around the entropy model of hyperprior_net.py."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .hyperprior_net import HyperpriorNet, Widths
from .transform import Analysis, Synthesis

WIDTHS = Widths(groups=(32, 96, 192), hyper_latents=64, hyper_features=160, context=256)  # groups: of falling energy


def lagrangian(row: Tensor) -> Tensor:
    """Lambda of a quality row: 1.93 times more per row, 0.00047 (row 0) to 0.34 (row 10); loss = bpp + lambda * 255^2 * MSE."""
    return 0.0009 * 100.0 ** ((row - 1) / 7)


def base_step(row: Tensor) -> Tensor:
    """Quantiser step in pixel units (0..1) of a quality row: 0.8 of the high-rate optimum for lambda."""
    return 0.8 * torch.sqrt(18 / (lagrangian(row) * 65025 * math.log(2)))


class ImageNet(HyperpriorNet):
    """Everything of the image model that is trained together."""

    def __init__(self) -> None:
        super().__init__(WIDTHS)
        self.analysis = Analysis()
        self.synthesis = Synthesis()

    def base_step(self, row: Tensor) -> Tensor:
        return base_step(row)

    def forward(self, image: Tensor, row: Tensor, training_noise: bool = True) -> dict[str, Tensor]:
        """Image (B, 3, H, W) 0..1 and quality rows (B,) to the reconstruction and the bits of each sample (B,)."""
        latents = self.analysis(image, row)
        quantised, bits, hyper_bits = self.entropy(latents, row, training_noise)
        image = self.synthesis(self.restore(quantised, row), row)
        return {"image": image, "bits": bits + hyper_bits, "hyper_bits": hyper_bits}
