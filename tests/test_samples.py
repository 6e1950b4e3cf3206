"""The samples are what samples/make.py draws."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqc.image_files import read_image
from vqc.video_files import open_video

FOLDER = Path(__file__).parent.parent / "samples"
spec = importlib.util.spec_from_file_location("make_samples", FOLDER / "make.py")
make_samples = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_samples)


@pytest.mark.parametrize("name", list(make_samples.SAMPLES))
def test_sample_is_drawn_again_the_same(name):
    stored, drawn = read_image(FOLDER / name), make_samples.SAMPLES[name]()
    assert stored.colour.shape == drawn.colour.shape and stored.orientation == drawn.orientation
    difference = np.abs(stored.colour.astype(int) - drawn.colour)
    # JPEG loses a little; the others may differ by one where a machine's mathematical functions round otherwise.
    assert difference.mean() < (4 if name.endswith(".jpg") else 0.01)
    assert (stored.alpha is None) == (drawn.alpha is None)
    if drawn.alpha is not None:
        assert np.abs(stored.alpha.astype(int) - drawn.alpha).max() <= 1


@pytest.mark.parametrize("name", list(make_samples.SOUNDS))
def test_sound_is_made_again_the_same(name):
    made, rate, _ = make_samples.SOUNDS[name]()
    stored, stored_rate = soundfile.read(FOLDER / name, always_2d=True)
    assert stored_rate == rate and stored.shape == made.shape
    assert np.abs(stored - made).max() < 2 / 32768


def test_clip_is_drawn_again_the_same():
    kind, frames, samples = make_samples.clip()
    with open_video(FOLDER / "clip.mkv") as stored:
        assert (stored.kind.width, stored.kind.height, stored.kind.rate) == (kind.width, kind.height, 25)
        for drawn, frame in zip(frames, stored.frames(), strict=True):
            assert np.abs(frame.y.astype(int) - drawn.y).mean() < 0.01 and frame.seconds == drawn.seconds
        assert np.abs(np.concatenate(list(stored.blocks()), axis=1) - samples).max() < 2 / 32768


def test_samples_are_small():
    assert sum(f.stat().st_size for f in FOLDER.iterdir() if f.is_file()) < 1_500_000
