"""The same detail of a picture through every codec at the same number of bytes, for the eye to judge."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vqc.batch import Job, Outcome, execute

from .codecs import Codec
from .metrics import METRICS
from .point import load
from .search import nearest_size

SIDE = 256


@dataclass(frozen=True)
class Sample(Job):
    """The file `source` through a codec at about `size` bytes."""

    codec: str = ""
    size: int = 0


@dataclass(frozen=True)
class Crop:
    """A detail of a decoded picture as PNG, with what its file took. The original has no codec and no figures."""

    label: str
    png: bytes
    bytes: int | None = None
    setting: object = None
    psnr: float | None = None


@dataclass(frozen=True)
class Detail:
    """One place of one picture: x, y, width, height in pixels, and its crops, the original first."""

    file: str
    window: tuple[int, int, int, int]
    crops: list[Crop]


@dataclass(frozen=True)
class MakeCrop:
    """Finds the file nearest to the size and cuts the detail out of it. Picklable."""

    codecs: Mapping[str, Codec]

    def __call__(self, sample: Sample) -> Outcome:
        codec, image = self.codecs[sample.codec], load(sample.source)
        trial = nearest_size(codec, image, sample.size)
        decoded = codec.decode(trial.data)
        png = _png(decoded, detail_window(image))
        psnr = METRICS["psnr"].compute(image, decoded)
        return Outcome(sample, {"crop": Crop(sample.codec, png, len(trial.data), trial.setting, psnr)})


def details(
    sizes: Mapping[str, int], codecs: Sequence[Codec], workers: int, cluster: str | None = None
) -> Iterator[Detail | Outcome]:
    """Crops of the files named in `sizes` (file -> bytes); a failure comes as the Outcome that tells it."""
    work = MakeCrop({codec.label: codec for codec in codecs})
    jobs = [Sample(file, codec=codec.label, size=size) for file, size in sizes.items() for codec in codecs]
    made: dict[tuple[str, str], Crop] = {}
    for outcome in execute(work, jobs, min(workers, len(jobs)), cluster):
        if "crop" in outcome.record:
            made[outcome.job.source, outcome.job.codec] = outcome.record["crop"]
        else:
            yield outcome
    for file in sizes:
        image = load(file)
        window = detail_window(image)
        crops = [made[file, codec.label] for codec in codecs if (file, codec.label) in made]
        yield Detail(file, window, [Crop("original", _png(image, window)), *crops])


def choose(files: Sequence[str], count: int) -> list[str]:
    """`count` of the files, evenly spaced."""
    places = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    return [files[place] for place in places]


def detail_window(image: np.ndarray) -> tuple[int, int, int, int]:
    """(x, y, width, height) of the window of 256x256 with the most detail: the largest sum of absolute gradients of green."""
    height, width = image.shape[:2]
    side_x, side_y = min(SIDE, width), min(SIDE, height)
    green = image[..., 1].astype(np.int64)
    detail = np.zeros((height + 1, width + 1), np.int64)
    detail[2:, 1:] += np.abs(np.diff(green, axis=0))
    detail[1:, 2:] += np.abs(np.diff(green, axis=1))
    total = detail.cumsum(axis=0).cumsum(axis=1)
    best = max(
        (int(total[y + side_y, x + side_x] - total[y, x + side_x] - total[y + side_y, x] + total[y, x]), -y, -x)
        for y in _starts(height - side_y)
        for x in _starts(width - side_x)
    )
    return -best[2], -best[1], side_x, side_y


def _starts(room: int) -> Iterable[int]:
    return np.unique(np.linspace(0, room, min(room // 16, 200) + 1).round().astype(int)).tolist()


def _png(image: np.ndarray, window: tuple[int, int, int, int]) -> bytes:
    x, y, width, height = window
    file = io.BytesIO()
    Image.fromarray(image[y : y + height, x : x + width]).save(file, "PNG", optimize=True)
    return file.getvalue()
