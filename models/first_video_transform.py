"""Synthesis of vid1, the first model of predicted frames, which later files no longer use but earlier ones need.

Shapes: as in video_transform.py, but latents (B, 256, H/16, W/16).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transform import GatedBlock
from .video_transform import FEATURES, GAIN, MEMORY

LATENTS = 256


class Condition(nn.Module):
    """Prediction (B, 96, H/8, W/8) and moved features of the previous frame to what the transforms are told."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(MEMORY, FEATURES, 1, bias=False)
        self.block = GatedBlock(FEATURES)

    def forward(self, prediction: Tensor, features: Tensor, row: Tensor) -> Tensor:
        return self.block((prediction - 0.5) * GAIN + self.features(features), row)


class FirstVideoSynthesis(nn.Module):
    """Latents, packed prediction and condition to the packed frame and the features for the next one."""

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.from_latents = nn.Conv2d(LATENTS, 4 * FEATURES, 1)
        self.condition = nn.Conv2d(FEATURES, FEATURES, 1)
        self.blocks = nn.ModuleList(GatedBlock(FEATURES) for _ in range(blocks))
        self.patch = nn.Conv2d(FEATURES, FEATURES, 1)
        self.features = nn.Conv2d(FEATURES, MEMORY, 1)

    def forward(self, latents: Tensor, prediction: Tensor, condition: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        x = F.pixel_shuffle(self.from_latents(latents), 2).contiguous(memory_format=torch.channels_last)
        x = x + self.condition(condition)
        for block in self.blocks:
            x = block(x, row)
        return prediction + self.patch(x) / GAIN, self.features(x).clamp(-1, 1)
