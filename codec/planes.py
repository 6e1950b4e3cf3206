"""Frames in 4:2:0 as PyAV lays them out, one array (3/2 height, width), and their planes apart."""

from __future__ import annotations

import numpy as np


def split(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames (..., 3/2 H, W), H and W even, to y (..., 1, H, W) and uv (..., 2, H/2, W/2)."""
    *lead, rows, width = frames.shape
    height = rows * 2 // 3
    return frames[..., None, :height, :], frames[..., height:, :].reshape(*lead, 2, height // 2, width // 2)


def join(y: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """The inverse of `split`."""
    height, width = y.shape[-2:]
    return np.concatenate([y[..., 0, :, :], uv.reshape(*uv.shape[:-3], height // 2, width)], axis=-2)
