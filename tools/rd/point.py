"""One measurement: a file through a codec at a setting, in whatever process it happens to run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from time import perf_counter
from typing import Any

import numpy as np
import torch

from vqc.batch import Job, Outcome
from vqc.image_files import read_image
from vqc.places import readable

from .codecs import Codec, Setting
from .memory import give_back, peak_memory
from .metrics import METRICS


@dataclass(frozen=True)
class Point(Job):
    """The file `source` through the codec of this label at this setting."""

    codec: str = ""
    setting: Setting = 0


@dataclass(frozen=True)
class Measure:
    """Measures a Point and returns its row. Picklable; what it caches stays in the process that runs it.

    codecs: by label. metrics: names. threads: of torch, in each process.
    """

    codecs: dict[str, Codec]
    metrics: tuple[str, ...]
    threads: int

    def __call__(self, point: Point) -> Outcome:
        start = perf_counter()
        # Also where another job of the same process set it otherwise: times are those of a stated number of threads.
        torch.set_num_threads(self.threads)
        codec = self.codecs[point.codec]
        image = load(point.source)
        first = _warm_up(codec, image, point.setting)
        with peak_memory() as encoding_memory:
            began = perf_counter()
            data = codec.encode(image, point.setting)
            encoding_time = perf_counter() - began
        with peak_memory() as decoding_memory:
            began = perf_counter()
            decoded = codec.decode(data)
            decoding_time = perf_counter() - began
        if decoded.shape != image.shape or decoded.dtype != np.uint8:
            raise RuntimeError(f"{codec.label} decoded {decoded.shape} {decoded.dtype} from {image.shape} uint8")
        began = perf_counter()
        values = {METRICS[name].key: METRICS[name].compute(image, decoded) for name in self.metrics}
        metric_time = perf_counter() - began
        height, width = image.shape[:2]
        row: dict[str, Any] = {
            "file": point.source,
            "codec": point.codec,
            "setting": point.setting,
            "width": width,
            "height": height,
            "bytes": len(data),
            "bpp": 8 * len(data) / (width * height),
            **values,
            "encoding_time": encoding_time,
            "decoding_time": decoding_time,
            "encoding_memory": _more(encoding_memory.added, first[0]),
            "decoding_memory": _more(decoding_memory.added, first[1]),
            "metric_time": metric_time,
            "other_time": perf_counter() - start - encoding_time - decoding_time - metric_time,
        }
        return Outcome(point, row)


@lru_cache(maxsize=2)
def load(source: str) -> np.ndarray:
    """The picture (H, W, 3) uint8 as stored (not turned by its orientation), grey as three equal colours, alpha left out.

    Raises ValueError for more than 8 bits per sample, which the codecs compared do not all hold, and what read_image raises.
    """
    pixels = read_image(readable(source))
    if pixels.depth != 8:
        raise ValueError(f"{source} has {pixels.depth} bits per sample; only pictures of 8 bits are compared")
    image = np.ascontiguousarray(np.broadcast_to(pixels.colour, (pixels.height, pixels.width, 3)))
    image.flags.writeable = False  # shared by every measurement of this process
    return image


_warm: set[str] = set()  # codecs that this process has run before


def _warm_up(codec: Codec, image: np.ndarray, setting: Setting) -> tuple[int | None, int | None]:
    """Run a codec once in this process before it is timed: models are loaded and code paths chosen at first use.

    Returns the memory that encoder and decoder took, which later calls find already there and use again; None where it is not
    known or the codec was warm.
    """
    if repr(codec) in _warm:
        return None, None
    give_back()
    with peak_memory() as encoding:
        data = codec.encode(image, setting)
    give_back()
    with peak_memory() as decoding:
        codec.decode(data)
    _warm.add(repr(codec))
    return encoding.added, decoding.added


def _more(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
