"""One measurement: a file through a codec at a setting, in whatever process it happens to run."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from vqc.batch import Job, Outcome

from .codecs import Codec, Setting
from .memory import give_back, peak_memory


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
        medium = codec.MEDIUM
        original = medium.load(point.source)
        first = _warm_up(codec, original, point.setting)
        with peak_memory() as encoding_memory:
            began = perf_counter()
            data = codec.encode(original, point.setting)
            encoding_time = perf_counter() - began
        with peak_memory() as decoding_memory:
            began = perf_counter()
            decoded = codec.decode(data)
            decoding_time = perf_counter() - began
        try:
            decoded = medium.fit(original, decoded)
        except RuntimeError as error:
            raise RuntimeError(f"{codec.label} {error}") from error
        began = perf_counter()
        values = {medium.metrics[name].key: medium.metrics[name].compute(original, decoded) for name in self.metrics}
        series = {medium.series.key: medium.series.compute(original, decoded)} if medium.series else {}
        metric_time = perf_counter() - began
        facts = medium.described(original)
        row: dict[str, Any] = {
            "file": point.source,
            "codec": point.codec,
            "setting": point.setting,
            **facts,
            **medium.sizes(len(data), facts),
            **values,
            "encoding_time": encoding_time,
            "decoding_time": decoding_time,
            "encoding_memory": _more(encoding_memory.added, first[0]),
            "decoding_memory": _more(decoding_memory.added, first[1]),
            "metric_time": metric_time,
            "other_time": perf_counter() - start - encoding_time - decoding_time - metric_time,
            **series,
        }
        return Outcome(point, row)


_warm: set[str] = set()  # codecs that this process has run before


def _warm_up(codec: Codec, original: Any, setting: Setting) -> tuple[int | None, int | None]:
    """Run a codec once in this process before it is timed: models are loaded and code paths chosen at first use.

    Returns the memory that encoder and decoder took, which later calls find already there and use again; None where it is not
    known or the codec was warm.
    """
    if repr(codec) in _warm:
        return None, None
    give_back()
    with peak_memory() as encoding:
        data = codec.encode(original, setting)
    give_back()
    with peak_memory() as decoding:
        codec.decode(data)
    _warm.add(repr(codec))
    return encoding.added, decoding.added


def _more(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
