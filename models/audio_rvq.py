"""The audio model with vector quantised latents as it codes: transforms, codebooks and the exact code model.

Shapes: wave (C, N) float32 at 48 kHz, mid and side where C is 2; latents (384, C, T); codes (C * T, stages).
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
import torch
from torch import Tensor

from .audio_hyperprior import WaveAnalysis, WaveSynthesis
from .code_model import TOTAL, CodeModel, CodeStep
from .compact import unpacked
from .entropy_model import QUALITY_MAX
from .exact import plain_precision
from .residual_vq import squared_distances
from .transform import QUALITY_ROWS


def stages_of(quality: int, stages: int) -> int:
    """How many of `stages` stages a quality 0..1000 takes: from 1 to all, the next one as soon as a quality is exceeded."""
    return 1 + -(-quality * (stages - 1) // QUALITY_MAX)


def thrift_of(quality: int, stages: int) -> float:
    """Factor of the worth of a bit in the choice of codes: between qualities that add a stage, it makes rates continuous.

    It falls to 1 from what makes n stages as cheap as n - 1 were (a fit by hand to the rates of the shipped model).
    """
    taken = stages_of(quality, stages)
    missing = (taken - 1) - quality * (stages - 1) / QUALITY_MAX
    return (1.3 + 150 / taken**3) ** missing


def row_of(quality: int, stages: int) -> Tensor:
    """Row (1,) of the quality-dependent tables in the transforms, which know the number of stages alone."""
    return torch.tensor([(stages_of(quality, stages) - 1) * (QUALITY_ROWS - 1) / (stages - 1)])


class RvqDecoder(WaveSynthesis):
    """Decoder half: code model, codebooks and synthesis. Thread-safe: no state changes after construction."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        tensors = unpacked(tensors)
        super().__init__(tensors, device)
        self.codes = CodeModel(tensors, device)
        self.codebooks = tensors["codebooks"].view(self.codes.stages, self.codes.size, -1)  # (K, N, D)
        self.restore = tensors["restore.weight"].float(), tensors["restore.bias"].float()

    def stages(self, quality: int) -> int:
        """Stages that are coded at a quality 0..1000."""
        return stages_of(quality, self.codes.stages)

    def row(self, quality: int) -> Tensor:
        return row_of(quality, self.codes.stages)

    def steps(self, h: int, w: int, quality: int) -> Generator[CodeStep, np.ndarray, np.ndarray]:
        """See CodeModel.steps."""
        return self.codes.steps(h, w, self.stages(quality))

    @torch.inference_mode()
    def dequantise(self, codes: np.ndarray, h: int, w: int, quality: int) -> np.ndarray:
        """Codes (h * w, stages) to latents (384, h, w) float32."""
        with plain_precision(torch.device("cpu")):
            total = sum(self.codebooks[k][torch.from_numpy(codes[:, k])] for k in range(codes.shape[1]))
            # In float64: processors with bfloat16 sum float32 coarsely if a program asks torch for speed.
            latents = torch.addmm(self.restore[1].double(), total.double(), self.restore[0].t().double())
        return np.ascontiguousarray(latents.float().numpy().T).reshape(-1, h, w)


class RvqEncoder(WaveAnalysis):
    """Encoder half: analysis, projection and the choice of codes; needs the decoder's codebooks beside it."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        tensors = unpacked(tensors)
        super().__init__(tensors, device)
        self.project = tensors["project.weight"].float(), tensors["project.bias"].float()
        self.weights = tensors["weights"].float().tolist()  # (K,): squared error that a bit must save, by number of stages

    def row(self, quality: int) -> Tensor:
        return row_of(quality, len(self.weights))

    @torch.inference_mode()
    def chooser(self, decoder: RvqDecoder, latents: Tensor, quality: int) -> Callable[[CodeStep], np.ndarray]:
        """What chooses the codes of a `CodeStep` for latents (1, 384, C, T) that were analysed at this quality."""
        flat = latents[0].cpu().permute(1, 2, 0).flatten(0, 1)
        with plain_precision(torch.device("cpu")):
            residual = torch.addmm(self.project[1], flat, self.project[0].t())
        weight = self.weights[decoder.stages(quality) - 1] * thrift_of(quality, len(self.weights))

        @torch.inference_mode()
        def choose(step: CodeStep) -> np.ndarray:
            book, at = decoder.codebooks[step.stage], torch.from_numpy(step.positions)
            bits = np.log2(TOTAL / step.counts.astype(np.float32))
            with plain_precision(torch.device("cpu")):
                codes = (squared_distances(residual[at], book) + weight * torch.from_numpy(bits)).argmin(1)
            residual[at] -= book[codes]
            return codes.numpy().astype(np.int32)

        return choose
