"""Which tables code the hyper-latents of predicted frames, from vid7 on: by depth, quality and what is known of each place.

They are few, of 32x32 pixels each, but most of them say that nothing is coded there: with one table for each channel they took
6 % of small files. All integers, exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .motion_coding import Surprise

CELL = 4  # latents each way that share hyper-latents: two squares
_BAND, _BANDS = 200, 4  # of quality
_FEW = 8
# Kinds: depth 0, 1, more; enhancements of pictures. Bands of quality. Places: nothing is known of the frames before and after,
# or that they have no latents there, few or many; each with motion as expected or not.
SETS = (4, _BANDS, 4 * 2)


def hyper_sets(depth: int, quality: int, sizes: Tensor, known: Sequence[bool], surprise: Surprise) -> np.ndarray:
    """The set of each position of hyper-latents, (n, H/32, W/32), sides rounded up.

    sizes: of moved latents (n, H/8, W/8, L). known: of each frame, whether there are latents of any that it is predicted from.
    surprise: of the motion of the frames.
    """
    count = _cells((sizes > 0).sum(-1))
    told = np.where(np.array(known)[:, None, None], 1 + np.searchsorted((1, _FEW + 1), count, side="right"), 0)
    moved = (surprise.squares + surprise.blocks > 0).repeat(2, 1).repeat(2, 2)
    return _first(min(depth, 2), quality) + 2 * told + (_cells(torch.from_numpy(moved)) > 0)


def enhancement_set(quality: int) -> int:
    """The same for the enhancement of a picture."""
    return _first(3, quality)


def _first(kind: int, quality: int) -> int:
    return (kind * _BANDS + min(quality // _BAND, _BANDS - 1)) * SETS[2]


def _cells(values: Tensor) -> np.ndarray:
    """Sums of integers (n, h, w) over the cells of hyper-latents."""
    n, h, w = values.shape
    padded = F.pad(values.to(torch.int32), (0, -w % CELL, 0, -h % CELL))
    return padded.view(n, -(-h // CELL), CELL, -(-w // CELL), CELL).sum((2, 4)).cpu().numpy()
