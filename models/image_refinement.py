"""Latents of one picture made better for it: gradient descent through the decoder on bits + lambda * squared error.

The analysis network serves every picture alike; a few steps on the latents themselves close part of that gap, with the decoder
untouched (Campos et al. 2019, arXiv:1906.01798; Yang, Bamler, Mandt 2020, arXiv:2006.04240). What makes a few steps enough
(docs/architecture.md has the measurements):

- Rounding is soft and hardens from step to step, so that the gradient is that of what is minimised.
- Bits are those of the probability tables, not of Gaussians.
- The transforms are nearly orthonormal: in quantiser steps the squared error curves alike along all latents, so that plain
  gradient descent with a step near the inverse of that curvature is nearly Newton's method. Adam takes several times
  as many steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .entropy_model import HYPER_LIMIT, QUALITY_MAX, SCALE_TABLES, quality_row
from .exact import plain_precision
from .hyperprior_net import FakeQuant
from .image_net import ImageNet, lagrangian
from .restore import restore
from .symbol_costs import LOG2_OFFSET, TABLES_PER_OCTAVE, SymbolCosts


class Schedule(NamedTuple):
    """Gradient steps, and the width of a soft rounding, in quantiser steps, at the first and the last of them."""

    count: int
    softness: tuple[float, float]


SCHEDULES = {1: Schedule(4, (0.2, 0.1)), 2: Schedule(8, (0.25, 0.08))}  # by effort; 16 steps gain nothing over 8
EFFORT_MAX = max(SCHEDULES)
HYPER_SOFTNESS = (0.3, 0.15)
HYPER_RATE = 0.4  # step on hyper-latents by that on latents
STEEPEST = 20.0  # bits per hyper-latent, beyond which a slope is not believed
DIVERGED = 1.1  # a cost that is so many times that of the start


def soft_round(fraction: Tensor, softness: float) -> Tensor:
    """A sigmoid from (0, 0) to (1, 1) that comes nearer to rounding at a half the smaller `softness` is."""
    foot = 1 / (1 + math.exp(0.5 / softness))
    return (torch.sigmoid((fraction - 0.5) / softness) - foot) / (1 - 2 * foot)


def slope_of_quality(quality: int) -> float:
    """Bits that one unit of squared error (0..255, summed over pixels, mean of RGB) is worth at a quality 0..1000.

    Measured as the slope of rate over distortion between neighbouring qualities: 1.17, 1.15 and 1.01 times the lambda of
    training at quality 20, 50 and 80. With it refinement keeps to the rates that a quality has without.
    """
    return float(lagrangian(quality_row(quality))) * (1.2 - 0.2 * quality / QUALITY_MAX)


@dataclass(frozen=True)
class Scene:
    """What a tile is refined for: its error, the window of latents that it is seen through, and a quality.

    `latents` (1, 320, h, w): those of the tile and around it; `own` slices of rows and columns of the tile in them, the rest is
    not changed. `target`: slices of rows and columns of pixels, in a synthesis of all latents, that count. `error`: of these
    pixels as decoded, (1, 3, H, W) 0..1, as a number that has a gradient, such as `SquaredError`.
    """

    error: Callable[[Tensor], Tensor]
    latents: Tensor
    own: tuple[slice, slice]
    target: tuple[slice, slice]
    quality: int


@dataclass(frozen=True)
class SquaredError:
    """Mean of red, green and blue, summed over pixels, in squared levels of 0..255. image: (1, 3, H, W) 0..1."""

    image: Tensor

    def __call__(self, decoded: Tensor) -> Tensor:
        return (decoded - self.image).square().sum() * (255**2 / 3)


class ImageRefiner:
    """The float twin of a model, from the tensors of its two weights files. Thread-safe: nothing changes once built."""

    def __init__(self, encoder: dict[str, Tensor], decoder: dict[str, Tensor], device: torch.device) -> None:
        self.device = device
        self.net = ImageNet()
        self.net.load_state_dict(restore(self.net, encoder, decoder))
        self.net.eval().requires_grad_(False).to(device=device, memory_format=torch.channels_last)
        for module in self.net.modules():
            if isinstance(module, FakeQuant):
                module.exact = True
        tables = tuple(decoder[f"tables.{part}"].numpy() for part in ("low", "size", "counts"))
        self.costs = SymbolCosts(tables, device)
        self.dead_zone = encoder["dead_zone"].float().to(device)

    def refine(self, scene: Scene, schedule: Schedule) -> tuple[Tensor, Tensor]:
        """Latents (1, 320, h, w) of the tile and hyper-latents (1, 64, ceil(h/4), ceil(w/4)), neither rounded.

        The outcome is that of the last step; nothing promises that it is better than the start.
        """
        with plain_precision(self.device), torch.enable_grad():
            for caution in (1.0, 0.5, 0.25):
                outcome = self._descend(scene, schedule, caution)
                if outcome is not None:
                    return outcome
            start = scene.latents[(..., *scene.own)]
            return start, self.net.hyper_encoder(start)

    def _descend(self, scene: Scene, schedule: Schedule, caution: float) -> tuple[Tensor, Tensor] | None:
        """Gradient steps of `caution` times the usual length; None when they diverge."""
        row = quality_row(scene.quality).to(self.device)
        step = self.net.steps(row)
        start = scene.latents[(..., *scene.own)].clone()
        scaled, hyper = start / step, self.net.hyper_encoder(start)
        rate = (0.035 - 0.0175 * scene.quality / QUALITY_MAX) * caution / 2  # error curves more at high quality
        first: float | None = None
        for i in range(schedule.count):
            progress = i / (schedule.count - 1)
            softness = [a * (b / a) ** progress for a, b in (schedule.softness, HYPER_SOFTNESS)]
            scaled.requires_grad_(True), hyper.requires_grad_(True)
            cost = self._cost(scene, row, step, scaled, hyper, *softness)
            slopes = torch.autograd.grad(cost, (scaled, hyper))
            now = float(cost.detach())
            first = now if first is None else first
            if now > DIVERGED * first or not all(slope.isfinite().all() for slope in slopes):
                return None
            decay = rate * (1 + math.cos(math.pi * i / schedule.count))
            scaled = (scaled - decay * slopes[0]).detach()
            hyper = (hyper - decay * HYPER_RATE * slopes[1].clamp(-STEEPEST, STEEPEST)).detach()
        return (scaled * step).detach(), hyper.detach()

    def _cost(
        self, scene: Scene, row: Tensor, step: Tensor, scaled: Tensor, hyper: Tensor, softness: float, hyper_softness: float
    ) -> Tensor:
        """Bits and weighted error of softly rounded latents and hyper-latents."""

        def rule(residual: Tensor, log2_scale: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            tables = (TABLES_PER_OCTAVE * log2_scale + LOG2_OFFSET).clamp(0, SCALE_TABLES - 1)
            with torch.no_grad():
                nearest = tables.round()
                zone = self.dead_zone[nearest.long()]
            magnitude = (residual.abs() - zone).clamp_min(0)
            whole = magnitude.detach().floor()
            symbol = (whole + soft_round(magnitude - whole, softness)) * residual.detach().sign()
            symbol = symbol.masked_fill(nearest == 0, 0)
            return symbol, self.costs.latents(symbol, tables)

        whole = hyper.detach().floor()
        rounded = (whole + soft_round(hyper - whole, hyper_softness)).clamp(-HYPER_LIMIT, HYPER_LIMIT)
        features = self.net.features(rounded, row, *scaled.shape[-2:])
        quantised, bits = self.net.passes(scaled, step, features, rule)
        rows, columns = scene.own
        latents = scene.latents.clone()
        latents[:, :, rows, columns] = quantised
        image = self.net.synthesis(self.net.restore(latents, row), row)[(..., *scene.target)]
        return bits.sum() + self.costs.hyper(rounded).sum() + slope_of_quality(scene.quality) * scene.error(image)
