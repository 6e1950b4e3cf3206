"""Residual vector quantisation with codebooks that are one learned linear map of frozen points.

Stage k quantises what the stages before it left over; the number of stages sets the rate (SoundStream, Zeghidour et al. 2021,
arXiv:2107.03312). The codebook of a stage is base @ matrix: the base stays as k-means found it, only the matrix learns, so that
a step moves every code and none is left behind (SimVQ, Zhu et al. 2024, arXiv:2411.02038).

A code is chosen by squared distance plus weight * bits, where bits are what the entropy model asks for it: entropy-constrained
vector quantisation (Chou, Lookabaugh, Gray 1989). The decoder knows nothing of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROUNDS = 8  # of k-means
CHUNK = 4096  # vectors compared with a codebook at a time


def squared_distances(vectors: Tensor, book: Tensor) -> Tensor:
    """Vectors (M, D) and codes (N, D) to |vector - code|^2 - |vector|^2, (M, N): what the choice between codes depends on."""
    return torch.addmm(book.square().sum(1), vectors, book.t(), alpha=-2)


def nearest(vectors: Tensor, book: Tensor) -> Tensor:
    """Index (M,) of the nearest code to each vector."""
    return torch.cat([squared_distances(part, book).argmin(1) for part in vectors.split(CHUNK)])


def k_means(vectors: Tensor, size: int, rounds: int = ROUNDS) -> Tensor:
    """Centroids (size, D) of vectors (M, D), M at least `size`; one that attracts nothing restarts at a random vector."""
    book = vectors[torch.randperm(len(vectors))[:size]].clone()
    for _ in range(rounds):
        codes = nearest(vectors, book)
        counts = torch.bincount(codes, minlength=size)
        sums = torch.zeros_like(book).index_add_(0, codes, vectors)
        book = sums / counts.clamp_min(1)[:, None]
        empty = counts == 0
        book[empty] = vectors[torch.randint(len(vectors), (int(empty.sum()),))]
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
    def fit(self, vectors: Tensor) -> None:
        """Sets the base of every stage to the centroids of what the stages before leave of vectors (M, D)."""
        residual = vectors.clone()
        for stage in range(self.stages):
            self.base[stage] = k_means(residual, self.size)
            residual -= self.base[stage][nearest(residual, self.base[stage])]


def usage(counts: Tensor) -> tuple[float, float]:
    """How often each code was chosen (N,) to the part of codes used at all, and the perplexity over N."""
    share = counts[counts > 0].double() / counts.sum()
    return float((counts > 0).double().mean()), float(torch.exp(-(share * share.log()).sum()) / len(counts))
