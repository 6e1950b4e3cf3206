"""Transforms of the video model: a frame is coded as what its motion-compensated prediction does not tell.

The latents of an 8x8 block are a linear transform of what differs from the prediction: cosines (DCT) of Y, U and V, of vid2 a
Karhunen-Loeve transform (KLT). The synthesis is conditional (DCVC, Li et al. 2021, arXiv:2109.15047 section 3): it sees the
prediction and the features of frames before, moved by the vectors, and corrects what the transform gives. What motion leaves is
rare and local, so blocks are small.

Shapes: planes y (B, 1, H, W) and uv (B, 2, H/2, W/2), 0..1; H and W multiples of 16; features (B, 32, H/8, W/8), passed from
frame to frame; latents (B, L, H/8, W/8), L = 96, up to vid5 80; vectors (B, H/8, W/8, 2) in quarters of a pixel,
horizontal first.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transform import GatedBlock

BLOCK = 8  # pixels, each way, that share a vector
FEATURES = 96  # samples of an 8x8 block in 4:2:0
LATENTS = 96  # all directions; vid2 to vid5 left out the weakest 16
GAIN = 4.0  # latents count quarters of a pixel unit: the entropy model's context has steps of 1/64
MEMORY = 32  # features that are passed from frame to frame, within -1..1 so that they cannot grow without end
MOTION_TOKENS = 2  # what the entropy model is told of the vector of a block
# Samples of chroma are scaled so that squared errors add up as in PSNR 6:1:1, (6 Y + U + V) / 8.
CHROMA = (64 / 16 / 6) ** 0.5


def pack(y: Tensor, uv: Tensor) -> Tensor:
    """Planes to blocks (B, 96, H/8, W/8)."""
    return pack_blocks(to_blocks(y, BLOCK), to_blocks(uv, BLOCK // 2), y.shape[3] // BLOCK)


def pack_blocks(y: Tensor, uv: Tensor, columns: int) -> Tensor:
    """The same of blocks (B, 1, n, 64) and (B, 2, n, 16), in rows of so many."""
    b, _, n, _ = y.shape
    packed = torch.cat([y[:, 0], (uv * CHROMA).transpose(1, 2).reshape(b, n, -1)], dim=2)
    return packed.view(b, n // columns, columns, -1).permute(0, 3, 1, 2)  # which is channels_last


def unpack(packed: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `pack`."""
    return F.pixel_shuffle(packed[:, :64], 8), F.pixel_shuffle(packed[:, 64:] / CHROMA, 4)


def to_blocks(planes: Tensor, block: int) -> Tensor:
    """Planes (B, C, h, w) to the samples of their blocks, in raster order: (B, C, n, block^2)."""
    b, c, h, w = planes.shape
    return planes.reshape(b, c, h // block, block, w // block, block).transpose(3, 4).reshape(b, c, -1, block**2)


def from_blocks(blocks: Tensor, h: int, w: int) -> Tensor:
    """The inverse."""
    b, c, _, size = blocks.shape
    block = math.isqrt(size)
    return blocks.view(b, c, h // block, w // block, block, block).transpose(3, 4).reshape(b, c, h, w)


def warp(source: Tensor, vectors: Tensor, mode: str = "bicubic") -> Tensor:
    """What each block finds in `source` (B, C, h, w) of any resolution, edges continued; same shape."""
    return from_blocks(warped_blocks(source, vectors, mode), *source.shape[2:])


def warped_blocks(source: Tensor, vectors: Tensor, mode: str = "bicubic") -> Tensor:
    """The same as `to_blocks` gives it, which takes fewer copies."""
    h, w = source.shape[2:]
    b, rows, columns = vectors.shape[:3]
    block = h // rows
    unit = torch.tensor([w, h], device=source.device) * (4 * BLOCK / block / 2)  # quarters of a pixel in half the side
    # Planes of x and y, which are added much faster than pairs.
    move = vectors.permute(3, 0, 1, 2).contiguous() / unit.view(2, 1, 1, 1)
    grid = move.flatten(2)[..., None] + places(h, w, block, source.device)[:, None]
    grid = grid.view(2, b, rows, -1).permute(1, 2, 3, 0)
    found = F.grid_sample(source.float(), grid, mode=mode, padding_mode="border", align_corners=False)
    return found.reshape(b, source.shape[1], rows * columns, -1)


@functools.lru_cache(maxsize=16)
def places(h: int, w: int, block: int, device: torch.device) -> Tensor:
    """Where the samples of the blocks of a plane stand, as `grid_sample` counts: horizontal and vertical, (2, n, block^2)."""
    with torch.inference_mode(False):  # kept, and used in training too
        x = (torch.arange(w, device=device) + 0.5) * (2 / w) - 1
        y = (torch.arange(h, device=device) + 0.5) * (2 / h) - 1
        return to_blocks(torch.stack(torch.meshgrid(x, y, indexing="xy"))[None], block)[0]


class Trunk(nn.Module):
    """What is known of each block to features (B, 96, H/8, W/8): 1x1 in, gated residual blocks."""

    def __init__(self, blocks: int, sides: int, latents: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(latents + sides * FEATURES + MEMORY, FEATURES, 1)
        self.blocks = nn.ModuleList(GatedBlock(FEATURES) for _ in range(blocks))

    def forward(self, known: Tensor, row: Tensor) -> Tensor:
        x = self.enter(known.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x, row)
        return x


class VideoAnalysis(nn.Module):
    """A frame and its prediction, both packed, to latents (B, L, H/8, W/8): a fixed transform, see `VideoNet`."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(FEATURES, LATENTS, 1, bias=False)

    def forward(self, frame: Tensor, prediction: Tensor) -> Tensor:
        return self.patch((frame - prediction) * GAIN)


class VideoSynthesis(nn.Module):
    """Latents, packed prediction and moved features to the packed frame and the features for later ones.

    difference: between the sides that frames are predicted from, packed; None in a model that has one side only.
    active: see `active_blocks`. What stands still and is not coded anew stays what it was, from frame to frame: the smallest
    correction would add up.
    """

    def __init__(self, sides: int = 2, blocks: int = 4, latents: int = LATENTS) -> None:
        super().__init__()
        self.patch = nn.Conv2d(latents, FEATURES, 1, bias=False)
        self.trunk = Trunk(blocks, sides, latents)
        self.correct = nn.Conv2d(FEATURES, FEATURES, 1)
        self.features = nn.Conv2d(FEATURES, MEMORY, 1)
        for layer in (self.correct, self.features):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self, latents: Tensor, prediction: Tensor, difference: Tensor | None, memory: Tensor, row: Tensor, active: Tensor
    ) -> tuple[Tensor, Tensor]:
        known = [latents, (prediction - 0.5) * GAIN, memory]
        if difference is not None:
            known.append(difference * GAIN)
        x = self.trunk(torch.cat([part.contiguous(memory_format=torch.channels_last) for part in known], dim=1), row)
        change = (self.patch(latents) + self.correct(x)) * (active / GAIN)
        return prediction + change, self.features(x).clamp(-1, 1)


def move_latents(latents: Tensor, vectors: Tensor) -> Tensor:
    """Latents (B, L, h, w) of the previous frame to where the vectors find them, in whole positions; exact.

    vectors: (B, n h, n w, 2), n by n to a latent, which follows their mean.
    """
    b, count, h, w = latents.shape
    n = vectors.shape[1] // h
    total, position = vectors.long().view(b, h, n, w, n, 2).sum((2, 4)), 4 * BLOCK * n**3
    move = torch.div(total + position // 2, position, rounding_mode="floor")
    x = (torch.arange(w, device=latents.device) + move[..., 0]).clamp(0, w - 1)
    y = (torch.arange(h, device=latents.device)[:, None] + move[..., 1]).clamp(0, h - 1)
    index = y * w + x + torch.arange(0, b * h * w, h * w, device=latents.device).view(b, 1, 1)
    tokens = latents.permute(0, 2, 3, 1).reshape(b * h * w, count)
    return tokens.index_select(0, index.flatten()).view(b, h, w, count).permute(0, 3, 1, 2)


def active_blocks(in_steps: Tensor, fields: Tensor) -> Tensor:
    """Blocks (B, 1, h, w) float32, 0 or 1: those that move or have a latent of half a step, and those around them.

    in_steps: latents (B, L, h, w) in quantiser steps; fields: (B, s, h, w, 2).
    """
    active = (in_steps.abs() >= 0.5).any(1, keepdim=True) | (fields != 0).any(4).any(1, keepdim=True)
    return F.max_pool2d(active.float(), 3, stride=1, padding=1)


def motion_tokens(vectors: Tensor) -> Tensor:
    """What the entropy model is told of vectors (B, h, w, 2): (B, 2, h, w) integers 0..15, as float32; exact.

    How many bits it takes to write how far a vector is from its four neighbours together, and how far from 0.
    """
    field = vectors.long().permute(0, 3, 1, 2)
    down, right = (field.diff(dim=axis).abs().sum(1) for axis in (2, 3))
    rough = F.pad(down, (0, 0, 1, 0)) + F.pad(down, (0, 0, 0, 1)) + F.pad(right, (1, 0)) + F.pad(right, (0, 1))
    sizes = torch.stack([rough, field.abs().sum(1)], dim=1)
    return torch.frexp(sizes.float()).exponent.clamp_max(15).float()
