"""What `vqc rd` has to know of pictures, sounds and videos to compare codecs of them in one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Metric:
    """A measure: its key in rows and results (those of compressai, where it has them), and how curves of it are drawn.

    compute: from original and decoded to a number, None where the measure is not defined. axis: from that to a scale that
    rises with quality and on which equal steps look alike, used for plots and BD; unit: of that scale. package: what it needs
    beyond vqc's own requirements, and extra: the extra of vqc that brings it.
    """

    name: str
    key: str
    title: str
    unit: str
    compute: Callable[[Any, Any], float | None]
    axis: Callable[[float], float] = float
    package: str = ""
    extra: str = ""

    def missing(self) -> str:
        """Why it cannot be computed here; empty when it can."""
        if not self.package or find_spec(self.package):
            return ""
        return f'package {self.package} is not installed: pip install "vqc[{self.extra}]"'


@dataclass(frozen=True)
class Series:
    """Quality along a file, frame by frame: its key in rows, and the title of its axis with the unit."""

    key: str
    title: str
    compute: Callable[[Any, Any], list[float]]


@dataclass(frozen=True)
class Preview:
    """What people judge an original or decoded file by: PNG, FLAC or None, and quality frame by frame or None."""

    image: bytes
    sound: bytes | None = None
    series: list[float] | None = None


@dataclass(frozen=True)
class Medium:
    """A kind of files that codecs are compared on.

    is_file: whether a file of this path is one. load: from a place (path or URL) to an original, kept in memory. fit: an
    original and what a codec made of it -> what is measured; raises RuntimeError when it is no such thing. facts: columns of a
    row that describe an original. rates: key -> what bits are divided by, out of the facts; curves are drawn over the first
    one, called rate_name, logarithmically if `logarithmic`. unit: what times are given for, units: how many a file has.
    codecs, chosen_metrics: those measured without being asked for, the first the headline; anchor: what others are compared
    with. figure: how good a preview is, in words. series: None where there are no frames.
    look: heading and explanation of the previews in the report.
    """

    name: str
    plural: str
    is_file: Callable[[str], bool]
    load: Callable[[str], Any]
    fit: Callable[[Any, Any], Any]
    facts: Mapping[str, Callable[[Any], Any]]
    rates: Mapping[str, Callable[[Facts], float]]
    rate_name: str
    logarithmic: bool
    unit: str
    units: Callable[[Facts], float]
    metrics: Mapping[str, Metric]
    codecs: str
    chosen_metrics: str
    anchor: str
    preview: Callable[[Any, Any], Preview]
    figure: Callable[[Any, Any], str]
    look: tuple[str, str]
    series: Series | None = None

    @property
    def rate(self) -> str:
        """Key of the rate that curves are drawn over."""
        return next(iter(self.rates))

    def described(self, original: Any) -> dict[str, Any]:
        """The facts of an original."""
        return {key: fact(original) for key, fact in self.facts.items()}

    def sizes(self, size: int, facts: Facts) -> dict[str, float]:
        """`bytes` and every rate of a file of that many bytes."""
        return {"bytes": size, **{key: 8 * size / divisor(facts) for key, divisor in self.rates.items()}}

    def metrics_named(self, names: str) -> list[Metric]:
        """Metrics by name, separated by commas. Raises ValueError for an unknown one."""
        wanted = [name.strip() for name in names.split(",")]
        if unknown := [name for name in wanted if name not in self.metrics]:
            raise ValueError(f"unknown metric of {self.plural} {', '.join(unknown)}: choose from {', '.join(self.metrics)}")
        return [self.metrics[name] for name in dict.fromkeys(wanted)]
