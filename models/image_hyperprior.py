"""The image model as it codes: the transforms in floating point around the exact entropy model.

Shapes: pixels (H, W, 3) float32 0..1; latents (320, h, w) with h = H / 16, in pixel units.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .entropy_model import LatentDecoder, LatentEncoder, load_module, quality_row
from .exact import plain_precision
from .transform import Analysis, Synthesis

PATCH = 16  # pixels per latent, each way
HALO = 2  # latents around a tile that its synthesis sees; pixels: 32


class ImageDecoder(LatentDecoder):
    """Decoder half: entropy model and synthesis. Thread-safe: no state changes after construction."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(tensors, device)
        self.synthesis = Synthesis()
        load_module(self.synthesis, tensors, "synthesis.", device)

    @torch.inference_mode()
    def synthesise(self, latents: np.ndarray, quality: int) -> np.ndarray:
        """Latents (320, h, w) float32 to pixels (16 h, 16 w, 3) float32 0..1."""
        tensor = torch.from_numpy(latents)[None].to(self.device).contiguous(memory_format=torch.channels_last)
        with plain_precision(self.device):
            image = self.synthesis(tensor, quality_row(quality).to(self.device))[0]
        return image.permute(1, 2, 0).clamp(0, 1).contiguous().cpu().numpy()


class ImageEncoder(LatentEncoder):
    """Encoder half: analysis, hyper-encoder and quantiser; needs the decoder's entropy model beside it."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(tensors, device)
        self.analysis = Analysis()
        load_module(self.analysis, tensors, "analysis.", device)

    @torch.inference_mode()
    def analyse(self, pixels: np.ndarray, quality: int) -> Tensor:
        """Pixels (16 h, 16 w, 3) float32 0..1 to latents (1, 320, h, w) in pixel units."""
        tensor = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.device)
        with plain_precision(self.device):
            return self.analysis(tensor, quality_row(quality).to(self.device))
