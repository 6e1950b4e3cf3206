"""The entropy model as it codes: exact hyper-decoder, six context passes, quantiser; one for all media.

`EntropyModel.steps` is one generator for both directions: it yields what the coder needs for the next symbols and is sent
the symbols, read from a file or just quantised, so encoder and decoder cannot disagree. All its arithmetic is on integers
(see exact.py); floating point enters only before quantisation and after dequantisation.

Shapes: n grids (frames of video that are coded together, else 1) of h x w positions (pictures: rows by columns; sound: channels
by frames) with L latents each; tokens (n, h, w, C). All widths follow from the weights. A model with a temporal context is also
told the tokens of frames coded before.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .exact import LIMIT, ExactDepthwise, ExactLinear, exact_dtype, exp2_fixed, float32_is_exact, plain_precision
from .hyperprior_net import HyperEncoder, Widths
from .transform import QUALITY_ROWS, interpolate_rows

QUALITY_MAX = 1000  # quality counts tenths
SCALE_TABLES = 64  # table ids 0..63: scales; from 64 on: channels of the hyper-latents, set by set
SYMBOL_LIMIT = 32767
HYPER_LIMIT = 15  # so that 64 * hyper-latent fits an activation
MEAN_BITS = 6  # means count 1/64 of a quantiser step
OUTPUT_BITS = 6  # fraction bits of a predicted mean beyond those of an activation


@dataclass(frozen=True)
class Step:
    """What the coder needs for one array of symbols: table ids and means, (n, channels), and where the symbols belong.

    `positions` are indices of latents in raster order, `channels` the slice of latents; both None for the hyper-latents.
    """

    table_ids: np.ndarray
    means: np.ndarray | None
    positions: np.ndarray | None
    channels: slice | None


@dataclass(frozen=True)
class StepSizes:
    """Quantiser steps of one quality: (L,) each; see `EntropyModel.step_sizes`."""

    log2: np.ndarray  # int64, 1/64
    fixed: np.ndarray  # int64, 2^-16 units of latents
    inverse: np.ndarray  # int64, 2^-12 steps per unit
    plane: int  # log2 of the base step, 1/64


class EntropyModel:
    """Exact hyper-decoder, six context passes and tables; from the tensors of a decoder weights file."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device, dtype: torch.dtype | None = None) -> None:
        self.device, self.dtype = device, dtype or exact_dtype(device)
        self._tensors = tensors
        self.log2_steps = tensors["log2_steps"].numpy().astype(np.int64)  # (rows, L), 1/1024
        self.log2_base = tensors["log2_base"].numpy().astype(np.int64)  # (rows,), 1/1024
        self.exp2 = tensors["exp2"].numpy()
        self.hyper_layers = [self._layer(tensors, f"hyper.{i}") for i in range(5)]
        passes = sum(key.startswith("context.") and key.endswith(".3.shift") for key in tensors)
        self.contexts = [[self._layer(tensors, f"context.{k}.{i}") for i in range(4)] for k in range(passes)]
        temporal = [self._layer(tensors, f"temporal.{i}") for i in range(2)] if "temporal.0.shift" in tensors else []
        self.temporal_layers = temporal
        groups = tuple(len(tensors[f"context.{k}.3.shift"]) // 2 for k in range(0, passes, 2))
        self.widths = Widths(
            groups=groups,
            hyper_latents=tensors["hyper.0.weight"].shape[1] - 1,
            hyper_features=tensors["hyper.4.weight"].shape[0],
            context=tensors["context.0.0.weight"].shape[0],
            temporal=len(tensors["temporal.0.shift"]) if temporal else 0,
            told=tensors["temporal.0.weight"].shape[1] - sum(groups) if temporal else 0,
        )

    def _layer(self, tensors: dict[str, Tensor], name: str) -> ExactLinear | ExactDepthwise:
        weight, bias, shift = (tensors[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        if weight.dim() == 3:
            return ExactDepthwise(weight, bias, shift).to(self.device, self.dtype)
        clip = (None, None) if name.startswith("context") and name.endswith("3") else (0, LIMIT)
        return ExactLinear(weight, bias, shift, *clip).to(self.device, self.dtype)

    def step_sizes(self, quality: int) -> StepSizes:
        """Quantiser steps of a quality 0..1000 by interpolating the logarithms, all in integers."""
        if not 0 <= quality <= QUALITY_MAX:
            raise ValueError(f"quality {quality / 10} is outside 0..100")
        per_row = QUALITY_MAX // (QUALITY_ROWS - 1)
        low = min(quality // per_row, QUALITY_ROWS - 2)
        high_weight = quality - low * per_row

        def between(table: np.ndarray) -> np.ndarray:
            return (table[low] * (per_row - high_weight) + table[low + 1] * high_weight + per_row // 2) // per_row

        log2 = between(self.log2_steps)
        return StepSizes(
            log2=(log2 + 8) >> 4,
            fixed=exp2_fixed(log2, self.exp2, 16),
            inverse=exp2_fixed(-log2, self.exp2, 12),
            plane=int((between(self.log2_base) + 8) >> 4),
        )

    def _features(self, hyper: np.ndarray, plane: int, h: int, w: int, previous: Tensor | None) -> Tensor:
        """Hyper-latents (n, hh, hw, Z) integers to context features (n, h, w, F + T + 1 + L): hyper, temporal, step plane, and
        zeros where latents will stand."""
        count, n = self.widths.hyper_latents, len(hyper)
        tokens = torch.full((*hyper.shape[:3], count + 1), plane, dtype=self.dtype, device=self.device)
        tokens[..., :count] = torch.from_numpy(hyper).to(self.device, self.dtype) * 64
        expand0, spatial0, expand1, spatial1, mix = self.hyper_layers
        for expand, spatial in ((expand0, spatial0), (expand1, spatial1)):
            tokens = spatial(_shuffle(expand(tokens)))
        own = self.widths.hyper_features + self.widths.temporal
        features = torch.zeros((n, h, w, own + 1 + self.widths.latents), dtype=self.dtype, device=self.device)
        features[..., : self.widths.hyper_features] = mix(tokens[:, :h, :w])
        features[..., own] = plane
        if self.temporal_layers:
            if previous is None:
                previous = torch.zeros((n, h, w, self.widths.latents + self.widths.told), dtype=self.dtype, device=self.device)
            reduce, spread = self.temporal_layers
            features[..., self.widths.hyper_features : own] = spread(reduce(previous.to(self.device, self.dtype)))
        return features

    def tokens(self, latents: np.ndarray, h: int, w: int, quality: int) -> Tensor:
        """Latents (n * h * w, L) in 1/64 steps as the context networks see them, (n, h, w, L): what later frames are given."""
        fixed = torch.from_numpy(self.step_sizes(quality).fixed).double()
        return _in_units(torch.from_numpy(latents), fixed).view(-1, h, w, latents.shape[1]).to(self.device, self.dtype)

    @torch.inference_mode()
    def steps(
        self,
        h: int,
        w: int,
        quality: int,
        previous: Tensor | None = None,
        n: int = 1,
        hyper_sets: np.ndarray | int = 0,
    ) -> Generator[Step, np.ndarray, np.ndarray]:
        """Yields a `Step`, is sent its symbols (int32, same shape), for all symbols of n grids of h x w positions.

        previous: `tokens` of a frame before and what else is told, for a model with a temporal context; zeros where None.
        hyper_sets: which set of tables codes the hyper-latents, one or that of each position (n, ceil(h/4), ceil(w/4)).
        Returns the quantised latents (n * h * w, L) float64 in 1/64 of a quantiser step.
        """
        if self.dtype is torch.float32 and not float32_is_exact():  # the mode was changed since the model was loaded
            exact = EntropyModel(self._tensors, self.device, torch.float64)
            return (yield from exact.steps(h, w, quality, previous, n, hyper_sets))
        sizes = self.step_sizes(quality)
        hh, hw = -(-h // 4), -(-w // 4)
        count, total = self.widths.hyper_latents, self.widths.latents
        sets = np.broadcast_to(hyper_sets, (n, hh, hw)).reshape(-1, 1)
        ids = (SCALE_TABLES + sets * count + np.arange(count)).astype(np.uint16)
        hyper = yield Step(ids, None, None, None)
        hyper = np.clip(hyper, -HYPER_LIMIT, HYPER_LIMIT).reshape(n, hh, hw, count)
        context = self._features(hyper, sizes.plane, h, w, previous).view(n * h * w, -1)
        features = context.shape[1] - total
        tokens = context[:, features:]  # of the latents that are known
        latents = np.empty((n * h * w, total), dtype=np.float64)
        parity = np.tile(np.add.outer(np.arange(h), np.arange(w)).reshape(-1) % 2, n)
        positions = [np.flatnonzero(parity == p) for p in (0, 1)]
        index = [torch.from_numpy(p).to(self.device) for p in positions]
        first = 0
        for g, group in enumerate(self.widths.groups):
            part = slice(first, first + group)
            log2 = torch.from_numpy(sizes.log2[part]).to(self.device, self.dtype)
            # 2^-12 units * 2^-12 steps per unit, to 2^-6 steps
            inverse = torch.from_numpy(sizes.inverse[part] * 2.0**-18).to(self.device)
            fixed = torch.from_numpy(sizes.fixed[part]).to(self.device, torch.float64)
            for p in (0, 1):
                if len(positions[p]) == 0:  # a single latent has no odd position
                    continue
                mix, spatial, widen, out = self.contexts[2 * g + p]
                mixed = mix(context[:, : features + first + group * p]).view(n, h, w, -1)
                hidden = spatial(mixed).reshape(n * h * w, -1).index_select(0, index[p])  # CUDA lays channels out otherwise
                predicted = out(widen(hidden))
                table_ids = _scale_index(predicted[:, group:] - log2).cpu().numpy().astype(np.uint8)
                mean = (predicted[:, :group] * inverse).add_(0.5).floor_()
                mean.clamp_(-SYMBOL_LIMIT * 64, SYMBOL_LIMIT * 64)
                symbols = yield Step(table_ids, mean.cpu().numpy(), positions[p], part)
                value = torch.from_numpy(symbols).to(self.device).double() * 64 + mean
                latents[positions[p], part] = value.cpu().numpy()
                tokens[index[p], part] = _in_units(value, fixed).to(self.dtype)
            first += group
        return latents


def _in_units(value: Tensor, fixed: Tensor) -> Tensor:
    """Integers in 2^-6 steps, times 2^-16 units of latents per step, to 1/64 units within an activation's limits."""
    return (value * (fixed * 2.0**-16)).add_(0.5).floor_().clamp_(-LIMIT, LIMIT)


def _shuffle(tokens: Tensor) -> Tensor:
    """Depth to space, as `torch.nn.PixelShuffle(2)`: (n, h, w, 4c) to (n, 2h, 2w, c)."""
    n, h, w, c = tokens.shape
    return tokens.view(n, h, w, c // 4, 2, 2).permute(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c // 4)


def _scale_index(log2_scale: Tensor) -> Tensor:
    """log2 of a scale in steps (integers, 1/64) to its table: six an octave, table 0 at 0.11 steps (log2 = -204 / 64)."""
    # What is too large for exact sums is far beyond the limits.
    return (log2_scale + 204).mul_(6 / 64).add_(0.5).floor_().clamp_(0, SCALE_TABLES - 1)


class LatentDecoder:
    """Entropy model, tables and dequantiser of a decoder weights file. Thread-safe: no state changes after construction."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        self.device = device
        self.entropy = EntropyModel(tensors, device)
        self.tables = tuple(tensors[f"tables.{part}"].numpy() for part in ("low", "size", "counts"))
        self.log_restore = tensors["log_restore"].float()

    def dequantise(self, latents: np.ndarray, h: int, w: int, quality: int) -> np.ndarray:
        """Latents (h * w, L) in 1/64 steps to (L, h, w) float32 in units of latents."""
        sizes = self.entropy.step_sizes(quality)
        restore = torch.exp(interpolate_rows(self.log_restore, quality_row(quality)))[0].numpy()
        gain = sizes.fixed.astype(np.float64) * 2.0**-22 * restore
        return np.ascontiguousarray((latents * gain).astype(np.float32).T).reshape(-1, h, w)


class LatentEncoder:
    """Hyper-encoder and quantiser of an encoder weights file; needs the decoder's entropy model beside it."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        self.device = device
        features, latents = tensors["hyper_encoder.layers.0.weight"].shape[:2]
        count = tensors["hyper_encoder.layers.4.weight"].shape[0]
        self.hyper_encoder = HyperEncoder(Widths((latents,), count, features, 0))
        load_module(self.hyper_encoder, tensors, "hyper_encoder.", device)
        self.dead_zone = tensors["dead_zone"].float().numpy()  # (64,): how far below 0.5 a residual is still rounded down

    @torch.inference_mode()
    def hyper(self, latents: Tensor) -> np.ndarray:
        """Latents (n, L, h, w) to hyper-latent symbols (n * ceil(h/4) * ceil(w/4), Z) int32."""
        with plain_precision(self.device):
            return hyper_symbols(self.hyper_encoder(latents))

    def quantise(self, scaled: np.ndarray, step: Step, kept: np.ndarray | None = None) -> np.ndarray:
        """Latents (n * h * w, L) float32 in steps to the symbols of `step`, with a dead zone that depends on the scale.

        kept: (n * h * w,) bool, the positions with symbols other than 0; all without it.

        A residual just above a half costs more bits than it saves distortion (rate-distortion optimised rounding, Sullivan
        1996); the decoder knows nothing of it.
        """
        if kept is not None:
            symbols = np.zeros(step.table_ids.shape, np.int32)
            here = np.flatnonzero(kept[step.positions])
            part = Step(step.table_ids[here], step.means[here], step.positions[here], step.channels)
            symbols[here] = self.quantise(scaled, part)
            return symbols
        residual = scaled[step.positions, step.channels] - step.means.astype(np.float32) * (1 / 64)
        magnitude = np.abs(residual)
        magnitude += (0.5 - self.dead_zone)[step.table_ids]
        symbols = np.copysign(np.floor(magnitude, out=magnitude), residual)
        symbols[step.table_ids == 0] = 0  # table 0 is certain and not coded
        return np.clip(symbols, -SYMBOL_LIMIT, SYMBOL_LIMIT).astype(np.int32)


def hyper_symbols(hyper: Tensor) -> np.ndarray:
    """Hyper-latents (n, Z, h, w) to their symbols (n * h * w, Z) int32."""
    symbols = torch.round(hyper).clamp_(-HYPER_LIMIT, HYPER_LIMIT)
    return symbols.permute(0, 2, 3, 1).flatten(0, 2).to(torch.int32).cpu().numpy()


def quality_row(quality: int) -> Tensor:
    """Quality 0..1000 to a row (1,) of the quality-dependent tables."""
    return torch.tensor([quality * (QUALITY_ROWS - 1) / QUALITY_MAX], dtype=torch.float32)


def load_module(module: torch.nn.Module, tensors: dict[str, Tensor], prefix: str, device: torch.device) -> None:
    """Fills `module` with the tensors whose names begin with `prefix`, ready to infer in float32."""
    state = {k.removeprefix(prefix): v.float() for k, v in tensors.items() if k.startswith(prefix)}
    module.load_state_dict(state)
    module.eval().requires_grad_(False).to(device=device, dtype=torch.float32, memory_format=torch.channels_last)
