"""The start of the video model: a discrete cosine transform of what motion compensation leaves, in the outer 1x1 layers."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import Tensor

from vqc.models.video_net import VideoNet
from vqc.models.video_transform import FEATURES, LATENTS, pack, warp
from vqc.tools.train.clips import Clip, random_walk

# PSNR counts decibels, of which chroma, with its small errors, gains many for few bits: its steps are so many octaves finer.
FINER_CHROMA = 0.75


def cosines(count: int) -> Tensor:
    """The orthonormal DCT-II of so many samples: rows (count, count) of rising frequency."""
    place = torch.arange(count, dtype=torch.float64)
    rows = torch.cos(math.pi / count * place[:, None] * (place + 0.5)) * math.sqrt(2 / count)
    rows[0] *= math.sqrt(0.5)
    return rows.float()


def cosine_axes() -> Tensor:
    """Orthonormal rows (96, 96) of packed blocks: 8x8 frequencies of Y, then 4x4 of U and of V."""
    luma, chroma = cosines(8), cosines(4)
    return torch.block_diag(torch.kron(luma, luma), torch.kron(chroma, chroma), torch.kron(chroma, chroma))


def residuals(clips: list[Clip], crops: int = 400, size: int = 128) -> Tensor:
    """What motion compensation leaves of frames that follow a picture, in random crops: packed blocks (N, 96)."""
    rng = random.Random(3)
    walks = [random_walk(clips, size, rng.uniform(0, 10), rng) for _ in range(crops)]
    following = [walk.unit(1)[1] for walk in walks]
    y, uv, fields = (torch.from_numpy(np.stack([getattr(c, name) for c in following])) for name in ("y", "uv", "fields"))
    first = [torch.from_numpy(np.stack(parts)) for parts in zip(*((w.y0, w.uv0) for w in walks))]
    moved = [warp(planes.float() / 255, fields[:, 0]) for planes in first]
    difference = pack(y.float() / 255, uv.float() / 255) - pack(*moved)
    return difference.permute(0, 2, 3, 1).reshape(-1, FEATURES)


@torch.no_grad()
def start_from_dct(net: VideoNet, clips: list[Clip]) -> None:
    """Sets the transforms of an untrained net, and the steps of their axes: the strongest in training clips, in this order."""
    axes = cosine_axes()
    energy = (residuals(clips) @ axes.t()).square().mean(0)
    axes = axes[energy.argsort(descending=True)[:LATENTS]]
    net.log_gain.copy_(FINER_CHROMA * math.log(2) * axes[:, 64:].square().sum(1))
    net.analysis.patch.weight.copy_(axes[:, :, None, None])
    net.synthesis.patch.weight.copy_(axes.t()[:, :, None, None])
