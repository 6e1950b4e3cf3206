"""Files of every released format version and model decode for ever: symbols bit-exact, samples within stated bounds."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

import vqc
from vqc.tools.golden import block_means, symbols_digest

FOLDER = Path(__file__).parent / "golden"
SOUNDS = sorted([*FOLDER.glob("*-aud*.vqc"), *FOLDER.glob("*-rvq*.vqc")])
VIDEOS = sorted(FOLDER.glob("*-vid*.vqc"))
FILES = sorted(set(FOLDER.glob("*.vqc")) - set(SOUNDS) - set(VIDEOS))
MEAN_PEAK = 0.6 / 255  # mean of an 8x8 block, as a fraction of full scale


def test_there_are_golden_files():
    assert len(FILES) >= 3 and len(SOUNDS) >= 2 and len(VIDEOS) >= 1


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_golden_file_decodes_as_on_the_day_it_was_made(file):
    data = file.read_bytes()
    record = json.loads(file.with_suffix(".json").read_text())
    assert hashlib.sha256(data).hexdigest() == record["sha256"]
    assert symbols_digest(data) == record["symbols_sha256"]
    pixels = vqc.decode(data).pixels
    assert list(pixels.shape) == record["shape"] and str(pixels.dtype) == record["dtype"]
    expected = np.load(file.with_suffix(".npy")) / 65535
    h, w = (n // 8 * 8 for n in pixels.shape[:2])
    means = pixels[:h, :w].reshape(h // 8, 8, w // 8, 8, -1).mean((1, 3)) / np.iinfo(pixels.dtype).max
    assert np.abs(means - expected).max() < MEAN_PEAK


@pytest.mark.parametrize("file", SOUNDS, ids=lambda f: f.stem)
def test_golden_sound_decodes_as_on_the_day_it_was_made(file):
    data = file.read_bytes()
    record = json.loads(file.with_suffix(".json").read_text())
    assert hashlib.sha256(data).hexdigest() == record["sha256"]
    assert symbols_digest(data) == record["symbols_sha256"]
    sound = vqc.decode(data)
    assert list(sound.samples.shape) == record["shape"] and sound.rate == record["rate"]
    second = sound.samples[sound.rate // 2 : sound.rate + sound.rate // 2].clip(-1, 1)
    error = second - np.load(file.with_suffix(".npy")) / 32767
    assert np.sqrt(np.mean(error**2)) < 1e-3 and np.abs(error).max() < 1e-2


@pytest.mark.parametrize("file", VIDEOS, ids=lambda f: f.stem)
def test_golden_video_decodes_as_on_the_day_it_was_made(file):
    data = file.read_bytes()
    record = json.loads(file.with_suffix(".json").read_text())
    assert hashlib.sha256(data).hexdigest() == record["sha256"]
    assert symbols_digest(data) == record["symbols_sha256"]
    frames = list(vqc.decode(data))
    assert [frame.tick for frame in frames] == record["ticks"]
    for frame, expected in zip(frames, np.load(file.with_suffix(".npy")), strict=True):
        difference = np.abs(block_means(frame).astype(int) - expected) / 256
        assert difference.max() < 1 and np.sqrt(np.mean(difference**2)) < 0.2
