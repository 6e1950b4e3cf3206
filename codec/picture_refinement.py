"""The picture that a group of frames begins with, refined for the video: gradient descent on its latents.

The image model was trained for the squared error of red, green and blue. A video is measured by luma and chroma, and those
parts of the picture that many later frames show are worth more than others, which no step of the quantiser says: one quality
holds for the whole picture. Both are told to the refinement of image_refinement.py, and few steps of it are enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vqc.models.colour import rgb_to_planes
from vqc.models.entropy_model import hyper_symbols
from vqc.models.image_net import WIDTHS
from vqc.models.image_refinement import ImageRefiner, Scene, Schedule

from .image_tiles import HALO, PATCH, REACH, Tiling, Window

SCHEDULE = Schedule(3, (0.2, 0.1))  # 4 steps gain no more, 2 half as much
# What the squared error of a sample of chroma is worth beside one of luma, four of which it stands for. For PSNR 6:1:1 it would
# be 1/6 were the errors as large; they are about a third, and a mean of decibels counts relative changes.
CHROMA = 0.6
TILE = 9  # log2 of pixels: what is refined at once, which bounds memory; latents do not see beyond it for their bits


@dataclass(frozen=True)
class PlaneError:
    """Weighted squared error of planes y (1, 1, H, W) and uv (1, 2, H/2, W/2), in squared levels of 0..255.

    worth: what the pixels count beside one another, (1, 1, H, W).
    """

    y: Tensor
    uv: Tensor
    worth: Tensor

    def __call__(self, decoded: Tensor) -> Tensor:
        y, uv = rgb_to_planes(decoded)
        luma = ((y - self.y).square() * self.worth).sum()
        chroma = ((uv - self.uv).square() * F.avg_pool2d(self.worth, 2)).sum()
        return (luma + 4 * CHROMA * chroma) * 255**2


def refine_picture(
    refiner: ImageRefiner, latents: Tensor, y: Tensor, uv: Tensor, worth: np.ndarray, quality: int
) -> tuple[Tensor, np.ndarray]:
    """Better latents (1, 320, h, w) for a picture y (1, 1, 16 h, 16 w) and uv, 0..1, and the hyper-latent symbols for them.

    latents: as analysed; worth: see `PlaneError`, of any smaller resolution (rows, columns).
    """
    height, width = y.shape[2:]
    tiling = Tiling(height, width, TILE)
    whole, origin = tiling.latents, Window(0, 0, 0, 0)
    start = latents.clone()  # a tensor that autograd takes: those of inference it refuses
    better = torch.empty_like(start)
    hyper = start.new_empty(1, WIDTHS.hyper_latents, -(-whole.height // 4), -(-whole.width // 4))
    weights = F.interpolate(torch.from_numpy(worth).to(y)[None, None], size=(height, width), mode="nearest")
    for number in range(tiling.count):
        own = tiling.window(number)
        counted = own.grown(REACH, whole)
        seen = counted.grown(HALO, whole)
        luma, chroma = (counted.scaled(size).slices(origin) for size in (PATCH, PATCH // 2))
        scene = Scene(
            error=PlaneError(y[(..., *luma)], uv[(..., *chroma)], weights[(..., *luma)]),
            latents=start[(..., *seen.slices(origin))].clone(),
            own=own.slices(seen),
            target=counted.scaled(PATCH).slices(seen.scaled(PATCH)),
            quality=quality,
        )
        refined, told = refiner.refine(scene, SCHEDULE)
        top, left = own.top // 4, own.left // 4
        better[(..., *own.slices(origin))] = refined
        hyper[..., top : top + told.shape[2], left : left + told.shape[3]] = told
    return better, hyper_symbols(hyper)
