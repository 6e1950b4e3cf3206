"""Measures of video against sums written here from their definitions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage

from vqc.tools.rd.video_metrics import Film, frame_psnr, ms_ssim, psnr_y, psnr_yuv, ssim


@pytest.fixture
def films(draw):
    """A film of three frames and a damaged one."""
    planes = [np.concatenate([draw(seed, 176, 176)[..., 0], draw(seed + 9, 176, 88)[..., 0]]) for seed in range(3)]
    frames = np.stack(planes)
    noise = np.random.default_rng(0).normal(0, 1, frames.shape) * np.array([2, 6, 12])[:, None, None]
    return Film(frames, Fraction(25)), Film((frames + noise).clip(0, 255).round().astype(np.uint8), Fraction(25))


def test_yuv_psnr_is_that_of_exact_arithmetic(films):
    one, other = films

    def plane(a, b):
        error = int(((a.astype(np.int64) - b.astype(np.int64)) ** 2).sum())
        return 10 * math.log10(Fraction(255**2 * a.size, error))

    expected, luma = [], []
    for a, b in zip(one.frames, other.frames):
        y = plane(a[:176], b[:176])
        # U is the first quarter of what follows luma in memory, V the second.
        u, v = (plane(a[176:].ravel()[part], b[176:].ravel()[part]) for part in (slice(7744), slice(7744, None)))
        luma.append(y)
        expected.append((6 * y + u + v) / 8)
    assert frame_psnr(one, other) == pytest.approx(expected, abs=1e-6)
    assert psnr_yuv(one, other) == pytest.approx(np.mean(expected), abs=1e-6)
    assert psnr_y(one, other) == pytest.approx(np.mean(luma), abs=1e-6)


def test_equal_planes_have_100_decibel(films):
    one, _ = films
    assert psnr_yuv(one, one) == psnr_y(one, one) == 100
    changed = one.frames.copy()
    changed[1, 176:] ^= 1
    assert frame_psnr(one, Film(changed, one.rate)) == pytest.approx([100, (600 + 2 * 20 * math.log10(255)) / 8, 100])


def similarity(a, b, scales):
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(x):
        return ndimage.correlate1d(ndimage.correlate1d(x, window, axis=0), window, axis=1)[5:-5, 5:-5]

    a, b, product = a.astype(float), b.astype(float), 1.0
    for place, weight in enumerate(scales):
        mu_a, mu_b = mean(a), mean(b)
        c1, c2 = 2.55**2, 7.65**2
        contrast = (2 * (mean(a * b) - mu_a * mu_b) + c2) / (mean(a * a) - mu_a**2 + mean(b * b) - mu_b**2 + c2)
        light = (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1)
        product *= (contrast * light if place == len(scales) - 1 else contrast).mean() ** weight
        if place < len(scales) - 1:
            a, b = (x.reshape(len(x) // 2, 2, -1, 2).mean(axis=(1, 3)) for x in (a, b))
    return product


@pytest.mark.parametrize(("measure", "scales"), [(ssim, (1,)), (ms_ssim, (0.0448, 0.2856, 0.3001, 0.2363, 0.1333))])
def test_similarity_of_luma_is_that_of_its_definition(films, measure, scales):
    one, other = films
    expected = np.mean([similarity(a[:176], b[:176], scales) for a, b in zip(one.frames, other.frames)])
    assert measure(one, other) == pytest.approx(expected, abs=2e-5)


def test_small_films_have_no_similarity():
    tiny = Film(np.zeros((1, 15, 10), np.uint8), Fraction(25))
    assert ssim(tiny, tiny) is None and ms_ssim(tiny, tiny) is None
