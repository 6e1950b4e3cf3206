"""The entropy model of vector quantiser indices as it codes: code_net.py in integers, and counts for every symbol.

`CodeModel.steps` is one generator for both directions, as `EntropyModel.steps` is: it yields what the coder needs for the next
codes and is sent the codes. All its arithmetic is on integers (see exact.py).

Shapes: a grid of h x w positions (channels by frames), K stages of N codes; tokens (1, h, w, C).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .exact import LIMIT, ExactDepthwise, ExactLinear, exact_dtype, float32_is_exact

TOTAL = 2**24  # of the counts of a symbol, as the range coder has it
POWER_BITS = 22  # the most probable code counts 2^22 before counts are brought to TOTAL
_INVERSE_BITS = 30


@dataclass(frozen=True)
class CodeStep:
    """What the coder needs for one array of codes: counts (n, N) int64, TOTAL in each row; positions in raster order; stage."""

    counts: np.ndarray
    positions: np.ndarray
    stage: int


def make_powers() -> np.ndarray:
    """2^(22 - d/64) for d = 0, 1, ... rounded, down to 0, int32; made once, at export, and stored with the weights."""
    return np.round(np.exp2(POWER_BITS - np.arange((POWER_BITS + 2) * 64) / 64)).astype(np.int32)


def counts_of(log2: np.ndarray, powers: np.ndarray) -> np.ndarray:
    """log2 of probabilities but for a constant, integers of 1/64 (n, N), to counts (n, N) int64: at least 1, TOTAL in each row.

    No product reaches 2^55: powers are at most 2^22, their sums at least that, and (TOTAL << 30) / 2^22 = 2^32.
    """
    below = np.minimum(log2.max(axis=1, keepdims=True) - log2, len(powers) - 1)
    power = powers.take(below).astype(np.int64)
    inverse = ((TOTAL - log2.shape[1]) << _INVERSE_BITS) // power.sum(axis=1, keepdims=True)
    counts = 1 + (power * inverse >> _INVERSE_BITS)
    counts[np.arange(len(counts)), below.argmin(axis=1)] += TOTAL - counts.sum(axis=1)
    return counts


class CodeModel:
    """Exact contexts, vectors of the codes and heads; from the tensors of a decoder weights file."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device, dtype: torch.dtype | None = None) -> None:
        self.device, self.dtype = device, dtype or exact_dtype(device)
        self._tensors = tensors
        shift = tensors["code.vectors.shift"].long()[:, None, None]
        vectors = (tensors["code.vectors"].long() << shift).clamp(-LIMIT, LIMIT)
        self.vectors = vectors.to(device, self.dtype)  # (K, N, E), 1/64
        self.powers = tensors["code.powers"].numpy()
        self.stages, self.size = vectors.shape[:2]
        passes = range(2 * self.stages)
        self.contexts = [[self._layer(tensors, f"code.context.{k}.{i}") for i in range(3)] for k in passes]
        self.heads = [self._layer(tensors, f"code.head.{k}", clipped=False) for k in range(self.stages)]

    def _layer(self, tensors: dict[str, Tensor], name: str, clipped: bool = True) -> ExactLinear | ExactDepthwise:
        weight, bias, shift = (tensors[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        if weight.dim() == 3:
            return ExactDepthwise(weight, bias, shift).to(self.device, self.dtype)
        return ExactLinear(weight, bias, shift, *((0, LIMIT) if clipped else (None, None))).to(self.device, self.dtype)

    @torch.inference_mode()
    def steps(self, h: int, w: int, stages: int) -> Generator[CodeStep, np.ndarray, np.ndarray]:
        """Yields a `CodeStep`, is sent its codes (n,) int32, for `stages` stages of a grid of h x w positions.

        Returns the codes (h * w, stages) int32.
        """
        if self.dtype is torch.float32 and not float32_is_exact():  # the mode was changed since the model was loaded
            return (yield from CodeModel(self._tensors, self.device, torch.float64).steps(h, w, stages))
        width = self.vectors.shape[2]
        parity = np.add.outer(np.arange(h), np.arange(w)).reshape(-1) % 2
        positions = [np.flatnonzero(parity == p) for p in (0, 1)]
        index = [torch.from_numpy(p).to(self.device) for p in positions]
        # vectors of the stages before, those of this stage at the first positions, and the plane; the sum is clipped on use
        total = torch.zeros((h * w, width), dtype=self.dtype, device=self.device)
        codes = np.empty((h * w, stages), np.int32)
        for stage in range(stages):
            own = torch.zeros_like(total)
            for p in (0, 1):
                if len(positions[p]) == 0:  # a single position has no odd one
                    continue
                plane = total.new_full((h * w, 1), min(64 * stages, LIMIT))
                known = [total.clamp(-LIMIT, LIMIT), *([own] if p else []), plane]
                mix, spatial, out = self.contexts[2 * stage + p]
                hidden = spatial(mix(torch.cat(known, dim=1).view(1, h, w, -1))).view(h * w, -1)[index[p]]
                log2 = self.heads[stage](out(hidden))
                counts = counts_of(log2.to(torch.int32).cpu().numpy(), self.powers)
                found = yield CodeStep(counts, positions[p], stage)
                codes[positions[p], stage] = found
                own[index[p]] = self.vectors[stage][torch.from_numpy(found).to(self.device)]
            total += own
        return codes
