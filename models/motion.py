"""Motion as it is coded: what a square of 16x16 pixels is predicted from, one vector for each side, then how it is divided and
how its parts differ from that vector.

A square moves as expected (mode DIRECT, see trace.py), or its vectors are predicted as in H.264 (Wiegand et al. 2003, section
VI-C: the median of left, above and above right), since that is how x264, which searches them, counts their cost; or, from vid7
on, they are those of one of these three, as blocks of H.265 are merged (Helle et al. 2012, doi:10.1109/TCSVT.2012.2223051).

Shapes: n frames that are coded together, s sides; fields (n, s, 2h, 2w, 2) int16 in quarters of a pixel, horizontal first;
squares (n, s, h, w); modes (n, h, w): ALL, BEFORE, AFTER or DIRECT.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# What a square is predicted from: all sides there are, one of two, or all with the vectors that are expected.
ALL, BEFORE, AFTER, DIRECT = range(4)
# Where a vector comes from: as predicted, that of a square beside it, or told by how it differs from its prediction.
PREDICTED, LEFT, ABOVE, BESIDE, NEW = range(5)
_KNOWN = 5  # it is no matter: the vector is known
# How a square is divided: not, into an upper and a lower half, a left and a right one, or its four blocks.
WHOLE, ROWS, COLUMNS, QUARTERS = range(4)
LIMIT = 2**15 - 1  # of the components of vectors
_OTHERS = (0, 1), (1, 0), (1, 1)  # rows and columns of blocks 1 to 3 in a square


@dataclass
class Motion:
    """Motion as it is coded: modes; squares (n, s, h, w, 2) less their prediction, and where they come from, merges
    (n, s, h, w); blocks 1 to 3 of each (3, n, s, h, w, 2) less block 0; shapes (n, s, h, w), which follow from those."""

    modes: np.ndarray
    squares: np.ndarray
    blocks: np.ndarray
    shapes: np.ndarray
    merges: np.ndarray

    @staticmethod
    def none(n: int, sides: int, h: int, w: int) -> Motion:
        """No motion, predicted from all sides."""
        squares, blocks = np.zeros((n, sides, h, w, 2), np.int32), np.zeros((3, n, sides, h, w, 2), np.int32)
        shapes, merges = np.zeros((n, sides, h, w), np.int32), np.full((n, sides, h, w), NEW, np.int32)
        return Motion(np.zeros((n, h, w), np.int32), squares, blocks, shapes, merges)


def coded_sides(modes: np.ndarray, sides: int) -> np.ndarray:
    """Which vectors are coded: (n, s, h, w) bool."""
    own = modes != DIRECT
    return own[:, None] if sides == 1 else np.stack([own & (modes != AFTER), own & (modes != BEFORE)], axis=1)


def scaled_field(field: np.ndarray, distance: int, total: int) -> np.ndarray:
    """A field (..., 2) over `total` frames, for `distance` of them (less than 0: the other way); rounded, integers."""
    return np.clip((2 * field.astype(np.int64) * distance + total) // (2 * total), -LIMIT, LIMIT).astype(np.int16)


def known_vectors(squares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where a vector can come from, by the numbers above: what each square (..., h, w, 2) is predicted to be (in the first row
    what is left of it), and those left of it, above, and above right (in the last column: above left); 0 beyond the edges."""
    *lead, h, w, two = squares.shape
    bordered = np.zeros((*lead, h + 1, w + 2, two), np.int64)  # numpy.pad takes longer than all the rest
    bordered[..., 1:, 1:-1, :] = squares
    left, above, beside = bordered[..., 1:, :-2, :], bordered[..., :-1, 1:-1, :], bordered[..., :-1, 2:, :].copy()
    beside[..., -1, :] = bordered[..., :-1, w - 1, :]
    median = np.maximum(np.minimum(left, above), np.minimum(np.maximum(left, above), beside))
    median[..., 0, :, :] = left[..., 0, :, :]
    return median, left, above, beside


def to_motion(
    fields: np.ndarray, modes: np.ndarray, expected: np.ndarray | None = None, merged: bool = False
) -> tuple[Motion, np.ndarray]:
    """Fields to what is coded of them, and the fields that `to_fields` will make of that: what no mode uses is left to
    prediction. expected: fields of the same shape, which DIRECT squares take. merged: whether vectors are taken from squares
    beside them where that is possible."""
    n, sides, rows, columns = fields.shape[:4]
    motion = Motion.none(n, sides, rows // 2, columns // 2)
    motion.modes = modes.astype(np.int32)
    coded = coded_sides(modes, sides)
    blocks = fields.astype(np.int32)
    squares = _inferred(blocks[:, :, ::2, ::2] * coded[..., None], coded, modes, expected)
    differences = [squares - known for known in known_vectors(squares)]
    motion.squares = differences[PREDICTED].astype(np.int32) * coded[..., None]
    if merged:
        for merge in (BESIDE, ABOVE, LEFT, PREDICTED):  # the first that fits counts
            motion.merges[coded & _zero(differences[merge])] = merge
        motion.squares *= (motion.merges == NEW)[..., None]
    motion.blocks = np.stack([blocks[:, :, y::2, x::2] - squares for y, x in _OTHERS]) * coded[..., None]
    motion.shapes = shapes_of(motion.blocks)
    return motion, _assembled(squares, motion, expected)


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
    squares = _inferred(motion.squares, np.zeros((n, sides, h, w), bool), motion.modes, expected, motion.merges)
    return _assembled(squares, motion, expected)


def _assembled(squares: np.ndarray, motion: Motion, expected: np.ndarray | None) -> np.ndarray:
    """Fields of squares (n, s, h, w, 2) whose vectors are known."""
    n, sides, h, w = squares.shape[:4]
    fields = np.empty((n, sides, 2 * h, 2 * w, 2), np.int64)
    fields[:, :, ::2, ::2] = squares
    for (y, x), block in zip(_OTHERS, motion.blocks):
        fields[:, :, y::2, x::2] = squares + block
    if expected is not None:
        frame, row, column = np.nonzero(motion.modes == DIRECT)
        for y, x in ((0, 0), *_OTHERS):
            fields[frame, :, 2 * row + y, 2 * column + x] = expected[frame, :, 2 * row + y, 2 * column + x]
    return np.clip(fields, -LIMIT, LIMIT).astype(np.int16)


def _inferred(
    values: np.ndarray,
    known: np.ndarray,
    modes: np.ndarray,
    expected: np.ndarray | None,
    merges: np.ndarray | None = None,
) -> np.ndarray:
    """Vectors of squares (n, s, h, w, 2): where `known`, the value; of DIRECT squares those expected; else value and
    prediction, or what they are merged with."""
    result = np.empty(values.shape, np.int64)
    if expected is not None:
        direct = (modes == DIRECT)[:, None]
        known, values = known | direct, np.where(direct[..., None], expected[:, :, ::2, ::2], values)
    sources = np.where(known, _KNOWN, NEW if merges is None else merges)
    for frame, side in np.ndindex(values.shape[:2]):
        at = sources[frame, side].tolist()
        for component in (0, 1):
            result[frame, side, ..., component] = _undo_prediction(values[frame, side, ..., component].tolist(), at)
    return result


def _undo_prediction(values: list[list[int]], sources: list[list[int]]) -> list[list[int]]:
    """One component of all squares, as `known_vectors` predicts them, in the place of the differences. Plain loops: each square
    waits for the one left of it.

    sources: where each comes from; if _KNOWN, it is not the difference that is given, but the value.
    """
    last = len(values[0]) - 1
    above = None
    for row, row_sources in zip(values, sources):
        left = 0
        for x, source in enumerate(row_sources):
            if source == _KNOWN:
                left = row[x]
                continue
            if source != LEFT:
                if above is None:
                    up = beside = 0
                else:
                    up, beside = above[x], above[x + 1] if x < last else above[x - 1] if x else 0
                if source == ABOVE:
                    left = up
                elif source == BESIDE:
                    left = beside
                else:
                    if above is not None:
                        low, high = (left, up) if left < up else (up, left)
                        left = low if beside < low else high if beside > high else beside
                    left += row[x]
                    if not -LIMIT <= left <= LIMIT:
                        left = LIMIT if left > 0 else -LIMIT
            row[x] = left
        above = row
    return values
