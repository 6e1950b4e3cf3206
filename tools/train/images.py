"""Training photographs in memory, and random augmented crops of them."""

from __future__ import annotations

import os
import random
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MOST_THREADS = 14  # as many as an H100 has been fed by
EXTENSIONS = {".avif", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"}


def list_images(folder: Path) -> list[Path]:
    """Image files below `folder`, sorted by path; raises FileNotFoundError when there are none."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    if not files:
        raise FileNotFoundError(f"no images below {folder}")
    return files


def load_images(files: list[Path]) -> list[Image.Image]:
    """Decodes all files to RGB in parallel; 264 megapixels take 0.8 GB."""

    def load(path: Path) -> Image.Image:
        with Image.open(path) as image:
            return image.convert("RGB")

    with ThreadPoolExecutor() as pool:
        return list(pool.map(load, files))


def random_crop(image: Image.Image, size: int, rng: random.Random) -> np.ndarray:
    """A random square crop, shrunk 1 to 2 times to (size, size, 3), flipped and turned at random; uint8."""
    largest = min(image.size) / size
    scale = rng.uniform(1.0, max(1.0, min(2.0, largest))) if rng.random() < 0.7 else 1.0
    side = min(size * scale, *image.size)
    left, top = rng.uniform(0, image.width - side), rng.uniform(0, image.height - side)
    if side == size:  # whole pixels: no resampling
        left, top = round(left), round(top)
        crop = image.crop((left, top, left + size, top + size))
    else:
        crop = image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    pixels = np.rot90(np.asarray(crop), rng.randrange(4))
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels


class CropLoader:
    """Endless batches (B, 3, size, size) uint8, made in threads ahead of their use: one on a machine of few cores."""

    def __init__(self, images: list[Image.Image], batch: int, size: int, seed: int) -> None:
        self.images, self.batch, self.size = images, batch, size
        self.seeds = random.Random(seed)
        threads = min(max((os.cpu_count() or 1) - 2, 1), MOST_THREADS)
        self.pool = ThreadPoolExecutor(threads)
        self.pending = deque(self._begin() for _ in range(threads))

    def _begin(self) -> Future[Tensor]:
        return self.pool.submit(self._make, random.Random(self.seeds.getrandbits(64)))

    def _make(self, rng: random.Random) -> Tensor:
        crops = [random_crop(rng.choice(self.images), self.size, rng) for _ in range(self.batch)]
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()

    def __next__(self) -> Tensor:
        self.pending.append(self._begin())
        return self.pending.popleft().result()
