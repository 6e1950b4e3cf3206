"""How long a picture lives: what it tells of the frames after it, and so how good it is worth being.

What the first frame of a group has cost serves every later frame for which motion still finds it. As in the macroblock tree of
x264 (Garrett-Glaser 2009), but for whole frames, and by a guess from the first few: that as much gets lost from each frame to
the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .motion_refinement import Reference, to_blocks

LOOKAHEAD = 8  # frames after the first, by which it is judged
# Tenths of quality for each doubling of the frames that a picture serves, beyond a few (docs/architecture.md).
SCALE, BASE, MOST = 100.0, -190.0, 300
_NOISE = 32.0  # sum of differences in a block below which there is nothing to tell


@dataclass(frozen=True)
class Leap:
    """Frames y (H, W) uint8 before and after, `frames` apart, and how blocks move from the one to the other: (H/8, W/8, 2)."""

    before: np.ndarray
    after: np.ndarray
    field: np.ndarray
    frames: int


def kept(leap: Leap) -> float:
    """The part, 0..1, of what distinguishes the samples of a block (from their mean) that the frame before tells."""
    blocks, found = to_blocks(leap.after), Reference(leap.before.astype(np.float32)).moved(leap.field)
    alone = np.abs(blocks - blocks.mean(-1, keepdims=True)).sum(-1)
    told = np.abs(blocks - found).sum(-1)
    part = np.clip(1 - told / np.maximum(alone, _NOISE), 0, 1)
    weight = alone + _NOISE
    return float((part * weight).sum() / weight.sum())


def frames_served(leaps: Sequence[Leap], frames: int) -> float:
    """How many of `frames` later ones a picture tells all of, added up, by the leaps of the first of them."""
    if not frames or not leaps:
        return 0.0
    span = sum(leap.frames for leap in leaps)
    rate = math.prod(max(kept(leap), 0.01) for leap in leaps) ** (1 / span)
    return frames if rate > 0.999 else rate * (1 - rate**frames) / (1 - rate)


def worth(served: float) -> int:
    """Tenths of quality that a picture is worth more than a frame that serves none but itself."""
    return round(min(max(BASE + SCALE * math.log2(1 + served), 0), MOST))
