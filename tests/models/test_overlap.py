"""Overlapped blocks, beside the plain rule of H.263 annex F."""

import numpy as np
import pytest
import torch

from vqc.models.overlap import Edges
from vqc.models.video_transform import from_blocks, warped_blocks

ABOVE = np.array([[2, 2, 2, 2, 2, 2, 2, 2], [1, 1, 2, 2, 2, 2, 1, 1], [1] * 8, [1] * 8])
LEFT = np.array([[2, 1, 1, 1]] + [[2, 2, 1, 1]] * 6 + [[2, 1, 1, 1]])
SIDES = {  # rows and columns to the neighbour: the eighths that it has of a block
    (-1, 0): np.vstack([ABOVE, np.zeros((4, 8))]),
    (1, 0): np.vstack([np.zeros((4, 8)), ABOVE[::-1]]),
    (0, -1): np.hstack([LEFT, np.zeros((8, 4))]),
    (0, 1): np.hstack([np.zeros((8, 4)), LEFT[:, ::-1]]),
}


def plainly(plane, field, used, block):
    """Vectors in whole pixels of the plane."""
    h, w = used.shape
    result = np.empty_like(plane)

    def found(y, x, vector):
        at = [int(np.clip(p + v, 0, n - 1)) for p, v, n in zip((y, x), vector[::-1], plane.shape)]
        return plane[tuple(at)]

    k = 8 // block
    for y, x in np.ndindex(plane.shape):
        r, c, own = y // block, x // block, 8.0
        value = 0.0
        for (down, right), eighths in SIDES.items():
            share = eighths[y % block * k :, x % block * k :][:k, :k].mean()
            inside = 0 <= r + down < h and 0 <= c + right < w
            if inside and used[r, c] and used[r + down, c + right]:
                value += share * found(y, x, field[r + down, c + right])
                own -= share
        result[y, x] = (value + own * found(y, x, field[r, c])) / 8
    return result


@pytest.mark.parametrize("block", [8, 4])
def test_blocks_overlap_as_in_h263(block):
    rng = np.random.default_rng(block)
    h, w = 4, 6
    planes = rng.random((2, 1, h * block, w * block)).astype(np.float32)
    pixels = rng.integers(-3, 4, (2, h, w, 2)) * (rng.random((2, h, w, 1)) < 0.7)
    used = rng.random((2, h, w)) < 0.8
    field = torch.from_numpy(pixels * 4 * 8 // block).to(torch.int16)
    source = torch.from_numpy(planes)
    blended = Edges.of(field, torch.from_numpy(used)).blend(warped_blocks(source, field), source)
    blended = from_blocks(blended, h * block, w * block)
    for n in range(2):
        expected = plainly(planes[n, 0], pixels[n], used[n], block)
        np.testing.assert_allclose(blended[n, 0].numpy(), expected, atol=1e-5)


def test_what_moves_as_one_is_as_without_overlap():
    source, field = torch.rand(1, 2, 16, 24), torch.full((1, 4, 6, 2), 5, dtype=torch.int16)
    moved = warped_blocks(source, field)
    assert Edges.of(field, torch.ones(1, 4, 6, dtype=torch.bool)).blend(moved, source) is moved
    other = field.clone()
    other[0, 0, 0] = 0
    unused = torch.ones(1, 4, 6, dtype=torch.bool)
    unused[0, 0, 0] = False
    assert Edges.of(other, unused).blend(moved, source) is moved
