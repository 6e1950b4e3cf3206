from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def drawn(seed: int, width: int = 192, height: int = 176) -> np.ndarray:
    """A picture (H, W, 3) uint8 with slopes, edges and texture, so that every codec has something to do."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 32
    planes = []
    for _ in range(3):
        a, b, c = rng.uniform(0.3, 2.0, 3)
        smooth = 90 + 60 * np.sin(a * x + b * y) + 25 * np.cos(c * x * y / 4)
        planes.append(smooth)
    picture = np.stack(planes, axis=2)
    for _ in range(12):
        left, top = rng.integers(0, width - 20), rng.integers(0, height - 20)
        picture[top : top + rng.integers(8, 60), left : left + rng.integers(8, 60)] += rng.uniform(-60, 60, 3)
    picture += rng.normal(0, 5, (height, width, 1)) + rng.normal(0, 2, picture.shape)
    return picture.clip(0, 255).round().astype(np.uint8)


@pytest.fixture
def draw() -> Callable[..., np.ndarray]:
    """`drawn`, for tests that want pictures of their own."""
    return drawn


@pytest.fixture
def picture() -> np.ndarray:
    return drawn(0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four drawn pictures."""
    place = tmp_path / "pictures"
    place.mkdir()
    for seed in range(4):
        Image.fromarray(drawn(seed)).save(place / f"drawn{seed}.png")
    return place
