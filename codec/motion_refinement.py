"""Vectors that x264 found, made cheaper: squares take the vectors of their neighbours where little is lost by it.

x264 weighs its vectors against its own coding of what they leave, knows nothing of this codec's, and has blocks without any.
Here each square of 16x16 pixels chooses among vectors at hand by squared error and bits, several times over, since what a
vector costs depends on those around it (as predictive motion search in H.264; iterated conditional modes, Besag 1986). About
a third of the bits of motion and a quarter of the error of prediction are saved.

Shapes: y (H, W), sides multiples of 16; field (2h, 2w, 2) int16 in quarters of a pixel, horizontal first; squares (h, w).
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from vqc.models.entropy_model import quality_row
from vqc.models.motion_coding import predictions
from vqc.models.video_net import lagrangian

BLOCK = 8
PAD = 48  # pixels beyond the edges that vectors are followed to
PASSES = 2
# Bits of a square whose vector is as predicted, of another, for each doubling of the difference; of a split and its blocks.
SAME, OTHER, DOUBLING, SPLIT, SPLIT_BLOCK = 0.5, 4.0, 2.0, 6.0, 3.0


def _cubic(t: float) -> list[float]:
    """Weights of the four samples around t (0..1) beyond the second: the bicubic kernel of `warp`, a = -0.75."""

    def weight(x: float) -> float:
        x = abs(x)
        return 1.25 * x**3 - 2.25 * x**2 + 1 if x <= 1 else -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)

    return [weight(t + 1), weight(t), weight(1 - t), weight(2 - t)]


_PHASES = torch.tensor([_cubic(q / 4) for q in range(4)], dtype=torch.float32)


_DOWN, _RIGHT = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])  # the blocks of a square


class Reference:
    """A frame in all sixteen quarter-pixel positions, to measure the error of vectors against it."""

    def __init__(self, y: torch.Tensor) -> None:
        """y: (1, 1, H, W) in levels of 0..255."""
        padded = F.pad(y, (PAD + 1, PAD + 2, PAD + 1, PAD + 2), mode="replicate")
        rows = F.conv2d(padded, _PHASES.view(4, 1, 4, 1))
        whole = F.conv2d(rows.transpose(0, 1), _PHASES.view(4, 1, 1, 4))  # (vertical, horizontal, H + 2 PAD, W + 2 PAD)
        self._width = whole.shape[3]
        self._size = whole.shape[2] * whole.shape[3]
        self._samples = whole.contiguous().view(-1).numpy()
        height, width = y.shape[2:]
        least, beyond = -4 * (PAD - 1), PAD - BLOCK - 1
        self._reach = (least, 4 * (width + beyond)), (least, 4 * (height + beyond))
        pixel = np.arange(BLOCK)
        self._within = (pixel[:, None] * self._width + pixel).reshape(-1)

    def errors(self, target: np.ndarray, rows: np.ndarray, columns: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Squared error (n,) of the blocks at `rows`, `columns` (n,), whose pixels are `target` (n, 64), for vectors (n, 2)."""
        x = np.clip(columns * (4 * BLOCK) + vectors[:, 0], *self._reach[0])
        y = np.clip(rows * (4 * BLOCK) + vectors[:, 1], *self._reach[1])
        start = (4 * (y & 3) + (x & 3)) * self._size + ((y >> 2) + PAD) * self._width + (x >> 2) + PAD
        difference = self._samples.take(start[:, None] + self._within) - target
        return np.einsum("nk,nk->n", difference, difference)


def refine(field: np.ndarray, reference: Reference, frame: np.ndarray, worth: float, before: np.ndarray | None) -> np.ndarray:
    """A better field for `frame` (H, W) uint8. worth: bits for which a squared error of one level is taken; before: the field
    of the frame before, or None."""
    return _Refinement(field, reference, frame, worth, before).run()


def worth_of_error(quality: int) -> float:
    """Bits that a squared error of prediction in luma is worth at quality 0..1000: as many as one of the decoded frame."""
    return 0.75 * float(lagrangian(quality_row(quality)))


class _Refinement:
    def __init__(
        self, field: np.ndarray, reference: Reference, frame: np.ndarray, worth: float, before: np.ndarray | None
    ) -> None:
        self.h, self.w = field.shape[0] // 2, field.shape[1] // 2
        blocks = frame.reshape(2 * self.h, BLOCK, 2 * self.w, BLOCK).transpose(0, 2, 1, 3)
        self.targets = blocks.reshape(2 * self.h, 2 * self.w, -1).astype(np.float32)
        self.reference, self.worth = reference, worth
        self.field = field.astype(np.int64)
        self.before = None if before is None else before[::2, ::2].astype(np.int64)
        rows, columns = np.indices(field.shape[:2])
        own = reference.errors(
            self.targets.reshape(-1, BLOCK * BLOCK), rows.ravel(), columns.ravel(), self.field.reshape(-1, 2)
        )
        self.error = own.reshape(self.h, 2, self.w, 2).sum((1, 3))  # of each square

    def run(self) -> np.ndarray:
        rows, columns = (i.ravel() for i in np.indices((self.h, self.w)))
        split = self.split_bits()[rows, columns] > 0
        blocks = [self.field[y::2, x::2] for y, x in ((0, 0), (0, 1), (1, 0), (1, 1))]
        self.choose(rows[split], columns[split], [block[rows, columns][split] for block in blocks])
        for turn in range(2 * PASSES):
            here = (rows + columns) % 2 == turn % 2
            self.choose(rows[here], columns[here], self.around(rows[here], columns[here]))
        return self.field.astype(np.int16)

    def around(self, rows: np.ndarray, columns: np.ndarray) -> list[np.ndarray]:
        """Vectors that may fit squares: those beside them, that predicted, that of the frame before, and none."""
        squares = self.field[::2, ::2]
        padded = np.pad(squares, ((1, 1), (1, 1), (0, 0)), mode="edge")
        beside = [padded[1 + y + rows, 1 + x + columns] for y, x in ((0, -1), (-1, 0), (0, 1), (1, 0))]
        found = [*beside, predictions(squares)[rows, columns], np.zeros((len(rows), 2), np.int64)]
        return found if self.before is None else [*found, self.before[rows, columns]]

    def split_bits(self) -> np.ndarray:
        """Bits (h, w) for blocks that differ from the first of their square."""
        first = self.field[::2, ::2]
        away = np.stack([np.abs(self.field[y::2, x::2] - first).sum(2) for y, x in ((0, 1), (1, 0), (1, 1))])
        each = np.where(away > 0, SPLIT_BLOCK + DOUBLING * np.log2(1 + away), 0).sum(0)
        return each + SPLIT * (each > 0)

    def choose(self, rows: np.ndarray, columns: np.ndarray, candidates: list[np.ndarray]) -> None:
        """Gives each of the squares the vector of the candidates (n, 2) that is worth it."""
        if len(rows) == 0:
            return
        squares = self.field[::2, ::2]
        predicted, current = predictions(squares)[rows, columns], squares[rows, columns]
        split = self.split_bits()[rows, columns]
        best = self.worth * self.error[rows, columns] + _vector_bits(current - predicted) + split
        for vectors in candidates:
            bits = _vector_bits(vectors - predicted)
            tried = np.flatnonzero(((vectors != current).any(1) | (split > 0)) & (bits < best))
            if len(tried) == 0:
                continue
            r = (2 * rows[tried, None] + _DOWN).ravel()
            c = (2 * columns[tried, None] + _RIGHT).ravel()
            error = self.reference.errors(self.targets[r, c], r, c, np.repeat(vectors[tried], 4, axis=0)).reshape(-1, 4).sum(1)
            cost = self.worth * error + bits[tried]
            better = cost < best[tried]
            taken = tried[better]
            best[taken] = cost[better]
            r, c = rows[taken], columns[taken]
            self.error[r, c] = error[better]
            self.field[2 * r[:, None] + _DOWN, 2 * c[:, None] + _RIGHT] = vectors[taken, None]


def _vector_bits(difference: np.ndarray) -> np.ndarray:
    """Bits (n,) of vectors (n, 2) less their prediction."""
    away = np.abs(difference).sum(1)
    return np.where(away > 0, OTHER + DOUBLING * np.log2(1 + away), SAME)
