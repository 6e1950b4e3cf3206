"""Probability tables from what the integer networks really meet: initial shapes, symbols counted, tables fitted."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from vqc.models.entropy_model import HYPER_LIMIT, SCALE_TABLES
from vqc.models.hyperprior_net import SCALE_MIN, LogisticMixture

TOTAL = 2**20  # counts of a table add up to about this
MOTION_REACH = 256  # symbols of a motion table on each side of 0: 64 pixels
NEAR = 6  # from 0, where each symbol of a motion table has its own probability; beyond, they are told apart by an eighth
PRIOR, HYPER_PRIOR, MOTION_PRIOR = 300.0, 30.0, 5.0  # symbols of the initial shape in a table: of latents, and of these

# (lowest symbol, probabilities) of each table
Tables = list[tuple[int, np.ndarray]]


def initial_tables(prior: LogisticMixture, hyper_sets: int) -> Tables:
    """(lowest symbol, probabilities) of every table before counting: Gaussians by scale, logistic mixtures per channel, as many
    times as there are sets."""
    tables: Tables = [(0, np.ones(1))]  # table 0: certain
    for i in range(1, SCALE_TABLES):
        scale = SCALE_MIN * 2 ** (i / 6)
        reach = math.ceil(6 * scale) + 6  # the real tails are heavier than a Gaussian's
        edges = torch.arange(-reach, reach + 2).double() - 0.5
        tables.append((-reach, torch.special.ndtr(edges / scale).diff().numpy()))
    x = torch.arange(-HYPER_LIMIT, HYPER_LIMIT + 2).float() - 0.5
    cdf = prior.cdf(x.view(1, 1, 1, -1).expand(1, len(prior.mean), 1, -1))[0, :, 0].double()
    tables += [(-HYPER_LIMIT, row) for row in cdf.diff(dim=1).detach().numpy()] * hyper_sets
    return tables


def initial_motion_tables(count: int) -> Tables:
    """The same for tables of motion: falling with the square of the distance."""
    x = np.arange(-MOTION_REACH, MOTION_REACH + 1)
    p = 1 / (1 + x.astype(float) ** 2)
    return [(-MOTION_REACH, p / p.sum())] * count


def spread(body: np.ndarray) -> np.ndarray:
    """Counts of the symbols -n..n of a motion table, those far from 0 as means over both signs and all about as far."""
    n = len(body) // 2
    both = (body[n:] + body[n::-1]) / 2  # by distance
    sums = np.concatenate([[0.0], np.cumsum(both)])
    far = np.arange(NEAR + 1, n + 1)
    low, high = np.maximum(far - far // 8 - 1, NEAR + 1), np.minimum(far + far // 8 + 2, n + 1)
    result = body.astype(float)
    result[n + far] = result[n - far] = (sums[high] - sums[low]) / (high - low)
    return result


class SymbolCounts:
    """Histogram of the symbols of each table; symbols outside a table count last."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.counts = [np.zeros(len(p) + 1) for _, p in tables]

    def add(self, symbols: np.ndarray, table_ids: np.ndarray) -> None:
        """Counts an array of symbols and their table ids."""
        order = np.argsort(table_ids, axis=None, kind="stable")
        ids, sorted_symbols = table_ids.reshape(-1)[order], symbols.reshape(-1)[order]
        present, starts = np.unique(ids, return_index=True)
        for t, part in zip(present, np.split(sorted_symbols, starts[1:])):
            low, p = self.tables[t]
            inside = (part >= low) & (part < low + len(p))
            self.counts[t] += np.bincount(np.where(inside, part - low, len(p)), minlength=len(p) + 1)


def pool_hyper_tables(tables: Tables, counts: list[np.ndarray], sets: tuple[int, int, int], channels: int) -> Tables:
    """The tables, of which those of hyper-latents have as their initial shape what was counted in others: in sets that differ
    in the second axis of `sets` alone, and where these are empty in all. So sets that are hardly met are not left with the
    shape that training assumed."""
    first, count = SCALE_TABLES, math.prod(sets) * channels
    shape = (*sets, channels, -1)
    counted = np.stack([n[:-1] for n in counts[first : first + count]]).reshape(shape)
    assumed = np.stack([p for _, p in tables[first : first + channels]])

    def shares(body: np.ndarray) -> np.ndarray:
        return body / body.sum(-1, keepdims=True)

    anywhere = shares(counted.sum((0, 1, 2)) + HYPER_PRIOR * assumed)
    alike = shares(counted.sum(1, keepdims=True) + HYPER_PRIOR * anywhere)
    pooled = np.broadcast_to(alike, counted.shape).reshape(count, -1)
    return [*tables[:first], *((-HYPER_LIMIT, p) for p in pooled), *tables[first + count :]]


def fit_tables(tables: Tables, counts: list[np.ndarray]) -> dict[str, Tensor]:
    """Probabilities from counts plus some symbols of the initial shape, as integer tables with an escape last."""
    low, size, flat = [], [], []
    for i, ((first, p), n) in enumerate(zip(tables, counts)):
        if len(p) == 1:
            low.append(first), size.append(1), flat.append(np.ones(1))
            continue
        body, weight = n[:-1], PRIOR
        if i < SCALE_TABLES:
            body = (body + body[::-1]) / 2  # residuals have no preferred sign
        elif len(body) == 2 * MOTION_REACH + 1:
            body = spread(body)
            weight = MOTION_PRIOR
        else:
            weight = HYPER_PRIOR
        body = body + weight * p
        escape = n[-1] + 0.02
        share = np.append(body, escape) / (body.sum() + escape)
        low.append(first), size.append(len(share)), flat.append(np.maximum(np.round(share * TOTAL), 1))
    return {
        "tables.low": torch.tensor(low, dtype=torch.int32),
        "tables.size": torch.tensor(size, dtype=torch.int32),
        "tables.counts": torch.from_numpy(np.concatenate(flat).astype(np.int32)),
    }
