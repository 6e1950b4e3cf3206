"""Shipped weights of the vector quantised model back to a network that can be trained on: the inverse of export_rvq.py, up to
rounding. A codebook becomes a new base, under a linear map that begins as the identity again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vqc.models.compact import unpacked
from vqc.models.rvq_net import RvqNet


def restore_rvq(net: RvqNet, encoder: dict[str, Tensor], decoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dictionary of a network like `net` from the tensors of both weights files."""
    state = net.state_dict()
    found = unpacked(encoder) | unpacked(decoder)
    state |= {k: v.float() for k, v in found.items() if k in state}
    state["quantiser.base"] = found["codebooks"].view(state["quantiser.base"].shape)
    if "slope" not in found:  # as in rvq1, whose encoder has twice the slope
        state["slope"] = found["weights"].float() / 2
    shift = decoder["code.vectors.shift"].double()[:, None, None]
    state["code_model.vectors"] = (decoder["code.vectors"].double() * torch.exp2(shift) / 64).float()

    def put(prefix: str, name: str) -> None:
        weight, bias, shift = (decoder[f"{name}.{part}"].double() for part in ("weight", "bias", "shift"))
        unit = torch.exp2(shift)
        half = torch.where(shift > 0, unit / 2, torch.zeros_like(unit))
        target = state[f"{prefix}.weight"]
        state[f"{prefix}.weight"] = (weight / unit.view(-1, *[1] * (weight.dim() - 1))).float().view(target.shape)
        state[f"{prefix}.bias"] = ((bias - half) / (64 * unit)).float()

    for i, context in enumerate(net.code_model.contexts):
        places = [p for p, layer in enumerate(context.layers) if isinstance(layer, nn.Conv2d)]
        for j, place in enumerate(places):
            put(f"code_model.contexts.{i}.layers.{place}", f"code.context.{i}.{j}")
    for k in range(net.quantiser.stages):
        put(f"code_model.heads.{k}", f"code.head.{k}")
    return state
