"""Noise taken out of the picture that a group of frames begins with, by the frames after it.

What is coded of that picture is seen in all frames that are predicted from it, so that its noise is paid for and then repeated
in frames with other noise. Each sample becomes a mean of itself and of what motion finds in frames after it, which count the
less the more they differ (as in HM and VTM: Enhorn et al. 2020, doi:10.1109/ICIP40778.2020.9191202).

Shapes: planes (3/2 H, W) uint8 in 4:2:0, H and W multiples of 16; fields (H/8, W/8, 2) in quarters of a pixel, horizontal
first; blocks (H/8, W/8, C, n).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
import torch

from vqc.models.video_transform import from_blocks, to_blocks, warp

from .motion_refinement import BLOCK, Reference
from .planes import join, split

REACH = 8  # frames after the picture
STRENGTH = 1.2  # what a sample of another frame counts beside that of the picture, if they are alike
SOFTNESS = (14.0, 6.0)  # levels that samples may differ by (deviation of a Gaussian): at quality 0, and less at 1000
UNLIKE = 200.0  # mean squared difference of a block that was not found
CLOSE = 10.0  # the same of one for which no better vector is looked for
STEADY = 0.04  # change of contrast from frame to frame that is no fade
TEXTURE = 3.0  # levels by which the samples of a block must differ (standard deviation) to tell its contrast
_STEPS = (4, 4, 2, 1)  # quarters of a pixel that vectors are changed by in turn
_AROUND = (-1, 0), (1, 0), (0, -1), (0, 1)


def filtered(planes: np.ndarray, later: Sequence[np.ndarray], field: np.ndarray, frames: int, quality: int) -> np.ndarray:
    """A picture without what the frames after it, the first of `later`, do not show.

    field: of the one that comes `frames` after it, what its blocks find in the picture. quality: 0..1000.
    """
    own = [_blocks(part) for part in split(planes)]
    sums, weights = [part.copy() for part in own], [np.ones_like(part) for part in own]
    deviation = SOFTNESS[0] - SOFTNESS[1] * quality / 1000
    pace = -field.astype(np.float32) / frames  # of a block, from the picture to the next frame, if motion is even
    still = found = np.zeros_like(pace)
    for count, frame in enumerate(later[:REACH], 1):
        luma, chroma = split(frame)
        reference = Reference(luma[0].astype(np.float32))
        starts = [still, found * (count / max(count - 1, 1)), pace * count]
        found, fade = _found(own[0], _blocks(luma), reference, starts)
        alike: np.ndarray | None = None
        for k, moved in enumerate((reference.moved(found)[:, :, None], _moved_chroma(chroma, found))):
            # A scene that grows lighter or darker is no noise; means of single blocks are noisy too.
            moved *= fade
            moved -= np.median((moved - own[k]).mean(-1), axis=(0, 1))[:, None]
            off = np.square(moved - own[k])
            if alike is None:
                alike = np.clip(1 - off.mean((2, 3), keepdims=True) / UNLIKE, 0, 1)
            weight = np.exp(off * np.float32(-0.5 / deviation**2)) * (STRENGTH * alike)
            sums[k] += weight * moved
            weights[k] += weight
    return join(*(_planes(total / weight) for total, weight in zip(sums, weights)))


def _found(
    own: np.ndarray, there: np.ndarray, reference: Reference, starts: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.float32]:
    """Where the blocks of a picture stand in a later frame, `there` and `reference`, and its contrast by that of this frame: 1
    unless most blocks have another and are found better so, as in a fade."""
    one, other = own.std(-1), there.std(-1)
    seen = np.maximum(one, other) > TEXTURE
    ratio = np.median(one[seen] / np.maximum(other[seen], 1)) if seen.any() else 1
    tried = []
    for fade in (1,) if abs(ratio - 1) < STEADY else (1, ratio):
        target = (own[:, :, 0] - own.mean()) / np.float32(max(fade, 0.1)) + there.mean()
        found = _search(target, reference, starts)
        off = (reference.moved(found) - there.mean()) * fade + own.mean() - own[:, :, 0]
        tried.append((np.minimum(np.square(off).mean(-1), UNLIKE).mean(), found, np.float32(fade)))
    return min(tried, key=itemgetter(0))[1:]


def _search(target: np.ndarray, reference: Reference, starts: Sequence[np.ndarray]) -> np.ndarray:
    """What the blocks (H/8, W/8, 64) of a picture find in a later frame, int64: with the best of the vectors of `starts`, of
    those of blocks beside them, and of those near."""
    best = np.rint(starts[0]).astype(np.int64)
    least = np.square(reference.moved(best) - target).mean(-1)

    def try_out(field: np.ndarray) -> None:
        rows, columns = np.nonzero(least > CLOSE)
        vectors = field[rows, columns]
        error = np.square(reference.blocks(rows, columns, vectors) - target[rows, columns]).mean(-1)
        better = error < least[rows, columns]
        rows, columns = rows[better], columns[better]
        best[rows, columns], least[rows, columns] = vectors[better], error[better]

    for start in starts[1:]:
        try_out(np.rint(start).astype(np.int64))
    for step in _STEPS:
        for y, x in _AROUND:
            if step == _STEPS[0]:
                try_out(np.roll(best, (y, x), (0, 1)))
            try_out(best + np.array([step * x, step * y]))
    return best


def _moved_chroma(uv: np.ndarray, field: np.ndarray) -> np.ndarray:
    source = torch.from_numpy(uv.astype(np.float32))[None]
    return _blocks(warp(source, torch.from_numpy(field)[None])[0].numpy())


def _blocks(planes: np.ndarray) -> np.ndarray:
    """Planes (C, h, w) as blocks, 8x8 of luma (C = 1) and 4x4 of chroma: float32."""
    block = BLOCK // len(planes)
    c, height, width = planes.shape
    parts = to_blocks(torch.from_numpy(planes.astype(np.float32))[None], block)[0]
    return parts.view(c, height // block, width // block, -1).permute(1, 2, 0, 3).contiguous().numpy()


def _planes(blocks: np.ndarray) -> np.ndarray:
    """The inverse, rounded to uint8."""
    rows, columns, count, size = blocks.shape
    block = round(size**0.5)
    parts = torch.from_numpy(blocks).permute(2, 0, 1, 3).reshape(1, count, rows * columns, size)
    planes = from_blocks(parts, rows * block, columns * block)[0]
    return planes.round_().clamp_(0, 255).to(torch.uint8).numpy()
