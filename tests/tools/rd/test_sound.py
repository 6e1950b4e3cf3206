"""Sounds in `vqc rd`: codecs that give them back in step, and a report with something to hear."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from PIL import Image

from vqc.models.weights import TOKEN_MODEL
from vqc.tools.rd.codecs import CODECS, CodecUnavailable, make_codec
from vqc.tools.rd.command import rd
from vqc.tools.rd.sound import SOUND, fit, load, loudest_part, spectrogram

SAMPLES = Path(__file__).parents[3] / "samples"


def run(*arguments, code=0):
    done = CliRunner().invoke(rd, [*map(str, arguments), "-j", "1"])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(scope="module")
def talk():
    return load(str(SAMPLES / "talk.flac"))


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("sound") / "report"
    arguments = ["--codecs", "vqc,opus:complexity=5", "--metrics", "mel,si-sdr", "--points", "4", "--crops", "1", "--out", out]
    run(SAMPLES / "talk.flac", SAMPLES / "tune.flac", *arguments)
    return out


@pytest.mark.parametrize("name", list(CODECS["sound"]))
def test_each_codec_gives_the_sound_back_in_step(talk, name):
    codec = make_codec(name, {}, medium=SOUND)
    data = codec.encode(talk, codec.points(3)[1])
    decoded = codec.decode(data)
    assert len(decoded) == 1 and 0 <= decoded.shape[1] - talk.shape[1] < 1600
    middle = slice(20000, 60000)
    products = [talk[0, middle] @ np.roll(decoded[0, : talk.shape[1]], -k)[middle] for k in range(-3, 4)]
    assert int(np.argmax(products)) in (2, 3, 4)


@pytest.mark.parametrize("name", list(CODECS["sound"]))
def test_more_bytes_bring_more_quality(name):
    tune = load(str(SAMPLES / "tune.flac"))
    codec = make_codec(name, {}, medium=SOUND)
    found = []
    for setting in (codec.points(4)[0], codec.points(4)[-1]):
        data = codec.encode(tune, setting)
        found.append((len(data), -SOUND.metrics["mel"].compute(tune, SOUND.fit(tune, codec.decode(data)))))
    assert found[0] < found[1] and found[0][1] < found[1][1]


def test_vqc_by_bit_rate_and_by_the_name_of_its_model(talk):
    data = make_codec("vqc:bitrate=1", {}, medium=SOUND).encode(talk, 6)
    assert len(data) * 8 / (talk.shape[1] / 48000) / 1000 == pytest.approx(6, rel=0.02)
    named, plain = (make_codec(spec, {}, medium=SOUND) for spec in ("vqc:model=aud2", "vqc"))
    assert named.encode(talk, 30) == plain.encode(talk, 30) and named.version() == plain.version()
    with pytest.raises(CodecUnavailable, match="nonesuch"):
        make_codec("vqc:model=nonesuch", {}, medium=SOUND).version()


def test_the_vector_quantised_route_is_a_model_of_vqc(talk):
    codec = make_codec(f"vqc:model={TOKEN_MODEL}", {}, medium=SOUND)
    sizes = [len(codec.encode(talk, setting)) for setting in (0, 100)]
    assert sizes[0] < sizes[1] and TOKEN_MODEL in codec.version()
    assert SOUND.metrics["mel"].compute(talk, fit(talk, codec.decode(codec.encode(talk, 100)))) < 0.1


def test_a_sound_of_another_length_is_cut_or_padded_a_little_and_no_more(talk):
    for length in (talk.shape[1] + 900, talk.shape[1] - 900):
        assert fit(talk, np.resize(talk, (1, length))).shape == talk.shape
    with pytest.raises(RuntimeError, match="samples from"):
        fit(talk, talk[:, : talk.shape[1] // 2])
    with pytest.raises(RuntimeError, match="samples from"):
        fit(talk, np.concatenate([talk, talk]))


def test_the_report_is_by_kbit_per_second(report):
    document = json.loads((report / "results.json").read_text())
    assert document["run"]["medium"] == "sound" and "seconds_per_second_of_sound" in document
    rows = list(csv.DictReader((report / "rows.csv").open()))
    assert len(rows) == 2 * 2 * 4
    for row in rows:
        assert float(row["kbps"]) == pytest.approx(8 * int(row["bytes"]) / float(row["duration"]) / 1000)
    opus = json.loads((report / "curves" / "opus_complexity_5.json").read_text())
    assert len(opus["results"]["kbps"]) == len(opus["results"]["mel"]) == 4
    assert {row["anchor"] for row in csv.DictReader((report / "bd.csv").open())} == {"vqc", "opus:complexity=5"}
    with Image.open(report / "rd-mel.png") as picture:
        assert picture.width > 800
    # What one run wrote is a curve of the next.
    more = ["--curves", report / "curves" / "vqc.json", "--resume", "--crops", "0", "--out", report]
    assert "vqc (" in run(
        SAMPLES / "talk.flac", SAMPLES / "tune.flac", "--codecs", "vqc,opus:complexity=5", "--metrics", "mel,si-sdr",
        "--points", "4", *more,
    )  # fmt: skip


def test_the_page_plays_and_shows_the_same_part_at_about_one_size(report):
    data = json.loads(re.search(r"const data = (.*);\n", (report / "index.html").read_text())[1])
    assert data["medium"]["rate"] == "kbit/s" and data["medium"]["logarithmic"]
    for detail in data["details"]:
        lengths, sizes = set(), []
        for crop in detail["crops"]:
            samples, rate = soundfile.read(io.BytesIO(base64.b64decode(crop["sound"].partition(",")[2])))
            assert rate == 48000
            lengths.add(len(samples))
            sizes += [crop["bytes"]] if crop["bytes"] else []
            with Image.open(io.BytesIO(base64.b64decode(crop["image"].partition(",")[2]))) as picture:
                assert picture.size == (480, 160)
        assert len(lengths) == 1 and lengths.pop() <= 5 * 48000
        assert max(sizes) / min(sizes) < 1.3


def test_the_loudest_part():
    wave = np.zeros((2, 480000), np.float32)
    wave[:, 200000:300000] = 0.5
    part = loudest_part(wave, 2)
    assert part.stop - part.start == 96000 and 200000 <= part.start <= 204000
    assert loudest_part(wave[:, :100]) == slice(0, 100)


def test_a_tone_is_a_line_of_its_frequency():
    tone = 0.5 * np.sin(np.arange(48000) * 2 * np.pi * 1000 / 48000)[None].astype(np.float32)
    brightness = spectrogram(tone).astype(int).sum(axis=2)[:, 100:-100].mean(axis=1)
    top = 2595 * np.log10(1 + 24000 / 700)
    expected = 159 * (1 - 2595 * np.log10(1 + 1000 / 700) / top)
    assert abs(int(np.argmax(brightness)) - expected) <= 2


def test_a_run_of_two_media_is_refused_in_one_line(tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()
    for name in ("photo.png", "talk.flac"):
        (folder / name).symlink_to(SAMPLES / name)
    for inputs in ([SAMPLES / "photo.png", SAMPLES / "talk.flac"], [folder]):
        output = run(*inputs, "--out", tmp_path / "r", code=2)
        assert "is a picture and" in output and "a sound" in output and "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--codecs", "jpeg"], "unknown codec of sounds"),
        (["--metrics", "psnr"], "unknown metric of sounds"),
        (["--codecs", "mp3:ladder=20/64"], "20"),
        (["--published", "kodak"], "--published kodak is for pictures"),
        (["--program", "mine", "enc {source} {coded} {quality}", "dec {coded} {decoded}", "--codecs", "mine"], "pictures"),
    ],
)
def test_what_is_for_pictures_is_refused(arguments, word, tmp_path):
    assert word in run(SAMPLES / "talk.flac", *arguments, "--out", tmp_path / "r", code=2)


def test_find_is_for_pictures(tmp_path):
    done = CliRunner().invoke(rd, ["find", str(SAMPLES / "talk.flac"), "--target-bytes", "3000"])
    assert done.exit_code == 2 and "is a sound" in done.output


def test_a_metric_whose_package_is_not_here_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr("vqc.tools.rd.medium.find_spec", lambda name: None)
    arguments = ["--codecs", "opus", "--metrics", "pesq,mel", "--points", "4", "--crops", "0", "--out", tmp_path / "r"]
    told = run(SAMPLES / "talk.flac", *arguments, code=1)
    assert 'pesq left out: package pesq is not installed: pip install "vqc[pesq]"' in told
    assert json.loads((tmp_path / "r" / "results.json").read_text())["run"]["metrics"] == ["mel"]
