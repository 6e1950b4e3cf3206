"""The start of the video model: the best linear codec of what motion compensation leaves, in first and last 1x1 layers."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F

from vqc.models.video_net import VideoNet
from vqc.models.video_transform import FEATURES, GAIN, LATENTS, pack, warp
from vqc.tools.train.clips import Clip, random_batch


def principal_axes(samples: Tensor, count: int) -> Tensor:
    """Orthonormal rows (count, C) that hold most of the energy of `samples` (N, C), the strongest first."""
    samples = samples.double()
    _, vectors = torch.linalg.eigh(samples.t() @ samples)
    return vectors.flip(1)[:, :count].t().float()


def channels_last_samples(planes: Tensor) -> Tensor:
    """(B, C, H, W) to (B * H * W, C)."""
    return planes.permute(0, 2, 3, 1).flatten(0, 2)


@torch.no_grad()
def start_from_klt(net: VideoNet, clips: list[Clip], crops: int = 400, size: int = 128) -> None:
    """Sets the transforms of an untrained net to the Karhunen-Loeve transform of differences in random crops."""
    rng = random.Random(3)
    batch = random_batch(clips, [rng.uniform(0, 10) for _ in range(crops)], 2, size, rng)
    y, uv = batch.y[:, 1].float() / 255, batch.uv[:, 1].float() / 255
    moved = [warp(p.float() / 255, batch.vectors[:, 1]) for p in (batch.y0, batch.uv0)]
    difference = (pack(y, uv) - pack(*moved)) * GAIN
    patch = principal_axes(channels_last_samples(difference), FEATURES)
    rotated = torch.einsum("fc,bchw->bfhw", patch, difference)
    to_latents = principal_axes(channels_last_samples(F.pixel_unshuffle(rotated, 2)), LATENTS)
    for layer, matrix in (
        (net.analysis.patch, patch),
        (net.analysis.to_latents, to_latents),
        (net.synthesis.from_latents, to_latents.t()),
        (net.synthesis.patch, patch.t()),
    ):
        layer.weight.copy_(matrix[:, :, None, None])
        layer.bias.zero_()
