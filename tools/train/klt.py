"""The start of the video model: the best linear codec of what motion compensation leaves, in first and last 1x1 layers."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch import Tensor

from vqc.models.video_net import VideoNet
from vqc.models.video_transform import LATENTS, pack, warp
from vqc.tools.train.clips import Clip, random_walk

# PSNR counts decibels, of which chroma, with its small errors, gains many for few bits: its steps are so many octaves finer.
FINER_CHROMA = 0.75


def principal_axes(samples: Tensor, count: int) -> Tensor:
    """Orthonormal rows (count, C) that hold most of the energy of `samples` (N, C), the strongest first."""
    samples = samples.double()
    _, vectors = torch.linalg.eigh(samples.t() @ samples)
    return vectors.flip(1)[:, :count].t().float()


@torch.no_grad()
def start_from_klt(net: VideoNet, clips: list[Clip], crops: int = 400, size: int = 128) -> None:
    """Sets the transforms of an untrained net to the Karhunen-Loeve transform of differences in random crops."""
    rng = random.Random(3)
    walks = [random_walk(clips, size, rng.uniform(0, 10), rng) for _ in range(crops)]
    crops = [walk.unit(1)[1] for walk in walks]
    y, uv, fields = (torch.from_numpy(np.stack([getattr(c, name) for c in crops])) for name in ("y", "uv", "fields"))
    first = [torch.from_numpy(np.stack(parts)) for parts in zip(*((w.y0, w.uv0) for w in walks))]
    moved = [warp(planes.float() / 255, fields[:, 0]) for planes in first]
    difference = pack(y.float() / 255, uv.float() / 255) - pack(*moved)
    patch = principal_axes(difference.permute(0, 2, 3, 1).flatten(0, 2), LATENTS)
    net.log_gain.copy_(FINER_CHROMA * math.log(2) * patch[:, 64:].square().sum(1))  # by the part of chroma in each axis
    net.analysis.patch.weight.copy_(patch[:, :, None, None])
    net.synthesis.patch.weight.copy_(patch.t()[:, :, None, None])
