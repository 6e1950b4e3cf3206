"""What the audio model is trained to keep: log mel spectra, compressed complex spectra, what makes speech intelligible, and a
little of the waveform.

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
# Short-time intelligibility (Taal et al. 2011, section III): 15 third-octave bands from 150 Hz, frames of 25.6 ms, half apart.
THIRDS, LOWEST_THIRD, THIRD_WINDOW, THIRD_FFT = 15, 150.0, 1228, 2048
SEGMENT = 30  # frames that are correlated, 384 ms
CLIPPING = 1 + 10 ** (15 / 20)  # of what is coded, over the original
AUDIBLE = 1e-4  # of the energy of the loudest segment: quieter ones do not count


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


def third_octaves() -> Tensor:
    """(1025, 15): which bins of `THIRD_FFT` belong to a third-octave band."""
    frequency = torch.arange(THIRD_FFT // 2 + 1)[:, None] * RATE / THIRD_FFT
    centres = LOWEST_THIRD * 2 ** (torch.arange(THIRDS)[None] / 3)
    return ((frequency >= centres * 2 ** (-1 / 6)) & (frequency < centres * 2 ** (1 / 6))).float()


def correlation_loss(bands: Tensor, target: Tensor) -> Tensor:
    """One minus the mean correlation of segments of band amplitudes (B, 15, frames): (B,).

    As STOI has it: segments of equal energy, clipped, their means removed. Segments that are all but silent do not count.
    """
    coded, wanted = (x.unfold(2, SEGMENT, 3) for x in (bands, target))  # (B, 15, segments, 30)
    energy = wanted.square().sum((1, 3))
    audible = (energy > AUDIBLE * energy.amax(1, keepdim=True).clamp_min(1e-6)).float()
    norm = [x.square().sum(3, keepdim=True).add(1e-10).sqrt() for x in (coded, wanted)]
    coded = torch.minimum(coded * (norm[1] / norm[0]), wanted * CLIPPING)
    coded, wanted = (x - x.mean(3, keepdim=True) for x in (coded, wanted))
    product = (coded * wanted).sum(3) + 1e-8
    correlation = product * torch.rsqrt((coded.square().sum(3) + 1e-8) * (wanted.square().sum(3) + 1e-8))
    return ((1 - correlation.mean(1)) * audible).sum(1) / audible.sum(1).clamp_min(1)


class AudioLoss(torch.nn.Module):
    """Distortion of each sample: mel + complex_weight * complex + envelope_weight * envelope + wave_weight * wave."""

    def __init__(self, complex_weight: float = 1.0, wave_weight: float = 0.1, envelope_weight: float = 0.0) -> None:
        super().__init__()
        self.complex_weight, self.wave_weight, self.envelope_weight = complex_weight, wave_weight, envelope_weight
        self.register_buffer("third_window", torch.hann_window(THIRD_WINDOW))
        self.register_buffer("thirds", third_octaves())
        for size, bands in MEL_WINDOWS.items():
            self.register_buffer(f"window{size}", torch.hann_window(size))
            self.register_buffer(f"filters{size}", mel_filters(size, bands))

    def spectrum(self, wave: Tensor, size: int) -> Tensor:
        """Complex short-time spectrum (B * C, size / 2 + 1, frames), a full-scale sine of magnitude about one."""
        window = getattr(self, f"window{size}")
        spectrum = torch.stft(wave.flatten(0, 1), size, size // 4, window=window, center=False, return_complex=True)
        return spectrum * (2 / size * 2)

    def third_bands(self, wave: Tensor) -> Tensor:
        """Amplitudes of third-octave bands (B * C, 15, frames)."""
        spectrum = torch.stft(
            wave.flatten(0, 1), THIRD_FFT, THIRD_WINDOW // 2, THIRD_WINDOW, self.third_window, center=False, return_complex=True
        ) * (4 / THIRD_WINDOW)
        power = spectrum.real.square() + spectrum.imag.square()
        return (torch.einsum("bft,fk->bkt", power, self.thirds) + 1e-10).sqrt()

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
        envelope = correlation_loss(self.third_bands(wave), self.third_bands(target)).view(shape).mean(1)
        total = mel + self.complex_weight * compressed + self.wave_weight * waves + self.envelope_weight * envelope
        return {"total": total, "mel": mel, "complex": compressed, "wave": waves, "envelope": envelope}
