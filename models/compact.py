"""Weights of floating point layers in 8 bits: every row of a matrix has its own scale.

A packed tensor `NAME` is int8 (rows, ...) with `NAME.scale` float16 (rows,) beside it.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALE = ".scale"
LEAST = 4096  # numbers from which packing is worth it


def packed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Large tensors to int8 with scales, the others to float16."""
    result = {}
    for name, tensor in tensors.items():
        tensor = tensor.float()
        if tensor.dim() < 2 or tensor.numel() < LEAST:
            result[name] = tensor.half().contiguous()
            continue
        scale = (tensor.flatten(1).abs().amax(1) / 127).clamp_min(1e-7).half()
        rows = scale.float().view(-1, *[1] * (tensor.dim() - 1))
        result[name] = torch.round(tensor / rows).clamp(-127, 127).to(torch.int8).contiguous()
        result[name + SCALE] = scale
    return result


def unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse, float32 where a scale is there; what was not packed stays as it is."""
    result = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        scale = tensors.get(name + SCALE)
        result[name] = tensor if scale is None else tensor.float() * scale.float().view(-1, *[1] * (tensor.dim() - 1))
    return result
