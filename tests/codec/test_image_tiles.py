"""Windows and tilings: every latent in exactly one tile, neighbours found, whatever the size."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vqc.image_tiles import HALO, PATCH, Tiling, Window

sizes = st.integers(1, 700)


@given(sizes, sizes, st.integers(4, 8))
def test_tiles_cover_every_latent_once(height, width, log2_side):
    tiling = Tiling(height, width, log2_side)
    whole = tiling.latents
    seen = np.zeros((whole.height, whole.width), int)
    for number in range(tiling.count):
        seen[tiling.window(number).slices(whole)] += 1
    assert (seen == 1).all()
    assert whole.height * PATCH - height in range(PATCH) and whole.width * PATCH - width in range(PATCH)


@given(sizes, sizes, st.integers(4, 7), st.data())
def test_touching_finds_exactly_the_tiles_that_share_latents(height, width, log2_side, data):
    tiling = Tiling(height, width, log2_side)
    top = data.draw(st.integers(0, tiling.latents.bottom - 1))
    left = data.draw(st.integers(0, tiling.latents.right - 1))
    bottom = data.draw(st.integers(top + 1, tiling.latents.bottom))
    right = data.draw(st.integers(left + 1, tiling.latents.right))
    window = Window(top, bottom, left, right)
    expected = [n for n in range(tiling.count) if tiling.window(n).intersection(window) is not None]
    assert tiling.touching(window) == expected


@given(sizes, sizes)
def test_a_grown_window_stays_inside(height, width):
    whole = Tiling(height, width, 5).latents
    grown = Tiling(height, width, 5).window(0).grown(HALO, whole)
    assert grown.grown(0, whole) == grown


def test_windows_apart_share_nothing():
    assert Window(0, 4, 0, 4).intersection(Window(4, 8, 0, 4)) is None
    assert Window(0, 4, 0, 4).intersection(Window(3, 8, 2, 9)) == Window(3, 4, 2, 4)
