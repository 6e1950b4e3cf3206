"""The same part of a file through every codec at the same number of bytes, for eye and ear to judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqc.batch import Job, Outcome, execute

from .codecs import Codec
from .medium import Preview
from .search import nearest_size


@dataclass(frozen=True)
class Sample(Job):
    """The file `source` through a codec at about `size` bytes."""

    codec: str = ""
    size: int = 0


@dataclass(frozen=True)
class Crop:
    """A preview with what its file took, and how good it is in words. The original has no codec and no figures."""

    label: str
    preview: Preview
    bytes: int | None = None
    setting: object = None
    figure: str = ""


@dataclass(frozen=True)
class Detail:
    """One file: its crops, the original first."""

    file: str
    crops: list[Crop]


@dataclass(frozen=True)
class MakeCrop:
    """Finds the file nearest to the size and cuts the detail out of it. Picklable."""

    codecs: Mapping[str, Codec]

    def __call__(self, sample: Sample) -> Outcome:
        codec = self.codecs[sample.codec]
        medium = codec.MEDIUM
        original = medium.load(sample.source)
        trial = nearest_size(codec, original, sample.size)
        decoded = medium.fit(original, codec.decode(trial.data))
        preview, figure = medium.preview(original, decoded), medium.figure(original, decoded)
        return Outcome(sample, {"crop": Crop(sample.codec, preview, len(trial.data), trial.setting, figure)})


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
    medium = codecs[0].MEDIUM
    for file in sizes:
        original = medium.load(file)
        crops = [made[file, codec.label] for codec in codecs if (file, codec.label) in made]
        yield Detail(file, [Crop("original", medium.preview(original, original)), *crops])


def choose(files: Sequence[str], count: int) -> list[str]:
    """`count` of the files, evenly spaced."""
    places = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    return [files[place] for place in places]
