"""Pixels: what it takes, what it refuses, and how it turns."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from vqc.pixels import Pixels


def counted(height=3, width=4, channels=3, dtype=np.uint8):
    return np.arange(height * width * channels, dtype=dtype).reshape(height, width, channels)


def test_sizes_are_named():
    pixels = Pixels(counted(dtype=np.uint16), alpha=np.zeros((3, 4), np.uint16))
    assert (pixels.width, pixels.height, pixels.channels, pixels.depth) == (4, 3, 3, 16)
    assert pixels.interleaved.shape == (3, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"colour": counted().astype(np.float32)}, TypeError, "float32"),
        ({"colour": counted().astype(np.int16)}, TypeError, "int16"),
        ({"colour": [[1]]}, TypeError, "list"),
        ({"colour": counted(channels=2)}, ValueError, "shape"),
        ({"colour": counted()[..., 0]}, ValueError, "shape"),
        ({"colour": np.zeros((0, 4, 3), np.uint8)}, ValueError, "4x0"),
        ({"colour": counted(), "alpha": np.zeros((3, 4), np.uint16)}, ValueError, "alpha"),
        ({"colour": counted(), "alpha": np.zeros((4, 3), np.uint8)}, ValueError, "alpha"),
        ({"colour": counted(), "metadata": {"iptc": b"x"}}, ValueError, "iptc"),
        ({"colour": counted(), "metadata": {"icc": b""}}, ValueError, "icc"),
        ({"colour": counted(), "metadata": {"xmp": "text"}}, ValueError, "xmp"),
        ({"colour": counted(), "orientation": 0}, ValueError, "orientation"),
        ({"colour": counted(), "orientation": 9}, ValueError, "orientation"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        Pixels(**arguments)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_turns_as_pillow_does(orientation):
    colour = counted()
    image = Image.fromarray(colour)
    image.getexif()[0x0112] = orientation
    turned = Pixels(colour, colour[..., 0].copy(), orientation=orientation).upright()
    expected = np.asarray(ImageOps.exif_transpose(image))
    assert turned.orientation == 1
    np.testing.assert_array_equal(turned.colour, expected)
    np.testing.assert_array_equal(turned.alpha, expected[..., 0])


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=50))
def test_eight_bits_are_the_nearest(values):
    colour = np.array(values, np.uint16).reshape(1, -1, 1)
    narrowed = Pixels(colour).eight_bit().colour
    assert narrowed.dtype == np.uint8
    assert np.abs(narrowed.astype(int) * 257 - colour).max() <= 128


def test_stripped_keeps_the_orientation():
    stripped = Pixels(counted(), metadata={"icc": b"profile"}, orientation=6).stripped()
    assert (stripped.metadata, stripped.orientation) == ({}, 6)
