"""The one door to compressai, an optional extra that training, `vqc rd` and `vqc bench` use for comparison.

compressai imports torchvision, and the torchvision wheel of PyPI is built for CUDA: beside a CPU build of torch its
compiled operators do not load, and the import ends in "operator torchvision::nms does not exist", because torchvision
registers shape functions for two operators whether or not they are there. Declaring the two (their schemas are those
of torchvision/csrc/ops) lets the import pass. They still have no kernel, so detection code that calls them would fail;
compressai never does.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from types import ModuleType

import torch

_SCHEMAS = {
    "torchvision::nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
MISSING = 'compressai is not installed; it comes with the rd extra: pip install "vqc[rd]"'


class CompressaiMissing(ImportError):
    """compressai is not installed."""


@cache
def import_compressai() -> ModuleType:
    """Return the compressai package, with its `zoo` loaded. Raises CompressaiMissing where it is not installed."""
    try:
        _import_torchvision()
        compressai = importlib.import_module("compressai")
        importlib.import_module("compressai.zoo")
    except ModuleNotFoundError as error:
        raise CompressaiMissing(f"{MISSING} ({error})") from error
    return compressai


def _import_torchvision() -> None:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        # Declared only now: where the real operators load, a second declaration would be refused.
        for name, schema in _SCHEMAS.items():
            torch.library.define(name, schema)
        for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        importlib.import_module("torchvision")
