"""How long a picture lives: what it tells of the frames after it, and so how good it is worth being.

What the first frame of a group has cost serves every later frame for which motion still finds it. As in the macroblock tree of
x264 (Garrett-Glaser 2009), but by a guess from the first few: that as much gets lost from each frame to the next. The quality
is one for the whole picture; what blocks are worth beside one another its refinement weighs (picture_refinement.py).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .motion_refinement import BLOCK, Reference, to_blocks

LOOKAHEAD = 8  # frames after the first, by which it is judged
# Tenths of quality for each doubling of the frames that a picture serves, beyond a few (docs/architecture.md).
SCALE, BASE, MOST = 100.0, -165.0, 300
# A picture that serves no other frame is worth less than the frames that others are predicted from, like those in between. No
# less than this, though: beside them it would be seen to be worse.
LEAST = -100
BLOCK_SCALE = 0.67  # power of the frames that a block serves: 2 quantisers of x264 for each doubling, as there
_NOISE = 32.0  # sum of differences in a block below which there is nothing to tell


@dataclass(frozen=True)
class Leap:
    """Frames y (H, W) uint8 before and after, `frames` apart, and how blocks move from the one to the other: (H/8, W/8, 2)."""

    before: np.ndarray
    after: np.ndarray
    field: np.ndarray
    frames: int

    @functools.cached_property
    def _blocks(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each block the part, 0..1, of what distinguishes its samples (from their mean) that the frame before tells, and
        how much that is."""
        blocks, found = to_blocks(self.after), Reference(self.before.astype(np.float32)).moved(self.field)
        alone = np.abs(blocks - blocks.mean(-1, keepdims=True)).sum(-1)
        told = np.abs(blocks - found).sum(-1)
        return np.clip(1 - told / np.maximum(alone, _NOISE), 0, 1), alone + _NOISE

    def kept(self) -> float:
        """That part of the whole frame."""
        part, weight = self._blocks
        return float((part * weight).sum() / weight.sum())

    def served(self, later: np.ndarray) -> np.ndarray:
        """Frames that the blocks of the frame before serve, when those of the frame after serve `later`: (H/8, W/8)."""
        part = self._blocks[0]
        told = np.zeros_like(part)
        rows, columns = np.indices(part.shape)
        y, x = rows + self.field[..., 1] / (4 * BLOCK), columns + self.field[..., 0] / (4 * BLOCK)
        top, left = np.floor(y).astype(int), np.floor(x).astype(int)
        for down in (0, 1):  # a vector points between four blocks
            for right in (0, 1):
                share = np.abs(1 - down - (y - top)) * np.abs(1 - right - (x - left))
                place = (top + down).clip(0, len(part) - 1), (left + right).clip(0, part.shape[1] - 1)
                np.add.at(told, place, part * (self.frames + later) * share)
        return told


def frames_served(leaps: Sequence[Leap], frames: int) -> float:
    """How many of `frames` later ones a picture tells all of, added up, by the leaps of the first of them."""
    if not frames or not leaps:
        return 0.0
    span = sum(leap.frames for leap in leaps)
    rate = math.prod(max(leap.kept(), 0.01) for leap in leaps) ** (1 / span)
    return frames if rate > 0.999 else rate * (1 - rate**frames) / (1 - rate)


def blocks_served(leaps: Sequence[Leap], frames: int) -> np.ndarray:
    """The same of each block of the picture, (H/8, W/8); there must be leaps. What comes after them is alike for all."""
    known = sum(leap.frames for leap in leaps)
    beyond = max(frames_served(leaps, frames) - frames_served(leaps, known), 0.0)
    served = np.full(leaps[-1].field.shape[:2], beyond)
    for leap in reversed(leaps):
        served = leap.served(served)
    return served


def block_worths(served: np.ndarray) -> np.ndarray:
    """What squared errors in blocks are worth beside one another; their geometric mean is 1."""
    logs = BLOCK_SCALE * np.log(1 + served)
    return np.exp(logs - logs.mean())


def worth(served: float) -> int:
    """Tenths of quality that a picture is worth more than the last frame of a run."""
    return round(min(max(BASE + SCALE * math.log2(1 + served), LEAST), MOST))
