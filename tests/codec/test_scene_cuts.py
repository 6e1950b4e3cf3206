"""Scenes: cuts are found, motion and noise are none, and a group begins where a scene does."""

import itertools

import numpy as np
import pytest

from vqc.scene_cuts import SceneCuts
from vqc.video import Frame


def frames(seed, count, shift=2, size=(96, 128), noise=3):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (size[0] // 8 + 1, size[1] // 8 + 40)).astype(np.uint8)
    picture = small.repeat(8, 0).repeat(8, 1)
    for t in range(count):
        y = picture[: size[0], t * shift : t * shift + size[1]] * 0.9 + rng.integers(0, noise, size)
        yield Frame(y.astype(np.uint8), np.full((2, -(-size[0] // 2), -(-size[1] // 2)), 128, np.uint8), t)


def cuts(sequence):
    begins = SceneCuts()
    return [number for number, frame in enumerate(sequence) if begins(frame)]


@pytest.mark.parametrize("shift", [0, 2, 12])
def test_a_scene_that_moves_has_no_cut(shift):
    assert cuts(frames(1, 20, shift)) == [0]


def test_cuts_are_found():
    assert cuts(itertools.chain(frames(1, 9), frames(2, 5), frames(3, 1), frames(4, 7))) == [0, 9, 14, 15]


def test_a_cut_to_a_scene_that_moves_fast_is_not_followed_by_many():
    assert cuts(itertools.chain(frames(1, 9), frames(2, 9, 12))) in ([0, 9], [0, 9, 10])


@pytest.mark.parametrize("size", [(1, 1), (15, 40), (16, 16), (17, 33)])
def test_any_size(size):
    assert cuts(frames(1, 3, 0, size)) == [0]
