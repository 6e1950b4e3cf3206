"""The image model as it is trained: transforms, hyperprior and six-pass context, all in floating point.

`models/image_hyperprior.py` is what encodes and decodes: it replaces the entropy networks of this file (`HyperDecoder`
and `Context`) by exact integer ones. Their activations are therefore kept here to what 11-bit integers can carry: clipped
to `ACTIVATION_LIMIT` in steps of 1/64.

Mean-and-scale hyperprior: Minnen et al. 2018 (arXiv:1809.02736) section 3. Checkerboard: He et al. 2021 (arXiv:2103.15306).
Uneven channel groups: ELIC, He et al. 2022 (arXiv:2203.10886) section 3.2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transform import LATENTS, QUALITY_ROWS, Analysis, Synthesis, interpolate_rows

HYPER_LATENTS = 64
HYPER_FEATURES = 160
CONTEXT_WIDTH = 256
GROUPS = (32, 96, 192)  # latent channels in order of falling energy; each group is coded in two checkerboard passes
ACTIVATION_STEP = 1 / 64
ACTIVATION_LIMIT = 1023 / 64
SCALE_MIN = 0.11  # smallest standard deviation in quantiser steps, as in compressai
LOG2_SCALE_MAX = 10.5  # above SCALE_MIN
DEAD_ZONE = 0.35  # at SCALE_MIN


def lagrangian(row: Tensor) -> Tensor:
    """Lambda of a quality row: 1.93 times more per row, 0.00047 (row 0) to 0.34 (row 10); loss = bpp + lambda * 255^2 * MSE."""
    return 0.0009 * 100.0 ** ((row - 1) / 7)


def base_step(row: Tensor) -> Tensor:
    """Quantiser step in pixel units (0..1) of a quality row: 0.8 of the high-rate optimum for lambda."""
    return 0.8 * torch.sqrt(18 / (lagrangian(row) * 65025 * math.log(2)))


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


class HyperEncoder(nn.Module):
    """Latents (B, 320, H, W) to hyper-latents (B, 64, ceil(H/4), ceil(W/4)), not rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(LATENTS, HYPER_FEATURES, 1),
            nn.LeakyReLU(0.01),
            nn.Conv2d(HYPER_FEATURES, HYPER_FEATURES, 3, stride=2, padding=1),
            nn.LeakyReLU(0.01),
            nn.Conv2d(HYPER_FEATURES, HYPER_LATENTS, 3, stride=2, padding=1),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(torch.asinh(latents))


class HyperDecoder(nn.Module):
    """Hyper-latents (B, 64, H/4, W/4) and log2 step (B,) to features (B, 160, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        c = HYPER_FEATURES
        self.layers = nn.Sequential(
            nn.Conv2d(HYPER_LATENTS + 1, 4 * c, 1),
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


class Context(nn.Module):
    """One coding pass: hyper features, log2 step and the latents decoded so far to mean and log2 scale, in pixel units."""

    def __init__(self, decoded_channels: int, group: int) -> None:
        super().__init__()
        n = CONTEXT_WIDTH
        self.layers = nn.Sequential(
            nn.Conv2d(HYPER_FEATURES + 1 + decoded_channels, n, 1),
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

    def __init__(self, channels: int = HYPER_LATENTS, components: int = 3) -> None:
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


def checkerboard(latents: Tensor) -> Tensor:
    """Mask (1, 1, H, W) of the positions coded first: row + column even."""
    h, w = latents.shape[-2:]
    rows, columns = torch.arange(h, device=latents.device), torch.arange(w, device=latents.device)
    return ((rows[:, None] + columns[None]) % 2 == 0).to(latents.dtype)[None, None]


class ImageNet(nn.Module):
    """Everything that is trained together; see the module's docstring."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis = Analysis()
        self.hyper_encoder = HyperEncoder()
        self.hyper_prior = LogisticMixture()
        self.hyper_decoder = HyperDecoder()
        start = [sum(GROUPS[:i]) for i in range(len(GROUPS))]
        self.contexts = nn.ModuleList()
        for first, group in zip(start, GROUPS):
            self.contexts.append(Context(first, group))  # even positions: earlier groups only
            self.contexts.append(Context(first + group, group))  # odd positions: also this group's even positions
        self.synthesis = Synthesis()
        self.log_gain = nn.Parameter(torch.zeros(QUALITY_ROWS, LATENTS))  # step of a channel = base_step / exp(log_gain)
        self.log_restore = nn.Parameter(torch.zeros(QUALITY_ROWS, LATENTS))  # dequantised latents times exp(log_restore)

    def steps(self, row: Tensor) -> Tensor:
        """Quantiser steps (B, 320, 1, 1) in pixel units of quality rows (B,)."""
        return (base_step(row)[:, None] * torch.exp(-interpolate_rows(self.log_gain, row)))[:, :, None, None]

    def entropy(self, latents: Tensor, row: Tensor, training_noise: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (B, 320, H, W) in pixel units to (quantised latents in pixel units, bits of latents, bits of hyper-latents).

        Bits are per sample (B,). With `training_noise` the bits are those of noisy values (Balle 2018), without it of the
        rounded ones; the quantised latents are rounded in both cases.
        """
        step = self.steps(row)
        log2_step = torch.log2(base_step(row))
        hyper = self.hyper_encoder(latents)
        noisy_hyper = hyper + torch.rand_like(hyper) - 0.5 if training_noise else torch.round(hyper)
        hyper_bits = self.hyper_prior.bits(noisy_hyper).sum((1, 2, 3))
        features = self.hyper_decoder(ste_round(hyper), log2_step)
        h, w = latents.shape[-2:]
        features = features[:, :, :h, :w]
        plane = log2_step[:, None, None, None].expand(-1, 1, h, w)
        features = torch.cat([features, plane.to(features.dtype)], dim=1)

        even = checkerboard(latents.float())
        scaled = latents.float() / step
        noise = torch.rand_like(scaled) - 0.5 if training_noise else None
        decoded: list[Tensor] = []
        bits = torch.zeros_like(hyper_bits)
        first = 0
        for g, group in enumerate(GROUPS):
            part = slice(first, first + group)
            half: Tensor | None = None
            for parity, mask in enumerate((even, 1 - even)):
                seen = [*decoded, half] if parity else decoded
                known = torch.cat([t.clamp(-ACTIVATION_LIMIT, ACTIVATION_LIMIT) for t in seen] or [features[:, :0]], dim=1)
                mean, log2_scale = self.contexts[2 * g + parity](features, known.to(features.dtype))
                mean = mean / step[:, part]
                residual = scaled[:, part] - mean
                log2_scale = log2_scale - torch.log2(step[:, part])
                zone = dead_zone(log2_scale.detach())
                symbol = ste_round(residual - residual.detach().clamp(-zone, zone))
                value = (symbol + mean) * step[:, part] * mask
                half = value if half is None else half + value
                coded = residual + noise[:, part] if noise is not None else symbol
                cost = gaussian_bits(coded, log2_scale)
                bits = bits + (cost * mask).sum((1, 2, 3))
            decoded.append(half)
            first += group
        return torch.cat(decoded, dim=1), bits, hyper_bits

    def forward(self, image: Tensor, row: Tensor, training_noise: bool = True) -> dict[str, Tensor]:
        """Image (B, 3, H, W) 0..1 and quality rows (B,) to the reconstruction and the bits of each sample (B,)."""
        latents = self.analysis(image, row)
        quantised, bits, hyper_bits = self.entropy(latents, row, training_noise)
        restored = quantised * torch.exp(interpolate_rows(self.log_restore, row))[:, :, None, None]
        return {"image": self.synthesis(restored, row), "bits": bits + hyper_bits, "hyper_bits": hyper_bits}
