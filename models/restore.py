"""Shipped weights back to the floating-point network they were made from: the inverse of vqc.tools.export, up to rounding."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .entropy_model import OUTPUT_BITS
from .exact import LOG2_UNIT
from .hyperprior_net import HyperpriorNet


def restore(net: HyperpriorNet, encoder: dict[str, Tensor], decoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dictionary of a network like `net` from the tensors of both weights files."""
    state = net.state_dict()
    for source in (encoder, decoder):
        state |= {k: v.float() for k, v in source.items() if k in state}
    log2_gain = (decoder["log2_base"][:, None] - decoder["log2_steps"]).float() / LOG2_UNIT
    state["log_gain"] = log2_gain * math.log(2)

    def put(prefix: str, name: str, extra_bits: Tensor | int = 0) -> None:
        weight, bias, shift = (decoder[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        out_shift = shift.double()
        unit = torch.exp2(out_shift + extra_bits)
        half = torch.where(out_shift > 0, torch.exp2(out_shift - 1), torch.zeros_like(out_shift))
        target = state[f"{prefix}.weight"]
        scale = unit.view(-1, *[1] * (weight.dim() - 1))
        state[f"{prefix}.weight"] = (weight.double() / scale).float().view(target.shape)
        state[f"{prefix}.bias"] = ((bias.double() - half) / (64 * unit)).float()

    def convolutions(prefix: str) -> list[str]:
        return sorted({k.rsplit(".", 1)[0] for k in state if k.startswith(prefix)}, key=lambda k: int(k.rsplit(".", 1)[1]))

    for i, prefix in enumerate(convolutions("hyper_decoder.layers.")):
        put(prefix, f"hyper.{i}")
    if net.widths.temporal:
        for i, prefix in enumerate(convolutions("temporal.layers.")):
            put(prefix, f"temporal.{i}")
    for k in range(len(net.contexts)):
        group = net.widths.groups[k // 2]
        means_then_scales = torch.cat([torch.full((group,), OUTPUT_BITS), torch.zeros(group)])
        for i, prefix in enumerate(convolutions(f"contexts.{k}.layers.")):
            put(prefix, f"context.{k}.{i}", means_then_scales if i == 3 else 0)
    return state
