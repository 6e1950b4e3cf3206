"""A whole evaluation: plan the points, measure those that are not there yet, and keep every row as it comes."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from tqdm import tqdm

from vqc.batch import Outcome, execute
from vqc.version import __version__

from .codecs import Codec, CodecUnavailable, Setting
from .files import OutputFolder
from .medium import Medium, Metric
from .point import Measure, Point
from .results import finite
from .rows import Row, RowLog
from .summary import Summary

# A codec that has failed so often without a single success is not tried on every file of a large folder.
_GIVE_UP = 50
_FAILURES_SHOWN = 3


@dataclass(frozen=True)
class Plan:
    """What to measure, all of one medium. codecs: those that are here; threads: of each process; workers: processes; cluster:
    address or None."""

    medium: Medium
    files: Sequence[str]
    codecs: Sequence[Codec]
    metrics: Sequence[Metric]
    points: int
    threads: int
    workers: int
    cluster: str | None = None
    settings: dict[str, tuple[Setting, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings.update({codec.label: codec.points(self.points) for codec in self.codecs})

    def description(self) -> Row:
        """What makes rows of two runs comparable, and on which machine the times are taken."""
        codecs = {
            codec.label: {
                "version": codec.version(),
                "options": codec.options(),
                "settings": list(self.settings[codec.label]),
            }
            for codec in self.codecs
        }
        return {
            "vqc": __version__,
            "command": shlex.join(sys.argv[1:]),
            "medium": self.medium.name,
            "metrics": [metric.name for metric in self.metrics],
            "codecs": codecs,
            "threads": self.threads,
            "processes": self.workers if self.cluster is None else f"Ray cluster {self.cluster}",
            "machine": {
                "system": platform.platform(),
                "processor": _processor(),
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "torch": torch.__version__,
            },
        }


@dataclass
class Cost:
    """Where the time of a run went, in seconds; those of codecs and metrics are summed over the processes, whose number on a
    cluster is not known and 0."""

    wall: float = 0.0
    codecs: float = 0.0
    metrics: float = 0.0
    processes: int = 1

    @property
    def overhead(self) -> float:
        """Share of the processes' time that was neither codec nor metric: reading, warming up, starting, waiting."""
        whole = self.wall * self.processes
        return max(0.0, 1 - (self.codecs + self.metrics) / whole) if whole else 0.0


def available(codecs: Sequence[Codec], tell: Callable[[str], None]) -> list[Codec]:
    """The codecs that are here; of each other one, tell why not."""
    here = []
    for codec in codecs:
        try:
            codec.version()
            here.append(codec)
        except CodecUnavailable as error:
            tell(f"{codec.label} left out: {error}")
    return here


def computable(metrics: Sequence[Metric], tell: Callable[[str], None]) -> list[Metric]:
    """The metrics whose packages are here; of each other one, tell why not."""
    for metric in metrics:
        if reason := metric.missing():
            tell(f"{metric.name} left out: {reason}")
    return [metric for metric in metrics if not metric.missing()]


def measure(plan: Plan, log: RowLog, summary: Summary, tell: Callable[[str], None], *, quiet: bool) -> Cost:
    """Measure every point of the plan that the summary does not have; each row goes to the log, then to the summary."""
    work = Measure({codec.label: codec for codec in plan.codecs}, tuple(metric.name for metric in plan.metrics), plan.threads)
    total = len(plan.files) * sum(map(len, plan.settings.values()))
    done = sum(
        summary.has(label, file, setting) for file in plan.files for label, rungs in plan.settings.items() for setting in rungs
    )
    failures: Counter[str] = Counter()
    succeeded: set[str] = set()
    todo = (point for point in _missing(plan, summary) if point.codec in succeeded or failures[point.codec] < _GIVE_UP)
    workers = min(plan.workers, max(1, total - done))
    cost = Cost(processes=workers if plan.cluster is None else 0)
    start = perf_counter()
    with tqdm(total=total, initial=done, unit="point", disable=quiet or None, file=sys.stderr, smoothing=0.05) as bar:
        for outcome in execute(work, todo, workers, plan.cluster):
            row = _row(outcome)
            log.append(row)
            summary.add(row)
            bar.update()
            if "error" in row:
                failures[row["codec"]] += 1
                if failures[row["codec"]] <= _FAILURES_SHOWN:
                    bar.clear()
                    tell(f"{row['file']}: {row['codec']} at {row['setting']}: {row['error']}")
            else:
                succeeded.add(row["codec"])
                cost.codecs += row["encoding_time"] + row["decoding_time"]
                cost.metrics += row["metric_time"]
    log.close()
    cost.wall = perf_counter() - start
    for label, count in failures.items():
        given_up = "; given up, for nothing succeeded" if count >= _GIVE_UP and label not in succeeded else ""
        if count > _FAILURES_SHOWN or given_up:
            tell(f"{label}: {count} points failed{given_up}")
    return cost


def new_summary(plan: Plan) -> Summary:
    """An empty summary of what the plan measures."""
    return Summary(plan.settings, plan.metrics, plan.medium)


def open_log(
    plan: Plan, description: Row, folder: OutputFolder, summary: Summary, *, resume: bool, force: bool
) -> RowLog:
    """The log of the folder, begun or continued. Rows that are there go to the summary, but failures are tried again."""
    log = RowLog(folder)
    wanted = set(plan.files)
    for row in log.start(description, resume=resume, force=force):
        if "error" not in row and row["file"] in wanted:
            summary.add(row)
    return log


def _missing(plan: Plan, summary: Summary) -> Iterator[Point]:
    """File by file, so that a process reads it once for all codecs and settings."""
    for file in plan.files:
        for codec in plan.codecs:
            for setting in plan.settings[codec.label]:
                if not summary.has(codec.label, file, setting):
                    yield Point(file, codec=codec.label, setting=setting)


def _row(outcome: Outcome) -> Row:
    if "error" not in outcome.record:
        # The spans that `attempt` adds count the warming up as well.
        return finite({key: value for key, value in outcome.record.items() if key != "times"})
    point: Any = outcome.job
    return {"file": point.source, "codec": point.codec, "setting": point.setting, "error": outcome.record["error"]}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
