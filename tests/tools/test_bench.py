"""The bench times what it says it times, and says so when compressai is missing."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from click.testing import CliRunner

from vqc.timing import span
from vqc.tools import bench
from vqc.tools.compressai_shim import CompressaiMissing, import_compressai

IMAGE = np.zeros((20, 30, 3), np.uint8)


def sleeper(name: str, coder: float, rest: float) -> bench.Codec:
    """A codec that takes known times: `coder` seconds in a span and `rest` outside, the same in both directions."""

    def work(data):
        with span("coder"):
            time.sleep(coder)
        time.sleep(rest)
        return data

    return bench.Codec(name, work, work, size=lambda data: data.nbytes)


def test_times_and_parts_are_those_of_the_codec():
    fast, slow = bench.measure([sleeper("fast", 0.01, 0.0), sleeper("slow", 0.02, 0.03)], IMAGE, rounds=3)
    assert (fast.codec, fast.bytes) == ("fast", IMAGE.nbytes)
    for direction in (slow.encode, slow.decode):
        assert direction.parts.keys() == {"coder"}
        assert 0.02 <= direction.parts["coder"] < 0.045
        assert 0.05 <= direction.seconds < 0.1
        assert direction.seconds_per_megapixel == pytest.approx(direction.seconds / 600e-6)
    assert fast.seconds < slow.seconds


def test_the_first_round_is_not_counted():
    pauses = iter([0.2, 0.0, 0.0])

    def encode(image):
        time.sleep(next(pauses))
        return image

    (result,) = bench.measure([bench.Codec("lazy", encode, lambda data: data, size=len)], IMAGE, rounds=2)
    assert result.encode.seconds < 0.1


def test_a_codec_that_returns_another_shape_is_refused():
    broken = bench.Codec("broken", lambda image: image, lambda data: data[1:], size=len)
    with pytest.raises(RuntimeError, match=r"broken decoded \(19, 30, 3\)"):
        bench.measure([broken], IMAGE, rounds=1)


def test_the_table_shows_parts_and_what_is_left():
    direction = bench.Direction(0.100, 0.25, {"coder": 0.010, "transform": 0.060})
    plain = bench.Direction(0.400, 1.0, {})
    lines = bench.table([bench.Result("vqc", 9, direction, direction), bench.Result("other", 9, plain, plain)]).splitlines()
    assert lines[0].split() == ["codec", "ms", "ms/MP", "transform", "entropy", "networks", "coder", "I/O", "rest"]
    assert lines[1].split() == ["vqc", "encode", "100.0", "250.0", "60.0", "0.0", "10.0", "0.0", "30.0"]
    assert len(lines) == 5 and lines[3].split() == ["other", "encode", "400.0", "1000.0"]


def test_ratios_compare_both_directions_together():
    results = [
        bench.Result("vqc", 1, bench.Direction(0.1, 1, {}), bench.Direction(0.3, 1, {})),
        bench.Result("other", 1, bench.Direction(1.0, 1, {}), bench.Direction(0.2, 1, {})),
    ]
    assert bench.ratios(results) == ["vqc is 3.00 times as fast as other"]
    assert bench.ratios(results[1:]) == []


def test_the_synthetic_image_is_the_same_on_every_run_and_falls_off_like_a_photograph():
    image = bench.synthetic_image(96, 64)
    assert image.shape == (64, 96, 3) and image.dtype == np.uint8
    assert np.array_equal(image, bench.synthetic_image(96, 64))
    spectrum = np.abs(np.fft.rfft2(image[..., 0].astype(float)))
    assert spectrum[1:4, 1:4].mean() > 4 * spectrum[20:30, 20:30].mean()


def test_vqc_is_split_into_its_parts_in_the_report(tmp_path):
    report = tmp_path / "bench.json"
    arguments = ["--codecs", "vqc", "-n", "1", "--json", str(report), str(small_png(tmp_path))]
    result = CliRunner().invoke(bench.command, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and "median of 1" in result.output
    data = json.loads(report.read_text())
    assert data["size"] == [48, 32] and data["threads"] >= 1
    (row,) = data["results"]
    for direction in (row["encode"], row["decode"]):
        assert set(direction["parts"]) >= {"transform", "entropy networks", "coder"}
        assert 0 < sum(direction["parts"].values()) <= direction["seconds"]


def test_without_compressai_the_message_says_how_to_get_it(monkeypatch):
    def missing():
        raise CompressaiMissing("compressai is not installed; …")

    monkeypatch.setattr(bench, "import_compressai", missing)
    result = CliRunner().invoke(bench.command, ["--codecs", "mbt2018-mean"])
    assert result.exit_code == 1
    assert "mbt2018-mean left out: compressai is not installed" in result.output


def test_an_unknown_codec_is_a_usage_error():
    result = CliRunner().invoke(bench.command, ["--codecs", "vqc,h264"])
    assert result.exit_code == 2 and "h264" in result.output


def test_a_zoo_model_goes_through_its_range_coder_and_back_at_any_size():
    try:
        import_compressai()
    except CompressaiMissing as error:
        pytest.skip(str(error))
    codec = bench.zoo_codec("bmshj2018-hyperprior")
    image = bench.synthetic_image(70, 50)
    coded = codec.encode(image)
    assert codec.size(coded) > 0
    assert codec.decode(coded).shape == image.shape


def small_png(folder):
    from PIL import Image

    path = folder / "small.png"
    Image.fromarray(bench.synthetic_image(48, 32)).save(path)
    return path
