"""Measures of quality between an original and a decoded sound, both (C, N) float32 at 48 kHz.

Each gives one number per sound. ViSQOL and STOI come from packages of the extra `sound`, and are left out without it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from vqc.sound import CODED_RATE, Resampler
from vqc.tools.train.audio_losses import mel_filters

WINDOW, HOP, BANDS, FLOOR = 2048, 512, 128, 1e-4
SPEECH_RATE = 16000  # what ViSQOL's speech mode and STOI listen to


def mel_distance(original: np.ndarray, decoded: np.ndarray) -> float:
    """Mean absolute difference of log10 mel magnitudes: Hann windows of 2048 every 512, 128 triangular filters of sum one from
    0 to 24 kHz, magnitudes with a full-scale sine near one, floor 1e-4; mean over channels, bands and frames."""

    def log_mel(wave: np.ndarray) -> torch.Tensor:
        window = torch.hann_window(WINDOW)
        spectrum = torch.stft(torch.from_numpy(wave), WINDOW, HOP, window=window, return_complex=True).abs() * 4 / WINDOW
        return torch.log10(torch.einsum("cft,fm->cmt", spectrum, mel_filters(WINDOW, BANDS)) + FLOOR)

    return (log_mel(original) - log_mel(decoded)).abs().mean().item()


def si_sdr(original: np.ndarray, decoded: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB over all channels together (Le Roux et al. 2019, arXiv:1811.02508)."""
    reference, estimate = original.ravel().astype(np.float64), decoded.ravel().astype(np.float64)
    target = reference * (reference @ estimate) / max(reference @ reference, 1e-12)
    noise = estimate - target
    return float(10 * np.log10(max(target @ target, 1e-12) / max(noise @ noise, 1e-12)))


def visqol_audio(original: np.ndarray, decoded: np.ndarray) -> float:
    """ViSQOL's estimate of a mean opinion score, audio mode, 48 kHz, channels mixed down (Chinen et al. 2020)."""
    mono = [wave.mean(axis=0).astype(np.float64) for wave in (original, decoded)]
    return float(_visqol("audio").measure_from_arrays(*mono, CODED_RATE).moslqo)


def visqol_speech(original: np.ndarray, decoded: np.ndarray) -> float:
    """The same, speech mode, 16 kHz, polynomial mapping (not the lattice network)."""
    mono = [_at_speech_rate(wave).astype(np.float64) for wave in (original, decoded)]
    return float(_visqol("speech").measure_from_arrays(*mono, SPEECH_RATE).moslqo)


def stoi(original: np.ndarray, decoded: np.ndarray) -> float:
    """Short-time objective intelligibility, 0..1, at 16 kHz, channels mixed down (Taal et al. 2011; package pystoi)."""
    from pystoi import stoi as compute

    return float(compute(_at_speech_rate(original), _at_speech_rate(decoded), SPEECH_RATE))


@functools.cache
def _visqol(mode: str):
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode=mode, **({"use_lattice_model": False} if mode == "speech" else {}))
    return api


def _at_speech_rate(wave: np.ndarray) -> np.ndarray:
    mono = np.ascontiguousarray(wave.mean(axis=0, keepdims=True))
    resampler = Resampler(1, CODED_RATE, SPEECH_RATE)
    return np.concatenate([resampler(mono), resampler.finish(1)], axis=1)[0]


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "visqol": visqol_audio,
    "visqol-speech": visqol_speech,
    "mel": mel_distance,
    "stoi": stoi,
    "si-sdr": si_sdr,
}
