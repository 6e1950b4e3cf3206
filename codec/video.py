"""Video in memory: what is known of it before its frames, and frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from .copied_payload import Track
from .sound import SoundFormat


@dataclass(frozen=True)
class VideoFormat:
    """What is known of a video before its frames.

    width, height: in pixels, as stored. base: seconds of a tick. rate: frames a second, where they are regular. aspect: width
    of a pixel over its height. primaries, transfer, matrix: code points of ITU-T H.273 (2: unknown). rotation: degrees
    clockwise to turn frames by before they are shown. sound: of the sound track; None without one. track: how its packets are
    decoded where they are copied; None where the sound is coded.
    """

    width: int
    height: int
    base: Fraction
    rate: Fraction
    aspect: Fraction = Fraction(1)
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool = False
    rotation: int = 0
    sound: SoundFormat | None = None
    track: Track | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """A frame in 4:2:0: y (H, W) and uv (2, ceil(H/2), ceil(W/2)), uint8. tick: its time stamp, in seconds of `base`."""

    y: np.ndarray
    uv: np.ndarray
    tick: int
    base: Fraction = Fraction(1, 25)

    @property
    def seconds(self) -> float:
        """Its time stamp."""
        return float(self.tick * self.base)

    def turned(self, degrees: int) -> Frame:
        """The frame turned clockwise by a multiple of 90 degrees."""
        k = -degrees // 90
        return Frame(np.rot90(self.y, k), np.rot90(self.uv, k, axes=(1, 2)), self.tick, self.base)
