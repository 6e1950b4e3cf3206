"""The entropy model that all models share, as it is trained: hyperprior and six-pass context in floating point.

`models/entropy_model.py` is what encodes and decodes: it replaces the networks of this file (`HyperDecoder` and `Context`)
by exact integer ones. Their activations are therefore kept here to what 11-bit integers can carry: clipped to
`ACTIVATION_LIMIT` in steps of 1/64. A picture is a grid of latents, and so is sound: channels by frames. A frame of video
has the latents of the frame before it as further context.

Mean-and-scale hyperprior: Minnen et al. 2018 (arXiv:1809.02736) section 3. Checkerboard: He et al. 2021 (arXiv:2103.15306).
Uneven channel groups: ELIC, He et al. 2022 (arXiv:2203.10886) section 3.2.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transform import QUALITY_ROWS, interpolate_rows

ACTIVATION_STEP = 1 / 64
ACTIVATION_LIMIT = 1023 / 64
SCALE_MIN = 0.11  # smallest standard deviation in quantiser steps, as in compressai
LOG2_SCALE_MAX = 10.5  # above SCALE_MIN
DEAD_ZONE = 0.35  # at SCALE_MIN
SPARSE_DEAD_ZONE = 1 / 3  # the least where most latents are 0: what is left is then noise, and coded helps no later frame
Rule = Callable[[Tensor, Tensor, slice], tuple[Tensor, Tensor]]  # see HyperpriorNet.passes


@dataclass(frozen=True)
class Widths:
    """Channels of an entropy model. groups: latents, in the order of coding; each group is coded in two checkerboard passes.

    temporal: features made of the latents of the frame before; 0 where there is none. told: numbers about each position that
    both sides know besides, which come after those latents.
    """

    groups: tuple[int, ...]
    hyper_latents: int
    hyper_features: int
    context: int
    temporal: int = 0
    told: int = 0

    @property
    def latents(self) -> int:
        return sum(self.groups)


def ste_round(x: Tensor) -> Tensor:
    """Rounds to integers, with the gradient of the identity."""
    return x + (torch.round(x) - x).detach()


def dead_zone(log2_scale: Tensor) -> Tensor:
    """How far beyond a half a residual must lie to be rounded away from zero, by log2 of its predicted scale in steps.

    A nonzero symbol costs about 14.5 * (0.11 / scale)^0.9 bits more than a zero (measured on the fitted tables) and saves
    distortion worth (2 |residual| - 1) times 5.5 bits at the usual step; the threshold that follows is reached only in part
    (DEAD_ZONE), since later symbols are predicted from this one. Rate-distortion optimised quantisation: Sullivan 1996.
    """
    excess = (log2_scale - math.log2(SCALE_MIN)).clamp(0, LOG2_SCALE_MAX)
    return DEAD_ZONE * torch.exp2(-0.9 * excess)


class LowerBound(torch.autograd.Function):
    """max(x, bound) whose gradient still passes where it would lift x off the bound (Balle et al. 2018, appendix 6.1)."""

    @staticmethod
    def forward(ctx, x: Tensor, bound: float) -> Tensor:
        ctx.save_for_backward(x >= bound)
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        (inside,) = ctx.saved_tensors
        return gradient * (inside | (gradient < 0)), None


class FakeQuant(nn.Module):
    """Clips to the integer network's range and, when `exact` is set, rounds down to its grid (straight-through gradient)."""

    def __init__(self, signed: bool = False) -> None:
        super().__init__()
        self.low = -ACTIVATION_LIMIT if signed else 0.0
        self.exact = False

    def forward(self, x: Tensor) -> Tensor:
        x = x.clamp(self.low, ACTIVATION_LIMIT)
        if self.exact:
            x = x + (torch.round(x.detach() * 64) / 64 - x.detach())
        return x


def fast_asinh(x: Tensor) -> Tensor:
    """Several times as fast as `torch.asinh` on a CPU; to 2e-7 in float32, but without a gradient near 0 in bfloat16."""
    size = x.abs()
    return torch.log(size + torch.sqrt(size.square() + 1)).copysign(x)


class HyperEncoder(nn.Module):
    """Latents (B, L, H, W) to hyper-latents (B, Z, ceil(H/4), ceil(W/4)), not rounded."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        c = widths.hyper_features
        self.layers = nn.Sequential(
            nn.Conv2d(widths.latents, c, 1),
            nn.LeakyReLU(0.01),
            nn.Conv2d(c, c, 3, stride=2, padding=1),
            nn.LeakyReLU(0.01),
            nn.Conv2d(c, widths.hyper_latents, 3, stride=2, padding=1),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(torch.asinh(latents) if torch.is_grad_enabled() else fast_asinh(latents))


class HyperDecoder(nn.Module):
    """Hyper-latents (B, Z, H/4, W/4) and log2 step (B,) to features (B, F, H, W)."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        c = widths.hyper_features
        self.layers = nn.Sequential(
            nn.Conv2d(widths.hyper_latents + 1, 4 * c, 1),
            FakeQuant(),
            nn.PixelShuffle(2),
            nn.Conv2d(c, c, 3, padding=1, groups=c),
            FakeQuant(signed=True),
            nn.Conv2d(c, 4 * c, 1),
            FakeQuant(),
            nn.PixelShuffle(2),
            nn.Conv2d(c, c, 3, padding=1, groups=c),
            FakeQuant(signed=True),
            nn.Conv2d(c, c, 1),
            FakeQuant(),
        )

    def forward(self, hyper: Tensor, log2_step: Tensor) -> Tensor:
        b, _, h, w = hyper.shape
        plane = log2_step[:, None, None, None].expand(b, 1, h, w)
        hyper = hyper.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT)
        return self.layers(torch.cat([hyper, plane.to(hyper.dtype)], dim=1))


class TemporalContext(nn.Module):
    """Latents (B, L, H, W) of the frame before, as decoded, and what else is told to features (B, T, H, W)."""

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        c = widths.temporal
        self.layers = nn.Sequential(
            nn.Conv2d(widths.latents + widths.told, c, 1),
            FakeQuant(),
            nn.Conv2d(c, c, 3, padding=1, groups=c),
            FakeQuant(signed=True),
        )

    def forward(self, previous: Tensor) -> Tensor:
        return self.layers(previous.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT))


class Context(nn.Module):
    """One coding pass: features, log2 step and the latents decoded so far to mean and log2 scale, in units of latents."""

    def __init__(self, widths: Widths, decoded_channels: int, group: int) -> None:
        super().__init__()
        n = widths.context
        self.layers = nn.Sequential(
            nn.Conv2d(widths.hyper_features + widths.temporal + 1 + decoded_channels, n, 1),
            FakeQuant(),
            nn.Conv2d(n, n, 3, padding=1, groups=n),
            FakeQuant(signed=True),
            nn.Conv2d(n, n, 1),
            FakeQuant(),
            nn.Conv2d(n, 2 * group, 1),
        )

    def forward(self, features: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        mean, log2_scale = self.layers(torch.cat([features, decoded], dim=1)).float().chunk(2, dim=1)
        return mean, log2_scale


class LogisticMixture(nn.Module):
    """Prior of the rounded hyper-latents: a mixture of three logistics per channel."""

    def __init__(self, channels: int, components: int = 3) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.linspace(-2, 2, components).repeat(channels, 1))
        self.raw_scale = nn.Parameter(torch.ones(channels, components))
        self.logits = nn.Parameter(torch.zeros(channels, components))

    def cdf(self, x: Tensor) -> Tensor:
        """Distribution function at x (B, C, H, W)."""
        p = [t.t()[:, None, :, None, None] for t in (self.mean, F.softplus(self.raw_scale) + 0.1, self.logits.softmax(1))]
        return (torch.sigmoid((x[None] - p[0]) / p[1]) * p[2]).sum(0)

    def bits(self, x: Tensor) -> Tensor:
        """Cost in bits of each value (B, C, H, W) with a unit interval around it."""
        x = x.float()
        return -torch.log2((self.cdf(x + 0.5) - self.cdf(x - 0.5)).clamp_min(1e-9))


def gaussian_bits(value: Tensor, log2_scale: Tensor) -> Tensor:
    """Cost in bits of `value` (in steps, mean removed) under a Gaussian of 2^log2_scale steps, unit interval."""
    log2_scale = LowerBound.apply(log2_scale, math.log2(SCALE_MIN)).clamp_max(math.log2(SCALE_MIN) + LOG2_SCALE_MAX)
    scale = torch.exp2(log2_scale)
    value = value.abs()
    upper = torch.special.ndtr((0.5 - value) / scale)
    lower = torch.special.ndtr((-0.5 - value) / scale)
    return -torch.log2(LowerBound.apply(upper - lower, 1e-9))


def sparse_bits(value: Tensor, log2_scale: Tensor) -> Tensor:
    """The same for latents that are rarely not 0, rounded: 0 as probable as under a Laplace distribution, then geometric.

    Each further one has at least a ninth of the probability of the last: what is not 0 where 0 was expected is often large,
    which neither Gaussian nor Laplace allow for. The distribution is narrower than its scale says, 2.2 and not 1.41 times, so
    that at the smallest scale a 0 is all but certain.
    """
    log2_scale = LowerBound.apply(log2_scale, math.log2(SCALE_MIN)).clamp_max(math.log2(SCALE_MIN) + LOG2_SCALE_MAX)
    rate = 2.2 * torch.exp2(-log2_scale)
    fall = rate.clamp_max(math.log(9))
    nonzero = rate / 2 + math.log(2) - torch.log1p(-torch.exp(-fall)) + fall * (value.abs() - 1)
    return torch.where(value.abs() < 0.5, -torch.log1p(-torch.exp(-rate / 2)), nonzero) / math.log(2)


def checkerboard(latents: Tensor) -> Tensor:
    """Mask (1, 1, H, W) of the positions coded first: row + column even."""
    h, w = latents.shape[-2:]
    rows, columns = torch.arange(h, device=latents.device), torch.arange(w, device=latents.device)
    return ((rows[:, None] + columns[None]) % 2 == 0).to(latents.dtype)[None, None]


class HyperpriorNet(nn.Module, ABC):
    """Hyperprior, context networks and quantiser steps: the base of the networks that are trained.

    A latent counts in the unit of its transform; `base_step` is the quantiser step in it, which `log_gain` varies by channel.
    """

    # Whether most latents are 0. Training then counts the bits of rounded latents, and not of noise in their place, which costs
    # 0.19 bits even where the scale is the smallest and a rounded 0 would be free; by `sparse_bits`; and the
    # hyper-encoder sees rounded latents, so that it has nothing to say where there is nothing to code.
    SPARSE = False

    def __init__(self, widths: Widths) -> None:
        super().__init__()
        self.widths = widths
        self.hyper_encoder = HyperEncoder(widths)
        self.hyper_prior = LogisticMixture(widths.hyper_latents)
        self.hyper_decoder = HyperDecoder(widths)
        if widths.temporal:
            self.temporal = TemporalContext(widths)
        self.contexts = nn.ModuleList()
        first = 0
        for group in widths.groups:
            self.contexts.append(Context(widths, first, group))  # even positions: earlier groups only
            self.contexts.append(Context(widths, first + group, group))  # odd: also this group's even positions
            first += group
        self.log_gain = nn.Parameter(torch.zeros(QUALITY_ROWS, widths.latents))  # step of a channel = base_step / exp(log_gain)
        self.log_restore = nn.Parameter(torch.zeros(QUALITY_ROWS, widths.latents))  # dequantised latents times exp(log_restore)

    @abstractmethod
    def base_step(self, row: Tensor) -> Tensor:
        """Quantiser step of quality rows (B,), in units of latents."""

    def dead_zone(self, log2_scale: Tensor) -> Tensor:
        """How far beyond a half a residual must lie to be rounded away from zero; see `dead_zone`."""
        return dead_zone(log2_scale)

    def encoder_dead_zone(self, log2_scale: Tensor) -> Tensor:
        """The same for encoding, below 0.5; as in training unless something else has proved better."""
        return self.dead_zone(log2_scale)

    def steps(self, row: Tensor) -> Tensor:
        """Quantiser steps (B, L, 1, 1) of quality rows (B,)."""
        return (self.base_step(row)[:, None] * torch.exp(-interpolate_rows(self.log_gain, row)))[:, :, None, None]

    def restore(self, quantised: Tensor, row: Tensor) -> Tensor:
        """Quantised latents (B, L, H, W) as the synthesis takes them."""
        return quantised * torch.exp(interpolate_rows(self.log_restore, row))[:, :, None, None]

    def entropy(
        self,
        latents: Tensor,
        row: Tensor,
        training_noise: bool,
        previous: Tensor | None = None,
        kept: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (B, L, H, W) to (quantised latents, bits of latents, bits of hyper-latents).

        previous: quantised latents of the frame before and what else is told, where the model has a temporal context. kept:
        (B, 1, H, W), 0 where every symbol is made 0, else 1; all are kept without it.
        Bits are per sample (B,). With `training_noise` the bits are those of noisy values (Balle 2018), without it of the
        rounded ones; the quantised latents are rounded in both cases.
        """
        step = self.steps(row)
        scaled = latents.float() / step
        hyper = self.hyper_encoder(self.sparse_symbols(scaled, kept) if self.SPARSE else latents)
        noisy_hyper = hyper + torch.rand_like(hyper) - 0.5 if training_noise else torch.round(hyper)
        hyper_bits = self.hyper_prior.bits(noisy_hyper).sum((1, 2, 3))
        features = self.features(ste_round(hyper), row, *latents.shape[-2:], previous)
        noise = torch.rand_like(scaled) - 0.5 if training_noise and not self.SPARSE else None
        bits_of = sparse_bits if self.SPARSE else gaussian_bits

        def rule(residual: Tensor, log2_scale: Tensor, part: slice) -> tuple[Tensor, Tensor]:
            zone = self.dead_zone(log2_scale.detach())
            symbol = ste_round(residual - residual.detach().clamp(-zone, zone))
            if kept is not None:
                symbol = symbol * kept
            return symbol, bits_of(symbol if noise is None else residual + noise[:, part], log2_scale)

        quantised, bits = self.passes(scaled, step, features, rule)
        return quantised, bits, hyper_bits

    @staticmethod
    def sparse_symbols(scaled: Tensor, kept: Tensor | None) -> Tensor:
        """Latents in steps (B, L, H, W) as the hyper-encoder sees them: as if each were predicted to be 0. No gradient."""
        symbols = torch.sign(scaled) * torch.floor(scaled.abs() + (0.5 - SPARSE_DEAD_ZONE))
        return (symbols if kept is None else symbols * kept).detach()

    def features(self, hyper: Tensor, row: Tensor, h: int, w: int, previous: Tensor | None = None) -> Tensor:
        """What every context pass sees, (B, C, h, w): hyper-decoder, temporal context of `previous` if there is one, log2 step.

        hyper: rounded hyper-latents (B, Z, ceil(h / 4), ceil(w / 4)); previous: as `entropy` takes it.
        """
        log2_step = torch.log2(self.base_step(row))
        features = self.hyper_decoder(hyper, log2_step)[:, :, :h, :w]
        plane = log2_step[:, None, None, None].expand(-1, 1, h, w)
        parts = [features, plane.to(features.dtype)]
        if previous is not None:
            parts.insert(1, self.temporal(previous.to(features.dtype)).to(features.dtype))
        return torch.cat(parts, dim=1)

    def passes(self, scaled: Tensor, step: Tensor, features: Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
        """The context passes over latents in steps (B, L, h, w): (quantised latents in their own unit, their bits (B,)).

        `rule` quantises: it takes residuals from the predicted mean and log2 of the predicted scale, both in steps, and the
        slice of latents that they are, and returns symbols and their bits.
        """
        even = checkerboard(scaled)
        decoded: list[Tensor] = []
        bits = torch.zeros_like(scaled[:, 0, 0, 0])
        first = 0
        for g, group in enumerate(self.widths.groups):
            part = slice(first, first + group)
            half: Tensor | None = None
            for parity, mask in enumerate((even, 1 - even)):
                seen = [*decoded, half] if parity else decoded
                known = torch.cat([t.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT) for t in seen] or [features[:, :0]], dim=1)
                mean, log2_scale = self.contexts[2 * g + parity](features, known.to(features.dtype))
                mean = mean / step[:, part]
                symbol, cost = rule(scaled[:, part] - mean, log2_scale - torch.log2(step[:, part]), part)
                value = (symbol + mean) * step[:, part] * mask
                half = value if half is None else half + value
                bits = bits + (cost * mask).sum((1, 2, 3))
            decoded.append(half)
            first += group
        return torch.cat(decoded, dim=1), bits
