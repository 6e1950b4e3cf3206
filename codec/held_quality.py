"""Keeps the quality of long groups from falling.

A group begins with a picture that is better than the frames after it, which live on that for a while: the last of 96 frames
predicted in a row were up to 3 dB worse than the first. A loop measures the frames that runs end with, and makes runs better
until they are as good as the first ones were. At equal mean quality that takes more bits, the fewer the later it begins and the
more slowly it does so (docs/architecture.md).
"""

from __future__ import annotations

import math

from torch import Tensor

from vqc.models.video_net import Reference, weighted_mse

FIRST = 10  # frames that tell the quality to be held
BEGIN = 48  # frames after which it is held: in groups of the usual length it costs more than it is worth
MARGIN = 0.25  # decibels that runs aim to end better than the first: they lag behind, and frames in between lose more
GAIN = 15  # tenths of quality for each decibel that a run was too bad by; about a quarter of what makes up for it
MOST = 200


class HeldQuality:
    """How much better (`raised`, tenths of quality) the next run is to be than the first were."""

    def __init__(self) -> None:
        self.raised = 0
        self._frames = 0
        self._first: list[float] = []

    def saw(self, y: Tensor, uv: Tensor, decoded: Reference, frames: int) -> None:
        """Takes the last frame of a run of so many, as it was and decoded."""
        psnr = -10 * math.log10(max(float(weighted_mse(y, uv, decoded.y, decoded.uv)), 1e-6))
        self._frames += frames
        if self._frames <= FIRST or not self._first:
            self._first.append(psnr)
        if self._frames < BEGIN:
            return
        lacking = sum(self._first) / len(self._first) + MARGIN - psnr
        self.raised = min(max(self.raised + round(GAIN * lacking), 0), MOST)
