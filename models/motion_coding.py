"""Motion as it is coded: what a square of 16x16 pixels is predicted from, one vector for each side, then how it is divided and
how its parts differ from that vector.

A square moves as expected (mode DIRECT, see trace.py), or its vectors are predicted as in H.264 (Wiegand et al. 2003, section
VI-C: the median of left, above and above right), since that is how x264, which searches them, counts their cost. The tables
follow from how well this went around it and in a frame coded before, so symbols are coded in a few large arrays. All integers,
so that encoder and decoder agree.

Shapes: n frames that are coded together, s sides; fields (n, s, 2h, 2w, 2) int16 in quarters of a pixel, horizontal first;
squares (n, s, h, w); modes (n, h, w): ALL, BEFORE, AFTER or DIRECT.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

# What a square is predicted from: all sides there are, one of two, or all with the vectors that are expected.
ALL, BEFORE, AFTER, DIRECT = range(4)
_SPATIAL, _TEMPORAL, _AFTER, _SPLIT = 5, 3, 4, 18
_SQUARES = (1 + _SPATIAL) * _TEMPORAL * _AFTER
ONE_SIDE_TABLES = _SQUARES + _SPLIT * _AFTER  # all there are in models without frames predicted from both sides
_MODE_FIRST, _MODE_SECOND = 3, 9
_MODES = 2 * ONE_SIDE_TABLES  # for frames with one side, then with two
_SHAPES = _MODES + 2 * (_MODE_FIRST + _MODE_SECOND)  # where the tables of vid3 end; its blocks have no shapes
_SHAPE, _AROUND, _PART = 6, 4, 12  # ways to tell shapes; those around that are known; ways to tell parts
_SHAPE_TABLES = _SHAPE * _AROUND + _PART * _AFTER
SHAPED_TABLES = _SHAPES + 2 * _SHAPE_TABLES  # where those of vid4 end; its frames have one side before at most
TABLES = SHAPED_TABLES + ONE_SIDE_TABLES + _MODE_FIRST + _MODE_SECOND + _SHAPE_TABLES

# How a square is divided: not, into an upper and a lower half, a left and a right one, or its four blocks.
WHOLE, ROWS, COLUMNS, QUARTERS = range(4)
LIMIT = 2**15 - 1  # of the components of vectors
_BESIDE = (0, 1), (1, 0), (0, -1), (-1, 0)
_OTHERS = (0, 1), (1, 0), (1, 1)  # rows and columns of blocks 1 to 3 in a square


@dataclass(frozen=True)
class _Tables:
    """Where the tables of a kind of frame begin: of vectors, modes and shapes."""

    vectors: int
    modes: int
    shapes: int


_ONE_SIDE = _Tables(0, _MODES, _SHAPES)
_BETWEEN = _Tables(ONE_SIDE_TABLES, _MODES + _MODE_FIRST + _MODE_SECOND, _SHAPES + _SHAPE_TABLES)
_TWO_BEFORE = _Tables(
    SHAPED_TABLES, SHAPED_TABLES + ONE_SIDE_TABLES, SHAPED_TABLES + ONE_SIDE_TABLES + _MODE_FIRST + _MODE_SECOND
)


@dataclass
class Surprise:
    """How far fields were from what was expected: of each square (n, h, w), of its vectors and of its blocks; at most 99."""

    squares: np.ndarray
    blocks: np.ndarray


@dataclass
class Motion:
    """Motion as it is coded: modes; squares (n, s, h, w, 2) less their prediction; blocks 1 to 3 of each (3, n, s, h, w, 2)
    less block 0; shapes (n, s, h, w), which follow from those."""

    modes: np.ndarray
    squares: np.ndarray
    blocks: np.ndarray
    shapes: np.ndarray

    @staticmethod
    def none(n: int, sides: int, h: int, w: int) -> Motion:
        """No motion, predicted from all sides."""
        squares, blocks = np.zeros((n, sides, h, w, 2), np.int32), np.zeros((3, n, sides, h, w, 2), np.int32)
        return Motion(np.zeros((n, h, w), np.int32), squares, blocks, np.zeros((n, sides, h, w), np.int32))


def coded_sides(modes: np.ndarray, sides: int) -> np.ndarray:
    """Which vectors are coded: (n, s, h, w) bool."""
    own = modes != DIRECT
    return own[:, None] if sides == 1 else np.stack([own & (modes != AFTER), own & (modes != BEFORE)], axis=1)


def scaled_field(field: np.ndarray, distance: int, total: int) -> np.ndarray:
    """A field (..., 2) over `total` frames, for `distance` of them (less than 0: the other way); rounded, integers."""
    return np.clip((2 * field.astype(np.int64) * distance + total) // (2 * total), -LIMIT, LIMIT).astype(np.int16)


def predictions(squares: np.ndarray) -> np.ndarray:
    """What each square (..., h, w, 2) is predicted to be from those left of it and above."""
    *lead, h, w, two = squares.shape
    bordered = np.zeros((*lead, h + 1, w + 2, two), np.int64)  # numpy.pad takes longer than all the rest
    bordered[..., 1:, 1:-1, :] = squares
    left, above = bordered[..., 1:, :-2, :], bordered[..., :-1, 1:-1, :]
    beside = bordered[..., :-1, 2:, :].copy()
    beside[..., -1, :] = bordered[..., :-1, w - 1, :]  # at the edge: above left
    median = np.maximum(np.minimum(left, above), np.minimum(np.maximum(left, above), beside))
    median[..., 0, :, :] = left[..., 0, :, :]
    return median


def to_motion(fields: np.ndarray, modes: np.ndarray, expected: np.ndarray | None = None) -> Motion:
    """Fields to what is coded of them. expected: fields of the same shape, which DIRECT squares take. What no mode uses is left
    to prediction, so `to_fields` tells the fields that decoders will find."""
    n, sides, rows, columns = fields.shape[:4]
    motion = Motion.none(n, sides, rows // 2, columns // 2)
    motion.modes = modes.astype(np.int32)
    coded = coded_sides(modes, sides)
    blocks = fields.astype(np.int32)
    squares = _inferred(blocks[:, :, ::2, ::2] * coded[..., None], coded, modes, expected)
    motion.squares = (squares - predictions(squares)).astype(np.int32) * coded[..., None]
    motion.blocks = np.stack([blocks[:, :, y::2, x::2] - squares for y, x in _OTHERS]) * coded[..., None]
    motion.shapes = shapes_of(motion.blocks)
    return motion


def shapes_of(blocks: np.ndarray) -> np.ndarray:
    """The simplest division (...) that blocks 1 to 3 of squares (3, ..., 2), less block 0, need."""
    right, below, last = blocks
    still, same = (_zero(right), _zero(below)), (_zero(last - below), _zero(last - right))
    quarters = np.where(still[1] & same[1], COLUMNS, QUARTERS)
    shapes = np.where(still[0] & same[0], ROWS, quarters)
    return np.where(still[0] & still[1] & _zero(last), WHOLE, shapes).astype(np.int32)


def _zero(vectors: np.ndarray) -> np.ndarray:
    """Which vectors (..., 2) are 0. Sums over an axis of two are slow in numpy."""
    return (vectors[..., 0] | vectors[..., 1]) == 0


def last_block(right: np.ndarray, below: np.ndarray) -> np.ndarray:
    """What block 3 (..., 2) is predicted to be from blocks 1 and 2, all less block 0: the median of 0 and these."""
    return np.maximum(np.minimum(right, below), np.minimum(np.maximum(right, below), 0))


def to_fields(motion: Motion, expected: np.ndarray | None = None) -> np.ndarray:
    """The inverse; vectors are kept within 16 bits whatever was coded."""
    n, sides, h, w = motion.squares.shape[:4]
    squares = _inferred(motion.squares, np.zeros((n, sides, h, w), bool), motion.modes, expected)
    fields = np.empty((n, sides, 2 * h, 2 * w, 2), np.int64)
    fields[:, :, ::2, ::2] = squares
    for (y, x), block in zip(_OTHERS, motion.blocks):
        fields[:, :, y::2, x::2] = squares + block
    if expected is not None:
        frame, row, column = np.nonzero(motion.modes == DIRECT)
        for y, x in ((0, 0), *_OTHERS):
            fields[frame, :, 2 * row + y, 2 * column + x] = expected[frame, :, 2 * row + y, 2 * column + x]
    return np.clip(fields, -LIMIT, LIMIT).astype(np.int16)


def _inferred(values: np.ndarray, known: np.ndarray, modes: np.ndarray, expected: np.ndarray | None) -> np.ndarray:
    """Vectors of squares (n, s, h, w, 2): where `known`, the value; of DIRECT squares those expected; else value and
    prediction."""
    result = np.empty(values.shape, np.int64)
    given = known
    if expected is not None:
        direct = (modes == DIRECT)[:, None]
        given, values = known | direct, np.where(direct[..., None], expected[:, :, ::2, ::2], values)
    for frame, side in np.ndindex(values.shape[:2]):
        at = given[frame, side].tolist() if given[frame, side].any() else None
        for component in (0, 1):
            result[frame, side, ..., component] = _undo_prediction(values[frame, side, ..., component].tolist(), at)
    return result


def _undo_prediction(differences: list[list[int]], known: list[list[bool]] | None = None) -> list[list[int]]:
    """One component of all squares, as `predictions` has them. Plain loops: each square waits for the one left of it.

    known: where it is not the difference that is given, but the value.
    """
    rows: list[list[int]] = []
    for y, row in enumerate(differences):
        values: list[int] = []
        above, left, last = rows[-1] if rows else None, 0, len(row) - 1
        for x, value in enumerate(row):
            if known is not None and known[y][x]:
                left = value
            else:
                if above is not None:
                    up, beside = above[x], above[x + 1] if x < last else above[x - 1] if x else 0
                    low, high = (left, up) if left < up else (up, left)
                    left = low if beside < low else high if beside > high else beside
                left = min(max(left + value, -LIMIT), LIMIT)
            values.append(left)
        rows.append(values)
    return rows


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
    n: int, sides: int, h: int, w: int, before: Surprise | None, told: bool, shaped: bool, two_before: bool = False
) -> Generator[MotionStep, np.ndarray, tuple[Motion, Surprise]]:
    """Yields a step, is sent its symbols (int32). h, w: squares. before: the surprise of frames coded before, one for each.
    told, shaped: whether modes and shapes are coded. two_before: whether both of two sides are frames before."""
    tables = _ONE_SIDE if sides == 1 else _TWO_BEFORE if two_before else _BETWEEN
    if before is None:
        before = Surprise(np.zeros((n, h, w), np.int32), np.zeros((n, h, w), np.int32))
    coded = Motion.none(n, sides, h, w)
    temporal = np.searchsorted((1, 12), _around(before.squares, ((0, 0), *_BESIDE)), side="right")
    if told:
        yield from _mode_steps(coded, tables.modes, temporal)
    used = coded_sides(coded.modes, sides)
    surprise = np.zeros((n, sides, h, w), np.int32)
    for second in (0, 1):
        chosen = np.nonzero(used & (_parity(h, w) == second))
        spatial = 0
        if second:
            beside = _around(surprise, _BESIDE)
            spatial = 1 + np.searchsorted((1, 4, 12, 40), beside[chosen], side="right")
        base = tables.vectors + (spatial * _TEMPORAL + temporal[chosen[0], chosen[2], chosen[3]]) * _AFTER
        surprise[chosen] = yield from _pair(coded, "squares", chosen, base)
    if shaped:
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
