"""From rows to what they say: averages over files, curves of each file, and who needs how many bits more than whom."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from .bd import Curve, Delta, Spread, curve, delta, spread
from .codecs import Setting
from .medium import Medium, Metric
from .results import Results
from .rows import Row

COSTS = ("encoding_time", "decoding_time", "encoding_memory", "decoding_memory", "metric_time", "other_time")


@dataclass
class Summary:
    """Rows of a run, held compactly: a hundred thousand files are some million rows.

    settings: by codec, smallest file first. metrics: measured ones.
    """

    settings: Mapping[str, Sequence[Setting]]
    metrics: Sequence[Metric]
    medium: Medium
    failures: list[Row] = field(default_factory=list)
    _cells: dict[str, dict[str, dict[Setting, array]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.measured_keys = ("bytes", *self.medium.rates, *(metric.key for metric in self.metrics), *COSTS[:4])
        self.columns = (*self.measured_keys, *COSTS[4:], "units")
        self._cells = {label: {} for label in self.settings}

    def add(self, row: Row) -> None:
        """Take a row in; a failure is kept with its error, rows of codecs and settings outside the run are passed over."""
        if row["codec"] not in self.settings or row["setting"] not in self.settings[row["codec"]]:
            return
        if "error" in row:
            self.failures.append(row)
            return
        row = {**row, "units": self.medium.units(row)}
        values = array("d", (math.nan if row.get(key) is None else row[key] for key in self.columns))
        self._cells[row["codec"]].setdefault(row["file"], {})[row["setting"]] = values

    def current(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Those of the rows that this is a summary of, without failures that were measured at a later try."""
        for row in rows:
            known = row["codec"] in self.settings and row["setting"] in self.settings[row["codec"]]
            if known and not ("error" in row and self.has(row["codec"], row["file"], row["setting"])):
                yield row

    def has(self, label: str, file: str, setting: Setting) -> bool:
        """Whether this point has been measured."""
        return setting in self._cells[label].get(file, ())

    def complete(self, label: str) -> list[str]:
        """Files of which every setting of the codec has a row, sorted."""
        wanted = len(self.settings[label])
        return sorted(file for file, points in self._cells[label].items() if len(points) == wanted)

    def measured(self) -> list[str]:
        """Codecs with at least one complete file."""
        return [label for label in self.settings if self.complete(label)]

    def common(self) -> list[str]:
        """Files that are complete for every codec that has any: all averages are over the same files."""
        sets = [set(self.complete(label)) for label in self.measured()]
        return sorted(set.intersection(*sets)) if sets else []

    def values(self, label: str, file: str, key: str) -> list[float | None]:
        """One column of a file, in the order of settings."""
        index = self.columns.index(key)
        points = self._cells[label][file]
        found = (points[setting][index] for setting in self.settings[label])
        return [None if math.isnan(value) else value for value in found]

    def average(self, label: str, files: Sequence[str], key: str) -> list[float | None]:
        """Arithmetic mean over files of one column, in the order of settings; None where a file has none."""
        columns = zip(*(self.values(label, file, key) for file in files))
        return [None if None in column else fmean(column) for column in columns]

    def averages(self, descriptions: Mapping[str, str]) -> list[Results]:
        """Every codec in compressai's shape: means over the common files, each point at the same setting for all files."""
        files = self.common()
        found = []
        for label in self.measured():
            results: dict[str, list[Any]] = {"setting": list(self.settings[label])}
            for key in self.measured_keys:
                results[key] = self.average(label, files, key)
            found.append(Results(label, descriptions.get(label, ""), results if files else {}, rate=self.medium.rate))
        return [results for results in found if results.results]

    def seconds_per_unit(self, label: str, key: str) -> float:
        """Median over files and settings of a time, per unit of the medium (megapixel, second of sound)."""
        times, units = self.columns.index(key), self.columns.index("units")
        every = sorted(v[times] / v[units] for points in self._cells[label].values() for v in points.values())
        return every[len(every) // 2]

    def peak(self, label: str, key: str) -> float | None:
        """Largest value of a column over files and settings; None where it was not measured."""
        index = self.columns.index(key)
        every = (v[index] for points in self._cells[label].values() for v in points.values())
        return max((value for value in every if not math.isnan(value)), default=None)

    def file_curve(self, label: str, file: str, metric: Metric) -> Curve:
        """Curve of a codec on one file."""
        values = self.values(label, file, metric.key)
        rates = [rate or 0.0 for rate in self.values(label, file, self.medium.rate)]
        return curve(rates, [None if value is None else metric.axis(value) for value in values])


@dataclass(frozen=True)
class Comparison:
    """A codec against an anchor in one metric.

    averages: delta of the curves that are means over files, the only one there is for published curves. rates, qualities:
    spread of the deltas of single files, in percent and in the unit of the metric; None where all were refused. files: those
    deltas by file. compared: number of files, refused ones too; published curves have none.
    """

    metric: str
    anchor: str
    test: str
    averages: Delta
    rates: Spread | None = None
    qualities: Spread | None = None
    compared: int = 0
    files: Mapping[str, Delta] = field(default_factory=dict)

    @property
    def rate(self) -> float | None:
        """BD-rate in percent: mean over files where there are files, else that of the averages; None when refused."""
        if self.compared:
            return self.rates.mean if self.rates else None
        return self.averages.rate

    @property
    def quality(self) -> float | None:
        """BD-quality in the unit of the metric, in the same way."""
        if self.compared:
            return self.qualities.mean if self.qualities else None
        return self.averages.quality

    def reversed(self) -> Comparison:
        """The anchor against the codec."""
        return _comparison(
            self.metric, self.test, self.anchor, self.averages.reversed(), {f: d.reversed() for f, d in self.files.items()}
        )


def compare(
    summary: Summary, averages: Sequence[Results], published: Sequence[Results], min_overlap: float
) -> Iterator[Comparison]:
    """Every codec and published curve against every other, in every metric, both ways round."""
    everything = [*averages, *published]
    for metric in summary.metrics:
        curves = [(results, found) for results in everything if (found := results.curve(metric)) is not None]
        complete = {results.name: set(summary.complete(results.name)) for results in averages}
        for place, (one, anchor) in enumerate(curves):
            for other, test in curves[place + 1 :]:
                files: dict[str, Delta] = {}
                for file in sorted(complete.get(one.name, set()) & complete.get(other.name, set())):
                    pair = (summary.file_curve(results.name, file, metric) for results in (one, other))
                    files[file] = delta(*pair, min_overlap)
                there = _comparison(metric.name, one.name, other.name, delta(anchor, test, min_overlap), files)
                yield there
                yield there.reversed()


def _comparison(metric: str, anchor: str, test: str, averages: Delta, files: Mapping[str, Delta]) -> Comparison:
    rates = spread(found.rate for found in files.values())
    qualities = spread(found.quality for found in files.values())
    return Comparison(metric, anchor, test, averages, rates, qualities, len(files), files)
