"""Sounds as a medium of `vqc rd`: (C, N) float32 at 48 kHz, by kbit/s of whole files."""

from __future__ import annotations

import io
import os
from functools import lru_cache

import numpy as np
import soundfile

from vqc.media import SOUND_EXTENSIONS
from vqc.places import readable
from vqc.sound import CODED_RATE, resample
from vqc.sound_files import open_sound

from .medium import Medium, Preview
from .picture import png
from .sound_metrics import METRICS, magnitudes, mel_distance

# A codec may add a part of its last frame; that more is missing is no such thing.
SLACK = CODED_RATE // 10
# Of a sound to listen to: the page holds it once for each codec.
SECONDS = 5
_HEIGHT, _WIDTH, _WINDOW = 160, 480, 1024
_LOUDEST, _SOFTEST = 0.0, -96.0  # dB, a full-scale sine being near 0


@lru_cache(maxsize=2)
def load(source: str) -> np.ndarray:
    """The sound (C, N) float32, resampled to 48 kHz. Raises what open_sound raises, and ValueError when it is empty."""
    with open_sound(readable(source)) as (kind, blocks):
        wave = np.concatenate(list(resample(blocks, kind.channels, kind.rate, CODED_RATE)), axis=1)
    if not wave.shape[1]:
        raise ValueError(f"{source} has no samples")
    wave.flags.writeable = False  # shared by every measurement of this process
    return wave


def fit(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Clipped to full scale, and cut or padded by up to a tenth of a second. Raises RuntimeError for another shape."""
    if len(decoded) != len(original) or abs(decoded.shape[1] - original.shape[1]) > SLACK:
        raise RuntimeError(f"decoded {decoded.shape} samples from {original.shape}")
    kept = np.clip(decoded[:, : original.shape[1]], -1, 1).astype(np.float32)
    return np.pad(kept, ((0, 0), (0, original.shape[1] - kept.shape[1])))


def loudest_part(wave: np.ndarray, seconds: float = SECONDS) -> slice:
    """The samples of the part of at most this length with the most energy."""
    length = min(round(seconds * CODED_RATE), wave.shape[1])
    energy = np.concatenate(([0.0], np.cumsum(np.square(wave, dtype=np.float64).sum(axis=0))))
    start = int(np.argmax(energy[length:] - energy[: len(energy) - length]))
    return slice(start, start + length)


def spectrogram(wave: np.ndarray) -> np.ndarray:
    """(160, 480, 3) uint8: level of the channels' mean, -96 to 0 dB, over time and, upwards, 0 to 24 kHz on the mel scale."""
    from matplotlib import colormaps

    level = 20 * np.log10(magnitudes(wave.mean(axis=0, keepdims=True), _WINDOW, _WINDOW // 4)[0].numpy() + 1e-9)
    mel = np.linspace(2595 * np.log10(1 + CODED_RATE / 2 / 700), 0, _HEIGHT)
    rows = (700 * (10 ** (mel / 2595) - 1) * _WINDOW / CODED_RATE).round().astype(int)
    columns = np.linspace(0, level.shape[1] - 1, _WIDTH).round().astype(int)
    shade = (level[np.ix_(rows, columns)] - _SOFTEST) / (_LOUDEST - _SOFTEST)
    return colormaps["magma"](np.clip(shade, 0, 1), bytes=True)[..., :3]


def _preview(original: np.ndarray, decoded: np.ndarray) -> Preview:
    part = decoded[:, loudest_part(original)]
    file = io.BytesIO()
    soundfile.write(file, part.T, CODED_RATE, subtype="PCM_16", format="FLAC")
    return Preview(png(spectrogram(part)), file.getvalue())


def _is_sound(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SOUND_EXTENSIONS


SOUND = Medium(
    name="sound",
    plural="sounds",
    is_file=_is_sound,
    load=load,
    fit=fit,
    facts={"channels": len, "duration": lambda wave: wave.shape[1] / CODED_RATE},
    rates={"kbps": lambda facts: 1000 * facts["duration"]},
    rate_name="kbit/s",
    logarithmic=True,
    unit="second of sound",
    units=lambda facts: facts["duration"],
    metrics=METRICS,
    codecs="vqc,opus,aac,mp3",
    chosen_metrics="visqol,stoi,mel,si-sdr",
    anchor="opus",
    preview=_preview,
    figure=lambda original, decoded: f"mel distance {mel_distance(original, decoded):.3f}",
    look=(
        "The same sound at the same size",
        f"The loudest {SECONDS} seconds; spectrograms from 0 to 24 kHz on the mel scale, black at {_SOFTEST:.0f} dB.",
    ),
)
