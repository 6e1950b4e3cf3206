"""Measures of quality between an original and a decoded picture, both (H, W, 3) uint8 as stored, taken for sRGB.

Every measure gives one number per picture; the mean over pictures is the arithmetic mean of those numbers (of dB for PSNR).
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image

from .medium import Metric

# pytorch-msssim halves the picture four times and then needs more than its window of 11.
MS_SSIM_SIDE = 161


def psnr(original: np.ndarray, decoded: np.ndarray) -> float:
    """Peak signal-to-noise ratio over RGB in dB: 10 log10(255^2 / MSE), one squared error mean over all pixels and all three
    colours. Infinite for equal pictures."""
    difference = original.astype(np.float32) - decoded
    # Squares of 8-bit differences are whole numbers below 2^16: float32 holds them, and the sum is made in float64.
    return _decibel(float(np.mean(difference * difference, dtype=np.float64)))


def psnr_y(original: np.ndarray, decoded: np.ndarray) -> float:
    """PSNR over luma in dB: Y' = 0.299 R' + 0.587 G' + 0.114 B' (BT.601, as in JPEG), full range 0..255, not rounded."""
    difference = (original.astype(np.float32) - decoded) @ np.array((0.299, 0.587, 0.114), np.float32)
    return _decibel(float(np.mean(difference * difference, dtype=np.float64)))


def ms_ssim(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """Multi-scale structural similarity, 0..1 (Wang, Simoncelli, Bovik 2003): on R', G', B' in 0..255 each by itself, Gaussian
    window of 11 with sigma 1.5 without padding, K1 0.01, K2 0.03, five scales halved by 2x2 means, exponents of the paper;
    mean over pixels, then product over scales, then mean over the three colours. None for pictures with a side below 161.
    """
    from pytorch_msssim import ms_ssim as compute

    if min(original.shape[:2]) < MS_SSIM_SIDE:
        return None
    with torch.inference_mode():
        return float(compute(_planes(original), _planes(decoded), data_range=255))


def ssimulacra2(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """SSIMULACRA 2 (libjxl, version 2.1): sRGB taken to linear light and then to XYB with B - Y for B, six scales halved in
    linear light, structure and edge maps averaged in the 1- and 4-norm; 100 is equal, 90 hard to tell apart, 30 poor; below
    zero possible. Blurred at the borders as the package `ssimulacra2` does it, mirrored along one axis and black along the
    other. None for pictures with a side below 8, which the definition leaves out.
    """
    from ssimulacra2 import compute_ssimulacra2

    if min(original.shape[:2]) < 8:
        return None
    return float(compute_ssimulacra2(_ppm(original), _ppm(decoded)))


def _decibel(mse: float) -> float:
    return 10 * math.log10(255**2 / mse) if mse else math.inf


def similarity_decibel(value: float) -> float:
    """-10 log10(1 - value), as published plots of MS-SSIM have it."""
    return -10 * math.log10(1 - value) if value < 1 else math.inf


METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr", "psnr-rgb", "PSNR over RGB", "dB", psnr),
        Metric("psnr-y", "psnr-y", "PSNR over luma", "dB", psnr_y),
        Metric("ms-ssim", "ms-ssim-rgb", "MS-SSIM over RGB, -10 log10(1 - x)", "dB", ms_ssim, similarity_decibel),
        Metric("ssimulacra2", "ssimulacra2", "SSIMULACRA 2", "points", ssimulacra2),
    )
}


def _planes(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in 0..255."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32))[None]


def _ppm(image: np.ndarray) -> io.BytesIO:
    """The package takes files only; PPM costs next to nothing."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PPM")
    file.seek(0)
    return file
