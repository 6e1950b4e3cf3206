"""Measures of quality between an original and a decoded sound, both (C, N) float32 at 48 kHz.

Each gives one number per sound; the mean over sounds is their arithmetic mean. "At 16 kHz" means resampled by libswresample.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import torch

from vqc.sound import CODED_RATE, resample
from vqc.tools.train.audio_losses import mel_filters

from .medium import Metric

WINDOW, HOP, BANDS, FLOOR = 2048, 512, 128, 1e-4
STFT_WINDOWS = (512, 1024, 2048)
SPEECH_RATE = 16000  # what PESQ, STOI and ViSQOL's speech mode listen to


def mel_distance(original: np.ndarray, decoded: np.ndarray) -> float:
    """Mean absolute difference of log10 mel magnitudes: Hann windows of 2048 every 512, 128 triangular filters of sum one from
    0 to 24 kHz, magnitudes with a full-scale sine near one, floor 1e-4; mean over channels, bands and frames."""

    def log_mel(wave: np.ndarray) -> torch.Tensor:
        bands = torch.einsum("cft,fm->cmt", magnitudes(wave, WINDOW, HOP), mel_filters(WINDOW, BANDS))
        return torch.log10(bands + FLOOR)

    return (log_mel(original) - log_mel(decoded)).abs().mean().item()


def stft_distance(original: np.ndarray, decoded: np.ndarray) -> float:
    """Multi-resolution STFT distance (Yamamoto et al. 2020, arXiv:1910.11480): Hann windows of 512, 1024 and 2048, a quarter
    apart; for each, spectral convergence |S - S'| / |S| (Frobenius norms over all channels) plus the mean absolute difference
    of the natural logarithms of magnitudes with a full-scale sine near one, floor 1e-4; mean over the windows."""
    values = []
    for window in STFT_WINDOWS:
        one, other = (magnitudes(wave, window, window // 4) for wave in (original, decoded))
        convergence = (one - other).norm() / one.norm().clamp_min(1e-9)
        values.append(convergence + (torch.log(one + FLOOR) - torch.log(other + FLOOR)).abs().mean())
    return torch.stack(values).mean().item()


def si_sdr(original: np.ndarray, decoded: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB over all channels together (Le Roux et al. 2019, arXiv:1811.02508)."""
    reference, estimate = original.ravel().astype(np.float64), decoded.ravel().astype(np.float64)
    target = reference * (reference @ estimate) / max(reference @ reference, 1e-12)
    noise = estimate - target
    return float(10 * np.log10(max(target @ target, 1e-12) / max(noise @ noise, 1e-12)))


def visqol_audio(original: np.ndarray, decoded: np.ndarray) -> float:
    """ViSQOL's estimate of a mean opinion score, audio mode, 48 kHz, channels mixed down (Chinen et al. 2020, arXiv:2004.09584;
    package visqol-python)."""
    mono = [wave.mean(axis=0).astype(np.float64) for wave in (original, decoded)]
    return float(_visqol("audio").measure_from_arrays(*mono, CODED_RATE).moslqo)


def visqol_speech(original: np.ndarray, decoded: np.ndarray) -> float:
    """The same, speech mode, at 16 kHz, polynomial mapping (not the lattice network)."""
    mono = [_at_speech_rate(wave).astype(np.float64) for wave in (original, decoded)]
    return float(_visqol("speech").measure_from_arrays(*mono, SPEECH_RATE).moslqo)


def stoi(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """Short-time objective intelligibility, 0..1, at 16 kHz, channels mixed down (Taal et al. 2011; package pystoi). None for a
    sound with less than 384 ms that is not silent, which the definition does not cover."""
    from pystoi import stoi as compute

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # pystoi warns so of too short a sound, and then makes a number up
        try:
            return float(compute(_at_speech_rate(original), _at_speech_rate(decoded), SPEECH_RATE))
        except RuntimeWarning:
            return None


def pesq(original: np.ndarray, decoded: np.ndarray) -> float | None:
    """Wideband PESQ, a mean opinion score from 1.0 to 4.64, at 16 kHz (ITU-T P.862.2; package pesq). It was made for speech:
    None for stereo, and where it finds no utterance or the sound is shorter than a quarter of a second."""
    from pesq import BufferTooShortError, NoUtterancesError
    from pesq import pesq as compute

    one, other = _at_speech_rate(original), _at_speech_rate(decoded)
    if len(original) != 1 or not (one.any() or other.any()):
        return None
    try:
        return float(compute(SPEECH_RATE, one, other, "wb"))
    except (BufferTooShortError, NoUtterancesError):
        return None


@functools.cache
def _visqol(mode: str):
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode=mode, **({"use_lattice_model": False} if mode == "speech" else {}))
    return api


def magnitudes(wave: np.ndarray, window: int, hop: int) -> torch.Tensor:
    """(C, window / 2 + 1, frames), a full-scale sine near one; mirrored beyond the ends, silent there if too short for that."""
    ends = "reflect" if wave.shape[1] > window // 2 else "constant"
    # A copy, for torch warns of arrays that cannot be written.
    samples = torch.from_numpy(np.array(wave, np.float32))
    spectrum = torch.stft(samples, window, hop, window=torch.hann_window(window), return_complex=True, pad_mode=ends)
    return spectrum.abs() * 4 / window


def _at_speech_rate(wave: np.ndarray) -> np.ndarray:
    mono = wave.mean(axis=0, keepdims=True)
    return np.concatenate(list(resample([mono], 1, CODED_RATE, SPEECH_RATE)), axis=1)[0]


METRICS = {
    metric.name: metric
    for metric in (
        Metric("visqol", "visqol", "ViSQOL, audio mode", "MOS", visqol_audio, package="visqol", extra="sound"),
        Metric("visqol-speech", "visqol-speech", "ViSQOL, speech mode", "MOS", visqol_speech, package="visqol", extra="sound"),
        Metric("stoi", "stoi", "STOI", "0..1", stoi, package="pystoi", extra="sound"),
        Metric("pesq", "pesq", "PESQ, wideband", "MOS", pesq, package="pesq", extra="pesq"),
        # Of distances less is better; curves have to rise.
        Metric("mel", "mel", "Mel distance with its sign changed", "log10", mel_distance, lambda value: -value),
        Metric("stft", "stft", "STFT distance with its sign changed", "-", stft_distance, lambda value: -value),
        Metric("si-sdr", "si-sdr", "SI-SDR", "dB", si_sdr),
    )
}
