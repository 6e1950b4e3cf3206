"""Vector fields as they are coded: one vector for 16x16 pixels, then how its 8x8 blocks differ from it.

The vector of a square is predicted as in H.264 (Wiegand et al. 2003, section VI-C: the median of left, above and above right),
since that is how x264, which searches it, counts its cost. The tables follow from how well this went around it and in the frame
before, so symbols are coded in a few large arrays. All integers, so that encoder and decoder agree.

Shapes: field (2h, 2w, 2) int16 in quarters of a pixel, horizontal first; squares (h, w).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

_SPATIAL, _TEMPORAL, _AFTER, _SPLIT = 5, 3, 4, 18
_SQUARES = (1 + _SPATIAL) * _TEMPORAL * _AFTER
TABLES = _SQUARES + _SPLIT * _AFTER
_LIMIT = 2**15 - 1


@dataclass
class Surprise:
    """How far a field was from what was expected: of each square (h, w), of its vector and of its blocks; at most 99."""

    squares: np.ndarray
    blocks: np.ndarray


@dataclass
class Differences:
    """A field as it is coded: squares (h, w, 2) less their prediction, blocks 1 to 3 of each (3, h, w, 2) less block 0."""

    squares: np.ndarray
    blocks: np.ndarray


def predictions(squares: np.ndarray) -> np.ndarray:
    """What each square (h, w, 2) is predicted to be from those left of it and above."""
    w = squares.shape[1]
    bordered = np.pad(squares.astype(np.int64), ((1, 0), (1, 1), (0, 0)))
    left, above = bordered[1:, :-2], bordered[:-1, 1:-1]
    beside = bordered[:-1, 2:].copy()
    beside[:, -1] = bordered[:-1, w - 1]  # at the edge: above left
    median = np.maximum(np.minimum(left, above), np.minimum(np.maximum(left, above), beside))
    median[0] = left[0]
    return median


def to_differences(field: np.ndarray) -> Differences:
    """A field to what is coded of it."""
    squares = field[::2, ::2].astype(np.int32)
    blocks = [field[y::2, x::2] - squares for y, x in ((0, 1), (1, 0), (1, 1))]
    return Differences((squares - predictions(squares)).astype(np.int32), np.stack(blocks))


def to_field(differences: Differences) -> np.ndarray:
    """The inverse of `to_differences`; vectors are kept within 16 bits whatever the differences."""
    h, w = differences.squares.shape[:2]
    squares = np.empty((h, w, 2), np.int64)
    for component in (0, 1):
        squares[..., component] = _undo_prediction(differences.squares[..., component].tolist())
    field = np.empty((2 * h, 2 * w, 2), np.int64)
    field[::2, ::2] = squares
    for (y, x), block in zip(((0, 1), (1, 0), (1, 1)), differences.blocks):
        field[y::2, x::2] = squares + block
    return np.clip(field, -_LIMIT, _LIMIT).astype(np.int16)


def _undo_prediction(differences: list[list[int]]) -> list[list[int]]:
    """One component of all squares, as `predictions` has them. Plain loops: each square waits for the one left of it."""
    rows: list[list[int]] = []
    for row in differences:
        values: list[int] = []
        above, left, last = rows[-1] if rows else None, 0, len(row) - 1
        for x, value in enumerate(row):
            if above is not None:
                up, beside = above[x], above[x + 1] if x < last else above[x - 1] if x else 0
                low, high = (left, up) if left < up else (up, left)
                left = low if beside < low else high if beside > high else beside
            left = min(max(left + value, -_LIMIT), _LIMIT)
            values.append(left)
        rows.append(values)
    return rows


@dataclass(frozen=True)
class MotionStep:
    """Symbols to code: table ids (n,), from 0 on, and where they stand. block 0: squares."""

    table_ids: np.ndarray
    block: int
    rows: np.ndarray
    columns: np.ndarray
    component: int

    def symbols(self, differences: Differences) -> np.ndarray:
        """What is coded of them: int32 (n,)."""
        source = differences.blocks[self.block - 1] if self.block else differences.squares
        return source[self.rows, self.columns, self.component].astype(np.int32)


def motion_steps(h: int, w: int, before: Surprise | None) -> Generator[MotionStep, np.ndarray, tuple[Differences, Surprise]]:
    """Yields a step, is sent its symbols (int32). h, w: squares. before: the surprise of the frame before."""
    if before is None:
        before = Surprise(np.zeros((h, w), np.int32), np.zeros((h, w), np.int32))
    coded = Differences(np.zeros((h, w, 2), np.int32), np.zeros((3, h, w, 2), np.int32))
    temporal = np.searchsorted((1, 12), _around(before.squares, ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))), side="right")
    surprise = np.zeros((h, w), np.int32)
    parity = np.add.outer(np.arange(h), np.arange(w)) % 2
    for second in (0, 1):
        rows, columns = np.nonzero(parity == second)
        spatial = 0
        if second:
            beside = _around(surprise, ((0, 1), (1, 0), (0, -1), (-1, 0)))
            spatial = 1 + np.searchsorted((1, 4, 12, 40), beside[rows, columns], side="right")
        base = (spatial * _TEMPORAL + temporal[rows, columns]) * _AFTER
        surprise[rows, columns] = yield from _pair(base, 0, rows, columns, coded.squares)
    total = np.zeros((h, w), np.int32)
    rows, columns = (i.ravel() for i in np.indices((h, w)))
    own = np.searchsorted((1, 6), surprise.ravel(), side="right")
    earlier = before.blocks.ravel() > 0
    for block in (1, 2, 3):
        seen = np.searchsorted((1, 6), total.ravel(), side="right") if block > 1 else 0
        base = _SQUARES + ((seen * 3 + own) * 2 + earlier) * _AFTER
        total[rows, columns] += yield from _pair(base, block, rows, columns, coded.blocks[block - 1])
    return coded, Surprise(np.minimum(surprise, 99), np.minimum(total, 99))


def _pair(
    base: np.ndarray, block: int, rows: np.ndarray, columns: np.ndarray, target: np.ndarray
) -> Generator[MotionStep, np.ndarray, np.ndarray]:
    """Codes both components, the vertical one knowing the horizontal one; returns how far they are from 0, at most 99."""
    if len(rows) == 0:
        return np.zeros(0, np.int32)
    horizontal = yield MotionStep(base.astype(np.uint8), block, rows, columns, 0)
    size = np.minimum(np.abs(horizontal.astype(np.int64)), 99)
    after = 1 + np.searchsorted((1, 4), size, side="right")
    vertical = yield MotionStep((base + after).astype(np.uint8), block, rows, columns, 1)
    target[rows, columns] = np.stack([horizontal, vertical], axis=-1)
    return np.minimum(size + np.minimum(np.abs(vertical.astype(np.int64)), 99), 99).astype(np.int32)


def _around(values: np.ndarray, places: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Sum of the values at the given places around each; 0 beyond the edges."""
    padded = np.pad(values, 1)
    h, w = values.shape
    return sum(padded[1 + y : 1 + y + h, 1 + x : 1 + x + w] for y, x in places)
