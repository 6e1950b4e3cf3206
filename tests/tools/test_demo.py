"""The demo compares at equal size and shows what it compares."""

from __future__ import annotations

import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vqc.tools import demo
from vqc.tools.bench import synthetic_image


def test_psnr_of_a_known_error():
    black = np.zeros((4, 4, 3), np.uint8)
    assert demo.psnr(black, black) == math.inf
    assert demo.psnr(black, black + np.uint8(255)) == 0
    assert demo.psnr(black, black + np.uint8(1)) == pytest.approx(48.1308, abs=1e-4)


@given(st.lists(st.integers(0, 50), min_size=100, max_size=100), st.integers(0, 6000))
def test_nearest_size_finds_the_nearest_of_all_qualities(growth, size):
    lengths = np.cumsum(growth)
    found = demo.nearest_size(lambda quality: bytes(lengths[quality - 1]), size)
    assert abs(len(found) - size) == min(abs(lengths - size))


def test_every_picture_is_on_the_sheet_unchanged():
    pictures = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    sheet = demo.side_by_side([("", picture) for picture in pictures])
    assert sheet.size == (80, 2 * (30 + demo.CAPTION))
    tile = 30 + demo.CAPTION
    for picture, corner in zip(pictures, [(0, 0), (40, 0), (0, tile)], strict=True):
        x, y = corner[0], corner[1] + demo.CAPTION
        assert sheet.crop((x, y, x + 40, y + 30)).tobytes() == picture.tobytes()


def test_the_demo_writes_a_file_and_a_sheet_and_prints_a_row_per_codec(tmp_path):
    source = tmp_path / "small.png"
    Image.fromarray(synthetic_image(96, 64)).save(source)
    result = CliRunner().invoke(demo.main, [str(source), "-o", str(tmp_path / "out")], catch_exceptions=False)
    rows = {line.split()[0]: line.split() for line in result.output.splitlines() if line.startswith(("vqc ", "JPEG ", "WebP "))}
    assert rows.keys() == {"vqc", "JPEG", "WebP"}
    assert int(rows["vqc"][1]) == (tmp_path / "out" / "small.vqc").stat().st_size
    assert float(rows["vqc"][3]) > 15
    with Image.open(tmp_path / "out" / "small.png") as sheet:
        assert sheet.size == (192, 2 * (64 + demo.CAPTION))
