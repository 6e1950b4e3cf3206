"""Analysis and synthesis transforms of the audio model, at frame rate: MDCT, spectral envelope, gated residual blocks.

Before any training this is a transform codec: the envelope is the DCT of the log energies of 64 bands, the spectrum is the
MDCT divided by a power of that envelope (perceptual noise shaping), and the decoder multiplies by it again and fills what was
not coded with noise of the envelope's level. Residual branches start at zero and learn the rest: what to code, how loud the
noise, what to predict.

Shapes: wave (B, C, N) with values -1..1, C = 1 (mono) or 2 (mid, side); frames of 960 samples at 48 kHz, T of them;
spectrum and features (B, channels, C, T): sound is a picture of C rows and T columns; latents (B, 384, C, T).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .exact import plain_precision
from .transform import GatedBlock

RATE = 48000  # samples per second
HOP = 960  # samples per frame: 20 ms
BANDS = 64  # of the envelope, as many latents
BINS = 320  # MDCT bins that are latents: up to 8 kHz
LATENTS = BANDS + BINS
WIDTH = 384
SHAPING = 0.7  # power of the envelope by which the spectrum is divided
FLOOR = 1e-4  # amplitude of an MDCT bin, below what 16 bits hold
ENVELOPE_UNIT = 4.0  # nepers of orthonormal DCT per unit of latents
QUIET = -4.0  # log amplitude that counts as 0: that of a bin in usual speech
KERNEL = (3, 7)  # channels, frames
BLOCKS = 4


def window() -> Tensor:
    """Sine window of two frames: its squares overlap to one (Princen, Bradley 1986)."""
    return torch.sin(math.pi * (torch.arange(2 * HOP, dtype=torch.float64) + 0.5) / (2 * HOP)).float()


def mdct(wave: Tensor) -> Tensor:
    """Wave (..., (T + 1) * 960) to MDCT coefficients (..., T, 960), orthonormal."""
    frames = wave.unfold(-1, 2 * HOP, HOP) * window().to(wave)
    n = torch.arange(2 * HOP, device=wave.device, dtype=torch.float64)
    k = torch.arange(HOP, device=wave.device, dtype=torch.float64)
    pre = torch.polar(torch.ones_like(n), -math.pi * n / (2 * HOP)).to(torch.complex64)
    post = torch.polar(torch.full_like(k, math.sqrt(2 / HOP)), -math.pi * (k + 0.5) * (HOP + 1) / (2 * HOP)).to(torch.complex64)
    return (torch.fft.fft(frames * pre)[..., :HOP] * post).real


def inverse_mdct(spectrum: Tensor) -> Tensor:
    """MDCT coefficients (..., T, 960) to the wave (..., (T + 1) * 960); half of its first and last 960 samples is missing."""
    n = torch.arange(2 * HOP, device=spectrum.device, dtype=torch.float64)
    k = torch.arange(HOP, device=spectrum.device, dtype=torch.float64)
    pre = torch.polar(torch.full_like(k, math.sqrt(2 / HOP)), math.pi * (k + 0.5) * (HOP + 1) / (2 * HOP)).to(torch.complex64)
    post = torch.polar(torch.full_like(n, 2 * HOP), math.pi * n / (2 * HOP)).to(torch.complex64)
    frames = (torch.fft.ifft(spectrum * pre, 2 * HOP) * post).real * window().to(spectrum)
    first, second = frames[..., :HOP], frames[..., HOP:]
    whole = F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))
    return whole.flatten(-2)


def band_edges() -> Tensor:
    """Borders (65,) of the bands in bins: one bin each at first, then widening with frequency, as the Bark scale does."""
    edges = [0]
    for band in range(BANDS):
        left = BANDS - band
        # geometric in (bin + 24), so that all that is left is shared out evenly; never less than one bin
        width = (edges[-1] + 24) * (((800 + 24) / (edges[-1] + 24)) ** (1 / left) - 1)
        edges.append(max(edges[-1] + 1, round(edges[-1] + width)))
    edges[-1] = HOP
    return torch.tensor(edges)


def band_matrix() -> Tensor:
    """(960, 64): which band a bin belongs to."""
    edges = band_edges()
    bins = torch.arange(HOP)[:, None]
    return ((bins >= edges[None, :-1]) & (bins < edges[None, 1:])).float()


def dct_matrix() -> Tensor:
    """Orthonormal DCT-II (64, 64), rows are frequencies."""
    k, n = torch.arange(BANDS)[:, None], torch.arange(BANDS)[None]
    matrix = torch.cos(math.pi * k * (n + 0.5) / BANDS) * math.sqrt(2 / BANDS)
    matrix[0] /= math.sqrt(2)
    return matrix


class Envelope(nn.Module):
    """Log amplitude of bands to latents and back to bins; fixed, the same in both halves."""

    def __init__(self) -> None:
        super().__init__()
        bands, dct = band_matrix(), dct_matrix()
        self.register_buffer("mean", bands / bands.sum(0), persistent=False)  # (960, 64)
        self.register_buffer("dct", dct / ENVELOPE_UNIT, persistent=False)
        self.register_buffer("spread", bands @ dct.t() * ENVELOPE_UNIT, persistent=False)  # (960, 64)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Spectrum (B, 960, C, T) to envelope latents (B, 64, C, T), 0 for amplitudes of e^-4."""
        with plain_precision(spectrum.device):
            power = torch.einsum("bkct,kn->bnct", spectrum.square(), self.mean)
            return torch.einsum("bnct,mn->bmct", 0.5 * torch.log(power + FLOOR**2) - QUIET, self.dct)

    def log_amplitude(self, latents: Tensor) -> Tensor:
        """Envelope latents (B, 64, C, T) to the log amplitude of each bin (B, 960, C, T), above e^-4."""
        with plain_precision(latents.device):
            return torch.einsum("bmct,km->bkct", latents.float(), self.spread)


class Trunk(nn.Module):
    """1x1 in, an offset for the side channel, gated residual blocks."""

    def __init__(self, inputs: int, blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(inputs, WIDTH, 1)
        self.side = nn.Parameter(torch.zeros(WIDTH))
        self.blocks = nn.ModuleList(GatedBlock(WIDTH, 1, kernel=KERNEL) for _ in range(blocks))

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        if x.shape[2] == 2:
            x = x + torch.stack([torch.zeros_like(self.side), self.side], dim=1)[None, :, :, None].to(x.dtype)
        for block in self.blocks:
            x = block(x, row)
        return x


class AudioAnalysis(nn.Module):
    """Wave (B, C, (T + 1) * 960) and quality rows (B,) to latents (B, 384, C, T)."""

    def __init__(self, blocks: int = 3) -> None:
        super().__init__()
        self.envelope = Envelope()
        self.trunk = Trunk(BANDS + HOP, blocks)
        self.correct = nn.Conv2d(WIDTH, LATENTS, 1)  # added to the latents
        self.emphasis = nn.Conv2d(WIDTH, BINS, 1)  # log of a factor of the spectrum's latents
        for last in (self.correct, self.emphasis):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, wave: Tensor, row: Tensor) -> Tensor:
        spectrum = mdct(wave).permute(0, 3, 1, 2)
        envelope = self.envelope(spectrum)
        shaped = spectrum * torch.exp(-SHAPING * self.envelope.log_amplitude(envelope) - QUIET)
        x = self.trunk(torch.cat([envelope, shaped], dim=1), row)
        bins = shaped[:, :BINS] * torch.exp(self.emphasis(x).float().clamp(-3, 3))
        return torch.cat([envelope, bins], dim=1) + self.correct(x).float()


class AudioSynthesis(nn.Module):
    """Latents (B, 384, C, T) and noise (B, 960, C, T) of unit variance to a wave (B, C, (T + 1) * 960)."""

    def __init__(self, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.envelope = Envelope()
        self.trunk = Trunk(LATENTS, blocks)
        self.predict = nn.Conv2d(WIDTH, HOP, 1)  # spectrum, before it is shaped
        self.level = nn.Conv2d(WIDTH, HOP, 1)  # log of a factor of the spectrum
        self.fill = nn.Conv2d(WIDTH, HOP, 1)  # log of the noise's level below the envelope
        for last, value in ((self.predict, 0.0), (self.level, 0.0), (self.fill, -1.0)):
            nn.init.zeros_(last.weight)
            nn.init.constant_(last.bias, value)

    def spectrum(self, latents: Tensor, noise: Tensor, row: Tensor) -> Tensor:
        """MDCT coefficients (B, 960, C, T)."""
        x = self.trunk(latents, row)
        log_amplitude = self.envelope.log_amplitude(latents[:, :BANDS])
        bins = F.pad(latents[:, BANDS:], (0, 0, 0, 0, 0, HOP - BINS)) + self.predict(x).float()
        level = SHAPING * log_amplitude + self.level(x).float().clamp(-4, 4)
        fill = log_amplitude + self.fill(x).float().clamp(-8, 2)
        # clamped, since a damaged or hostile envelope must not overflow
        return bins * torch.exp(level.clamp(-12, 8) + QUIET) + noise * torch.exp(fill.clamp(-12, 8) + QUIET)

    def forward(self, latents: Tensor, noise: Tensor, row: Tensor) -> Tensor:
        return inverse_mdct(self.spectrum(latents, noise, row).permute(0, 2, 3, 1))
