"""Unless told otherwise, the last frames of a long group are as good as the first predicted ones."""

import io

import numpy as np
import pytest
import torch

import vqc
from vqc.bitstream import Reader
from vqc.held_quality import BEGIN, GAIN, MARGIN, MOST, HeldQuality
from vqc.models.video_net import Reference
from vqc.video import Frame
from vqc.video_payload import unpack_group

FRAMES = 96


def scene():
    """A texture that is covered, from frame to frame, by another that moves."""
    rng = np.random.default_rng(5)
    still, moving = (128 + 50 * np.sin(rng.normal(0, 1, (64, 96)).cumsum(0).cumsum(1) / 6) for _ in range(2))
    for t in range(FRAMES):
        y = np.where(np.arange(96) < t * 1.3, np.roll(moving, t, 1), still)
        uv = np.stack([y[::2, ::2], 255 - y[::2, ::2]]) / 2 + 64
        yield Frame(y.round().astype(np.uint8), uv.round().astype(np.uint8), t)


def quality_of(data):
    pairs = zip(scene(), vqc.decode(data), strict=True)
    return [10 * np.log10(255**2 / np.mean((a.y.astype(float) - b.y) ** 2)) for a, b in pairs]


def raises_of(data):
    reader = Reader(io.BytesIO(data))
    return [unpack_group(segment, reader.header).raises for segment in reader.segments()]


@pytest.fixture(scope="module")
def coded():
    return [vqc.encode(scene(), fps=25, quality=30, group=FRAMES, steady=steady) for steady in (False, True)]


def test_quality_of_a_long_group_is_held(coded):
    usual, steady = (np.mean(psnr[-10:]) - np.mean(psnr[1:11]) for psnr in map(quality_of, coded))
    assert usual < -1 and steady > usual / 2
    assert raises_of(coded[0]) == [()] and max(raises_of(coded[1])[0]) > 0


def test_groups_of_the_usual_length_are_left_alone():
    usual, steady = (vqc.encode(scene(), fps=25, quality=30, steady=steady) for steady in (False, True))
    assert usual == steady


def test_what_makes_up_for_a_loss_grows_until_it_is_made_up_for_and_is_bounded():
    held, y, uv = HeldQuality(), torch.full((1, 1, 16, 16), 0.5), torch.full((1, 2, 8, 8), 0.5)

    def decoded(decibels):
        error = 10 ** (-decibels / 20)
        return Reference(y + error, uv + error, y, y)

    for _ in range(BEGIN // 4):
        held.saw(y, uv, decoded(40), 4)
    assert held.raised == round(GAIN * MARGIN)
    for worse in (39, 38):
        before = held.raised
        held.saw(y, uv, decoded(worse), 4)
        assert held.raised == before + round(GAIN * (40 - worse + MARGIN))
    for _ in range(20):
        held.saw(y, uv, decoded(30), 4)
    assert held.raised == MOST
    for _ in range(99):
        held.saw(y, uv, decoded(50), 4)
    assert held.raised == 0
