"""Trains the model of predicted frames: `python -m vqc.tools.train.video --data FOLDER --run FOLDER --minutes 60`.

Crops are coded as the codec would, the first frame as a picture, the others from those around them as decoded, over as many
frames as a group has: what a step ends with, the next one goes on from (truncated back-propagation through time). Loss per
sample: the mean over the predicted frames of a step of (bits per pixel + lambda * 255^2 * weighted MSE) / sqrt(lambda). The
loop stands in loop.py.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vqc.models.frame_order import Place, levels
from vqc.models.motion import BEFORE
from vqc.models.transform import QUALITY_ROWS
from vqc.models.video_net import Reference, VideoNet, lagrangian, weighted_mse
from vqc.planes import split
from vqc.tools.train.clips import (
    ORDER,
    STRUCTURES,
    UNIT,
    Walk,
    code_intra,
    list_clips,
    load_clips,
    random_walk,
    read_planes,
    search_motion,
)
from vqc.tools.train.dct import start_from_dct
from vqc.tools.train.loop import Settings, device_of, parse, train
from vqc.tools.train.restore import load_start
from vqc.video_quality import LEVEL_QUALITY, THRIFT, picture_quality

NAMES = ("y", "uv", "features", "latents")  # of a reference
SHARES = (4, 1, 1)  # how often units are made of runs of the lengths of STRUCTURES
FIRST = 2.0  # what the loss of an enhanced picture counts beside that of a predicted frame: it is a large part of a file


@dataclasses.dataclass
class VideoSettings(Settings):
    """Settings of the video model. A step codes one unit of frames of a few walks (see clips.py), with gradients through it."""

    batch: int = 6
    crop: int = 128
    longest: int = 32  # predicted frames after which a walk ends at the latest
    spread: float = 0.5  # quality rows, each way, by which the frames of a walk differ from what they should have
    deeper: float = 0.8  # quality rows by which a level is coarser than the one before
    evaluation_frames: int = 17


def with_sides(fields: np.ndarray, modes: np.ndarray, sides: int) -> tuple[np.ndarray, np.ndarray]:
    """Motion (s, h, w, 2) and modes of a frame with so many sides: what has one takes nothing from the second."""
    if len(fields) == sides:
        return fields, modes
    return np.concatenate([fields, np.zeros_like(fields)]), np.full_like(modes, BEFORE)


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
        first, _ = self._first(self.walks)
        self.references = {-frames: first.copied() for frames in range(UNIT + 1)}  # of the unit before, by number

    def _new_walk(self) -> Walk:
        return random_walk(self.clips, self.settings.crop, self.rng.uniform(0, QUALITY_ROWS - 1), self.rng)

    def _first(self, walks: list[Walk], thrift: float = 1.0) -> tuple[Reference, Tensor]:
        """The references that walks begin with, and the loss of how they are enhanced, a sum over walks."""
        first = Reference.intra(*(self._planes([getattr(w, name) for w in walks]) for name in ("y0", "uv0")))
        enhanced = [i for i, walk in enumerate(walks) if walk.enhancement_row is not None]
        if not enhanced:
            return first, torch.zeros((), device=self.device)
        picked = Reference(*(getattr(first, name)[enhanced] for name in NAMES))
        y, uv = (self._planes([walks[i].original[k] for i in enhanced]) for k in (0, 1))
        picture_row, row = (
            torch.tensor([getattr(walks[i], name) for i in enhanced], device=self.device)
            for name in ("intra_row", "enhancement_row")
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            coded, bits = self.net.enhance(y, uv, picked, picture_row, row, thrift)
        error, weight = weighted_mse(y, uv, coded.y, coded.uv), lagrangian(row)
        for name in NAMES:
            part = getattr(coded, name).detach().float()
            getattr(first, name)[enhanced] = part.clamp(0, 1) if name in ("y", "uv") else part
        return first, ((bits / self.settings.crop**2 + weight * 65025 * error) / weight.sqrt()).sum()

    def _planes(self, parts: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(self.device).float() / 255

    def _renew(self) -> Tensor:
        """Puts new walks in the place of those that are over. The loss of how they begin, a sum over them."""
        over = [i for i, left in enumerate(self.left) if left <= 0]
        if not over:
            return torch.zeros((), device=self.device)
        for i in over:
            self.walks[i] = self._new_walk()
            self.left[i] = self.rng.choice([4, 8, 16, self.settings.longest])
        first, loss = self._first([self.walks[i] for i in over], self.rng.uniform(0.5, 1))
        for reference, name in itertools.product(self.references.values(), NAMES):
            getattr(reference, name)[over] = getattr(first, name)
        return loss

    def loss(self, entropy_only: bool) -> tuple[Tensor, dict[str, Tensor]]:
        pixels = self.settings.crop**2
        loss = begun = FIRST * self._renew() / len(self.walks) / UNIT
        bpp = mse = torch.zeros((), device=self.device)
        length = self.rng.choices(list(STRUCTURES), SHARES)[0]
        units = [walk.unit(length) for walk in self.walks]
        references = dict(self.references)
        for place in (place for level in ORDER[length] for place in level):
            row = self._rows(place)
            weight = lagrangian(row)
            crops = [unit[place.number] for unit in units]
            y, uv = self._planes([c.y for c in crops]), self._planes([c.uv for c in crops])
            motion = [with_sides(crop.fields, crop.modes, len(place.sources)) for crop in crops]
            fields, modes = (torch.from_numpy(np.stack(part)).to(self.device) for part in zip(*motion))
            sources = [references[number] for number in place.sources]
            distance = torch.full((len(crops),), place.number - place.before)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
                thrift = THRIFT[min(place.depth, len(THRIFT) - 1)]
                coded, bits = self.net(y, uv, sources, fields, modes, place.depth, distance, row, thrift)
            error = weighted_mse(y, uv, coded.y, coded.uv)
            coded.y, coded.uv = coded.y.clamp(0, 1), coded.uv.clamp(0, 1)
            references[place.number] = coded
            if entropy_only:
                error = error.detach()
            loss = loss + ((bits / pixels + weight * 65025 * error) / weight.sqrt()).mean() / UNIT
            bpp, mse = bpp + bits.mean() / pixels / UNIT, mse + error.mean() / UNIT
        self.left = [left - UNIT for left in self.left]
        self.references = {number - UNIT: references[number].copied() for number in range(UNIT + 1)}
        for i in range(len(self.walks)):  # a walk that has run away must not be gone on with
            if not all(getattr(self.references[0], name)[i].isfinite().all() for name in NAMES):
                self.left[i] = 0
        return loss, {"bpp": bpp, "mse": mse * 65025, "first": begun.detach()}

    def _rows(self, place: Place) -> Tensor:
        """Quality rows of a frame of each walk."""
        spread, coarser = self.settings.spread, self.settings.deeper * place.depth
        rows = [max(w.row - coarser + self.rng.uniform(-spread, spread), 0) * LEVEL_QUALITY for w in self.walks]
        return torch.tensor(rows, device=self.device)

    def evaluate(self) -> dict[int, list[float]]:
        """Of predicted frames: mean bits per pixel (estimated, rounded latents, without motion) and mean weighted PSNR."""
        result = {}
        for r in (2, 6):
            bpp, psnr = [], []
            for path in list_clips(Path(self.settings.evaluate)):
                planes = read_planes(path, self.settings.evaluation_frames)
                y, uv = (torch.from_numpy(p).to(self.device).float() / 255 for p in split(planes))
                coded = split(code_intra(planes[0], (picture_quality(r * 100) / 100,)))
                references = {0: Reference.intra(*(torch.from_numpy(p).to(self.device).float() / 255 for p in coded))}
                motion = search_motion(planes, UNIT, r * 100)
                order = levels([UNIT] * ((len(planes) - 1) // UNIT), two_before=True)
                for place in (place for level in order for place in level):
                    t, found = place.number, motion[place.number - 1]
                    fields, modes = (torch.from_numpy(p)[None].to(self.device) for p in (found.fields, found.modes))
                    row = torch.full((1,), max(r - self.settings.deeper * place.depth, 0) * LEVEL_QUALITY)
                    frame = y[t : t + 1], uv[t : t + 1]
                    sources = [references[number] for number in place.sources]
                    distance = torch.tensor([t - place.before])
                    coded, bits = self.net(
                        *frame, sources, fields, modes, place.depth, distance, row, THRIFT[place.depth], training_noise=False
                    )
                    coded.y, coded.uv = coded.y.clamp(0, 1), coded.uv.clamp(0, 1)
                    references[t] = coded
                    bpp.append(bits.item() / y[t].numel())
                    psnr.append(-10 * math.log10(weighted_mse(*frame, coded.y, coded.uv).item()))
            result[r] = [float(np.mean(bpp)), float(np.mean(psnr))]
        return result


if __name__ == "__main__":
    settings = parse(VideoSettings, __doc__)
    task = VideoTask(settings)
    if settings.start:
        train(settings, task, load_start(task.net, settings.start))
    else:
        start_from_dct(task.net, task.clips)
        train(settings, task, task.net.state_dict())
