"""Every metric against an implementation written here from its definition."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage

from vqc.tools.rd.picture_metrics import METRICS, ms_ssim, psnr, psnr_y, similarity_decibel, ssimulacra2


def damaged(image: np.ndarray, strength: float, seed: int = 1) -> np.ndarray:
    """Blurred and noisy."""
    rng = np.random.default_rng(seed)
    blurred = ndimage.gaussian_filter(image.astype(float), (strength, strength, 0))
    return (blurred + rng.normal(0, 4 * strength, image.shape)).clip(0, 255).round().astype(np.uint8)


def test_psnr_is_that_of_exact_arithmetic(picture):
    other = damaged(picture, 0.8)
    error = sum((int(a) - int(b)) ** 2 for a, b in zip(picture.ravel(), other.ravel()))
    assert psnr(picture, other) == pytest.approx(10 * math.log10(Fraction(65025 * picture.size, error)), abs=1e-9)


def test_psnr_of_equal_pictures_is_infinite(picture):
    assert psnr(picture, picture.copy()) == math.inf


def test_psnr_of_luma_weighs_the_colours(picture):
    other = picture.copy()
    other[..., 1] = np.where(other[..., 1] < 250, other[..., 1] + 5, other[..., 1] - 5)
    assert psnr_y(picture, other) == pytest.approx(20 * math.log10(255 / (0.587 * 5)), abs=1e-3)


def plain_ms_ssim(one: np.ndarray, other: np.ndarray) -> float:
    """After Wang, Simoncelli and Bovik (2003), with scipy in float64: only windows wholly inside the picture, scales halved by
    the mean of 2x2, an odd last row or column joined by a zero one as pytorch-msssim's padded pooling has it."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(x):
        return ndimage.correlate1d(ndimage.correlate1d(x, window, axis=0), window, axis=1)[5:-5, 5:-5]

    values = []
    for channel in range(3):
        a, b = one[..., channel].astype(float), other[..., channel].astype(float)
        product = 1.0
        for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
            mu_a, mu_b = mean(a), mean(b)
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            contrast = (2 * (mean(a * b) - mu_a * mu_b) + c2) / (mean(a * a) - mu_a**2 + mean(b * b) - mu_b**2 + c2)
            light = (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1)
            product *= max((contrast * light if scale == 4 else contrast).mean(), 0) ** weight
            a, b = (x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean(axis=(1, 3)) if scale < 4 else x for x in (a, b))
        values.append(product)
    return float(np.mean(values))


@pytest.mark.parametrize("strength", [0.4, 1.0, 2.5])
def test_ms_ssim_is_that_of_its_definition(draw, strength):
    picture = draw(3, 208, 176)
    other = damaged(picture, strength)
    assert ms_ssim(picture, other) == pytest.approx(plain_ms_ssim(picture, other), abs=2e-5)


def test_ms_ssim_is_not_defined_for_small_pictures(draw):
    small = draw(0, 160, 200)
    assert ms_ssim(small, small) is None
    assert ms_ssim(*[draw(0, 161, 200)] * 2) == pytest.approx(1)


def test_ms_ssim_in_decibel():
    assert similarity_decibel(0.99) == pytest.approx(20)
    assert similarity_decibel(1.0) == math.inf


def plain_ssimulacra2(one: np.ndarray, other: np.ndarray) -> float:
    """From the description of SSIMULACRA 2.1, one plane at a time; the trained weights are those of the package."""
    from ssimulacra2.ssimulacra2 import weights

    def linear(image):
        x = image / 255
        return np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0.04045) + 0.055) / 1.055) ** 2.4)

    bias = 0.0037930732552754493
    mixing = np.array([[0.3, 0.622, 0.078], [0.23, 0.692, 0.078], [0.24342268924547819, 0.20476744424496821, 0.0]])
    mixing[2, 2] = 1 - mixing[2].sum()

    def planes(light):
        long, middle, short = np.moveaxis(np.cbrt(light @ mixing.T + bias) - np.cbrt(bias), 2, 0)
        x, y = (long - middle) / 2, (long + middle) / 2
        return 14 * x + 0.42, y + 0.01, short - y + 0.55

    def blurred(plane):
        # Along columns of the file there is darkness outside the picture; along rows, its mirror image: the package's borders.
        window = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
        window /= window.sum()
        rows = ndimage.correlate1d(np.pad(plane, ((0, 0), (5, 5))), window, axis=1, mode="reflect")[:, 5:-5]
        return ndimage.correlate1d(rows, window, axis=0, mode="reflect")

    def norms(map_):
        return map_.mean(), (map_**4).mean() ** 0.25

    def halved(light):
        return light.reshape(light.shape[0] // 2, 2, light.shape[1] // 2, 2, 3).mean(axis=(1, 3))

    lights = [linear(one), linear(other)]
    scores = np.zeros((3, 6, 2, 3))  # plane, scale, norm, (structure, ringing, blur)
    for scale in range(6):
        if min(lights[0].shape[:2]) < 8:
            scores = scores[:, :scale]
            break
        for number, (a, b) in enumerate(zip(*map(planes, lights))):
            mu_a, mu_b = blurred(a), blurred(b)
            numerator = (1 - (mu_a - mu_b) ** 2) * (2 * (blurred(a * b) - mu_a * mu_b) + 0.0009)
            structure = np.maximum(1 - numerator / (blurred(a * a) - mu_a**2 + blurred(b * b) - mu_b**2 + 0.0009), 0)
            edges = (1 + abs(b - mu_b)) / (1 + abs(a - mu_a)) - 1
            for kind, map_ in enumerate((structure, np.maximum(edges, 0), np.maximum(-edges, 0))):
                scores[number, scale, :, kind] = norms(map_)
        if scale < 5:
            lights = [halved(light) for light in lights]
    total = 0.9562382616834844 * float(weights[: scores.size] @ scores.ravel())
    total = 2.326765642916932 * total - 0.020884521182843837 * total**2 + 6.248496625763138e-05 * total**3
    return 100 - 10 * total**0.6276336467831387 if total > 0 else 100.0


@pytest.mark.parametrize("strength", [0.3, 0.8, 2.0])
def test_ssimulacra2_is_that_of_its_definition(draw, strength):
    picture = draw(5, 256, 192)
    other = damaged(picture, strength)
    assert ssimulacra2(picture, other) == pytest.approx(plain_ssimulacra2(picture, other), abs=0.01)


def test_ssimulacra2_of_equal_pictures_is_100_and_falls_with_damage(picture):
    assert ssimulacra2(picture, picture) == pytest.approx(100)
    scores = [ssimulacra2(picture, damaged(picture, strength)) for strength in (0.3, 0.8, 2.0)]
    assert 100 > scores[0] > scores[1] > scores[2]


def test_tiny_pictures_have_a_psnr_at_least():
    one = np.full((1, 1, 3), 10, np.uint8)
    values = {name: metric.compute(one, one + 1) for name, metric in METRICS.items()}
    assert values["psnr"] == pytest.approx(48.13, abs=0.01)
    assert values["ms-ssim"] is None and values["ssimulacra2"] is None
