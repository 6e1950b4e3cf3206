"""Integer layers whose result is the same on every machine, and the lookup that replaces exp2.

Fixed point: an activation `a` stands for a / 64 and lies in -1023..1023 (`LIMIT`); a weight `w` of row r stands for
w / 2^shift[r]. A layer computes floor((sum of w * a + bias) / 2^shift), clipped. Whoever exports a layer chooses the shift
so that sum |w| * LIMIT + |bias| < 2^24: every partial sum is then an integer that float32 holds exactly, so the result does
not depend on the order of summation, the instruction set or the number of threads. (Integer networks for entropy coding:
Balle, Johnston, Minnen, "Integer Networks for Data Compression with Latent-Variable Models", ICLR 2019, section 3.)

The weights are stored already divided by 2^shift: a power of two changes no bit of the mantissa.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

ACTIVATION_BITS = 6  # fraction bits of an activation
LIMIT = 1023  # largest magnitude of an activation
ACCUMULATOR = 2**24  # float32 holds every integer below


def plain_precision(device: torch.device) -> torch.autocast:
    """Context in which a caller's autocast does not reach: it would round to 8 or 11 bits what has to stay exact."""
    return torch.autocast(device.type, enabled=False)


class ExactLinear:
    """A 1x1 convolution in integers, on tokens (..., in) to (..., out).

    weight (out, in) int16, bias (out,) int32 with the rounding offset included, shift (out,) int8; outputs are clipped to
    low..high when given.
    """

    def __init__(self, weight: Tensor, bias: Tensor, shift: Tensor, low: int | None = None, high: int | None = None) -> None:
        bound = weight.abs().long().sum(1) * LIMIT + bias.abs().long()
        if int(bound.max()) >= ACCUMULATOR:
            raise ValueError(f"integer layer can reach {int(bound.max())}, beyond 2^24")
        unit = torch.exp2(-shift.double())
        self.weight = (weight.double() * unit[:, None]).t().contiguous()
        self.bias = bias.double() * unit
        self.low, self.high = low, high

    def to(self, device: torch.device, dtype: torch.dtype) -> ExactLinear:
        """Moves the layer in place; dtype as `exact_dtype` says."""
        self.weight, self.bias = self.weight.to(device, dtype), self.bias.to(device, dtype)
        return self

    def __call__(self, tokens: Tensor) -> Tensor:
        with plain_precision(tokens.device):
            out = torch.addmm(self.bias, tokens.reshape(-1, tokens.shape[-1]), self.weight).floor_()
        if self.low is not None:
            out.clamp_(self.low, self.high)
        return out.view(*tokens.shape[:-1], -1)


class ExactDepthwise:
    """A depthwise 3x3 convolution with zero padding in integers, on (B, H, W, C); weight (C, 3, 3) int16."""

    def __init__(self, weight: Tensor, bias: Tensor, shift: Tensor) -> None:
        bound = weight.abs().long().sum((1, 2)) * LIMIT + bias.abs().long()
        if int(bound.max()) >= ACCUMULATOR:
            raise ValueError(f"integer layer can reach {int(bound.max())}, beyond 2^24")
        unit = torch.exp2(-shift.double())
        self.weight = (weight.double() * unit[:, None, None])[:, None]
        self.bias = bias.double() * unit

    def to(self, device: torch.device, dtype: torch.dtype) -> ExactDepthwise:
        """Moves the layer in place; dtype as `exact_dtype` says."""
        self.weight, self.bias = self.weight.to(device, dtype), self.bias.to(device, dtype)
        return self

    def __call__(self, tokens: Tensor) -> Tensor:
        planes = tokens.permute(0, 3, 1, 2)  # channels_last view
        with plain_precision(tokens.device):
            out = F.conv2d(planes, self.weight, self.bias, padding=1, groups=self.weight.shape[0])
        return out.permute(0, 2, 3, 1).floor_().clamp_(-LIMIT, LIMIT)


def quantise_layer(
    weight: Tensor, bias: Tensor, extra_bits: Tensor | int = 0, largest: int = 32767
) -> tuple[Tensor, Tensor, Tensor]:
    """Float weight (out, ...) and bias (out,) to (int16 weight, int32 bias, int8 shift) with the largest shift that is safe.

    The output then counts in 1/64, or in 1 / 2^(6 + extra_bits) where asked for. No weight is beyond `largest`.
    """
    flat = weight.double().flatten(1)
    shift = torch.full((flat.shape[0],), 20, dtype=torch.long)
    while True:
        unit = torch.exp2(shift.double())
        w = torch.round(flat * unit[:, None])
        out_shift = shift - torch.as_tensor(extra_bits)
        half = torch.where(out_shift > 0, torch.exp2(out_shift.double() - 1), torch.zeros(()).double())
        b = torch.round(bias.double() * 64 * unit) + half
        unsafe = (w.abs().sum(1) * LIMIT + b.abs() >= ACCUMULATOR) | (w.abs().amax(1) > largest)
        if not unsafe.any():
            return w.to(torch.int16).view(weight.shape), b.to(torch.int32), out_shift.to(torch.int8)
        shift = shift - unsafe.long()
        if int(shift.min()) < -8:
            raise ValueError("weights too large for the integer layers")


def float32_is_exact() -> bool:
    """Sums integers in float32 as the layers do and compares; some precision modes (TF32, bfloat16) fail this.

    Takes half a millisecond, and is asked for every tile, since a program can change the mode at any time.
    """
    offset, tokens, weight, planes, kernel, product, filtered = _known_sums()
    with plain_precision(torch.device("cpu")):
        same = torch.equal(torch.addmm(offset, tokens, weight), product)
        return same and torch.equal(F.conv2d(planes, kernel, padding=1, groups=len(kernel)), filtered)


@functools.cache
def _known_sums() -> tuple[Tensor, ...]:
    """Operands in float32 of a matrix product and of a depthwise convolution, and the results, made in float64."""
    a = torch.arange(128 * 481, dtype=torch.float64).view(128, 481).remainder(2 * LIMIT - 1) - LIMIT + 1
    w = (torch.arange(481 * 64, dtype=torch.float64).view(481, 64) * 7).remainder(61) - 30
    planes, kernel = a[:, :256].reshape(1, 64, 16, 32), w[:9].t().reshape(64, 1, 3, 3).contiguous()
    product, filtered = a @ w + a[0, :64], F.conv2d(planes, kernel, padding=1, groups=64)
    return tuple(t.float() for t in (a[0, :64], a, w, planes, kernel, product, filtered))


def exact_dtype(device: torch.device) -> torch.dtype:
    """float32 where a CPU sums it exactly, else float64.

    CUDA always takes float64: its float32 convolutions may run as TF32 or in Winograd form, and it has float64 to spare.
    """
    return torch.float32 if device.type == "cpu" and float32_is_exact() else torch.float64


EXP2_BITS = 30
LOG2_UNIT = 1024  # log2 values are integers that count 1/1024


def make_exp2_table() -> np.ndarray:
    """2^(k/1024) for k = 0..1023 in units of 2^-30, int32; made once, at export, and stored with the weights."""
    return np.round(np.exp2(np.arange(LOG2_UNIT) / LOG2_UNIT + EXP2_BITS)).astype(np.int64).astype(np.uint32)


def exp2_fixed(log2: np.ndarray, table: np.ndarray, bits: int) -> np.ndarray:
    """round(2^(log2 / 1024) * 2^bits) by lookup and shift, int64; log2 int64 with result below 2^31."""
    whole, fraction = log2 >> 10, log2 & 1023
    shift = EXP2_BITS - bits - whole
    if shift.min() < 0 or shift.max() > 60:
        raise ValueError("exp2 out of range")
    value = table.astype(np.int64)[fraction]
    return (value + (np.int64(1) << np.maximum(shift - 1, 0)) * (shift > 0)) >> shift
