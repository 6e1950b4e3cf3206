"""The model of predicted frames as it codes: transforms in floating point around exact entropy and motion models.

What steers the coder (vectors, latents, the latents of the frame before) is integers throughout; decoded frames and features
never reach it. Shapes: frames y (1, 1, H, W) and uv (1, 2, H/2, W/2) float32 0..1, H and W multiples of 16; squares of 16x16
pixels, h x w of them; vectors (2h, 2w, 2) int16; latents (80, 2h, 2w), of vid1 (256, h, w).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .entropy_model import SCALE_TABLES, LatentDecoder, LatentEncoder, Step, load_module, quality_row
from .exact import plain_precision
from .first_video_transform import Condition, FirstVideoSynthesis
from .hyperprior_net import HyperpriorNet
from .motion_coding import MotionStep, Surprise, motion_steps, to_field
from .video_net import Reference, worth_coding
from .video_transform import VideoAnalysis, VideoSynthesis, active_blocks, motion_tokens, move_latents, pack, unpack, warp

SQUARE = 16  # pixels, each way, that frames are made of
LEVELS = 255 * 16  # decoded frames are rounded to sixteenths of a level, so that what differs between machines dies out


@dataclass(frozen=True)
class Past:
    """Integers that the entropy model of the next frame sees: tokens of the latents and surprise of the motion."""

    tokens: Tensor | None = None
    surprise: Surprise | None = None


@dataclass(frozen=True)
class CodedFrame:
    """A predicted frame as the coder gives it: vectors, and latents (positions, channels) in 1/64 steps."""

    vectors: np.ndarray
    latents: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What a frame is told by the one before: the moved frame, packed, and moved features, of vid1 what it makes of both; and
    the vectors (1, 2h, 2w, 2)."""

    packed: Tensor
    memory: Tensor
    vectors: Tensor


class VideoDecoder(LatentDecoder):
    """Decoder half: motion, entropy model and synthesis. Thread-safe: no state changes after construction."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(tensors, device)
        self.first_motion_table = SCALE_TABLES + self.entropy.widths.hyper_latents
        self.condition = Condition() if "condition.features.weight" in tensors else None  # of vid1
        if self.condition:
            load_module(self.condition, tensors, "condition.", device)
        self.synthesis = FirstVideoSynthesis() if self.condition else VideoSynthesis()
        load_module(self.synthesis, tensors, "synthesis.", device)

    def grid(self, h: int, w: int) -> tuple[int, int]:
        """Rows and columns of latents of h x w squares."""
        return (h, w) if self.condition else (2 * h, 2 * w)

    def steps(
        self, h: int, w: int, quality: int, past: Past
    ) -> Generator[MotionStep | Step, np.ndarray, tuple[CodedFrame, Past]]:
        """Yields what the coder needs for the next symbols of a frame of h x w squares, and is sent them; see EntropyModel."""
        motion = motion_steps(h, w, past.surprise)
        step = next(motion)
        while True:
            symbols = yield step
            try:
                step = motion.send(symbols)
            except StopIteration as end:
                differences, surprise = end.value
                break
        vectors = to_field(differences)
        grid = self.grid(h, w)
        latents = yield from self.entropy.steps(*grid, quality, self._told(past.tokens, vectors))
        return CodedFrame(vectors, latents), Past(self.entropy.tokens(latents, *grid, quality), surprise)

    def _told(self, tokens: Tensor | None, vectors: np.ndarray) -> Tensor | None:
        """What the temporal context sees: latents of the frame before, moved, and tokens of the vectors."""
        field = torch.from_numpy(vectors)[None].to(self.device)
        if tokens is not None:
            tokens = move_latents(tokens.permute(0, 3, 1, 2), field).permute(0, 2, 3, 1)
        if self.condition:
            return tokens
        motion = motion_tokens(field).permute(0, 2, 3, 1).to(self.entropy.dtype) * 64
        if tokens is None:
            tokens = motion.new_zeros(*motion.shape[:3], self.entropy.widths.latents)
        return torch.cat([tokens, motion], dim=-1)

    @torch.inference_mode()
    def predict(self, reference: Reference, vectors: np.ndarray, quality: int) -> Prediction:
        """What the next frame is told by `reference`."""
        field = torch.from_numpy(vectors)[None].to(self.device)
        with plain_precision(self.device):
            packed = pack(warp(reference.y, field), warp(reference.uv, field))
            memory = warp(reference.features, field, "bilinear")
            if self.condition:
                memory = memory.contiguous(memory_format=torch.channels_last)
                memory = self.condition(packed, memory, quality_row(quality).to(self.device))
            return Prediction(packed, memory, field)

    @torch.inference_mode()
    def synthesise(self, latents: np.ndarray, prediction: Prediction, quality: int) -> Reference:
        """Latents in 1/64 steps to the decoded frame and features. The latents of the reference are left empty."""
        grid = self.grid(*(n // 2 for n in prediction.packed.shape[2:]))
        restored = torch.from_numpy(self.dequantise(latents, *grid, quality))[None].to(self.device)
        restored = restored.contiguous(memory_format=torch.channels_last)
        with plain_precision(self.device):
            known = (restored, prediction.packed, prediction.memory, quality_row(quality).to(self.device))
            if not self.condition:
                in_steps = torch.from_numpy(latents).to(self.device).t().view(1, -1, *grid) / 64
                known = *known, active_blocks(in_steps, prediction.vectors)
            packed, features = self.synthesis(*known)
            y, uv = (round_levels(planes) for planes in unpack(packed))
        return Reference(y, uv, features, y[:, :0])


class VideoEncoder(LatentEncoder):
    """Encoder half: analysis, hyper-encoder and quantiser; needs the decoder half beside it."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(tensors, device)
        self.analysis = VideoAnalysis()
        load_module(self.analysis, tensors, "analysis.", device)

    @torch.inference_mode()
    def analyse(self, y: Tensor, uv: Tensor, prediction: Prediction) -> Tensor:
        """A frame to latents (1, 80, H/8, W/8)."""
        with plain_precision(self.device):
            return self.analysis(pack(y, uv), prediction.packed)

    @torch.inference_mode()
    def hyper_and_kept(self, scaled: np.ndarray, h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
        """Latents in steps (h * w, L) to hyper-latent symbols, and which positions are worth their bits; see `worth_coding`."""
        grid = torch.from_numpy(scaled).t().view(1, -1, h, w).contiguous().to(self.device)
        kept = worth_coding(grid)
        return self.hyper(HyperpriorNet.sparse_symbols(grid, kept)), kept.cpu().numpy().reshape(-1) > 0


def round_levels(planes: Tensor) -> Tensor:
    """Values limited to 0..1 and rounded to `LEVELS`."""
    return torch.round(planes.clamp(0, 1) * LEVELS) / LEVELS


def intra_reference(y: Tensor, uv: Tensor) -> Reference:
    """The reference that a frame leaves which was coded as a picture."""
    return Reference.intra(round_levels(y), round_levels(uv))


def forget_features(reference: Reference) -> Reference:
    """The reference without features: errors that have built up in them end here."""
    return Reference(reference.y, reference.uv, torch.zeros_like(reference.features), reference.latents)
