"""Motion in its order in the file, and the tables of its symbols.

The tables follow from how well motion was predicted around a square and in a frame coded before, so symbols are coded in a few
large arrays. All integers, so that encoder and decoder agree. Shapes as in motion.py.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from .motion import (
    AFTER,
    ALL,
    BEFORE,
    COLUMNS,
    DIRECT,
    NEW,
    PREDICTED,
    QUARTERS,
    ROWS,
    WHOLE,
    Motion,
    coded_sides,
    last_block,
)

_SPATIAL, _TEMPORAL, _AFTER, _SPLIT = 5, 3, 4, 18
_PLACES = (1 + _SPATIAL) * _TEMPORAL  # ways to tell squares
_SQUARES = _PLACES * _AFTER
ONE_SIDE_TABLES = _SQUARES + _SPLIT * _AFTER  # all there are in models without frames predicted from both sides
_MODE_FIRST, _MODE_SECOND = 3, 9
_MODES = 2 * ONE_SIDE_TABLES  # for frames with one side, then with two
_SHAPES = _MODES + 2 * (_MODE_FIRST + _MODE_SECOND)  # where the tables of vid3 end; its blocks have no shapes
_SHAPE, _AROUND, _PART = 6, 4, 12  # ways to tell shapes; those around that are known; ways to tell parts
_SHAPE_TABLES = _SHAPE * _AROUND + _PART * _AFTER
SHAPED_TABLES = _SHAPES + 2 * _SHAPE_TABLES  # where those of vid4 end; its frames have one side before at most
TWO_BEFORE_TABLES = SHAPED_TABLES + ONE_SIDE_TABLES + _MODE_FIRST + _MODE_SECOND + _SHAPE_TABLES  # where those of vid6 end
TABLES = TWO_BEFORE_TABLES + 3 * _PLACES
_MERGED = 2  # what a vector that is taken from a square beside it counts as a difference from what was expected
_BESIDE = (0, 1), (1, 0), (0, -1), (-1, 0)


@dataclass(frozen=True)
class Syntax:
    """What is coded of motion: modes, from vid3 on; shapes, vid4; two frames before, vid5; merges, vid7."""

    modes: bool
    shapes: bool
    two_before: bool
    merges: bool

    @staticmethod
    def of(tables: int, both_sides: bool) -> Syntax:
        """That of a model with so many tables of motion. both_sides: whether frames are predicted from both sides."""
        return Syntax(both_sides, tables >= SHAPED_TABLES, tables >= TWO_BEFORE_TABLES, tables >= TABLES)


@dataclass(frozen=True)
class _Tables:
    """Where the tables of a kind of frame begin: of vectors, modes, shapes and merges."""

    vectors: int
    modes: int
    shapes: int
    merges: int


_ONE_SIDE = _Tables(0, _MODES, _SHAPES, TWO_BEFORE_TABLES)
_BETWEEN = _Tables(
    ONE_SIDE_TABLES, _MODES + _MODE_FIRST + _MODE_SECOND, _SHAPES + _SHAPE_TABLES, TWO_BEFORE_TABLES + _PLACES
)
_TWO_BEFORE = _Tables(
    SHAPED_TABLES,
    SHAPED_TABLES + ONE_SIDE_TABLES,
    SHAPED_TABLES + ONE_SIDE_TABLES + _MODE_FIRST + _MODE_SECOND,
    TWO_BEFORE_TABLES + 2 * _PLACES,
)


@dataclass
class Surprise:
    """How far fields were from what was expected: of each square (n, h, w), of its vectors and of its blocks; at most 99."""

    squares: np.ndarray
    blocks: np.ndarray


@dataclass(frozen=True)
class MotionStep:
    """Symbols to code: table ids (k,) uint16, from 0 on, where they stand in an array of `Motion`, what is guessed."""

    table_ids: np.ndarray
    part: str
    place: tuple[np.ndarray, ...]
    guess: np.ndarray | int = 0

    def symbols(self, motion: Motion) -> np.ndarray:
        """What is coded of them: int32 (k,)."""
        return (getattr(motion, self.part)[self.place] - self.guess).astype(np.int32)


Steps = Generator[MotionStep, np.ndarray, None]


def motion_steps(
    n: int, sides: int, h: int, w: int, before: Surprise | None, syntax: Syntax, two_before: bool = False
) -> Generator[MotionStep, np.ndarray, tuple[Motion, Surprise]]:
    """Yields a step, is sent its symbols (int32). h, w: squares. before: the surprise of frames coded before, one for each.
    two_before: whether both of two sides are frames before."""
    tables = _ONE_SIDE if sides == 1 else _TWO_BEFORE if two_before else _BETWEEN
    if before is None:
        before = Surprise(np.zeros((n, h, w), np.int32), np.zeros((n, h, w), np.int32))
    coded = Motion.none(n, sides, h, w)
    temporal = np.searchsorted((1, 12), _around(before.squares, ((0, 0), *_BESIDE)), side="right")
    if syntax.modes:
        yield from _mode_steps(coded, tables.modes, temporal)
    used = coded_sides(coded.modes, sides)
    surprise = np.zeros((n, sides, h, w), np.int32)
    for second in (0, 1):
        chosen = np.nonzero(used & (_parity(h, w) == second))
        spatial = 0
        if second:
            beside = _around(surprise, _BESIDE)
            spatial = 1 + np.searchsorted((1, 4, 12, 40), beside[chosen], side="right")
        around = spatial * _TEMPORAL + temporal[chosen[0], chosen[2], chosen[3]]
        if syntax.merges:
            yield from _send(coded, "merges", chosen, tables.merges + around)
            np.clip(coded.merges, PREDICTED, NEW, out=coded.merges)  # whatever a damaged file says
            merges = coded.merges[chosen]
            surprise[chosen] = np.where(merges == PREDICTED, 0, _MERGED)
            chosen, around = tuple(index[merges == NEW] for index in chosen), around[merges == NEW]
        surprise[chosen] = yield from _pair(coded, "squares", chosen, tables.vectors + around * _AFTER)
    if syntax.shapes:
        yield from _part_steps(coded, tables.shapes, used, surprise, before.blocks)
    else:
        yield from _block_steps(coded, tables.vectors, used, surprise, before.blocks)
    total = np.minimum(np.abs(coded.blocks.astype(np.int64)), 99).sum((0, -1)) * used
    return coded, Surprise(np.minimum(surprise.sum(1), 99), np.minimum(total.sum(1), 99))


def _block_steps(coded: Motion, first: int, used: np.ndarray, surprise: np.ndarray, before: np.ndarray) -> Steps:
    """Codes how blocks differ from their square, all of them, as vid1 to vid3 do."""
    total = np.zeros(used.shape, np.int32)
    chosen = np.nonzero(used)
    own = np.searchsorted((1, 6), surprise[chosen], side="right")
    earlier = before[chosen[0], chosen[2], chosen[3]] > 0
    for block in (0, 1, 2):
        seen = np.searchsorted((1, 6), total[chosen], side="right") if block else 0
        base = first + _SQUARES + ((seen * 3 + own) * 2 + earlier) * _AFTER
        total[chosen] += yield from _pair(coded, "blocks", (np.full(len(own), block), *chosen), base)


def _part_steps(coded: Motion, first: int, used: np.ndarray, surprise: np.ndarray, before: np.ndarray) -> Steps:
    """Codes how squares are divided, in two passes over a checkerboard, and then the vectors of the parts."""
    divided = np.zeros(used.shape, np.int32)
    for second in (0, 1):
        chosen = np.nonzero(used & (_parity(*used.shape[2:]) == second))
        own = np.searchsorted((1, 6), surprise[chosen], side="right")
        table_ids = own * 2 + (before[chosen[0], chosen[2], chosen[3]] > 0)
        if second:
            table_ids = table_ids + _SHAPE * (1 + np.searchsorted((1, 3), _around(divided, _BESIDE)[chosen], side="right"))
        yield from _send(coded, "shapes", chosen, first + table_ids)
        np.clip(coded.shapes, WHOLE, QUARTERS, out=coded.shapes)  # whatever a damaged file says
        divided = np.minimum(coded.shapes, 2)
    first += _SHAPE * _AROUND
    for kind, (shape, block) in enumerate(((ROWS, 1), (COLUMNS, 0), (QUARTERS, 0), (QUARTERS, 1), (QUARTERS, 2))):
        chosen = np.nonzero(coded.shapes == shape)
        own = np.searchsorted((1, 6), surprise[chosen], side="right")
        base = first + (max(kind - 1, 0) * 3 + own) * _AFTER
        right, below, _ = coded.blocks[(slice(None), *chosen)]
        guess = last_block(right, below) if block == 2 else np.zeros_like(right)
        yield from _pair(coded, "blocks", (np.full(len(own), block), *chosen), base, guess)
        if shape != QUARTERS:
            coded.blocks[(2, *chosen)] = coded.blocks[(block, *chosen)]


def _send(
    coded: Motion, part: str, place: tuple[np.ndarray, ...], table_ids: np.ndarray, guess: np.ndarray | int = 0
) -> Steps:
    """Codes the symbols at `place` of an array of `coded` and puts them there."""
    if len(table_ids):
        symbols = yield MotionStep(table_ids.astype(np.uint16), part, place, guess)
        getattr(coded, part)[place] = np.clip(symbols.astype(np.int64) + guess, -(2**31), 2**31 - 1)


def _mode_steps(coded: Motion, first: int, temporal: np.ndarray) -> Steps:
    """Codes the modes, in two passes over a checkerboard: the second knows the four around."""
    h, w = coded.modes.shape[1:]
    for second in (0, 1):
        chosen = np.nonzero(np.broadcast_to(_parity(h, w) == second, coded.modes.shape))
        table_ids = first + temporal[chosen]
        if second:
            same = [(coded.modes == mode).astype(np.int32) for mode in (DIRECT, BEFORE, AFTER)]
            direct, one, other = (_around(part, _BESIDE)[chosen] for part in same)
            lean = np.where(one + other == 0, 0, np.where(one > other, 1, 2))
            table_ids = first + _MODE_FIRST + 3 * np.searchsorted((1, 3), direct, side="right") + lean
        yield from _send(coded, "modes", chosen, table_ids)
        np.clip(coded.modes, ALL, DIRECT, out=coded.modes)  # whatever a damaged file says


def _pair(
    coded: Motion, part: str, place: tuple[np.ndarray, ...], base: np.ndarray, guess: np.ndarray | None = None
) -> Generator[MotionStep, np.ndarray, np.ndarray]:
    """Codes both components, the vertical one knowing the horizontal one; returns how far they are from 0, at most 99.

    guess: (k, 2), what they are coded against; 0 without it.
    """
    if len(place[0]) == 0:
        return np.zeros(0, np.int32)
    beyond: list[np.ndarray] = []
    for component in (0, 1):
        at = (*place, np.full(len(place[0]), component))
        known = 0 if guess is None else guess[:, component]
        table_ids = base + 1 + np.searchsorted((1, 4), beyond[0], side="right") if component else base
        yield from _send(coded, part, at, np.broadcast_to(table_ids, len(place[0])), known)
        beyond.append(np.minimum(np.abs(getattr(coded, part)[at].astype(np.int64) - known), 99))
    return np.minimum(sum(beyond), 99).astype(np.int32)


def _parity(h: int, w: int) -> np.ndarray:
    return np.add.outer(np.arange(h), np.arange(w)) % 2


def _around(values: np.ndarray, places: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Sum of the values (..., h, w) at the given places around each; 0 beyond the edges."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(1, 1), (1, 1)])
    h, w = values.shape[-2:]
    return sum(padded[..., 1 + y : 1 + y + h, 1 + x : 1 + x + w] for y, x in places)
