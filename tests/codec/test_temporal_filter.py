"""Noise of first pictures is taken out, and nothing else."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import vqc
from vqc import video_encoding
from vqc.planes import join, split
from vqc.temporal_filter import REACH, filtered
from vqc.video import Frame

RNG = np.random.default_rng(11)
H, W = 64, 96
_ROUGH = torch.from_numpy(RNG.random((1, 3, (H + 64) // 8, (W + 64) // 8)))
TEXTURE = 20 + 200 * F.interpolate(_ROUGH, scale_factor=8, mode="bicubic")[0].numpy()
STILL = np.zeros((H // 8, W // 8, 2), np.int16)


def frame(shift=(0, 0), noise=0.0, lighter=0.0):
    """A frame (3/2 H, W) uint8 of a scene that has moved by (x, y) pixels, even ones."""
    y, x = 32 - shift[1], 32 - shift[0]
    luma = TEXTURE[:1, y : y + H, x : x + W]
    chroma = TEXTURE[1:, y // 2 : y // 2 + H // 2, x // 2 : x // 2 + W // 2]
    whole = join(luma, chroma) + lighter
    return np.clip(whole + RNG.normal(0, noise, whole.shape) if noise else whole, 0, 255).round().astype(np.uint8)


def error(one, other):
    return np.square(one.astype(float) - other).mean()


@pytest.mark.parametrize("shift", [(0, 0), (2, 0), (-4, 2)])
@pytest.mark.parametrize("quality", [0, 1000])
def test_noise_is_taken_out_of_what_stands_still_and_what_moves(shift, quality):
    moving = [frame((shift[0] * k, shift[1] * k), noise=4) for k in range(REACH + 1)]
    field = STILL - np.array([4 * shift[0], 4 * shift[1]], np.int16)  # where the frame after finds it
    result = filtered(moving[0], moving[1:], field, 1, quality)
    for part, clean, noisy in zip(split(result), split(frame()), split(moving[0])):
        assert error(part, clean) < (0.6 if any(shift) else 0.3) * error(noisy, clean)  # some of it leaves the frame


def test_motion_is_found_without_being_told():
    moving = [frame((2 * k, 0), noise=4) for k in range(4)]
    assert error(filtered(moving[0], moving[1:], STILL, 4, 500), frame()) < 0.6 * error(moving[0], frame())


def test_what_later_frames_do_not_show_stays_as_it_is():
    other = [RNG.integers(0, 256, (H * 3 // 2, W), dtype=np.uint8) for _ in range(REACH)]
    picture = frame(noise=4)
    assert (filtered(picture, other, STILL, 4, 500) != picture).mean() < 0.01  # flat blocks are like others
    assert (filtered(picture, [], STILL, 1, 500) == picture).all()


def test_frames_that_are_all_alike_are_left_alone():
    """In which no block needs a better vector."""
    picture = frame()
    assert (filtered(picture, [picture] * REACH, STILL, 4, 500) == picture).all()


def test_what_is_covered_later_leaves_no_ghost():
    """From the next frame on, the right third is another scene."""
    picture, later = frame(noise=4), [frame(noise=4) for _ in range(REACH)]
    for planes in later:
        for part in split(planes):
            part[..., part.shape[-1] * 2 // 3 :] = RNG.integers(0, 256, (*part.shape[:2], part.shape[-1] // 3))
    result = filtered(picture, later, STILL, 1, 0)
    for part, own, clean in zip(split(result), split(picture), split(frame())):
        edge = part.shape[-1] * 2 // 3
        assert error(part[..., edge:], clean[..., edge:]) < 1.02 * error(own[..., edge:], clean[..., edge:])
        assert error(part[..., :edge], clean[..., :edge]) < 0.45 * error(own[..., :edge], clean[..., :edge])


def test_a_scene_that_grows_lighter_keeps_its_light():
    fading = [frame(lighter=3 * k) for k in range(REACH + 1)]
    assert np.abs(filtered(fading[0], fading[1:], STILL, 4, 0).astype(int) - fading[0]).max() <= 1


@pytest.mark.parametrize("begin", [0, 6])
def test_a_fade_leaves_no_trace_of_what_comes(begin):
    """Else a black picture shows what there will be."""
    fading = [np.rint((frame().astype(float) - 16) * (begin + k) / 16 + 16).astype(np.uint8) for k in range(REACH + 1)]
    assert error(filtered(fading[0], fading[1:], STILL, 4, 0), fading[0]) < 1.5


def test_a_noisy_scene_takes_fewer_bits_and_is_better(monkeypatch):
    frames = [Frame(split(one)[0][0], split(one)[1], t) for t, one in enumerate(frame(noise=4) for _ in range(16))]

    def coded():
        data = vqc.encode(frames, fps=25, quality=60)
        pairs = zip(frames, vqc.decode(data), strict=True)
        return len(data), np.mean([error(before.y, after.y) for before, after in pairs])

    size, distortion = coded()
    monkeypatch.setattr(video_encoding, "filtered", lambda planes, *_: planes)
    usual_size, usual_distortion = coded()
    assert size < 0.97 * usual_size and distortion < usual_distortion
