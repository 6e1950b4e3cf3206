"""Models of compressai's zoo from checkpoints: one checkpoint is one point of the ladder."""

from __future__ import annotations

import glob
import os
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version as installed
from typing import Any, ClassVar

import numpy as np
import torch

from vqc.tools.compressai_shim import CompressaiMissing, import_compressai
from vqc.tools.rd.picture import PICTURE

from .base import Codec, CodecUnavailable, Setting

# Number of the checkpoint, height and width of the picture and of the (hyper-)latent, number of strings; then each string with
# its length before it.
_HEAD = struct.Struct("<BIIHHB")
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Zoo(Codec):
    """arch: name in compressai's zoo. checkpoint: a file, a folder of files, or a pattern; sorted by name, smallest file first.

    compressai has no file format: the bytes counted are its strings in the least frame from which they can be decoded.
    """

    MEDIUM: ClassVar = PICTURE
    arch: str = ""
    checkpoint: str = ""

    @property
    def settings(self) -> Sequence[Setting]:
        pattern = os.path.join(self.checkpoint, "*") if os.path.isdir(self.checkpoint) else self.checkpoint
        return sorted((path for path in glob.glob(pattern) if os.path.isfile(path)), key=_natural)

    def points(self, count: int) -> tuple[Setting, ...]:
        return self.ladder or tuple(self.settings)

    @torch.inference_mode()
    def encode(self, original: np.ndarray, setting: Setting) -> bytes:
        x = torch.from_numpy(original.copy()).permute(2, 0, 1)[None].float() / 255
        height, width = original.shape[:2]
        # The zoo's models halve the picture up to six times.
        x = torch.nn.functional.pad(x, (0, -width % 64, 0, -height % 64), mode="replicate")
        coded = _model(self.arch, str(setting)).compress(x)
        strings = [group[0] for group in coded["strings"]]
        head = _HEAD.pack(self.settings.index(setting), height, width, *coded["shape"], len(strings))
        return head + b"".join(_LENGTH.pack(len(string)) + string for string in strings)

    @torch.inference_mode()
    def decode(self, data: bytes) -> np.ndarray:
        index, height, width, *shape, count = _HEAD.unpack_from(data)
        strings, place = [], _HEAD.size
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(data, place)
            place += _LENGTH.size
            strings.append([data[place : place + length]])
            place += length
        x = _model(self.arch, str(self.settings[index])).decompress(strings, shape)["x_hat"][0, :, :height, :width]
        return (x * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()

    def version(self) -> str:
        try:
            zoo = import_compressai().zoo.image
        except CompressaiMissing as error:
            raise CodecUnavailable(str(error)) from error
        if self.arch not in zoo.model_architectures:
            raise CodecUnavailable(f"zoo:arch={self.arch} is unknown: choose from {', '.join(zoo.model_architectures)}")
        if not self.settings:
            raise CodecUnavailable(f"zoo:checkpoint={self.checkpoint} is no file, folder or pattern of files")
        digest = sha256()
        for path in self.settings:
            with open(path, "rb") as file:
                digest.update(sha256(file.read()).digest())
        return f"compressai {installed('compressai')}, {self.arch}, checkpoints {digest.hexdigest()[:16]}"


def _natural(path: str) -> list[tuple[int, str]]:
    """Sorts q2 before q10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", os.path.basename(path))]


@lru_cache(maxsize=8)
def _model(arch: str, path: str) -> Any:
    compressai = import_compressai()
    state = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("network", "state_dict", "model_state_dict"):
        state = state.get(key, state)
    # Downloaded checkpoints carry the names of old versions of the library, which this translates.
    state = compressai.zoo.load_state_dict(state)
    model = compressai.zoo.image.model_architectures[arch].from_state_dict(state).eval()
    model.update(force=True)
    return model
