"""Which tables code the hyper-latents of predicted frames, from vid7 on: by depth, quality and what is known of each place.

They are few, of 32x32 pixels each, but most of them say that nothing is coded there: with one table for each channel they took
6 % of small files. All integers, exact.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .motion_coding import Surprise

CELL = 4  # latents each way that share hyper-latents: two squares
_KINDS = 4  # depth 0, 1, more; enhancements of pictures
_BAND, _BANDS = 200, 4  # of quality
_KNOWN = 4  # nothing, no latents, few, many of the frames before and after
_FEW = 8
HYPER_SETS = _KINDS * _BANDS * _KNOWN * 2


def hyper_sets(depth: int, quality: int, told: Tensor, latents: int, surprise: Surprise) -> np.ndarray:
    """The set of each position of hyper-latents, (n, H/32, W/32), sides rounded up.

    told: (n, H/8, W/8, C), first the sizes of `latents` moved latents; surprise: of the motion of the frames.
    """
    sizes = (told[..., :latents] > 0).sum(-1, keepdim=True).permute(0, 3, 1, 2)
    count = _cells(sizes.float())
    known = 0 if not told[..., :latents].any() else 1 + np.searchsorted((1, _FEW + 1), count, side="right")
    moved = (surprise.squares + surprise.blocks > 0).repeat(2, 1).repeat(2, 2)
    return (_first(min(depth, 2), quality) + known) * 2 + (_cells(torch.from_numpy(moved[:, None]).float()) > 0)


def enhancement_set(quality: int) -> int:
    """The same for the enhancement of a picture."""
    return _first(_KINDS - 1, quality) * 2


def _first(kind: int, quality: int) -> int:
    return (kind * _BANDS + min(quality // _BAND, _BANDS - 1)) * _KNOWN


def _cells(values: Tensor) -> np.ndarray:
    """Sums of values (n, 1, h, w) over the cells of hyper-latents; exact, as they are small."""
    h, w = values.shape[2:]
    padded = F.pad(values, (0, -w % CELL, 0, -h % CELL))
    return (F.avg_pool2d(padded, CELL)[:, 0] * CELL**2).round().int().cpu().numpy()
