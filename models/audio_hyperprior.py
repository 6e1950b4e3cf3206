"""The audio model as it codes: the transforms in floating point around the exact entropy model.

Shapes: wave (C, N) float32 at 48 kHz, mid and side where C is 2; latents (384, C, T).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .audio_transform import BLOCKS, HOP, KERNEL, LATENTS, AudioAnalysis, AudioSynthesis, inverse_mdct
from .entropy_model import LatentDecoder, LatentEncoder, load_module, quality_row
from .exact import plain_precision

# Frames on each side of a frame that its synthesis, or its analysis, sees.
HALO = BLOCKS * (KERNEL[1] // 2)

SILENT = -64.0  # first envelope latent of a silent frame; nothing that is coded comes near
QUIETEST = -10.4  # the same of the lowest level that networks have seen


def silence(channels: int, frames: int) -> np.ndarray:
    """Latents (384, C, T) that stand for zeros."""
    latents = np.zeros((LATENTS, channels, frames), np.float32)
    latents[0] = SILENT
    return latents


def noise(first: int, frames: int, channels: int) -> np.ndarray:
    """Noise (960, C, frames) float32 of variance one for the frames from number `first` on: the same wherever it is made.

    A counter through the finaliser of SplitMix64 (Steele, Lea, Flood 2014), four 16-bit parts added up: nearly Gaussian.
    """
    frame = np.arange(first, first + frames, dtype=np.uint64)
    index = (np.arange(HOP, dtype=np.uint64)[:, None, None] << np.uint64(1)) + np.arange(channels, dtype=np.uint64)[:, None]
    x = (frame << np.uint64(11)) + index
    x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    parts = x[..., None].view(np.uint16).astype(np.float32).sum(-1)
    return (parts - np.float32(2 * 65535)) * np.float32(np.sqrt(3) / 65536)


class WaveSynthesis:
    """Latents to a wave, whichever way the latents were coded; from the tensors of a decoder weights file."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        self.device = device
        self.synthesis = AudioSynthesis()
        load_module(self.synthesis, tensors, "synthesis.", device)

    def row(self, quality: int) -> Tensor:
        """Row (1,) of the quality-dependent tables for a quality 0..1000."""
        return quality_row(quality)

    @torch.inference_mode()
    def synthesise(self, latents: np.ndarray, first: int, quality: int) -> np.ndarray:
        """Latents (384, C, T) of the frames from number `first` on to a wave (C, (T + 1) * 960), its ends incomplete.

        Frames with the latents of `silence` give zeros.
        """
        silent = torch.from_numpy(latents[0] <= SILENT / 2).to(self.device)
        latents = np.concatenate([latents[:1].clip(QUIETEST), latents[1:]])
        tensor = torch.from_numpy(latents)[None].to(self.device)
        fill = torch.from_numpy(noise(first, latents.shape[2], latents.shape[1]))[None].to(self.device)
        with plain_precision(self.device):
            spectrum = self.synthesis.spectrum(tensor, fill, self.row(quality).to(self.device))
            return inverse_mdct(spectrum[0].masked_fill(silent, 0).permute(1, 2, 0)).cpu().numpy()


class WaveAnalysis:
    """A wave to latents; from the tensors of an encoder weights file."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        self.device = device
        self.analysis = AudioAnalysis()
        load_module(self.analysis, tensors, "analysis.", device)

    def row(self, quality: int) -> Tensor:
        """As `WaveSynthesis.row`."""
        return quality_row(quality)

    @torch.inference_mode()
    def analyse(self, wave: np.ndarray, quality: int) -> Tensor:
        """Wave (C, (T + 1) * 960) to latents (1, 384, C, T)."""
        tensor = torch.from_numpy(np.ascontiguousarray(wave))[None].to(self.device)
        with plain_precision(self.device):
            return self.analysis(tensor, self.row(quality).to(self.device))


class AudioDecoder(WaveSynthesis, LatentDecoder):
    """Decoder half: entropy model and synthesis. Thread-safe: no state changes after construction."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        LatentDecoder.__init__(self, tensors, device)
        WaveSynthesis.__init__(self, tensors, device)


class AudioEncoder(WaveAnalysis, LatentEncoder):
    """Encoder half: analysis, hyper-encoder and quantiser; needs the decoder's entropy model beside it."""

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        LatentEncoder.__init__(self, tensors, device)
        WaveAnalysis.__init__(self, tensors, device)
