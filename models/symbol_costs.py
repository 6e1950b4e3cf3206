"""What a symbol costs in bits under the probability tables, as a differentiable function of symbol and scale.

The tables are counted (tools/export.py) and far more peaked than the Gaussians of training: at a scale of 0.22 steps a one
costs 8.0 bits by table and 6.4 by Gaussian. A search of latents that reckons with Gaussians loses most of what it finds.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .entropy_model import HYPER_LIMIT, SCALE_TABLES

REACH = 256  # magnitudes 0..REACH have a cost; what lies beyond costs as much as REACH
TABLES_PER_OCTAVE, LOG2_OFFSET = 6, 204 * 6 / 64  # log2 of a scale in steps to its table: 6 * log2 + LOG2_OFFSET, rounded
_NOISY = 36  # from this table on (scales of 7 steps and more) counts of single symbols are smoothed


def _bits(counts: np.ndarray, low: int, table: int) -> np.ndarray:
    """Costs of the magnitudes 0..REACH by one table of scales, the escape coded as Elias gamma."""
    total, body = counts.sum(), counts[:-1]
    if table >= _NOISY:
        width = 2.0 ** (table / TABLES_PER_OCTAVE) / 55
        window = np.exp(-0.5 * (np.arange(-int(4 * width) - 1, int(4 * width) + 2) / width) ** 2)
        body = np.convolve(np.pad(body, len(window) // 2, mode="edge"), window / window.sum(), mode="valid")
    coded = -np.log2(body[-low:] / total)
    beyond = np.arange(1, max(REACH + 2 - len(coded), 1))
    escape = -np.log2(counts[-1] / total) + 1 + 2 * np.log2(2.0 * beyond)
    return np.concatenate([coded, np.maximum(escape, coded[-1])])[: REACH + 1]


class SymbolCosts:
    """Costs by the tables of a decoder weights file, `LatentDecoder.tables`."""

    def __init__(self, tables: tuple[np.ndarray, np.ndarray, np.ndarray], device: torch.device) -> None:
        low, size, counts = tables
        parts = np.split(counts.astype(np.float64), np.cumsum(size)[:-1])
        scales = [_bits(parts[t], int(low[t]), t) for t in range(1, SCALE_TABLES)]
        certain = np.concatenate([[0.0], scales[0][1:]])  # so that a scale about to need table 1 is not free
        self._scales = torch.from_numpy(np.stack([certain, *scales])).float().to(device).reshape(-1)
        hyper = [-np.log2(part[:-1] / part.sum()) for part in parts[SCALE_TABLES:]]
        if any(len(bits) != 2 * HYPER_LIMIT + 1 for bits in hyper):
            raise ValueError("the tables of the hyper-latents do not cover their range")
        self._hyper = torch.from_numpy(np.stack(hyper)).float().to(device)

    def latents(self, symbols: Tensor, tables: Tensor) -> Tensor:
        """Bits of each symbol by its table; both real numbers, (bi)linear between whole ones, tables 0..63."""
        magnitude = symbols.abs().clamp_max(REACH - 1e-3)
        with torch.no_grad():
            column, row = magnitude.floor(), tables.floor().clamp(0, SCALE_TABLES - 2)
            place = (row * (REACH + 1) + column).long()
            costs = [self._scales[place + step] for step in (0, 1, REACH + 1, REACH + 2)]
        along, down = magnitude - column, (tables - row).clamp(0, 1)
        upper, lower = (costs[i] + (costs[i + 1] - costs[i]) * along for i in (0, 2))
        return upper + (lower - upper) * down

    def hyper(self, symbols: Tensor) -> Tensor:
        """Bits of hyper-latents (B, Z, h, w), linear between whole ones."""
        place = (symbols + HYPER_LIMIT).clamp(0, 2 * HYPER_LIMIT - 1e-3)
        with torch.no_grad():
            column = place.floor()
            channel = torch.arange(self._hyper.shape[0], device=symbols.device)[:, None, None]
            low, high = (self._hyper[channel, column.long() + step] for step in (0, 1))
        return low + (high - low) * (place - column)
