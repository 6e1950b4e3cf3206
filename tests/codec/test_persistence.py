"""How long a picture lives."""

import numpy as np
import pytest

from vqc.persistence import MOST, Leap, frames_served, kept, worth

RNG = np.random.default_rng(7)
TEXTURE = RNG.integers(0, 256, (64, 96), dtype=np.uint8)
STILL = np.zeros((8, 12, 2), np.int16)


def test_a_still_picture_serves_all_frames_and_is_worth_most():
    leap = Leap(TEXTURE, TEXTURE, STILL, 4)
    assert kept(leap) == 1
    assert frames_served([leap, leap], 31) == 31
    assert worth(31) == worth(1000) == MOST


def test_motion_keeps_what_it_finds():
    moved = np.roll(TEXTURE, (2, -3), (0, 1))
    field = np.broadcast_to(np.array([12, -8], np.int16), STILL.shape)
    assert kept(Leap(TEXTURE, moved, field, 1)) > 0.85  # all but the borders
    assert kept(Leap(TEXTURE, moved, STILL, 1)) < 0.2


def test_a_picture_that_is_gone_at_once_or_stands_alone_is_worth_no_more_than_another():
    other = RNG.integers(0, 256, TEXTURE.shape, dtype=np.uint8)
    assert worth(frames_served([Leap(TEXTURE, other, STILL, 1)], 31)) == 0
    assert worth(frames_served([], 0)) == 0


@pytest.mark.parametrize("span", [1, 2, 4])
def test_what_is_kept_counts_for_each_frame_of_a_leap(span):
    noisy = np.clip(TEXTURE + RNG.normal(0, 25, TEXTURE.shape), 0, 255).astype(np.uint8)
    part = kept(Leap(TEXTURE, noisy, STILL, span))
    assert 0.3 < part < 0.9
    rate = part ** (1 / span)
    assert frames_served([Leap(TEXTURE, noisy, STILL, span)], 8) == pytest.approx(sum(rate**k for k in range(1, 9)))
