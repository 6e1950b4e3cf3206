"""Trains the image model: `python -m vqc.tools.train.image --data FOLDER --run FOLDER --minutes 60`.

Loss per sample: (bpp + lambda * 255^2 * MSE) / sqrt(lambda), lambda drawn with the quality row. The loop stands in loop.py.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vqc.models.image_net import ImageNet, lagrangian
from vqc.models.transform import QUALITY_ROWS
from vqc.tools.train.images import CropLoader, list_images, load_images
from vqc.tools.train.loop import Settings, device_of, parse, train
from vqc.tools.train.restore import load_start


@dataclasses.dataclass
class ImageSettings(Settings):
    """Settings of the image model."""

    crop: int = 256


def load_image(path: Path, device: torch.device) -> torch.Tensor:
    """Image file to (1, 3, H, W) float 0..1, cropped to multiples of 64."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    h, w = (n // 64 * 64 for n in pixels.shape[:2])
    return torch.from_numpy(pixels[:h, :w].copy()).to(device).permute(2, 0, 1)[None].float() / 255


class ImageTask:
    """The image model on random crops of photographs; see loop.Task."""

    def __init__(self, settings: ImageSettings) -> None:
        self.settings, self.device = settings, device_of(settings)
        self.net = ImageNet()
        self.paths = list_images(Path(settings.data))
        self.files = len(self.paths)

    def load(self, seed: int) -> None:
        self.loader = CropLoader(load_images(self.paths), self.settings.batch, self.settings.crop, seed)

    def loss(self, entropy_only: bool) -> tuple[Tensor, dict[str, Tensor]]:
        image = next(self.loader).to(self.device, non_blocking=True).float() / 255
        image = image.contiguous(memory_format=torch.channels_last)
        row = torch.rand(image.shape[0], device=self.device) * (QUALITY_ROWS - 1)
        weight = lagrangian(row)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            if entropy_only:
                with torch.no_grad():
                    latents = self.net.analysis(image, row)
                _, bits, hyper_bits = self.net.entropy(latents, row, training_noise=True)
                mse = torch.zeros_like(row)
                bits = bits + hyper_bits
            else:
                out = self.net(image, row)
                bits, mse = out["bits"], (out["image"].float() - image).square().mean((1, 2, 3))
        bpp = bits / (image.shape[2] * image.shape[3])
        loss = ((bpp + weight * 65025 * mse) / weight.sqrt()).mean()
        return loss, {"bpp": bpp.mean(), "mse": mse.mean() * 65025}

    def evaluate(self) -> dict[int, list[float]]:
        """Mean bits per pixel (estimated, rounded latents) and mean PSNR over RGB for some quality rows."""
        result = {}
        images = [load_image(p, self.device) for p in list_images(Path(self.settings.evaluate))[::3]]
        for r in (0, 2, 4, 6, 8, 10):
            bpp, psnr = [], []
            for image in images:
                out = self.net(image, torch.full((1,), float(r), device=self.device), training_noise=False)
                mse = (torch.round(out["image"].clamp(0, 1) * 255) / 255 - image).square().mean()
                bpp.append(out["bits"].item() / image[0, 0].numel())
                psnr.append(-10 * math.log10(mse.item()))
            result[r] = [float(np.mean(bpp)), float(np.mean(psnr))]
        return result


if __name__ == "__main__":
    settings = parse(ImageSettings, __doc__)
    task = ImageTask(settings)
    train(settings, task, load_start(task.net, settings.start) if settings.start else None)
