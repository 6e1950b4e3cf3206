"""The weights that a training run starts from: a checkpoint, or what ships."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from vqc.models.hyperprior_net import HyperpriorNet
from vqc.models.restore import restore


def load_start(net: HyperpriorNet, path: str) -> dict[str, Tensor]:
    """State dictionary of a network like `net` from a `.pt` file, or `FOLDER/NAME` of shipped weights (models/weights/img2)."""
    if path.endswith(".pt"):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return saved.get("average", saved)
    files = [Path(f"{path}-{half}.safetensors") for half in ("encoder", "decoder")]
    return restore(net, *(load_file(f) for f in files))
