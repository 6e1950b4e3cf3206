"""Transforms of the video model: a frame is coded as what its motion-compensated prediction does not tell.

Conditional coding (DCVC, Li et al. 2021, arXiv:2109.15047 section 3): the prediction and the features of the previous frame,
both moved by the vectors, enter analysis and synthesis as channels. Untrained, the transforms are a linear codec of the
difference: first and last 1x1 layers start as a Karhunen-Loeve transform, everything else starts at zero.

Shapes: planes y (B, 1, H, W) and uv (B, 2, H/2, W/2), 0..1; H and W multiples of 16; features (B, 96, H/8, W/8); latents
(B, 256, H/16, W/16); vectors (B, H/8, W/8, 2) in quarters of a pixel, horizontal first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transform import GatedBlock

BLOCK = 8  # pixels, each way, that share a vector
FEATURES = 96  # samples of an 8x8 block in 4:2:0
LATENTS = 256
GAIN = 4.0  # latents count quarters of a pixel unit: the entropy model's context has steps of 1/64
# Samples of chroma are scaled so that squared errors add up as in PSNR 6:1:1, (6 Y + U + V) / 8.
CHROMA = (64 / 16 / 6) ** 0.5


def pack(y: Tensor, uv: Tensor) -> Tensor:
    """Planes to blocks (B, 96, H/8, W/8)."""
    packed = torch.cat([F.pixel_unshuffle(y, 8), F.pixel_unshuffle(uv, 4) * CHROMA], dim=1)
    return packed.contiguous(memory_format=torch.channels_last)


def unpack(packed: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `pack`."""
    return F.pixel_shuffle(packed[:, :64], 8), F.pixel_shuffle(packed[:, 64:] / CHROMA, 4)


def warp(source: Tensor, vectors: Tensor, mode: str = "bicubic") -> Tensor:
    """What each block finds in `source` (B, C, h, w) of any resolution, edges continued; same shape."""
    h, w = source.shape[2:]
    block = h // vectors.shape[1]
    move = vectors.to(torch.float32) * (block / (4 * BLOCK))
    move = move.repeat_interleave(block, dim=1).repeat_interleave(block, dim=2)
    x = torch.arange(w, device=source.device) + 0.5
    y = torch.arange(h, device=source.device) + 0.5
    grid = torch.stack([(x + move[..., 0]) * (2 / w) - 1, (y[:, None] + move[..., 1]) * (2 / h) - 1], dim=-1)
    return F.grid_sample(source.float(), grid, mode=mode, padding_mode="border", align_corners=False)


class Condition(nn.Module):
    """Prediction (B, 96, H/8, W/8) and moved features of the previous frame to what the transforms are told."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(FEATURES, FEATURES, 1)
        self.block = GatedBlock(FEATURES)
        nn.init.zeros_(self.features.weight)
        nn.init.zeros_(self.features.bias)

    def forward(self, prediction: Tensor, features: Tensor, row: Tensor) -> Tensor:
        return self.block((prediction - 0.5) * GAIN + self.features(features), row)


class VideoAnalysis(nn.Module):
    """A frame and its prediction, both packed, and the condition to latents (B, 256, H/16, W/16)."""

    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.patch = nn.Conv2d(FEATURES, FEATURES, 1)
        self.condition = nn.Conv2d(FEATURES, FEATURES, 1)
        self.blocks = nn.ModuleList(GatedBlock(FEATURES) for _ in range(blocks))
        self.to_latents = nn.Conv2d(4 * FEATURES, LATENTS, 1)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(self, frame: Tensor, prediction: Tensor, condition: Tensor, row: Tensor) -> Tensor:
        x = self.patch((frame - prediction) * GAIN) + self.condition(condition)
        for block in self.blocks:
            x = block(x, row)
        return self.to_latents(F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last))


class VideoSynthesis(nn.Module):
    """Latents, packed prediction and condition to the packed frame and the features for the next one."""

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        self.from_latents = nn.Conv2d(LATENTS, 4 * FEATURES, 1)
        self.condition = nn.Conv2d(FEATURES, FEATURES, 1)
        self.blocks = nn.ModuleList(GatedBlock(FEATURES) for _ in range(blocks))
        self.patch = nn.Conv2d(FEATURES, FEATURES, 1)
        nn.init.zeros_(self.condition.weight)
        nn.init.zeros_(self.condition.bias)

    def forward(self, latents: Tensor, prediction: Tensor, condition: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
        x = F.pixel_shuffle(self.from_latents(latents), 2).contiguous(memory_format=torch.channels_last)
        x = x + self.condition(condition)
        for block in self.blocks:
            x = block(x, row)
        return prediction + self.patch(x) / GAIN, x


def move_latents(latents: Tensor, vectors: Tensor) -> Tensor:
    """Latents (B, L, h, w) of the previous frame to where the vectors (B, 2h, 2w, 2) find them, in whole positions; exact."""
    b, count, h, w = latents.shape
    total = vectors.long().view(b, h, 2, w, 2, 2).sum((2, 4))  # quarters of a pixel, four blocks: 256 a position
    move = torch.div(total + 128, 256, rounding_mode="floor")
    x = (torch.arange(w, device=latents.device) + move[..., 0]).clamp(0, w - 1)
    y = (torch.arange(h, device=latents.device)[:, None] + move[..., 1]).clamp(0, h - 1)
    index = (y * w + x).view(b, 1, h * w).expand(b, count, h * w)
    return latents.flatten(2).gather(2, index).view(latents.shape)
