"""One measurement: what it reads, what it reports, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from vqc.tools.rd.codecs import Codec, make_codec
from vqc.tools.rd.memory import peak_memory
from vqc.tools.rd.picture import PICTURE, load
from vqc.tools.rd.point import Measure, Point


@dataclass(frozen=True)
class Wrong(Codec):
    """Decodes to something else than the picture."""

    MEDIUM = PICTURE
    settings = (1,)

    def encode(self, image, setting):
        return b"x"

    def decode(self, data):
        return np.zeros((3, 3, 3), np.uint8)

    def version(self):
        return "1"


def test_a_row_has_size_rate_quality_times_and_memory(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    codec = make_codec("jpeg", {})
    row = Measure({"jpeg": codec}, ("psnr", "ms-ssim"), 1)(Point(str(tmp_path / "a.png"), codec="jpeg", setting=50)).record
    size = len(codec.encode(picture, 50))
    assert row["bytes"] == size
    assert row["bpp"] == 8 * size / (picture.shape[0] * picture.shape[1])
    assert 25 < row["psnr-rgb"] < 45 and 0.8 < row["ms-ssim-rgb"] < 1
    assert row["encoding_time"] > 0 and row["decoding_time"] > 0 and row["other_time"] > 0


def test_a_codec_that_decodes_another_size_is_an_error(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(RuntimeError, match=r"\(3, 3, 3\)"):
        Measure({"wrong": Wrong(label="wrong")}, ("psnr",), 1)(Point(str(tmp_path / "a.png"), codec="wrong", setting=1))


def test_grey_becomes_three_equal_colours_and_alpha_is_left_out(tmp_path, picture):
    grey = picture[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack((picture, grey))).save(tmp_path / "alpha.png")
    assert (load(str(tmp_path / "grey.png")) == grey[..., None]).all()
    assert (load(str(tmp_path / "alpha.png")) == picture).all()


def test_pictures_of_16_bits_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="16 bits"):
        load(str(tmp_path / "deep.png"))


def test_memory_is_seen_in_a_process_that_has_some_left(tmp_path, picture):
    Image.fromarray(np.tile(picture, (4, 4, 1))).save(tmp_path / "a.png")
    program = """if True:
        import sys
        from vqc.tools.rd.codecs import make_codec
        from vqc.tools.rd.point import Measure, Point
        codecs = {name: make_codec(name, {}) for name in ("vqc", "jpeg2000")}
        measure = Measure(codecs, ("psnr",), 1)
        rows = [measure(Point(sys.argv[1], codec=name, setting=30)).record for name in codecs]
        print(rows[1]["encoding_memory"], rows[1]["decoding_memory"])
    """
    command = [sys.executable, "-c", program, str(tmp_path / "a.png")]
    memory = subprocess.run(command, capture_output=True, check=True).stdout.split()
    if b"None" in memory:
        pytest.skip("the system does not tell")
    # OpenJPEG holds four bytes per sample in either direction.
    assert min(map(int, memory)) > 4 * 16 * picture.size * 0.9


def test_peak_memory_sees_what_is_given_back_before_the_end():
    with peak_memory() as peak:
        np.ones(64 * 2**20, np.uint8)[0]
    if peak.added is None:
        pytest.skip("the system does not tell")
    assert 48 * 2**20 < peak.added < 256 * 2**20
