"""Residual vector quantisation with codebooks that are one learned linear map of frozen points.

Stage k quantises what the stages before it left over; the number of stages sets the rate (SoundStream, Zeghidour et al. 2021,
arXiv:2107.03312). The codebook of a stage is base @ matrix: the base stays as k-means found it, only the matrix learns, so that
a step moves every code and none is left behind (SimVQ, Zhu et al. 2024, arXiv:2411.02038). A code that is chosen too rarely all
the same is given half of a cell whose error is large (Linde, Buzo, Gray 1980). Put at a lone vector, as is usual, it would stay
unused: in 96 dimensions that vector is far from all others.

A code is chosen by squared distance plus weight * bits, where bits are what the entropy model asks for it: entropy-constrained
vector quantisation (Chou, Lookabaugh, Gray 1989). The decoder knows nothing of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROUNDS = 12  # of k-means
LEAST = 0.1  # of an even share of the vectors, below which a code counts as left aside
POWER_STEPS = 4  # towards the direction in which a cell varies most
CHUNK = 4096  # vectors compared with a codebook at a time


def squared_distances(vectors: Tensor, book: Tensor) -> Tensor:
    """Vectors (M, D) and codes (N, D) to |vector - code|^2 - |vector|^2, (M, N): what the choice between codes depends on."""
    return torch.addmm(book.square().sum(1), vectors, book.t(), alpha=-2)


def nearest(vectors: Tensor, book: Tensor) -> Tensor:
    """Index (M,) of the nearest code to each vector."""
    return torch.cat([squared_distances(part, book).argmin(1) for part in vectors.split(CHUNK)])


def halves(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Means (D,) of the two halves of vectors (M, D), M at least 2, cut across the direction in which they vary most."""
    centred = vectors - vectors.mean(0)
    direction = centred[centred.square().sum(1).argmax()]
    for _ in range(POWER_STEPS):
        direction = centred.t() @ (centred @ direction)
        direction = direction / direction.norm().clamp_min(1e-12)
    order = (centred @ direction).argsort()
    middle = len(order) // 2
    return vectors[order[:middle]].mean(0), vectors[order[middle:]].mean(0)


def split_cells(vectors: Tensor, codes: Tensor, book: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """Gives codes of the codebook (N, D), in place, that fewer than `least` of vectors (M, D) chose half of another's cell.

    codes (M,): what each vector chose. Cut are the cells of the largest sums of squared errors among those of at least
    2 * `least` vectors. Returns the codes that were moved (n,), and those whose cells they share now (n,).
    """
    counts = torch.bincount(codes, minlength=len(book))
    errors = torch.zeros(len(book), device=book.device).index_add_(0, codes, (vectors - book[codes]).square().sum(1))
    errors[counts < max(2 * least, 2)] = 0
    rare = torch.nonzero(counts < least)[:, 0][: int((errors > 0).sum())]
    parents = errors.topk(len(rare)).indices
    order = codes.argsort()
    cells = order.split(counts.tolist())
    for child, parent in zip(rare.tolist(), parents.tolist()):
        book[parent], book[child] = halves(vectors[cells[parent]])
    return rare, parents


def k_means(vectors: Tensor, size: int, rounds: int = ROUNDS) -> Tensor:
    """Centroids (size, D) of vectors (M, D), M at least `size`.

    In the first half of the rounds one that attracts less than `LEAST` of an even share is given half of another cell.
    """
    book = vectors[torch.randperm(len(vectors))[:size]].clone()
    for round_ in range(rounds):
        codes = nearest(vectors, book)
        if 2 * round_ < rounds and round_ > 0:
            split_cells(vectors, codes, book, LEAST * len(vectors) / size)
            codes = nearest(vectors, book)
        counts = torch.bincount(codes, minlength=size)
        sums = torch.zeros_like(book).index_add_(0, codes, vectors)
        book = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], book)
    return book


class ResidualVQ(nn.Module):
    """Codebooks of `stages` stages, `size` codes of `dimension` numbers each."""

    def __init__(self, stages: int, size: int, dimension: int) -> None:
        super().__init__()
        self.register_buffer("base", torch.randn(stages, size, dimension))
        self.matrix = nn.Parameter(torch.eye(dimension).repeat(stages, 1, 1))

    @property
    def stages(self) -> int:
        return self.base.shape[0]

    @property
    def size(self) -> int:
        return self.base.shape[1]

    def codebook(self, stage: int) -> Tensor:
        """Codes (N, D) of a stage."""
        return self.base[stage] @ self.matrix[stage]

    @torch.no_grad()
    def fit(self, vectors: Tensor) -> Tensor:
        """Sets the base of every stage to the centroids of what the stages before leave of vectors (M, D).

        Each stage is fitted to a random half of them: of these it leaves less than of others, and the next should meet both.
        Returns the mean squared length (K + 1,) of the vectors, and of what each stage leaves.
        """
        residual = vectors.clone()
        left = [residual.square().sum(1).mean()]
        for stage in range(self.stages):
            half = torch.randperm(len(residual))[: max(len(residual) // 2, self.size)]
            self.base[stage] = k_means(residual[half], self.size)
            residual -= self.base[stage][nearest(residual, self.base[stage])]
            left.append(residual.square().sum(1).mean())
        return torch.stack(left)

    @torch.no_grad()
    def revive(self, stage: int, vectors: Tensor, codes: Tensor, least: float) -> tuple[Tensor, Tensor]:
        """`split_cells` of a stage, for what (M, D) it met and chose (M,)."""
        book = self.codebook(stage)
        moved, parents = split_cells(vectors, codes, book, least)
        changed = torch.cat([moved, parents])
        self.base[stage, changed] = torch.linalg.solve(self.matrix[stage], book[changed], left=False)
        return moved, parents


def usage(counts: Tensor) -> tuple[float, float]:
    """How often each code was chosen (N,) to the part of codes used at all, and the perplexity over N."""
    share = counts[counts > 0].double() / counts.sum()
    return float((counts > 0).double().mean()), float(torch.exp(-(share * share.log()).sum()) / len(counts))
