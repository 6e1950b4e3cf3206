"""vqc itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar

import numpy as np
import torch

import vqc
from vqc.bitstream import Writer
from vqc.image_encoding import encode_segments, header_for
from vqc.models import weights
from vqc.pixels import Pixels
from vqc.version import __version__

from .base import Codec, CodecUnavailable, Setting


@dataclass(frozen=True)
class Vqc(Codec):
    """From array to bytes and back. model: name of installed weights; without it, the one that vqc encodes with.

    effort: 0 to 2, as of `vqc encode`.
    """

    LADDER: ClassVar = (0, 20, 40, 60, 80, 100)
    device: str = "cpu"
    model: str = ""
    effort: int = 0

    @property
    def settings(self) -> Sequence[Setting]:
        return [round(step / 10, 1) for step in range(1001)]

    def encode(self, image: np.ndarray, setting: Setting) -> bytes:
        if not self.model:
            return vqc.encode(image, quality=setting, effort=self.effort, device=self.device, threads=self.threads)
        # The public interface leaves no choice of model, for users have none to make.
        torch.set_num_threads(self.threads)
        pixels, file = Pixels(image), io.BytesIO()
        header = header_for(pixels, round(setting * 10), self.model)
        writer = Writer(file, header)
        for segment in encode_segments(pixels, header, torch.device(self.device), self.effort):
            writer.segment(segment)
        writer.close()
        return file.getvalue()

    def decode(self, data: bytes) -> np.ndarray:
        return vqc.decode(data, device=self.device, threads=self.threads).pixels

    def version(self) -> str:
        name = self.model or weights.IMAGE_MODEL
        try:
            decoder = weights.fingerprint(name).hex()
            encoder = sha256((weights.FOLDER / f"{name}-encoder.safetensors").read_bytes()).hexdigest()[:16]
        except (weights.ModelNotFound, OSError) as error:
            raise CodecUnavailable(str(error)) from error
        return f"vqc {__version__}, model {name}, decoder {decoder}, encoder {encoder}"
