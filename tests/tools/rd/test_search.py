"""Targets are met, by the lowest setting that does."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vqc.tools.rd.codecs import Codec, make_codec
from vqc.tools.rd.command import rd
from vqc.tools.rd.picture_metrics import psnr
from vqc.tools.rd.search import TargetOutOfReach, largest_within, lowest_reaching, nearest_size


@dataclass(frozen=True)
class Steps(Codec):
    """Sizes as given, one to a setting; decodes to the size."""

    sizes: tuple = ()

    @property
    def settings(self):
        return range(len(self.sizes))

    def encode(self, image, setting):
        return bytes(self.sizes[setting])

    def decode(self, data):
        return np.array(len(data))

    def version(self):
        return "1"


rising = st.lists(st.integers(0, 200), min_size=1, max_size=60).map(lambda sizes: tuple(sorted(sizes)))


@given(rising, st.integers(0, 220))
def test_the_largest_file_within_a_size(sizes, target):
    fitting = [size for size in sizes if size <= target]
    if not fitting:
        with pytest.raises(TargetOutOfReach):
            largest_within(Steps(sizes=sizes), None, target)
        return
    trial = largest_within(Steps(sizes=sizes), None, target)
    assert len(trial.data) == max(fitting) == trial.value
    assert trial.setting == len(fitting) - 1


@given(rising, st.integers(0, 220))
def test_the_lowest_setting_that_reaches_a_quality(sizes, target):
    reaching = [place for place, size in enumerate(sizes) if size >= target]
    if not reaching:
        with pytest.raises(TargetOutOfReach):
            lowest_reaching(Steps(sizes=sizes), None, target, float)
        return
    trial = lowest_reaching(Steps(sizes=sizes), None, target, float)
    assert trial.setting == reaching[0]
    assert trial.tries <= len(sizes).bit_length() + 2


@given(rising, st.integers(0, 220))
def test_the_nearest_size(sizes, target):
    trial = nearest_size(Steps(sizes=sizes), None, target)
    assert abs(len(trial.data) - target) == min(abs(size - target) for size in sizes)


@pytest.fixture
def file(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


def found(*arguments):
    done = CliRunner().invoke(rd, ["find", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.output.splitlines()]


def test_find_psnr_gives_the_lowest_quality_of_jpeg_that_has_it(file, picture):
    (record,) = found(file, "--target-psnr", "33", "--codecs", "jpeg")
    codec = make_codec("jpeg", {})
    below = codec.decode(codec.encode(picture, record["setting"] - 1))
    assert record["psnr-rgb"] >= 33 > psnr(picture, below)


def test_find_bytes_for_several_codecs(file, tmp_path):
    records = found(file, "--target-bytes", "6000", "--codecs", "jpeg,webp")
    assert [record["codec"] for record in records] == ["jpeg", "webp"]
    assert all(5000 < record["bytes"] <= 6000 for record in records)


def test_find_by_similarity_writes_the_file_it_found(file, tmp_path):
    out = tmp_path / "found.webp"
    (record,) = found(file, "--target-ms-ssim", "0.97", "--codecs", "webp", "-o", str(out))
    assert record["ms-ssim-rgb"] >= 0.97
    assert out.stat().st_size == record["bytes"]
    (record,) = found(file, "--target-ssimulacra2", "60", "--codecs", "webp:method=0")
    assert record["ssimulacra2"] >= 60


def test_a_target_out_of_reach_is_one_line_and_exit_code_1(file):
    done = CliRunner().invoke(rd, ["find", file, "--target-psnr", "90", "--codecs", "jpeg"])
    assert done.exit_code == 1
    assert "jpeg: reaches" in done.output and "Traceback" not in done.output


@pytest.mark.parametrize("targets", [[], ["--target-psnr", "30", "--target-bytes", "100"]])
def test_exactly_one_target(file, targets):
    assert CliRunner().invoke(rd, ["find", file, *targets]).exit_code == 2
