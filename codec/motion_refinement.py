"""Motion that x264 found, made cheaper: squares take the vectors of their neighbours where little is lost by it.

x264 weighs its vectors against its own coding of what they leave, knows nothing of this codec's, and has blocks without any.
Here each square of 16x16 pixels chooses among vectors at hand by squared error and bits, half of them at a time, since what a
vector costs depends on those around it (as predictive motion search in H.264; iterated conditional modes, Besag 1986); then
which sides to be predicted from; where that is both, the vectors of each once more, given what the other tells; and the sides
again. Doing it all twice over gains 0.2 %.

Shapes: y (H, W), sides multiples of 16; fields (s, 2h, 2w, 2) in quarters of a pixel, horizontal first; squares (h, w).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch.nn import functional as F

from vqc.models.entropy_model import quality_row
from vqc.models.motion import AFTER, ALL, BEFORE, DIRECT, LIMIT, known_vectors, last_block, shapes_of
from vqc.models.video_net import lagrangian

from .motion_search import Found

BLOCK = 8
PAD = BLOCK + 4  # pixels beyond the edges: farther away, with the reach of the filter, all is as at the edge
STRIP = 128  # rows that are made at once, which bounds memory
# Bits of a square whose vector is as predicted, of one with that of a square beside it, of another, for each doubling of the
# difference; of halves, of quarters, and of each vector of these; of each mode.
SAME, MERGED, OTHER, DOUBLING, HALVES, QUARTERED, PART = 0.5, 2.5, 4.5, 2.0, 4.0, 4.0, 3.0
LITTLE = 5.0  # bits for a square and its error: to look for less takes time and gains nothing
MODE = {ALL: 1.5, BEFORE: 2.5, AFTER: 2.5, DIRECT: 0.5}
MODE_TWO_BEFORE = {ALL: 3.5, BEFORE: 1.2, AFTER: 3.2, DIRECT: 0.8}  # where both sides are frames before


def _cubic(t: float) -> list[float]:
    """Weights of the four samples around t (0..1) beyond the second: the bicubic kernel of `warp`, a = -0.75."""

    def weight(x: float) -> float:
        x = abs(x)
        return 1.25 * x**3 - 2.25 * x**2 + 1 if x <= 1 else -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)

    return [weight(t + 1), weight(t), weight(1 - t), weight(2 - t)]


_DOWN, _RIGHT = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])  # the blocks of a square
# Ways to give the blocks of a square the vectors of some of them: as they are, all one, halves, three vectors, one differs.
_DIVISIONS = np.array(
    [(0, 1, 2, 3)]
    + [(k, k, k, k) for k in range(4)]
    + [(k, k, j, j) for k in (0, 1) for j in (2, 3)]
    + [(k, j, k, j) for k in (0, 2) for j in (1, 3)]
    + [(0, 0, 2, 3), (1, 1, 2, 3), (0, 1, 2, 2), (0, 1, 3, 3), (0, 1, 0, 3), (2, 1, 2, 3), (0, 1, 2, 1), (0, 3, 2, 3)]
    + [tuple(b if n == b else k for n in range(4)) for b in range(4) for k in range(4) if k != b]
)


def _quarter_kernels() -> Tensor:
    """Those of all positions, sixteen a sample: (16, 1, 4, 4), vertical position first."""
    each = torch.tensor([_cubic(quarter / 4) for quarter in range(4)])
    return torch.einsum("vi,hj->vhij", each, each).reshape(16, 1, 4, 4)


class Reference:
    """A frame in all sixteen quarter-pixel positions, in which blocks are looked up."""

    @torch.inference_mode()
    def __init__(self, y: np.ndarray) -> None:
        """y: (H, W) float32 in levels of 0..255."""
        height, width = y.shape
        padded = torch.from_numpy(np.pad(y, (PAD + 1, PAD + 2), mode="edge"))
        # (vertical, horizontal, H + 2 PAD, W + 2 PAD) in whole levels, which is exact enough to choose by
        whole = np.empty((4, 4, height + 2 * PAD, width + 2 * PAD), np.uint8)
        kernels = _quarter_kernels()
        for top in range(0, whole.shape[2], STRIP):
            strip = whole[:, :, top : top + STRIP]
            samples = F.conv2d(padded[None, None, top : top + strip.shape[2] + 3], kernels)
            levels = samples.round_().clamp_(0, 255).view(strip.shape)
            np.copyto(strip, levels.numpy(), casting="unsafe")  # several times as fast as torch's cast
        self._windows = sliding_window_view(whole, (BLOCK, BLOCK), axis=(2, 3))  # no copy
        least, beyond = -4 * (PAD - 1), PAD - BLOCK - 1
        self._reach = (least, 4 * (width + beyond)), (least, 4 * (height + beyond))

    def blocks(self, rows: np.ndarray, columns: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """What the blocks at `rows`, `columns` (n,) find with vectors (n, 2): (n, 64)."""
        x = np.clip(columns * (4 * BLOCK) + vectors[:, 0], *self._reach[0])
        y = np.clip(rows * (4 * BLOCK) + vectors[:, 1], *self._reach[1])
        found = self._windows[y & 3, x & 3, (y >> 2) + PAD, (x >> 2) + PAD]
        return found.reshape(len(x), BLOCK**2).astype(np.float32)

    def moved(self, field: np.ndarray) -> np.ndarray:
        """What all blocks find with a field (rows, columns, 2): (rows, columns, 64)."""
        rows, columns = (i.ravel() for i in np.indices(field.shape[:2]))
        return self.blocks(rows, columns, field.reshape(-1, 2).astype(np.int64)).reshape(*field.shape[:2], -1)


def to_blocks(plane: np.ndarray) -> np.ndarray:
    """A plane (H, W) as its blocks, (H/8, W/8, 64) float32."""
    rows, columns = (n // BLOCK for n in plane.shape)
    blocks = plane.reshape(rows, BLOCK, columns, BLOCK).transpose(0, 2, 1, 3)
    return blocks.reshape(rows, columns, -1).astype(np.float32)


def worth_of_error(quality: int) -> float:
    """Bits that a squared error of prediction in luma is worth at quality 0..1000 of the networks: a good half of what one of
    the decoded frame is, since latents mend a part."""
    return 0.55 * float(lagrangian(quality_row(quality)))


def refine(
    found: Found,
    references: Sequence[Reference],
    frame: np.ndarray,
    worth: float,
    expected: np.ndarray,
    two_before: bool = False,
) -> Found:
    """Better motion for `frame` (H, W) uint8.

    references: one for each side. worth: bits for which a squared error of one level is taken. expected: fields that DIRECT
    squares take. two_before: whether both sides are frames before.
    """
    mode_bits = MODE_TWO_BEFORE if two_before else MODE
    target = to_blocks(frame)
    sides = [_Side(*parts, target, worth) for parts in zip(found.fields, expected, references)]
    for side in sides:
        side.spread()
    modes = _choose_modes(sides, target, worth, mode_bits)
    for side in sides:
        side.follow(modes == DIRECT)
    if len(sides) == 2:
        both = modes == ALL
        for side, other in (sides, sides[::-1]):
            side.aim(np.where(_by_block(both), 2 * target - other.found, target), np.where(both, worth / 4, worth))
            side.spread(both)
        for side in sides:
            side.aim(target, np.full(found.modes.shape, worth))
        modes = _choose_modes(sides, target, worth, mode_bits)
    return Found(np.stack([side.field() for side in sides]), modes)


def with_older(found: Found, before: np.ndarray | None) -> Found:
    """Motion from one frame before to that from two: of each block, what the block that it comes from came from.

    before: fields of the nearer of them, the first of which leads to the other; None where they are forgotten.
    """
    field = found.fields[0].astype(np.int64)
    rows, columns = field.shape[:2]
    row, column = np.indices((rows, columns)) + (field[..., ::-1].transpose(2, 0, 1) + 2 * BLOCK) // (4 * BLOCK)
    further = field if before is None else before[0][row.clip(0, rows - 1), column.clip(0, columns - 1)]
    older = np.clip(field + further, -LIMIT, LIMIT).astype(np.int16)
    return Found(np.stack([found.fields[0], older]), found.modes)


def _choose_modes(
    sides: Sequence[_Side], target: np.ndarray, worth: float, mode_bits: Mapping[int, float]
) -> np.ndarray:
    """What is cheapest for each square (h, w)."""
    costs = {ALL: _cost([side.found for side in sides], target, worth), DIRECT: np.inf}
    costs[ALL] += sum(side.bits() for side in sides)
    if any(side.expected.any() for side in sides):
        costs[DIRECT] = _cost([side.found_as_expected for side in sides], target, worth)
    if len(sides) == 2:
        costs |= {mode: worth * side.error + side.bits() for mode, side in zip((BEFORE, AFTER), sides)}
    shape = costs[ALL].shape
    total = [np.broadcast_to(cost + mode_bits[mode], shape) for mode, cost in costs.items()]
    return np.array(list(costs))[np.argmin(total, axis=0)]


def _cost(found: list[np.ndarray], target: np.ndarray, worth: float) -> np.ndarray:
    """What the error of the mean of what the sides find is worth, of each square."""
    return worth * _by_square((sum(found) / len(found) - target) ** 2)


def _by_square(blocks: np.ndarray) -> np.ndarray:
    """Sums over the samples of squares: (2h, 2w, 64) to (h, w)."""
    rows, columns = blocks.shape[:2]
    return blocks.sum(2).reshape(rows // 2, 2, columns // 2, 2).sum((1, 3))


def _by_block(squares: np.ndarray) -> np.ndarray:
    """Of squares (h, w) to each of their blocks, (2h, 2w, 1)."""
    return squares.repeat(2, 0).repeat(2, 1)[..., None]


class _Side:
    """The field (2h, 2w, 2) of one side while it is refined."""

    def __init__(
        self, field: np.ndarray, expected: np.ndarray, reference: Reference, target: np.ndarray, worth: float
    ) -> None:
        self.h, self.w = field.shape[0] // 2, field.shape[1] // 2
        self.expected, self.reference = expected.astype(np.int64), reference
        self.vectors = field.astype(np.int64)
        self.found = reference.moved(self.vectors)  # what blocks find: (2h, 2w, 64)
        self.parts = self.part_bits()  # bits of how squares are divided, kept up to date
        self.aim(target, np.full((self.h, self.w), worth))

    def aim(self, target: np.ndarray, worth: np.ndarray) -> None:
        """Sets what blocks (2h, 2w, 64) are to find, and what a squared error is worth in each square."""
        self.target, self.worth = target, worth
        self.error = _by_square((self.found - target) ** 2)

    @functools.cached_property
    def found_as_expected(self) -> np.ndarray:
        """What blocks find with the vectors that are expected: (2h, 2w, 64)."""
        return self.reference.moved(self.expected)

    def follow(self, squares: np.ndarray) -> None:
        """Gives some squares (h, w) the vectors that are expected."""
        blocks = _by_block(squares)
        self.vectors = np.where(blocks, self.expected, self.vectors)
        self.found = np.where(blocks, self.found_as_expected, self.found)
        self.parts = self.part_bits()

    def field(self) -> np.ndarray:
        """The vectors as they are coded."""
        return self.vectors.astype(np.int16)

    def bits(self) -> np.ndarray:
        """Bits of each square (h, w)."""
        return _vector_bits(self.vectors[::2, ::2], self.known()) + self.parts

    def spread(self, allowed: np.ndarray | None = None) -> None:
        """Lets squares choose again, in two halves of a checkerboard; only those that are `allowed` (h, w), and not those that
        cost little as it is."""
        costly = self.worth * self.error + self.bits() > LITTLE
        rows, columns = np.nonzero(costly if allowed is None else costly & allowed)
        divided = self.parts[rows, columns] > 0
        self.divide(rows[divided], columns[divided])
        for half in (0, 1):
            here = (rows + columns) % 2 == half
            self.choose(rows[here], columns[here])

    def known(self) -> np.ndarray:
        """What vectors of squares are predicted to be, and those that they can be merged with: (4, h, w, 2)."""
        return np.stack(known_vectors(self.vectors[::2, ::2]))

    def around(self, rows: np.ndarray, columns: np.ndarray, known: np.ndarray) -> list[np.ndarray]:
        """Vectors that may fit squares: those `known` of them (4, n, 2), those to the right and below, their own where one
        component is as predicted, and that expected."""
        squares = self.vectors[::2, ::2]
        own, predicted = squares[rows, columns], known[0]
        mixed = [np.stack([x[:, 0], y[:, 1]], axis=1) for x, y in ((own, predicted), (predicted, own))]
        after = [squares[np.minimum(rows + y, self.h - 1), np.minimum(columns + x, self.w - 1)] for y, x in ((0, 1), (1, 0))]
        candidates = [*known, *after, *mixed]
        return [*candidates, self.expected[2 * rows, 2 * columns]] if self.expected.any() else candidates

    def part_bits(self) -> np.ndarray:
        """Bits (h, w) of how squares are divided."""
        return _part_bits(np.stack([self.vectors[y::2, x::2] for y, x in zip(_DOWN, _RIGHT)], axis=2))

    def divide(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Divides squares anew, with the vectors that their blocks have now."""
        if len(rows) == 0:
            return
        r, c = 2 * rows[:, None] + _DOWN, 2 * columns[:, None] + _RIGHT  # (n, 4)
        vectors, target = self.vectors[r, c], self.target[r, c]
        tried = [self.reference.blocks(r.ravel(), c.ravel(), vectors[:, k].repeat(4, 0)) for k in range(4)]
        found = np.stack(tried, axis=1).reshape(len(rows), 4, 4, -1)  # block, vector
        away = found - target[:, :, None]
        error = np.einsum("nbks,nbks->nbk", away, away)
        errors = error[:, np.arange(4), _DIVISIONS].sum(2)
        divided = vectors[:, _DIVISIONS]
        parts = _part_bits(divided)
        bits = _vector_bits(divided[:, :, 0], self.known()[:, rows, columns, None]) + parts
        best = np.argmin(self.worth[rows, columns, None] * errors + bits, axis=1)
        n = np.arange(len(rows))
        self.vectors[r, c] = divided[n, best]
        self.found[r, c] = found[n[:, None], np.arange(4), _DIVISIONS[best]]
        self.error[rows, columns], self.parts[rows, columns] = errors[n, best], parts[n, best]

    def choose(self, rows: np.ndarray, columns: np.ndarray) -> None:
        """Gives each of the squares the vector of those `around` it that is worth it."""
        if len(rows) == 0:
            return
        known, current = self.known()[:, rows, columns], self.vectors[2 * rows, 2 * columns]
        vectors = np.stack(self.around(rows, columns, known))
        parts, worth = self.parts[rows, columns], self.worth[rows, columns]
        least = worth * self.error[rows, columns] + _vector_bits(current, known) + parts
        bits = _vector_bits(vectors, known)
        keys = _keys(vectors)
        new = np.stack([(keys[:k] != key).all(0) for k, key in enumerate(keys)])
        new &= (parts > 0) | (keys != _keys(current))
        candidate, n = np.nonzero(new & (bits < least))
        if len(n) == 0:
            return
        r, c = ((2 * i[n, None] + step).ravel() for i, step in ((rows, _DOWN), (columns, _RIGHT)))
        found = self.reference.blocks(r, c, vectors[candidate, n].repeat(4, 0))
        away = (found - self.target[r, c]).reshape(len(n), -1)
        error = np.einsum("nk,nk->n", away, away)
        costs = np.full(bits.shape, np.inf)
        costs[candidate, n] = worth[n] * error + bits[candidate, n]
        best = np.argmin(costs, axis=0)
        taken = np.flatnonzero((candidate == best[n]) & (costs[candidate, n] < least[n]))
        r, c = rows[n[taken]], columns[n[taken]]
        self.error[r, c], self.parts[r, c] = error[taken], 0
        blocks = 2 * r[:, None] + _DOWN, 2 * c[:, None] + _RIGHT
        self.vectors[blocks] = vectors[candidate[taken], n[taken], None]
        self.found[blocks] = found.reshape(len(n), 4, -1)[taken]


def _vector_bits(vectors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Bits (...) of vectors (..., 2); known (4, ..., 2): what they are predicted to be, and others that they can be."""
    away = _length(vectors - known[0])
    bits, keys = OTHER + DOUBLING * np.log2(1 + away), _keys(vectors)
    for other in _keys(known[1:]):
        bits[keys == other] = MERGED
    bits[away == 0] = SAME
    return bits


def _keys(vectors: np.ndarray) -> np.ndarray:
    """A number for each vector (..., 2), the same for those that are alike."""
    return vectors[..., 0] * 2**17 + vectors[..., 1]


def _length(vectors: np.ndarray) -> np.ndarray:
    """Sums (...) of both components of vectors (..., 2), without sign; much faster than along an axis."""
    return np.abs(vectors[..., 0]) + np.abs(vectors[..., 1])


def _part_bits(vectors: np.ndarray) -> np.ndarray:
    """Bits (...) of how squares are divided, by the vectors of their blocks (..., 4, 2)."""
    right, below, last = np.moveaxis(vectors[..., 1:, :] - vectors[..., :1, :], -2, 0)
    shape = shapes_of(np.stack([right, below, last]))
    costs = [PART + DOUBLING * np.log2(1 + _length(part)) for part in (right, below, last - last_block(right, below))]
    return np.choose(shape, [0.0, HALVES + costs[1], HALVES + costs[0], QUARTERED + sum(costs)])
