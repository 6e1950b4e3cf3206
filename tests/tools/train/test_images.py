"""Crops come in one order, however many threads make them."""

import numpy as np
import torch
from PIL import Image

from vqc.tools.train import images


def test_crops_do_not_depend_on_the_number_of_threads(monkeypatch):
    rng = np.random.default_rng(3)
    pictures = [Image.fromarray(rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)) for _ in range(3)]
    taken = []
    for threads in (1, 5):
        monkeypatch.setattr(images.os, "cpu_count", lambda count=threads + 2: count)
        loader = images.CropLoader(pictures, batch=2, size=64, seed=9)
        taken.append([next(loader) for _ in range(6)])
        loader.pool.shutdown(cancel_futures=True)
    assert all(torch.equal(one, other) for one, other in zip(*taken, strict=True))
    assert taken[0][0].shape == (2, 3, 64, 64) and taken[0][0].dtype == torch.uint8
    assert not torch.equal(taken[0][0], taken[0][1])
