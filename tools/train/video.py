"""Trains the model of predicted frames: `python -m vqc.tools.train.video --data FOLDER --run FOLDER --minutes 60`.

A crop of a few frames is coded as the codec would: the first as a picture, each other from the one before as decoded. Loss
per sample: the mean over predicted frames of (bits per pixel + lambda * 255^2 * weighted MSE) / sqrt(lambda), the later frames
weighing more. The loop stands in loop.py.
"""

from __future__ import annotations

import dataclasses
import math
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqc.models.transform import QUALITY_ROWS
from vqc.models.video_net import Reference, VideoNet, lagrangian, weighted_mse
from vqc.motion_search import MotionSearch, quantiser
from vqc.planes import split
from vqc.tools.train.clips import INTRA_OFFSET, Batch, code_intra, list_clips, load_clips, random_batch, read_planes
from vqc.tools.train.klt import start_from_klt
from vqc.tools.train.loop import Settings, device_of, parse, train
from vqc.tools.train.restore import load_start


@dataclasses.dataclass
class VideoSettings(Settings):
    """Settings of the video model."""

    batch: int = 8
    crop: int = 128
    frames: int = 2  # of a crop, the first included: sequences grow from stage to stage
    later: float = 0.25  # how much more each frame weighs than the one before
    evaluation_frames: int = 17


class VideoTask:
    """The model of predicted frames on random crops of clips; see loop.Task."""

    def __init__(self, settings: VideoSettings) -> None:
        self.settings, self.device = settings, device_of(settings)
        self.net = VideoNet()
        paths = list_clips(Path(settings.data))
        self.files = len(paths)
        self.clips = load_clips(paths, Path(settings.run).parent / "clips")

    def load(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.pool = ThreadPoolExecutor(1)
        self.pending = self.pool.submit(self._next)

    def _next(self) -> tuple[Batch, list[float]]:
        rows = [self.rng.uniform(0, QUALITY_ROWS - 1) for _ in range(self.settings.batch)]
        return random_batch(self.clips, rows, self.settings.frames, self.settings.crop, self.rng), rows

    def loss(self, entropy_only: bool) -> tuple[Tensor, dict[str, Tensor]]:
        batch, rows = self.pending.result()
        self.pending = self.pool.submit(self._next)
        row = torch.tensor(rows, device=self.device)
        weight = lagrangian(row)
        y, uv, y0, uv0 = (t.to(self.device).float() / 255 for t in (batch.y, batch.uv, batch.y0, batch.uv0))
        vectors = batch.vectors.to(self.device)
        reference = Reference.intra(y0, uv0)
        pixels = self.settings.crop**2
        shares = [1 + self.settings.later * t for t in range(self.settings.frames - 1)]
        loss = bpp = mse = torch.zeros((), device=self.device)
        for t, share in enumerate(shares, start=1):
            share /= sum(shares)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
                reference, bits = self.net(y[:, t], uv[:, t], reference, vectors[:, t], row)
            error = weighted_mse(y[:, t], uv[:, t], reference.y, reference.uv)
            if entropy_only:
                error = error.detach()
            loss = loss + share * ((bits / pixels + weight * 65025 * error) / weight.sqrt()).mean()
            bpp, mse = bpp + share * bits.mean() / pixels, mse + share * error.mean()
        return loss, {"bpp": bpp, "mse": mse * 65025}

    def evaluate(self) -> dict[int, list[float]]:
        """Of predicted frames: mean bits per pixel (estimated, rounded latents, without motion) and mean weighted PSNR."""
        result = {}
        for r in (1, 3, 5, 7, 9):
            bpp, psnr = [], []
            for path in list_clips(Path(self.settings.evaluate)):
                planes = read_planes(path, self.settings.evaluation_frames)
                y, uv = (torch.from_numpy(p).to(self.device).float() / 255 for p in split(planes))
                first = [torch.from_numpy(p).to(self.device).float() / 255 for p in split(code_intra(planes[0], (r + INTRA_OFFSET,)))]
                search = MotionSearch(y.shape[-1], y.shape[-2], quantiser(r * 100))
                search(planes[0])
                row = torch.full((1,), float(r), device=self.device)
                reference = Reference.intra(*first)
                for t in range(1, len(planes)):
                    vectors = torch.from_numpy(search(planes[t]))[None].to(self.device)
                    reference, bits = self.net(y[t : t + 1], uv[t : t + 1], reference, vectors, row, training_noise=False)
                    reference.y, reference.uv = reference.y.clamp(0, 1), reference.uv.clamp(0, 1)
                    bpp.append(bits.item() / y[t].numel())
                    psnr.append(-10 * math.log10(weighted_mse(y[t : t + 1], uv[t : t + 1], reference.y, reference.uv).item()))
            result[r] = [float(np.mean(bpp)), float(np.mean(psnr))]
        return result


if __name__ == "__main__":
    settings = parse(VideoSettings, __doc__)
    task = VideoTask(settings)
    if settings.start:
        train(settings, task, load_start(task.net, settings.start))
    else:
        start_from_klt(task.net, task.clips)
        train(settings, task, task.net.state_dict())
