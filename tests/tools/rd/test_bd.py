"""BD-rates against a recomputation that shares no code with the tool: bytes, pixels, Akima splines and integral made here."""

from __future__ import annotations

import csv
import io
import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vqc.tools.rd.bd import Curve, curve, delta, spread
from vqc.tools.rd.command import rd

LADDERS = {"jpeg": (8, 20, 40, 60, 80, 92), "webp": (5, 25, 45, 65, 82, 92), "avif": (20, 35, 50, 65, 78, 90)}
OPTIONS = {"jpeg": {"optimize": True}, "webp": {"method": 6}, "avif": {"speed": 6, "max_threads": 1}}


def akima(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Akima's spline (J. ACM 17, 1970) through the points, evaluated directly from the paper's formulas."""
    m = np.diff(y) / np.diff(x)
    m = np.concatenate(([3 * m[0] - 2 * m[1], 2 * m[0] - m[1]], m, [2 * m[-1] - m[-2], 3 * m[-1] - 2 * m[-2]]))
    slopes = []
    for i in range(len(x)):
        a, b = abs(m[i + 3] - m[i + 2]), abs(m[i + 1] - m[i])
        slopes.append((a * m[i + 1] + b * m[i + 2]) / (a + b) if a + b > 1e-12 else (m[i + 1] + m[i + 2]) / 2)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    h, t = x[i + 1] - x[i], at - x[i]
    s, p, q = (y[i + 1] - y[i]) / h, np.array(slopes)[i], np.array(slopes)[i + 1]
    return y[i] + p * t + (3 * s - 2 * p - q) / h * t**2 + (p + q - 2 * s) / h**2 * t**3


def bd_rate(anchor: list[tuple[float, float]], test: list[tuple[float, float]]) -> float:
    """Percent, from (rate, quality) points: the mean difference of log rate on 20001 qualities, by the trapezoid rule."""
    (r0, q0), (r1, q1) = (np.array(points).T for points in (anchor, test))
    at = np.linspace(max(q0[0], q1[0]), min(q0[-1], q1[-1]), 20001)
    difference = akima(q1, np.log(r1), at) - akima(q0, np.log(r0), at)
    mean = (difference[:-1] + difference[1:]).sum() / 2 / (len(at) - 1)
    return 100 * (math.exp(mean) - 1)


def points_of(path: Path, codec: str) -> list[tuple[float, float]]:
    """(bits per pixel, PSNR over RGB) from the bytes that Pillow writes and the pixels that it reads back."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    original = np.asarray(picture, np.int64)
    found = []
    for quality in LADDERS[codec]:
        file = io.BytesIO()
        picture.save(file, codec.upper(), quality=quality, **OPTIONS[codec])
        with Image.open(file) as coded:
            error = np.asarray(coded.convert("RGB"), np.int64) - original
        psnr = 10 * math.log10(65025 * error.size / int((error * error).sum()))
        found.append((8 * len(file.getvalue()) / (picture.width * picture.height), psnr))
    return found


def check_agreement(folder: Path, out: Path) -> dict[tuple[str, str], float]:
    """Every BD-rate, per file and mean, that `vqc rd` gives on a folder is within 1 % of rate of the recomputed one."""
    specs = [f"{name}:ladder={'/'.join(map(str, ladder))}:label={name}" for name, ladder in LADDERS.items()]
    arguments = [str(folder), "--codecs", ",".join(specs), "--metrics", "psnr", "--crops", "0", "--published", "none"]
    done = CliRunner().invoke(rd, [*arguments, "--quiet", "--out", str(out)])
    assert done.exit_code == 0, done.output
    files = sorted(path for path in folder.iterdir() if path.is_file())
    points = {(codec, path): points_of(path, codec) for codec in LADDERS for path in files}
    told = {(r["anchor"], r["test"], r["file"]): r for r in csv.DictReader((out / "bd_files.csv").open())}
    means = {(r["anchor"], r["test"]): float(r["bd_rate_percent"]) for r in csv.DictReader((out / "bd.csv").open())}
    assert len(means) == 6
    for anchor, test in means:
        expected = [bd_rate(points[anchor, path], points[test, path]) for path in files]
        for path, value in zip(files, expected):
            found = float(told[anchor, test, str(path)]["bd_rate_percent"])
            assert abs((1 + found / 100) / (1 + value / 100) - 1) < 0.01, (anchor, test, path, found, value)
        assert means[anchor, test] == pytest.approx(np.mean(expected), abs=1.0)
        assert abs((1 + means[anchor, test] / 100) / (1 + np.mean(expected) / 100) - 1) < 0.01
    return means


def test_bd_rates_agree_with_a_recomputation_from_bytes_and_pixels(folder, tmp_path):
    means = check_agreement(folder, tmp_path / "report")
    assert means["jpeg", "avif"] < -10 < 10 < means["avif", "jpeg"]


@pytest.mark.skipif("VQC_KODAK" not in os.environ, reason="set VQC_KODAK to the folder of the Kodak pictures")
def test_the_same_on_the_kodak_pictures(tmp_path):
    check_agreement(Path(os.environ["VQC_KODAK"]), tmp_path / "report")


def shifted(factor: float, rates=(0.1, 0.2, 0.4, 0.8, 1.6)) -> tuple[Curve, Curve]:
    qualities = [28.0, 31.0, 34.0, 36.5, 39.0]
    return curve(rates, qualities), curve([rate * factor for rate in rates], qualities)


@given(st.floats(0.2, 5))
def test_a_curve_of_the_same_quality_at_a_multiple_of_the_rate_has_that_bd_rate(factor):
    anchor, test = shifted(factor)
    assert delta(anchor, test).rate == pytest.approx(100 * (factor - 1), rel=1e-6, abs=1e-6)


@given(st.floats(-2, 2))
def test_a_curve_of_the_same_rates_at_a_constant_more_quality_has_that_bd_quality(gain):
    anchor, _ = shifted(1)
    test = curve(anchor.rate, [quality + gain for quality in anchor.quality])
    assert delta(anchor, test).quality == pytest.approx(gain, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0.05, 4), st.floats(25, 45)), min_size=4, max_size=9), st.floats(0.3, 3))
def test_reversing_is_the_same_as_exchanging_anchor_and_test(points, factor):
    one = curve(*zip(*points))
    other = curve([rate * factor for rate, _ in points], [quality + 0.5 for _, quality in points])
    there, back = delta(one, other), delta(other, one).reversed()
    assert (there.rate is None) == (back.rate is None)
    if there.rate is not None:
        assert there.rate == pytest.approx(back.rate, rel=1e-6, abs=1e-6)
    if there.quality is not None:
        assert there.quality == pytest.approx(back.quality, rel=1e-6, abs=1e-6)


def test_rates_that_logarithms_cannot_tell_apart_are_one_point():
    one = curve([0.05, 0.05000000000000001, 1.0, 2.0, 3.0], [25.0, 26.0, 27.0, 28.0, 29.0])
    assert one.rate == (0.05, 1.0, 2.0, 3.0) and one.dropped == 1
    assert delta(one, one).rate == pytest.approx(0)


@given(st.lists(st.tuples(st.floats(0, 4), st.one_of(st.none(), st.floats(20, 50), st.just(math.inf))), max_size=20))
def test_a_curve_rises_strictly_and_counts_what_it_dropped(points):
    found = curve([r for r, _ in points], [q for _, q in points])
    for values in (found.rate, found.quality):
        assert all(a < b for a, b in pairwise(values))
    assert len(found.rate) + found.dropped == len(points)


def test_curves_that_share_too_little_are_refused_with_the_share():
    low = curve([0.1, 0.2, 0.3, 0.4], [20, 22, 24, 26])
    high = curve([0.1, 0.2, 0.3, 0.4], [25, 28, 31, 34])
    found = delta(low, high)
    assert found.rate is None and "17%" in found.reason
    assert found.quality == pytest.approx(6.5, abs=0.5)
    assert delta(low, high, min_overlap=0.1).rate is not None


def test_curves_of_fewer_than_four_points_are_refused():
    short = curve([0.1, 0.2, 0.3], [20, 22, 24])
    assert delta(short, short).rate is None
    assert "3 points" in delta(short, short).reason


def test_the_spread_counts_what_was_refused():
    found = spread([1.0, None, 3.0])
    assert (found.count, found.refused, found.mean, found.low, found.high) == (2, 1, 2.0, 1.0, 3.0)
    assert found.deviation == pytest.approx(math.sqrt(2))
    assert spread([None]) is None
