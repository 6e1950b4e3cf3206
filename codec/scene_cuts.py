"""Where one scene ends and another begins: a frame that does not look like the one before is worth coding as a picture."""

from __future__ import annotations

import numpy as np

from .video import Frame

CELL = 16  # pixels, each way, whose mean is compared
LEAST = 14.0  # levels of 0..255 that cells differ by on the mean at a cut
TIMES = 3.0  # and how many times more than they have done lately: what moves fast is no cut
MOST_IN_TURN = 2  # a frame that flashes up is two cuts; more are a scene that moves faster than the one before
MEMORY = 0.8  # of what they have done lately, from frame to frame


class SceneCuts:
    """Tells of frames, one after the other, whether a scene begins with them; so the first does."""

    def __init__(self) -> None:
        self._before: np.ndarray | None = None
        self._usual: float | None = None
        self._in_turn = 0  # cuts one directly after the other

    def __call__(self, frame: Frame) -> bool:
        """Whether a scene begins with the next frame."""
        cells, before = _cells(frame.y), self._before
        self._before = cells
        if before is None or before.shape != cells.shape:
            self._usual = None
            return True
        change = float(np.abs(cells - before).mean())
        if self._usual is not None and change > max(LEAST, TIMES * self._usual) and self._in_turn < MOST_IN_TURN:
            self._in_turn += 1
            return True
        follow = self._usual is None or self._in_turn
        self._usual = change if follow else MEMORY * self._usual + (1 - MEMORY) * change
        self._in_turn = 0
        return False


def _cells(y: np.ndarray) -> np.ndarray:
    """Means of the cells of a plane (H, W); what is left over at the borders counts only where there is nothing else."""
    h, w = y.shape
    if min(h, w) < CELL:
        return y.astype(np.float32).mean(keepdims=True)
    cut = y[: h // CELL * CELL, : w // CELL * CELL].reshape(h // CELL, CELL, w // CELL, CELL)
    return cut.mean((1, 3), dtype=np.float32)
