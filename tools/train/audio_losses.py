"""What the audio model is trained to keep: log mel spectra, compressed complex spectra, and a little of the waveform.

Shapes: waves (B, C, N) at 48 kHz; every loss is one number for each sample (B,).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vqc.models.audio_transform import RATE

MEL_WINDOWS = {256: 20, 1024: 80, 2048: 128}  # samples: bands
COMPLEX_WINDOWS = (1024, 2048)
MEL_FLOOR = 1e-4  # of a magnitude: about 16 bits
COMPRESSION = 0.3


def mel_filters(window: int, bands: int, rate: int = RATE) -> Tensor:
    """Triangular filters (window // 2 + 1, bands), each of sum one, on the mel scale 2595 log10(1 + f / 700)."""
    top = 2595 * math.log10(1 + rate / 2 / 700)
    centres = 700 * (10 ** (torch.linspace(0, top, bands + 2) / 2595) - 1)
    frequency = torch.arange(window // 2 + 1) * rate / window
    width = torch.maximum(centres.diff(), torch.tensor(rate / window))  # narrow bands still see a bin
    rising = (frequency[:, None] - centres[None, 1:-1]) / width[None, :-1] + 1
    falling = (centres[None, 1:-1] - frequency[:, None]) / width[None, 1:] + 1
    filters = torch.minimum(rising, falling).clamp_min(0)
    return filters / filters.sum(0).clamp_min(1e-6)


class AudioLoss(torch.nn.Module):
    """Distortion of each sample: mel + complex_weight * complex + wave_weight * wave."""

    def __init__(self, complex_weight: float = 1.0, wave_weight: float = 0.1) -> None:
        super().__init__()
        self.complex_weight, self.wave_weight = complex_weight, wave_weight
        for size, bands in MEL_WINDOWS.items():
            self.register_buffer(f"window{size}", torch.hann_window(size))
            self.register_buffer(f"filters{size}", mel_filters(size, bands))

    def spectrum(self, wave: Tensor, size: int) -> Tensor:
        """Complex short-time spectrum (B * C, size / 2 + 1, frames), a full-scale sine of magnitude about one."""
        window = getattr(self, f"window{size}")
        spectrum = torch.stft(wave.flatten(0, 1), size, size // 4, window=window, center=False, return_complex=True)
        return spectrum * (2 / size * 2)

    def forward(self, wave: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The loss `total` and its parts, (B,) each."""
        shape = wave.shape[:2]
        mel = torch.zeros(shape[0], device=wave.device)
        compressed = torch.zeros_like(mel)
        for size in MEL_WINDOWS:
            pair = [self.spectrum(w, size) for w in (wave, target)]
            magnitudes = [(s.real.square() + s.imag.square() + 1e-10).sqrt() for s in pair]
            filters = getattr(self, f"filters{size}")
            bands = [torch.log10(torch.einsum("bft,fm->bmt", m, filters) + MEL_FLOOR) for m in magnitudes]
            mel = mel + (bands[0] - bands[1]).abs().mean((1, 2)).view(shape).mean(1) / len(MEL_WINDOWS)
            if size in COMPLEX_WINDOWS:
                powers = [(m + 1e-3) ** (COMPRESSION - 1) for m in magnitudes]
                real = (pair[0].real * powers[0] - pair[1].real * powers[1]).square()
                imaginary = (pair[0].imag * powers[0] - pair[1].imag * powers[1]).square()
                distance = (real + imaginary + 1e-8).sqrt().mean((1, 2)).view(shape).mean(1)
                compressed = compressed + distance / len(COMPLEX_WINDOWS)
        level = target.square().mean((1, 2)).sqrt() + 0.01
        waves = ((wave - target).square().mean((1, 2)) + 1e-8).sqrt() / level
        total = mel + self.complex_weight * compressed + self.wave_weight * waves
        return {"total": total, "mel": mel, "complex": compressed, "wave": waves}
