"""Find the setting of a codec that meets a target, by bisection along its settings.

Size and quality grow with the setting, but not without small steps back: what is returned has been measured and does meet the
target; that no lower setting does too is only as true as the growth is steady.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .codecs import Codec, Setting


class TargetOutOfReach(ValueError):
    """No setting of the codec meets the target; the message tells how near it comes."""


@dataclass(frozen=True)
class Trial:
    """A file of a codec: `value` is what was searched for, in its own unit; `tries` counts the encodes made in all."""

    setting: Setting
    data: bytes
    value: float
    tries: int


def lowest_reaching(codec: Codec, image: np.ndarray, target: float, measure: Callable[[np.ndarray], float]) -> Trial:
    """The lowest setting whose decoded picture has measure(picture) >= target. Raises TargetOutOfReach."""
    trials = _Trials(codec, image, lambda data: measure(codec.decode(data)))
    low, high = 0, len(codec.settings) - 1
    if trials.value(high) < target:
        raise TargetOutOfReach(f"reaches {trials.value(high):.4g} at most, at setting {codec.settings[high]}")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if trials.value(middle) >= target else (middle + 1, high)
    return trials.result(high)


def largest_within(codec: Codec, image: np.ndarray, size: int) -> Trial:
    """The highest setting whose file has at most `size` bytes. Raises TargetOutOfReach."""
    trials = _Trials(codec, image, len)
    low, high = 0, len(codec.settings) - 1
    if trials.value(low) > size:
        raise TargetOutOfReach(f"needs at least {trials.value(low):.0f} bytes, at setting {codec.settings[low]}")
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if trials.value(middle) <= size else (low, middle - 1)
    return trials.result(low)


def nearest_size(codec: Codec, image: np.ndarray, size: int) -> Trial:
    """The file whose size comes nearest to `size` bytes."""
    trials = _Trials(codec, image, len)
    low, high = 0, len(codec.settings) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if trials.value(middle) < size else (low, middle)
    return trials.result(min((low, high), key=lambda place: abs(trials.value(place) - size)))


class _Trials:
    """Files by place among the settings, each made once."""

    def __init__(self, codec: Codec, image: np.ndarray, value: Callable[[bytes], float]) -> None:
        self._codec, self._image, self._value = codec, image, value
        # Not every codec computes these in no time.
        self._settings = codec.settings
        self._known: dict[int, tuple[bytes, float]] = {}

    def value(self, place: int) -> float:
        if place not in self._known:
            data = self._codec.encode(self._image, self._settings[place])
            self._known[place] = (data, float(self._value(data)))
        return self._known[place][1]

    def result(self, place: int) -> Trial:
        value = self.value(place)
        return Trial(self._settings[place], self._known[place][0], value, len(self._known))
