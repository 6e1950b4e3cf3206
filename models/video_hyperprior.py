"""The model of predicted frames as it codes: transforms in floating point around exact entropy and motion models.

What steers the coder (vectors, latents, the latents of the frame before) is integers throughout; decoded frames and features
never reach it. Shapes: frames y (1, 1, H, W) and uv (1, 2, H/2, W/2) float32 0..1, H and W multiples of 16; vectors
(H/8, W/8, 2) int16; latents (256, H/16, W/16).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .entropy_model import SCALE_TABLES, LatentDecoder, LatentEncoder, Step, load_module, quality_row
from .exact import plain_precision
from .motion_coding import MotionStep, Surprise, motion_steps, to_field
from .video_net import Reference
from .video_transform import Condition, VideoAnalysis, VideoSynthesis, move_latents, pack, unpack, warp

PATCH = 16  # pixels per latent, each way
LEVELS = 255 * 16  # decoded frames are rounded to sixteenths of a level, so that what differs between machines dies out


@dataclass(frozen=True)
class Past:
    """Integers that the entropy model of the next frame sees: tokens of the latents and surprise of the motion."""

    tokens: Tensor | None = None
    surprise: Surprise | None = None


@dataclass(frozen=True)
class CodedFrame:
    """A predicted frame as the coder gives it: vectors and latents (h * w, 256) in 1/64 steps."""

    vectors: np.ndarray
    latents: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """What a frame is told by the one before: the moved frame, packed, and the condition made of it."""

    packed: Tensor
    condition: Tensor


class VideoDecoder(LatentDecoder):
    """Decoder half: motion, entropy model and synthesis. Thread-safe: no state changes after construction."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(tensors, device)
        self.first_motion_table = SCALE_TABLES + self.entropy.widths.hyper_latents
        self.condition, self.synthesis = Condition(), VideoSynthesis()
        load_module(self.condition, tensors, "condition.", device)
        load_module(self.synthesis, tensors, "synthesis.", device)

    def steps(
        self, h: int, w: int, quality: int, past: Past
    ) -> Generator[MotionStep | Step, np.ndarray, tuple[CodedFrame, Past]]:
        """Yields what the coder needs for the next symbols of a frame of h x w latents, and is sent them; see EntropyModel."""
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
        previous = None
        if past.tokens is not None:
            moved = move_latents(past.tokens.permute(0, 3, 1, 2), torch.from_numpy(vectors)[None].to(self.device))
            previous = moved.permute(0, 2, 3, 1)
        latents = yield from self.entropy.steps(h, w, quality, previous)
        return CodedFrame(vectors, latents), Past(self.entropy.tokens(latents, h, w, quality), surprise)

    @torch.inference_mode()
    def predict(self, reference: Reference, vectors: np.ndarray, quality: int) -> Prediction:
        """What the next frame is told by `reference`."""
        field = torch.from_numpy(vectors)[None].to(self.device)
        with plain_precision(self.device):
            packed = pack(warp(reference.y, field), warp(reference.uv, field))
            features = warp(reference.features, field, "bilinear").contiguous(memory_format=torch.channels_last)
            return Prediction(packed, self.condition(packed, features, quality_row(quality).to(self.device)))

    @torch.inference_mode()
    def synthesise(self, latents: np.ndarray, prediction: Prediction, quality: int) -> Reference:
        """Latents (h * w, 256) in 1/64 steps to the decoded frame and features. The latents of the reference are left empty."""
        h, w = prediction.packed.shape[2] // 2, prediction.packed.shape[3] // 2
        restored = torch.from_numpy(self.dequantise(latents, h, w, quality))[None].to(self.device)
        restored = restored.contiguous(memory_format=torch.channels_last)
        with plain_precision(self.device):
            row = quality_row(quality).to(self.device)
            packed, features = self.synthesis(restored, prediction.packed, prediction.condition, row)
            y, uv = (round_levels(planes) for planes in unpack(packed))
        return Reference(y, uv, features, y[:, :0])


class VideoEncoder(LatentEncoder):
    """Encoder half: analysis, hyper-encoder and quantiser; needs the decoder half beside it."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(tensors, device)
        self.analysis = VideoAnalysis()
        load_module(self.analysis, tensors, "analysis.", device)

    @torch.inference_mode()
    def analyse(self, y: Tensor, uv: Tensor, prediction: Prediction, quality: int) -> Tensor:
        """A frame to latents (1, 256, H/16, W/16)."""
        with plain_precision(self.device):
            row = quality_row(quality).to(self.device)
            return self.analysis(pack(y, uv), prediction.packed, prediction.condition, row)


def round_levels(planes: Tensor) -> Tensor:
    """Values limited to 0..1 and rounded to `LEVELS`."""
    return torch.round(planes.clamp(0, 1) * LEVELS) / LEVELS


def intra_reference(y: Tensor, uv: Tensor) -> Reference:
    """The reference that a frame leaves which was coded as a picture."""
    return Reference.intra(round_levels(y), round_levels(uv))


def forget_features(reference: Reference) -> Reference:
    """The reference without features: errors that have built up in them end here."""
    return Reference(reference.y, reference.uv, torch.zeros_like(reference.features), reference.latents)
