"""Measures of quality between an original and a decoded film, on native YUV 4:2:0 of 8 bits as stored.

Every measure is the arithmetic mean over frames of a number for each frame, and over films the mean of those.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from .medium import Metric
from .picture_metrics import MS_SSIM_SIDE, similarity_decibel

# Of equal planes, whose PSNR is infinite and would be that of every mean.
HIGHEST = 100.0
_BATCH = 16
_WINDOW = 11


@dataclass(frozen=True, eq=False)
class Film:
    """frames: (N, 3 H / 2, W) uint8, planes Y (H, W), U and V (H / 2, W / 2) one after another as FFmpeg's yuv420p has them;
    rate: frames a second."""

    frames: np.ndarray
    rate: Fraction

    @property
    def width(self) -> int:
        return self.frames.shape[2]

    @property
    def height(self) -> int:
        return self.frames.shape[1] * 2 // 3

    def planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Y (N, H, W), U and V (N, H / 2, W / 2)."""
        count, height, width = len(self.frames), self.height, self.width
        chroma = self.frames[:, height:].reshape(count, 2, height // 2, width // 2)
        return self.frames[:, :height], chroma[:, 0], chroma[:, 1]


def frame_psnr(original: Film, decoded: Film) -> np.ndarray:
    """YUV-PSNR (N,) of every frame in dB: (6 Y + U + V) / 8, each 10 log10(255^2 / MSE) of its plane, at most 100 dB (equal
    planes). The weights are those of the JCT-VC tests (Ohm et al. 2012)."""
    y, u, v = (_plane_psnr(*pair) for pair in zip(original.planes(), decoded.planes()))
    return (6 * y + u + v) / 8


def psnr_yuv(original: Film, decoded: Film) -> float:
    """Mean of `frame_psnr` over frames."""
    return float(frame_psnr(original, decoded).mean())


def psnr_y(original: Film, decoded: Film) -> float:
    """PSNR of luma in dB as stored, peak 255, at most 100: mean over frames of those of the frames."""
    return float(_plane_psnr(original.planes()[0], decoded.planes()[0]).mean())


def ssim(original: Film, decoded: Film) -> float | None:
    """Structural similarity of luma, 0..1 (Wang et al. 2004): Gaussian window of 11 with sigma 1.5 without padding, K1 0.01,
    K2 0.03, peak 255, mean over pixels (package pytorch-msssim). None for a side below 11."""
    from pytorch_msssim import ssim as compute

    return None if min(original.height, original.width) < _WINDOW else _mean(compute, original, decoded)


def ms_ssim(original: Film, decoded: Film) -> float | None:
    """Multi-scale structural similarity of luma, 0..1 (Wang, Simoncelli, Bovik 2003): as that of pictures, on luma alone
    (package pytorch-msssim). None for a side below 161."""
    from pytorch_msssim import ms_ssim as compute

    return None if min(original.height, original.width) < MS_SSIM_SIDE else _mean(compute, original, decoded)


def _plane_psnr(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N, H, W) uint8 -> (N,)."""
    errors = [np.mean(np.square(a.astype(np.float32) - b), dtype=np.float64) for a, b in zip(one, other)]
    return np.minimum(10 * np.log10(255**2 / np.maximum(errors, 1e-12)), HIGHEST)


@torch.inference_mode()
def _mean(compute, original: Film, decoded: Film) -> float:
    one, other = original.planes()[0], decoded.planes()[0]
    total = 0.0
    for start in range(0, len(one), _BATCH):
        # Frames as the channels of one picture, each of which is measured by itself: seven times as fast as frames as pictures.
        pair = [torch.from_numpy(y[None, start : start + _BATCH].astype(np.float32)) for y in (one, other)]
        total += float(compute(*pair, data_range=255)) * pair[0].shape[1]
    return total / len(one)


METRICS = {
    metric.name: metric
    for metric in (
        Metric("psnr-yuv", "psnr-yuv", "YUV-PSNR, 6:1:1", "dB", psnr_yuv),
        Metric("psnr-y", "psnr-y", "PSNR over luma", "dB", psnr_y),
        Metric("ms-ssim", "ms-ssim-y", "MS-SSIM over luma, -10 log10(1 - x)", "dB", ms_ssim, similarity_decibel),
        Metric("ssim", "ssim-y", "SSIM over luma, -10 log10(1 - x)", "dB", ssim, similarity_decibel),
    )
}
