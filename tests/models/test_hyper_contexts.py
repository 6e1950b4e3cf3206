"""Tables of hyper-latents follow from depth, quality and what is known of each place, as a plain loop finds."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from vqc.models.hyper_contexts import SETS, enhancement_set, hyper_sets
from vqc.models.motion_coding import Surprise


@given(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(0, 4), st.integers(0, 1000), st.integers(0, 2**32 - 1)
)
def test_sets_are_those_that_a_loop_finds(n, h, w, depth, quality, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 2, (n, 2 * h, 2 * w, 96)) * rng.integers(0, 2, (n, 2 * h, 2 * w, 1)) * (rng.random(96) < 0.03)
    known = (rng.random(n) < 0.7).tolist()
    surprise = Surprise(*(rng.integers(0, 2, (n, h, w)) * rng.integers(0, 99, (n, h, w)) for _ in range(2)))
    found = hyper_sets(depth, quality, torch.from_numpy(sizes).float(), known, surprise)
    assert found.shape == (n, -(-h // 2), -(-w // 2)) and found.max() < math.prod(SETS)
    for frame, row, column in np.ndindex(found.shape):
        cell = np.s_[frame, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        squares = np.s_[frame, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        count = np.count_nonzero(sizes[cell])
        told = 0 if not known[frame] else 1 if count == 0 else 2 if count <= 8 else 3
        moved = surprise.squares[squares].any() or surprise.blocks[squares].any()
        assert found[frame, row, column] == ((min(depth, 2) * 4 + min(quality // 200, 3)) * 4 + told) * 2 + moved


def test_enhancements_have_sets_of_their_own():
    sets = {enhancement_set(quality) for quality in range(1001)}
    assert sets == {96, 104, 112, 120} and max(sets) < math.prod(SETS)


def test_a_still_scene_is_not_taken_for_one_that_nothing_is_known_of():
    """Found in review: both had the same tables, so that still frames cost 0.5 bits for each hyper-latent position."""
    none = Surprise(np.zeros((1, 2, 2), int), np.zeros((1, 2, 2), int))
    still, unknown = (hyper_sets(1, 300, torch.zeros(1, 4, 4, 96), [known], none) for known in (True, False))
    assert (still != unknown).all()
