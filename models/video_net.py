"""The model of predicted frames as it is trained: transforms around the entropy model of hyperprior_net.py."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from . import image_net
from .hyperprior_net import HyperpriorNet, Widths, dead_zone
from .video_transform import GAIN, LATENTS, MEMORY, Condition, VideoAnalysis, VideoSynthesis, move_latents, pack, unpack, warp

WIDTHS = Widths(groups=(64, LATENTS - 64), hyper_latents=32, hyper_features=96, context=192, temporal=64)

# Much of what prediction leaves is noise: coded, it helps no later frame.
LEAST_DEAD_ZONE = 0.2


def lagrangian(row: Tensor) -> Tensor:
    """Lambda of a quality row; loss = bits per luma pixel + lambda * 255^2 * (6 MSE(Y) + MSE(U) + MSE(V)) / 8.

    Half that of pictures: equal rows are then of about equal quality.
    """
    return image_net.lagrangian(row) / 2


def weighted_mse(y: Tensor, uv: Tensor, y_coded: Tensor, uv_coded: Tensor) -> Tensor:
    """Squared error (B,) of planes 0..1, weighted 6:1:1."""
    return (6 * (y - y_coded).square().mean((1, 2, 3)) + 2 * (uv - uv_coded).square().mean((1, 2, 3))) / 8


@dataclass
class Reference:
    """What the next frame is predicted from: the decoded planes, the features and the quantised latents."""

    y: Tensor
    uv: Tensor
    features: Tensor
    latents: Tensor

    @staticmethod
    def intra(y: Tensor, uv: Tensor) -> Reference:
        """The reference that a frame leaves which was coded as a picture."""
        b, _, h, w = y.shape
        return Reference(y, uv, y.new_zeros(b, MEMORY, h // 8, w // 8), y.new_zeros(b, LATENTS, h // 16, w // 16))


class VideoNet(HyperpriorNet):
    """Everything of the model of predicted frames that is trained together."""

    ROUNDED_RATE = True

    def __init__(self) -> None:
        super().__init__(WIDTHS)
        self.condition = Condition()
        self.analysis = VideoAnalysis()
        self.synthesis = VideoSynthesis()

    def base_step(self, row: Tensor) -> Tensor:
        """1.2 of the high-rate optimum for lambda: sqrt(8 / (lambda * 255^2 * ln 2)) in pixel units, times GAIN."""
        return 1.2 * GAIN * torch.sqrt(8 / (lagrangian(row) * 65025 * math.log(2)))

    def dead_zone(self, log2_scale: Tensor) -> Tensor:
        """Never less than LEAST_DEAD_ZONE."""
        return dead_zone(log2_scale).clamp_min(LEAST_DEAD_ZONE)

    def encoder_dead_zone(self, log2_scale: Tensor) -> Tensor:
        """0.25 wider: training looks two frames ahead, so it does not see that what is coded has to last (-25 % BD-rate)."""
        return (self.dead_zone(log2_scale) + 0.25).clamp_max(0.49)

    def forward(
        self, y: Tensor, uv: Tensor, reference: Reference, vectors: Tensor, row: Tensor, training_noise: bool = True
    ) -> tuple[Reference, Tensor]:
        """A frame and what it is predicted from to the next reference, with the decoded frame, and the bits (B,)."""
        prediction = pack(warp(reference.y, vectors), warp(reference.uv, vectors))
        features = warp(reference.features, vectors, "bilinear").contiguous(memory_format=torch.channels_last)
        condition = self.condition(prediction, features, row)
        latents = self.analysis(pack(y, uv), prediction, condition, row)
        previous = move_latents(reference.latents, vectors)
        quantised, bits, hyper_bits = self.entropy(latents, row, training_noise, previous)
        packed, features = self.synthesis(self.restore(quantised, row), prediction, condition, row)
        return Reference(*unpack(packed.float()), features, quantised), bits + hyper_bits
