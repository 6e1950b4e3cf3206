"""Vector fields as they are coded: one vector for 16x16 pixels, then how its 8x8 blocks differ from it.

The vector of a square is predicted as in H.264 (Wiegand et al. 2003, section VI-C: the median of left, above and above right),
since that is how x264, which searches it, counts its cost. The tables follow from how well this went around it and in the frame
before, so symbols are coded in a few large arrays. All integers, so that encoder and decoder agree.

Shapes: field (2h, 2w, 2) int16 in quarters of a pixel, horizontal first; squares (h, w).
"""

from __future__ import annotations

import functools
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


@functools.lru_cache(maxsize=8)
def _wavefronts(h: int, w: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns of the squares that can be predicted together: those above right of them come earlier."""
    rows, columns = np.indices((h, w))
    order = (columns + 2 * rows).ravel()
    sorted_order = np.argsort(order, kind="stable")
    ends = np.cumsum(np.bincount(order))
    return [(rows.ravel()[i], columns.ravel()[i]) for i in np.split(sorted_order, ends[:-1])]


def _predict(squares: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Predictions (n, 2) of squares on a wavefront, in a field (h + 1, w + 2, 2) with a border above, left and right."""
    left, above = squares[rows + 1, columns], squares[rows, columns + 1]
    right = np.where(columns + 3 < squares.shape[1], columns + 2, columns)  # at the edge: above left
    beside = squares[rows, right]
    median = np.maximum(np.minimum(left, above), np.minimum(np.maximum(left, above), beside))
    return np.where(rows[:, None] == 0, left, median)


def to_differences(field: np.ndarray) -> Differences:
    """A field to what is coded of it."""
    squares = field[::2, ::2].astype(np.int32)
    h, w = squares.shape[:2]
    bordered = np.pad(squares, ((1, 0), (1, 1), (0, 0)))
    rows, columns = (i.ravel() for i in np.indices((h, w)))
    blocks = [field[y::2, x::2] - squares for y, x in ((0, 1), (1, 0), (1, 1))]
    return Differences(squares - _predict(bordered, rows, columns).reshape(h, w, 2), np.stack(blocks))


def to_field(differences: Differences) -> np.ndarray:
    """The inverse of `to_differences`; vectors are kept within 16 bits whatever the differences."""
    h, w = differences.squares.shape[:2]
    bordered = np.zeros((h + 1, w + 2, 2), np.int64)
    for rows, columns in _wavefronts(h, w):
        value = _predict(bordered, rows, columns) + differences.squares[rows, columns]
        bordered[rows + 1, columns + 1] = np.clip(value, -_LIMIT, _LIMIT)
    squares = bordered[1:, 1:-1]
    field = np.empty((2 * h, 2 * w, 2), np.int64)
    field[::2, ::2] = squares
    for (y, x), block in zip(((0, 1), (1, 0), (1, 1)), differences.blocks):
        field[y::2, x::2] = squares + block
    return np.clip(field, -_LIMIT, _LIMIT).astype(np.int16)


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
