"""Trains the model of predicted frames: `python -m vqc.tools.train.video --data FOLDER --run FOLDER --minutes 60`.

Crops are coded as the codec would, the first frame as a picture, each other from the one before as decoded, over as many frames
as a group has: what a step ends with, the next one goes on from (truncated back-propagation through time). Loss per sample: the
mean over the predicted frames of a step of (bits per pixel + lambda * 255^2 * weighted MSE) / sqrt(lambda). The loop stands in
loop.py.
"""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqc.models.transform import QUALITY_ROWS
from vqc.models.video_net import Reference, VideoNet, lagrangian, weighted_mse
from vqc.motion_search import MotionSearch, quantiser
from vqc.planes import split
from vqc.tools.train.clips import Walk, code_intra, list_clips, load_clips, random_walk, read_planes
from vqc.tools.train.klt import start_from_klt
from vqc.tools.train.loop import Settings, device_of, parse, train
from vqc.tools.train.restore import load_start
from vqc.video_encoding import picture_quality


@dataclasses.dataclass
class VideoSettings(Settings):
    """Settings of the video model."""

    batch: int = 8
    crop: int = 128
    frames: int = 2  # predicted frames of a step, through which gradients flow
    longest: int = 32  # predicted frames after which a walk ends at the latest
    spread: float = 0.8  # quality rows, each way, by which the frames of a walk differ from its row
    evaluation_frames: int = 33


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
        self.walks: list[Walk] = [self._new_walk() for _ in range(self.settings.batch)]
        self.left = [self.rng.randrange(1, self.settings.longest) for _ in self.walks]
        self.reference = self._first(self.walks)

    def _new_walk(self) -> Walk:
        return random_walk(self.clips, self.settings.crop, self.rng.uniform(0, QUALITY_ROWS - 1), self.rng)

    def _first(self, walks: list[Walk]) -> Reference:
        return Reference.intra(*(self._planes([getattr(w, name) for w in walks]) for name in ("y0", "uv0")))

    def _planes(self, parts: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(self.device).float() / 255

    def _renew(self) -> None:
        """Puts new walks in the place of those that are over."""
        for i, left in enumerate(self.left):
            if left <= 0:
                self.walks[i] = self._new_walk()
                self.left[i] = self.rng.choice([2, 4, 8, 16, self.settings.longest])
                first = self._first([self.walks[i]])
                for name in ("y", "uv", "features", "latents"):
                    getattr(self.reference, name)[i] = getattr(first, name)[0]

    def loss(self, entropy_only: bool) -> tuple[Tensor, dict[str, Tensor]]:
        self._renew()
        pixels = self.settings.crop**2
        loss = bpp = mse = torch.zeros((), device=self.device)
        reference = self.reference
        for _ in range(self.settings.frames):
            spread = self.settings.spread
            rows = [min(max(w.row + self.rng.uniform(-spread, spread), 0.0), QUALITY_ROWS - 1.0) for w in self.walks]
            row = torch.tensor(rows, device=self.device)
            weight = lagrangian(row)
            y, uv, vectors = zip(*(walk.step() for walk in self.walks))
            y, uv, vectors = self._planes(y), self._planes(uv), torch.from_numpy(np.stack(vectors)).to(self.device)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
                reference, bits = self.net(y, uv, reference, vectors, row)
            error = weighted_mse(y, uv, reference.y, reference.uv)
            reference.y, reference.uv = reference.y.clamp(0, 1), reference.uv.clamp(0, 1)
            if entropy_only:
                error = error.detach()
            loss = loss + ((bits / pixels + weight * 65025 * error) / weight.sqrt()).mean() / self.settings.frames
            bpp, mse = bpp + bits.mean() / pixels / self.settings.frames, mse + error.mean() / self.settings.frames
        self.left = [left - self.settings.frames for left in self.left]
        parts = (reference.y, reference.uv, reference.features, reference.latents)
        self.reference = Reference(*(part.detach().float().clone() for part in parts))
        for i in range(len(self.walks)):  # a walk that has run away must not be gone on with
            if not all(getattr(self.reference, name)[i].isfinite().all() for name in ("y", "uv", "features", "latents")):
                self.left[i] = 0
        return loss, {"bpp": bpp, "mse": mse * 65025}

    def evaluate(self) -> dict[int, list[float]]:
        """Of predicted frames: mean bits per pixel (estimated, rounded latents, without motion) and mean weighted PSNR."""
        result = {}
        for r in (1, 4, 7, 10):
            bpp, psnr = [], []
            for path in list_clips(Path(self.settings.evaluate)):
                planes = read_planes(path, self.settings.evaluation_frames)
                y, uv = (torch.from_numpy(p).to(self.device).float() / 255 for p in split(planes))
                coded = split(code_intra(planes[0], (picture_quality(r * 100) / 100,)))
                first = [torch.from_numpy(p).to(self.device).float() / 255 for p in coded]
                search = MotionSearch(y.shape[-1], y.shape[-2], quantiser(r * 100))
                search(planes[0])
                row = torch.full((1,), float(r), device=self.device)
                reference = Reference.intra(*first)
                for t in range(1, len(planes)):
                    vectors = torch.from_numpy(search(planes[t]))[None].to(self.device)
                    frame = y[t : t + 1], uv[t : t + 1]
                    reference, bits = self.net(*frame, reference, vectors, row, training_noise=False)
                    reference.y, reference.uv = reference.y.clamp(0, 1), reference.uv.clamp(0, 1)
                    bpp.append(bits.item() / y[t].numel())
                    psnr.append(-10 * math.log10(weighted_mse(*frame, reference.y, reference.uv).item()))
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
