"""Qualities of groups of frames, one after the other, so that a video takes the rate that was asked for."""

from __future__ import annotations

import math

SLOPE = 0.003  # of the logarithm of the rate for each tenth of quality, about; see the table of video in README
HORIZON = 4.0  # seconds in which what was spent too much or too little is to be made up for
RANGE = 0.5, 1.6  # of the rate asked for, that is aimed at to that end
STEP = 80  # tenths of quality between a group and the next, at most: quality should not jump
MEMORY = 0.5  # of how costly groups were, from group to group


class RateControl:
    """Chooses the quality of the next group by what those before it took.

    rate: bytes per second. quality: 0..1000, of the first group; found by a search on the first frames as a rule.
    """

    def __init__(self, rate: float, quality: int) -> None:
        self.rate, self.quality = rate, quality
        self._debt = 0.0  # bytes
        self._cost: float | None = None  # logarithm of the rate at quality 0 of groups like the last ones

    def spent(self, size: int, seconds: float, quality: int) -> None:
        """Takes note of a group of `quality` that took `size` bytes, and sets `quality` for the next."""
        self._debt += size - self.rate * seconds
        cost = math.log(max(size, 1) / seconds) - SLOPE * quality
        self._cost = cost if self._cost is None else MEMORY * self._cost + (1 - MEMORY) * cost
        low, high = (self.rate * part for part in RANGE)
        aim = min(max(self.rate - self._debt / HORIZON, low), high)
        wanted = round((math.log(aim) - self._cost) / SLOPE)
        self.quality = min(max(wanted, self.quality - STEP, 0), self.quality + STEP, 1000)
