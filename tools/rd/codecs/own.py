"""vqc itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import vqc
from vqc.models import weights
from vqc.version import __version__

from .base import Codec, CodecUnavailable, Setting


@dataclass(frozen=True)
class Vqc(Codec):
    """Through the public API, from array to bytes and back."""

    LADDER: ClassVar = (0, 20, 40, 60, 80, 100)
    device: str = "cpu"

    @property
    def settings(self) -> Sequence[Setting]:
        return [round(step / 10, 1) for step in range(1001)]

    def encode(self, image: np.ndarray, setting: Setting) -> bytes:
        return vqc.encode(image, quality=setting, device=self.device, threads=self.threads)

    def decode(self, data: bytes) -> np.ndarray:
        return vqc.decode(data, device=self.device, threads=self.threads).pixels

    def version(self) -> str:
        try:
            return f"vqc {__version__}, model {weights.IMAGE_MODEL} {weights.fingerprint(weights.IMAGE_MODEL).hex()}"
        except weights.ModelNotFound as error:
            raise CodecUnavailable(str(error)) from error
