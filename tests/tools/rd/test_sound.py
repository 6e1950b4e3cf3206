"""Measures of sound against independent sums, and the command on a sample."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from vqc.tools.rd.sound import command, load
from vqc.tools.rd.sound_codecs import CODECS
from vqc.tools.rd.sound_metrics import mel_distance, si_sdr, stoi, visqol_audio, visqol_speech

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def talk():
    return load(SAMPLES / "talk.flac")


def degraded(wave, level):
    return wave + np.random.default_rng(1).normal(0, level, wave.shape).astype(np.float32)


def test_si_sdr_is_the_ratio_of_projections(talk):
    noisy = degraded(talk, 0.01)
    x, y = talk[0].astype(np.float64), noisy[0].astype(np.float64)
    angle = (x @ y) / np.linalg.norm(x) / np.linalg.norm(y)
    assert si_sdr(talk, noisy) == pytest.approx(10 * np.log10(angle**2 / (1 - angle**2)), abs=0.01)
    assert si_sdr(talk, 0.3 * noisy) == pytest.approx(si_sdr(talk, noisy), abs=1e-3)


def test_mel_distance_of_half_the_level_is_its_logarithm():
    tone = (0.9 * np.sin(np.arange(48000) * 2 * np.pi * 1000 / 48000) + np.random.default_rng(0).normal(0, 0.3, 48000))[None]
    tone = tone.astype(np.float32)
    assert mel_distance(tone, tone / 2) == pytest.approx(np.log10(2), rel=0.05)
    assert mel_distance(tone, tone) == 0


@pytest.mark.parametrize("measure", [visqol_audio, visqol_speech, stoi])
def test_listening_measures_fall_as_noise_rises(talk, measure):
    # Digital silence is no usual recording: ViSQOL's audio mode gives it 2.1 even where nothing was changed.
    original = degraded(talk, 0.001)
    values = [measure(original, degraded(original, level)) for level in (0, 0.003, 0.1)]
    assert values[0] >= values[1] > values[2]


@pytest.mark.parametrize("name", list(CODECS))
def test_each_codec_gives_the_sound_back_in_step(talk, name):
    codec = CODECS[name]
    data = codec.encode(talk, 24 if name != "vqc" else 12)
    decoded = codec.decode(data)
    length = min(decoded.shape[1], talk.shape[1])
    assert len(decoded) == 1 and abs(decoded.shape[1] - talk.shape[1]) < 4800
    middle = slice(20000, 60000)
    products = [talk[0, middle] @ np.roll(decoded[0, :length], -k)[middle] for k in range(-3, 4)]
    assert name == "mp3" or int(np.argmax(products)) in (2, 3, 4)


def test_the_command_measures_real_files(tmp_path):
    arguments = [str(SAMPLES / "talk.flac"), "--rates", "6,12", "--metrics", "mel,si-sdr", "--out", str(tmp_path)]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    averages = json.loads((tmp_path / "averages.json").read_text())
    assert [(row["codec"], row["asked"]) for row in averages] == [("vqc", 6), ("vqc", 12), ("opus", 6), ("opus", 12)]
    assert abs(averages[0]["kbps"] / 6 - 1) < 0.02 and averages[1]["mel"] < averages[0]["mel"]


def test_unknown_codec_is_a_usage_error(tmp_path):
    assert CliRunner().invoke(command, [str(SAMPLES / "talk.flac"), "--codecs", "vqc,nothing"]).exit_code == 2
