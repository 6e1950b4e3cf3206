"""Find the quality at which an encoder meets a target size.

Size falls and rises monotonically with quality, and its logarithm is close to a straight line, so the search is a secant on
log(size) kept inside a bracket: three or four encodes as a rule. Where the secant keeps hitting one side of the bracket, the
retained end is halved (the Illinois variant of regula falsi: Dowell and Jarratt, BIT 11, 1971).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

LOWEST, HIGHEST = 0.0, 100.0
# log(size) per unit of quality, only to choose the second point: a 20:1 range of sizes over 100 units.
_USUAL_SLOPE = math.log(20) / (HIGHEST - LOWEST)
# Quality is stored in tenths.
_STEP = 0.1
_MOST_ENCODES = 16


class TargetOutOfRange(ValueError):
    """No quality from 0 to 100 gives the target: `size` bytes at `quality` is the nearest this model comes."""

    def __init__(self, target_bytes: int, quality: float, size: int) -> None:
        side = "smallest" if quality == LOWEST else "largest"
        super().__init__(
            f"target of {target_bytes} bytes is out of range: the {side} file is {size} bytes (quality {quality:g})"
        )
        self.target_bytes, self.quality, self.size = target_bytes, quality, size

    def __reduce__(self) -> tuple[type, tuple[int, float, int]]:
        return type(self), (self.target_bytes, self.quality, self.size)


@dataclass(frozen=True)
class Result:
    """`quality` gave `size` bytes; `met` tells whether that is within the tolerance; `encodes` counts the calls."""

    quality: float
    size: int
    met: bool
    encodes: int


def search_quality(
    encode: Callable[[float], int], target_bytes: int, tolerance: float = 0.02, *, start: float = 50.0
) -> Result:
    """Quality, in tenths, whose file is within `tolerance` (a fraction) of `target_bytes`, or the nearest where sizes jump.

    `encode(quality)` returns the size in bytes. When the target is met, the last call of `encode` was the one that met it.
    Raises TargetOutOfRange when the target lies beyond the sizes at quality 0 or 100, ValueError for a target below 1.
    """
    if target_bytes < 1:
        raise ValueError(f"target size must be at least 1 byte, not {target_bytes}")
    tried: dict[float, int] = {}

    def excess(quality: float) -> float:
        """log(size / target): negative is too small a file."""
        tried[quality] = encode(quality)
        return math.log(max(tried[quality], 1) / target_bytes)

    def met(quality: float) -> bool:
        return abs(tried[quality] - target_bytes) <= tolerance * target_bytes

    def result() -> Result:
        best = min(tried, key=lambda quality: abs(tried[quality] - target_bytes))
        return Result(best, tried[best], met(best), len(tried))

    low: tuple[float, float] | None = None  # (quality, excess) of a file too small
    high: tuple[float, float] | None = None  # and of one too large
    quality = round(min(max(start, LOWEST), HIGHEST), 1)
    previous: tuple[float, float] | None = None
    while len(tried) < _MOST_ENCODES:
        error = excess(quality)
        if met(quality):
            break
        if (quality == LOWEST and error > 0) or (quality == HIGHEST and error < 0):
            raise TargetOutOfRange(target_bytes, quality, tried[quality])
        if error < 0:
            if high and previous and previous[1] < 0:
                high = (high[0], high[1] / 2)
            low = (quality, error)
        else:
            if low and previous and previous[1] > 0:
                low = (low[0], low[1] / 2)
            high = (quality, error)
        if low and high:
            following = low[0] - low[1] * (high[0] - low[0]) / (high[1] - low[1])
            left, right = sorted((low[0], high[0]))
            following = min(max(following, left + _STEP), right - _STEP)
        else:
            slope = _USUAL_SLOPE
            if previous:
                # A flat or falling stretch says nothing about where to go: a floor keeps the step finite and forward.
                slope = max((error - previous[1]) / (quality - previous[0]), _USUAL_SLOPE / 4)
            following = min(max(quality - error / slope, LOWEST), HIGHEST)
        following = round(following, 1)
        if following in tried:  # the bracket is down to one step, and sizes jump over the target
            break
        previous, quality = (quality, error), following
    return result()
