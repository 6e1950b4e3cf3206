"""Bjontegaard deltas: how much rate, or quality, separates two curves on average over the range that they share.

After G. Bjontegaard, VCEG-M33 (2001), with Akima interpolation of log rate over quality (and the reverse), by the package
`bjontegaard`. Rates are bits per pixel or kbit/s; quality is on the axis of its metric (dB for MS-SSIM too).
"""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

# Akima needs a few points to be more than a broken line.
FEWEST_POINTS = 4
# Points that lie nearer than this part of their rate, or so many dB, are one: logarithms may not tell them apart.
NEAREST = 1e-9
MIN_OVERLAP = 0.5


@dataclass(frozen=True)
class Curve:
    """Rate and quality of a codec, both strictly rising; `dropped` points were beaten by one that is smaller and no
    worse, or had no finite quality."""

    rate: tuple[float, ...]
    quality: tuple[float, ...]
    dropped: int = 0


@dataclass(frozen=True)
class Range:
    """What two curves share of an axis. share: of the shorter of their two ranges."""

    low: float
    high: float
    share: float


@dataclass(frozen=True)
class Delta:
    """A curve against an anchor. rate: percent more (positive) or fewer bits for the same quality; quality: gain for the same
    bits. None where refused, with the reason; `over_quality` and `over_rate` tell the ranges that the means are over."""

    rate: float | None
    quality: float | None
    over_quality: Range | None
    over_rate: Range | None
    reason: str = ""

    def reversed(self) -> Delta:
        """The anchor against the curve: log rate and quality integrate to the same with the sign changed."""
        rate = None if self.rate is None else 100 * (1 / (1 + self.rate / 100) - 1)
        quality = None if self.quality is None else -self.quality
        return Delta(rate, quality, self.over_quality, self.over_rate, self.reason)


@dataclass(frozen=True)
class Spread:
    """Of the deltas of many files: number that counted and number refused, mean and how far they lie apart."""

    count: int
    refused: int
    mean: float
    deviation: float
    median: float
    low: float
    high: float


def curve(rates: Sequence[float], qualities: Sequence[float | None]) -> Curve:
    """The points as a curve that rises strictly in both directions, which interpolation either way needs."""
    points = [(r, q) for r, q in zip(rates, qualities) if q is not None and math.isfinite(q) and r > 0]
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or (quality > kept[-1][1] + NEAREST and rate > kept[-1][0] * (1 + NEAREST)):
            kept.append((rate, quality))
    return Curve(tuple(r for r, _ in kept), tuple(q for _, q in kept), len(rates) - len(kept))


def delta(anchor: Curve, test: Curve, min_overlap: float = MIN_OVERLAP) -> Delta:
    """The test curve against the anchor. Refused where a curve has fewer than four points, or where the curves share less than
    `min_overlap` of the shorter range: the quality for the rate, the (log) rate for the quality."""
    fewest = min(len(anchor.rate), len(test.rate))
    if fewest < FEWEST_POINTS:
        return Delta(None, None, None, None, f"a curve of {fewest} points, at least {FEWEST_POINTS} are needed")
    over_quality = _shared(anchor.quality, test.quality)
    log_rates = [np.log10(c.rate) for c in (anchor, test)]
    over_log_rate = _shared(*log_rates)
    reasons = []
    rate = quality = None
    if over_quality.share >= min_overlap:
        # The integral and percentage of log10 rate over quality.
        rate = 100 * (10 ** _mean_difference(anchor.quality, log_rates[0], test.quality, log_rates[1]) - 1)
    else:
        reasons.append(f"the ranges of quality share {over_quality.share:.0%}")
    if over_log_rate.share >= min_overlap:
        quality = _mean_difference(log_rates[0], anchor.quality, log_rates[1], test.quality)
    else:
        reasons.append(f"the ranges of rate share {over_log_rate.share:.0%}")
    over_rate = Range(10**over_log_rate.low, 10**over_log_rate.high, over_log_rate.share)
    needed = f", {min_overlap:.0%} needed" if reasons else ""
    return Delta(rate, quality, over_quality, over_rate, " and ".join(reasons) + needed)


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and spread of the values that are not None; None when there are none."""
    every = list(values)
    kept = [value for value in every if value is not None]
    if not kept:
        return None
    deviation = statistics.stdev(kept) if len(kept) > 1 else 0.0
    return Spread(
        len(kept), len(every) - len(kept), statistics.fmean(kept), deviation, statistics.median(kept), min(kept), max(kept)
    )


def _shared(one: Sequence[float], other: Sequence[float]) -> Range:
    """Both rising."""
    low, high = max(one[0], other[0]), min(one[-1], other[-1])
    return Range(float(low), float(high), float(max(high - low, 0) / min(one[-1] - one[0], other[-1] - other[0])))


def _mean_difference(
    x_anchor: Sequence[float], anchor: Sequence[float], x_test: Sequence[float], test: Sequence[float]
) -> float:
    """Mean of test minus anchor, each as a function of x, over the x that they share."""
    from bjontegaard import bd_linear

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of little overlap by a rule of its own; ours has been applied
        value = bd_linear(x_anchor, anchor, x_test, test, method="akima", require_matching_points=False, min_overlap=0)
    return float(value)
