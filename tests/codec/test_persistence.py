"""How long a picture lives."""

import itertools

import numpy as np
import pytest

from vqc.persistence import LEAST, MOST, Leap, block_worths, blocks_served, frames_served, worth

RNG = np.random.default_rng(7)
TEXTURE = RNG.integers(0, 256, (64, 96), dtype=np.uint8)
STILL = np.zeros((8, 12, 2), np.int16)


def test_a_still_picture_serves_all_frames_and_is_worth_most():
    leap = Leap(TEXTURE, TEXTURE, STILL, 4)
    assert leap.kept() == 1
    assert frames_served([leap, leap], 31) == 31
    assert worth(31) == worth(1000) == MOST


def test_motion_keeps_what_it_finds():
    moved = np.roll(TEXTURE, (2, -3), (0, 1))
    field = np.broadcast_to(np.array([12, -8], np.int16), STILL.shape)
    assert Leap(TEXTURE, moved, field, 1).kept() > 0.85  # all but the borders
    assert Leap(TEXTURE, moved, STILL, 1).kept() < 0.2


def test_a_picture_that_is_gone_at_once_or_stands_alone_is_worth_least():
    other = RNG.integers(0, 256, TEXTURE.shape, dtype=np.uint8)
    assert worth(frames_served([Leap(TEXTURE, other, STILL, 1)], 31)) == LEAST
    assert worth(frames_served([], 0)) == LEAST
    assert (block_worths(np.zeros((4, 6))) == 1).all()


@pytest.mark.parametrize("span", [1, 2, 4])
def test_what_is_kept_counts_for_each_frame_of_a_leap(span):
    noisy = np.clip(TEXTURE + RNG.normal(0, 25, TEXTURE.shape), 0, 255).astype(np.uint8)
    part = Leap(TEXTURE, noisy, STILL, span).kept()
    assert 0.3 < part < 0.9
    rate = part ** (1 / span)
    assert frames_served([Leap(TEXTURE, noisy, STILL, span)], 8) == pytest.approx(sum(rate**k for k in range(1, 9)))


def test_blocks_that_stay_serve_more_than_those_that_go():
    """The left half stands still; on the right, each frame is another."""
    frames = [TEXTURE]
    for _ in range(2):
        other = RNG.integers(0, 256, TEXTURE.shape, dtype=np.uint8)
        frames.append(np.where(np.arange(96) < 48, TEXTURE, other).astype(np.uint8))
    leaps = [Leap(before, after, STILL, 4) for before, after in itertools.pairwise(frames)]
    served = blocks_served(leaps, 8)
    assert np.allclose(served[:, :6], 8) and (served[:, 6:] < 1).all()
    worths = block_worths(served)
    assert worths[:, :6].min() > 2 * worths[:, 6:].max()
    assert np.log(worths).mean() == pytest.approx(0, abs=1e-6)


def test_what_a_block_serves_follows_the_motion():
    """All that the frame after has is found two blocks to the right in the frame before, beyond its border only the border."""
    field = np.broadcast_to(np.array([64, 0], np.int16), STILL.shape)
    moved = np.roll(TEXTURE, -16, 1)
    served = Leap(TEXTURE, moved, field, 1).served(np.zeros((8, 12)))
    assert np.allclose(served[:, :2], 0) and np.allclose(served[:, 2:11], 1)
