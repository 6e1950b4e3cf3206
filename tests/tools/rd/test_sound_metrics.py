"""Measures of sound against sums written here from their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from vqc.tools.rd.sound import load
from vqc.tools.rd.sound_metrics import METRICS, mel_distance, pesq, si_sdr, stft_distance, stoi, visqol_audio, visqol_speech

TALK = str(Path(__file__).parents[3] / "samples" / "talk.flac")


@pytest.fixture(scope="module")
def talk():
    return load(TALK)


def degraded(wave, level):
    return wave + np.random.default_rng(1).normal(0, level, wave.shape).astype(np.float32)


def spectra(wave, window, hop):
    """|STFT| (C, window / 2 + 1, frames) by scipy in float64, periodic Hann, mirrored ends, a full-scale sine near one."""
    padded = np.pad(wave.astype(np.float64), ((0, 0), (window // 2, window // 2)), mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)[:, ::hop]
    return np.abs(np.fft.rfft(frames * signal.windows.hann(window, sym=False))).transpose(0, 2, 1) * 4 / window


def test_si_sdr_is_the_ratio_of_projections(talk):
    noisy = degraded(talk, 0.01)
    x, y = talk[0].astype(np.float64), noisy[0].astype(np.float64)
    angle = (x @ y) / np.linalg.norm(x) / np.linalg.norm(y)
    assert si_sdr(talk, noisy) == pytest.approx(10 * np.log10(angle**2 / (1 - angle**2)), abs=0.01)
    assert si_sdr(talk, 0.3 * noisy) == pytest.approx(si_sdr(talk, noisy), abs=1e-3)


def test_mel_distance_is_that_of_its_definition(talk):
    noisy = degraded(talk, 0.01)
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 24000 / 700), 130) / 2595) - 1)
    bins = np.arange(1025) * 48000 / 2048
    filters = []
    for low, middle, high in zip(edges, edges[1:], edges[2:]):
        # A slope is at least as wide as a bin, or narrow bands would see none.
        rising = (bins - middle) / max(middle - low, 48000 / 2048) + 1
        falling = (middle - bins) / max(high - middle, 48000 / 2048) + 1
        weights = np.maximum(np.minimum(rising, falling), 0)
        filters.append(weights / weights.sum())
    one, other = (np.log10(np.array(filters) @ spectra(wave, 2048, 512) + 1e-4) for wave in (talk, noisy))
    assert mel_distance(talk, noisy) == pytest.approx(np.abs(one - other).mean(), rel=1e-3)
    assert mel_distance(talk, talk) == 0


def test_stft_distance_is_that_of_its_definition(talk):
    stereo = np.concatenate([talk, 0.5 * talk[:, ::-1]])
    noisy = degraded(stereo, 0.01)
    values = []
    for window in (512, 1024, 2048):
        one, other = (spectra(wave, window, window // 4) for wave in (stereo, noisy))
        log = np.abs(np.log(one + 1e-4) - np.log(other + 1e-4)).mean()
        values.append(np.sqrt(np.sum((one - other) ** 2)) / np.sqrt(np.sum(one**2)) + log)
    assert stft_distance(stereo, noisy) == pytest.approx(np.mean(values), rel=1e-3)
    assert stft_distance(stereo, stereo) == 0


@pytest.mark.parametrize(
    ("measure", "package"), [(visqol_audio, "visqol"), (visqol_speech, "visqol"), (stoi, "pystoi"), (pesq, "pesq")]
)
def test_listening_measures_fall_as_noise_rises(talk, measure, package):
    pytest.importorskip(package)
    # Digital silence is no usual recording: ViSQOL's audio mode gives it 2.1 even where nothing was changed.
    original = degraded(talk, 0.001)
    values = [measure(original, degraded(original, level)) for level in (0, 0.003, 0.1)]
    assert values[0] >= values[1] > values[2]


def plain_stoi(one: np.ndarray, other: np.ndarray) -> float:
    """After Taal et al. (2011), from 10 kHz: 15 third octaves from 150 Hz, segments of 30 frames, clipped at -15 dB, without
    silent frames."""
    window = signal.windows.hann(258)[1:-1]

    def frames(x):
        return np.array([x[start : start + 256] * window for start in range(0, len(x) - 256, 128)])

    a, b = frames(one), frames(other)
    level = 20 * np.log10(np.linalg.norm(a, axis=1) + 1e-16)
    kept = level > level.max() - 40

    def joined(parts):
        whole = np.zeros(128 * (len(parts) - 1) + 256)
        for place, part in enumerate(parts):
            whole[128 * place : 128 * place + 256] += part
        return whole

    bins = np.linspace(0, 10000, 513)[:257]
    centres = 150 * 2 ** (np.arange(15) / 3)
    low, high = (np.array([np.argmin((bins - c * 2**s) ** 2) for c in centres]) for s in (-1 / 6, 1 / 6))
    bands = []
    for parts in (a[kept], b[kept]):
        power = np.abs(np.fft.rfft(frames(joined(parts)), 512)) ** 2
        bands.append(np.sqrt(np.array([power[:, i:j].sum(axis=1) for i, j in zip(low, high)])))
    total = []
    for end in range(30, bands[0].shape[1] + 1):
        for x, y in zip(*(band[:, end - 30 : end] for band in bands)):
            y = np.minimum(y * np.linalg.norm(x) / np.linalg.norm(y), x * (1 + 10 ** (15 / 20)))
            total.append(np.corrcoef(x, y)[0, 1])
    return float(np.mean(total))


def test_stoi_is_that_of_its_definition(talk):
    pystoi = pytest.importorskip("pystoi")
    noisy = degraded(talk, 0.05)
    one, other = (pystoi.utils.resample_oct(wave[0].astype(np.float64), 10000, 48000) for wave in (talk, noisy))
    # Resampled another way: the bands end at 4.3 kHz, far from where the two filters differ.
    assert stoi(talk, noisy) == pytest.approx(plain_stoi(one, other), abs=5e-3)


def test_speech_measures_are_not_defined_for_what_is_no_speech(talk):
    pytest.importorskip("pystoi")
    pytest.importorskip("pesq")
    assert pesq(np.concatenate([talk, talk]), np.concatenate([talk, talk])) is None
    silence = np.zeros((1, 48000), np.float32)
    assert pesq(silence, silence) is None
    assert stoi(talk[:, :4800], talk[:, :4800]) is None


@pytest.mark.parametrize("name", ["mel", "stft", "si-sdr"])
def test_sounds_of_one_sample_have_a_distance(name):
    one = np.full((1, 1), 0.5, np.float32)
    assert METRICS[name].compute(one, one * 0.5) is not None


def test_distances_are_turned_round_for_curves():
    assert METRICS["mel"].axis(0.1) > METRICS["mel"].axis(0.2)


def test_a_metric_tells_what_it_misses():
    metric = METRICS["mel"]
    assert metric.missing() == ""
    assert "vqc[sound]" in type(metric)("x", "x", "x", "x", mel_distance, package="nonesuch", extra="sound").missing()
