"""The model of predicted frames as it is trained: transforms around the entropy model of hyperprior_net.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .hyperprior_net import SPARSE_DEAD_ZONE, HyperpriorNet, Widths, dead_zone
from .transform import QUALITY_ROWS
from .video_prediction import TOLD, Prediction, moved_sizes, predict, told_of, told_of_picture, unmoved
from .video_transform import GAIN, LATENTS, MEMORY, VideoAnalysis, VideoSynthesis, active_blocks, pack, unpack

WIDTHS = Widths(
    groups=(16, LATENTS - 16), hyper_latents=8, hyper_features=48, context=96, temporal=32, told=TOLD
)

# A block is coded if it saves this much squared error, in quantiser steps, for each bit that it may cost: at the step of
# `base_step` a bit is worth ln(2) / 6 squared steps. As video encoders since H.263 do with lone coefficients.
WORTH = math.log(2) / 6
SYMBOL_BITS, BLOCK_BITS = 5, 4


def lagrangian(row: Tensor) -> Tensor:
    """Lambda of a quality row, 0.0016 (row 0) to 1.6 (row 10), of which predicted frames take those up to 0.34.

    Loss = bits per luma pixel + lambda * 255^2 * (6 MSE(Y) + MSE(U) + MSE(V)) / 8.
    """
    return 0.0016 * 1000.0 ** (row / (QUALITY_ROWS - 1))


def worth_coding(scaled: Tensor, thrift: float | Tensor = 1.0) -> Tensor:
    """Which blocks of latents in steps (B, L, h, w) are worth their bits: (B, 1, h, w), 0 or 1.

    thrift: what a bit is worth beside WORTH, one or (B, 1, h, w).
    """
    symbols = HyperpriorNet.sparse_symbols(scaled, None)
    saved = (scaled.square() - (scaled - symbols).square()).sum(1, keepdim=True)
    count = (symbols != 0).sum(1, keepdim=True)
    return (saved > thrift * WORTH * (SYMBOL_BITS * count + BLOCK_BITS)).to(scaled.dtype)


def weighted_mse(y: Tensor, uv: Tensor, y_coded: Tensor, uv_coded: Tensor) -> Tensor:
    """Squared error (B,) of planes 0..1, weighted 6:1:1."""
    return (6 * (y - y_coded).square().mean((1, 2, 3)) + 2 * (uv - uv_coded).square().mean((1, 2, 3))) / 8


@dataclass
class Reference:
    """What other frames are predicted from: the decoded planes, the features and the quantised latents."""

    y: Tensor
    uv: Tensor
    features: Tensor
    latents: Tensor

    def forgetful(self) -> Reference:
        """The same without features: errors that have built up in them end here."""
        return Reference(self.y, self.uv, torch.zeros_like(self.features), self.latents)

    def copied(self) -> Reference:
        """The same in memory of its own, without a gradient."""
        return Reference(*(part.detach().float().clone() for part in (self.y, self.uv, self.features, self.latents)))

    @staticmethod
    def joined(parts: Sequence[Reference]) -> Reference:
        """Several as one batch, for the decoder: without latents."""
        if len(parts) == 1:
            return parts[0]
        planes = [torch.cat([getattr(part, name) for part in parts]) for name in ("y", "uv", "features")]
        return Reference(*planes, parts[0].latents[:0])

    @staticmethod
    def intra(y: Tensor, uv: Tensor) -> Reference:
        """The reference that a frame leaves which was coded as a picture."""
        b, _, h, w = y.shape
        return Reference(y, uv, y.new_zeros(b, MEMORY, h // 8, w // 8), y.new_zeros(b, LATENTS, h // 8, w // 8))


class VideoNet(HyperpriorNet):
    """Everything of the model of predicted frames that is trained together."""

    SPARSE = True

    def __init__(self) -> None:
        super().__init__(WIDTHS)
        self.analysis = VideoAnalysis()
        self.synthesis = VideoSynthesis()
        # Analysis and steps stay what they start as. Where most latents are rounded to 0 the error pulls them out of the dead
        # zone, by the straight-through gradient, and the bits of a rounded 0 have no gradient that holds them back: a learned
        # analysis codes what is not worth its bits.
        self.analysis.requires_grad_(False)
        self.log_gain.requires_grad_(False)

    def base_step(self, row: Tensor) -> Tensor:
        """The high-rate optimum for lambda: sqrt(8 / (lambda * 255^2 * ln 2)) in pixel units, times GAIN."""
        return GAIN * torch.sqrt(8 / (lagrangian(row) * 65025 * math.log(2)))

    def dead_zone(self, log2_scale: Tensor) -> Tensor:
        """Never less than SPARSE_DEAD_ZONE."""
        return dead_zone(log2_scale).clamp_min(SPARSE_DEAD_ZONE)

    def forward(
        self,
        y: Tensor,
        uv: Tensor,
        sources: Sequence[Reference],
        fields: Tensor,
        modes: Tensor,
        depth: int,
        distance: Tensor,
        row: Tensor,
        thrift: float = 1.0,
        training_noise: bool = True,
    ) -> tuple[Reference, Tensor]:
        """Frames and what they are predicted from to a reference, with the decoded frames, and the bits (B,).

        sources: one for each side; fields, modes, depth, distance: see video_prediction.py; thrift: see `worth_coding`.
        """
        prediction = predict(sources, fields, modes, overlapped=True)
        sizes = moved_sizes([s.latents for s in sources], fields, modes)
        told = torch.cat([sizes, told_of(fields, modes, depth, distance)], dim=1)
        return self._coded(y, uv, prediction, told, row, thrift, training_noise)

    def enhance(
        self, y: Tensor, uv: Tensor, picture: Reference, picture_row: Tensor, row: Tensor, thrift: float = 1.0
    ) -> tuple[Reference, Tensor]:
        """The same for frames that were coded as pictures, of quality rows `picture_row` (B,) of the image model: what these
        lack."""
        told = torch.cat([picture.latents, told_of_picture(picture_row, *picture.latents.shape[2:])], dim=1)
        return self._coded(y, uv, unmoved(picture), told, row, thrift, training_noise=True)

    def _coded(
        self, y: Tensor, uv: Tensor, prediction: Prediction, told: Tensor, row: Tensor, thrift: float, training_noise: bool
    ) -> tuple[Reference, Tensor]:
        latents = self.analysis(pack(y, uv), prediction.packed)
        step = self.steps(row)
        kept = worth_coding((latents / step).detach().float(), thrift)
        quantised, bits, hyper_bits = self.entropy(latents, row, training_noise, told, kept)
        active = active_blocks(quantised.detach() / step, prediction.fields)
        packed, features = self.synthesis(
            self.restore(quantised, row), prediction.packed, prediction.difference, prediction.memory, row, active
        )
        return Reference(*unpack(packed.float()), features, quantised), bits + hyper_bits
