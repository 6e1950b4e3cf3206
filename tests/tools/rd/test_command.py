"""`vqc rd` from a folder of pictures to a report, and what happens when something fails or is killed on the way."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from vqc.tools.rd.command import rd


def run(*arguments, code=0):
    done = CliRunner().invoke(rd, [*map(str, arguments), "-j", "1"])
    assert done.exit_code == code, done.output
    return done.output


def rows_in(report: Path) -> list[dict]:
    return [row for line in (report / "rows.jsonl").read_text().splitlines() if "run" not in (row := json.loads(line))]


@pytest.fixture
def report(folder, tmp_path) -> Path:
    out = tmp_path / "report"
    run(folder, "--codecs", "jpeg,webp", "--metrics", "psnr,ms-ssim", "--points", "5", "--crops", "1", "--out", out)
    return out


def test_the_report_is_json_in_compressais_shape_csv_png_and_html(report, folder):
    document = json.loads((report / "results.json").read_text())
    assert [codec["name"] for codec in document["codecs"]] == ["jpeg", "webp"]
    jpeg = json.loads((report / "curves" / "jpeg.json").read_text())
    assert {"name", "description", "results"} <= set(jpeg)
    rows = list(csv.DictReader((report / "rows.csv").open()))
    assert len(rows) == 4 * 2 * 5
    for key in ("bpp", "psnr-rgb", "ms-ssim-rgb", "encoding_time", "decoding_time"):
        values = jpeg["results"][key]
        assert len(values) == 5
        third = [float(r[key]) for r in rows if r["codec"] == "jpeg" and float(r["setting"]) == jpeg["results"]["setting"][2]]
        assert values[2] == pytest.approx(sum(third) / 4)
    assert sorted(jpeg["per_file"]) == sorted(str(path) for path in folder.iterdir())
    for name in ("rd-psnr.png", "rd-ms-ssim.png", "speed.png"):
        with Image.open(report / name) as picture:
            assert picture.width > 800
    for row in csv.DictReader((report / "bd.csv").open()):
        assert int(row["files"]) == 4 and float(row["quality_overlap"]) > 0.5


def test_the_page_needs_no_network_and_holds_its_data(report):
    page = (report / "index.html").read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|@import|url\((?!#)|fetch\(|XMLHttpRequest", page)
    # The legend stays in sight beside what it switches, not over the details.
    assert page.index("<section>") < page.index('id="legend"') < page.index("</section>") < page.index('id="look"')
    data = json.loads(re.search(r"const data = (.*);\n", page)[1])
    assert [metric["name"] for metric in data["metrics"]] == ["psnr", "ms-ssim"]
    (detail,) = data["details"]
    assert [crop["label"] for crop in detail["crops"]] == ["original", "jpeg", "webp"]
    sizes = [crop["bytes"] for crop in detail["crops"][1:]]
    assert max(sizes) / min(sizes) < 1.15


def test_files_with_markup_in_their_names_do_not_break_the_page(draw, tmp_path):
    name = "<script>alert(1)<!-- 'x'.png"
    Image.fromarray(draw(0)).save(tmp_path / name)
    run(tmp_path / name, "--codecs", "jpeg", "--metrics", "psnr", "--points", "4", "--out", tmp_path / "report")
    page = (tmp_path / "report" / "index.html").read_text()
    assert "<script>alert" not in page and page.count("<script>") == 1
    data = json.loads(re.search(r"const data = (.*);\n", page)[1])
    assert data["details"][0]["file"] == name


def test_a_failing_file_is_reported_and_the_rest_goes_on(folder, tmp_path):
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    arguments = ["--codecs", "jpeg", "--metrics", "psnr", "--points", "4", "--crops", "0", "--out", tmp_path / "r"]
    output = run(folder, *arguments, code=1)
    assert "broken.png" in output
    document = json.loads((tmp_path / "r" / "results.json").read_text())
    assert document["files_averaged"] == 4
    assert {failure["file"] for failure in document["failures"]} == {str(folder / "broken.png")}


def test_a_codec_that_fails_or_is_not_there_is_reported_and_the_rest_goes_on(folder, tmp_path):
    bad = ["--program", "bad", f"{sys.executable} -c 'raise SystemExit(3)'", "true"]
    bad += ["--program", "gone", "no-such-program", "true"]
    arguments = ["--codecs", "jpeg,bad,gone", "--metrics", "psnr", "--points", "4", "--crops", "1", "--out", tmp_path / "r"]
    output = run(folder, *bad, *arguments, code=1)
    assert "ended with 3" in output and "no-such-program not found" in output
    assert len(rows_in(tmp_path / "r")) == 4 * 4 * 2
    document = json.loads((tmp_path / "r" / "results.json").read_text())
    assert [codec["name"] for codec in document["codecs"]] == ["jpeg"]
    assert document["files_averaged"] == 4


def test_a_run_that_is_killed_continues_without_losing_or_redoing_a_row(folder, tmp_path):
    out = tmp_path / "report"
    arguments = [str(folder), "--codecs", "jpeg,webp,avif", "--metrics", "psnr", "--crops", "0", "--out", str(out)]
    program = [sys.executable, "-c", "import sys; from vqc.tools.rd.command import rd; rd(sys.argv[1:])", *arguments, "-j", "1"]
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not ((out / "rows.jsonl").exists() and len(rows_in_part(out)) >= 10):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = rows_in_part(out)
    assert 10 <= len(before) < 4 * 3 * 6
    run(*arguments, "--resume")
    after = rows_in(out)
    assert after[: len(before)] == before, "rows were lost or changed"
    points = [(row["file"], row["codec"], row["setting"]) for row in after]
    assert len(points) == len(set(points)) == 4 * 3 * 6


def rows_in_part(out: Path) -> list[dict]:
    """Whole lines only: the process may be writing, or have been killed in the middle of a line."""
    lines = (out / "rows.jsonl").read_bytes().splitlines(keepends=True)
    return [row for line in lines if line.endswith(b"\n") and "run" not in (row := json.loads(line))]


def test_results_are_not_overwritten_unless_told(report, folder):
    assert "--resume" in run(folder, "--codecs", "jpeg", "--out", report, code=1)


def test_curves_of_other_tools_stand_beside_the_measured(folder, tmp_path):
    lists = {"bpp": [0.2, 0.6, 1.2, 2.5, 4], "psnr-rgb": [24, 28, 32, 36, 42]}
    (tmp_path / "other.json").write_text(json.dumps({"name": "other tool", "description": "", "results": lists}))
    extra = ["--curves", tmp_path / "other.json", "--crops", "0", "--out", tmp_path / "r"]
    output = run(folder, "--codecs", "jpeg", "--metrics", "psnr", *extra)
    assert re.search(r"other tool .*averaged curves", output)
    wrong = run(folder, "--codecs", "jpeg", "--curves", folder / "drawn0.png", "--out", tmp_path / "q", code=2)
    assert "drawn0.png is not JSON" in wrong


def test_curves_of_an_earlier_run_are_not_taken_for_codecs_of_the_same_name(report, folder, tmp_path):
    earlier = json.loads((report / "curves" / "jpeg.json").read_text())
    earlier["results"]["bpp"] = [2 * rate for rate in earlier["results"]["bpp"]]
    (tmp_path / "earlier.json").write_text(json.dumps([earlier, earlier]))
    file = str(tmp_path / "earlier.json")
    options = ["--codecs", "jpeg", "--metrics", "psnr", "--points", "5", "--curves", file, "--crops", "0"]
    run(folder, *options, "--out", tmp_path / "r")
    with open(tmp_path / "r" / "bd.csv", newline="") as lines:
        rates = {(row["anchor"], row["test"]): float(row["bd_rate_percent"]) for row in csv.DictReader(lines)}
    assert rates["jpeg", f"jpeg ({file})"] == pytest.approx(100)
    assert rates["jpeg", f"jpeg ({file}, 2)"] == pytest.approx(100)


def test_inputs_and_report_by_url(folder, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    store, place = fsspec.filesystem("memory"), uuid.uuid4().hex
    store.put(f"{folder}/", f"/{place}/in/", recursive=True)
    arguments = ["--codecs", "jpeg,webp", "--metrics", "psnr", "--points", "4", "--crops", "1"]
    run(f"memory://{place}/in", *arguments, "--out", f"memory://{place}/out")
    run(folder, *arguments, "--out", tmp_path / "local")
    remote = json.loads(store.cat(f"/{place}/out/results.json"))
    local = json.loads((tmp_path / "local" / "results.json").read_text())
    for ours, theirs in zip(local["codecs"], remote["codecs"]):
        assert ours["results"]["psnr-rgb"] == theirs["results"]["psnr-rgb"]
        assert ours["results"]["bytes"] == theirs["results"]["bytes"]
    assert store.cat(f"/{place}/out/index.html").startswith(b"<!doctype html>")
    again = run(f"memory://{place}/in", *arguments, "--out", f"memory://{place}/out", "--resume")
    assert "report:" in again and "measured in" not in again


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["no-such-folder"], "no-such-folder"),
        (["memory://no-such-folder"], "no such file"),
        (["--codecs", "gif"], "gif"),
        (["--curves", "no-such-curve"], ": no-such-curve: No such file"),
        (["--metrics", "beauty"], "beauty"),
        (["--crop", "elsewhere.png"], "elsewhere.png"),
        (["--points", "1"], "--points"),
        (["--anchor", "png"], "--anchor png"),
    ],
)
def test_wrong_arguments_are_named(arguments, word, folder, tmp_path):
    if arguments[0].startswith("--"):
        arguments = [str(folder), *arguments]
    assert word in run(*arguments, "--out", tmp_path / "r", code=2)


def test_a_crop_may_be_spelled_another_way(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    arguments = ["--codecs", "jpeg", "--metrics", "psnr", "--points", "4", "--out", tmp_path / "r"]
    run("drawn0.png", "drawn1.png", "--crop", "./drawn1.png", *arguments)
    data = json.loads(re.search(r"const data = (.*);\n", (tmp_path / "r" / "index.html").read_text())[1])
    assert [detail["file"] for detail in data["details"]] == ["drawn1.png"]


def test_what_a_reader_has_to_know_stands_in_the_report_too(folder, tmp_path):
    arguments = ["--codecs", "jpeg", "--metrics", "psnr", "--points", "4", "--crops", "0", "--out", tmp_path / "r"]
    assert "do not compare" in run(folder, "--published", "kodak", *arguments)
    assert "do not compare" in json.loads((tmp_path / "r" / "results.json").read_text())["notes"][0]
    assert "do not compare" in (tmp_path / "r" / "index.html").read_text()


def test_an_empty_folder_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no pictures" in run(tmp_path / "empty", "--out", tmp_path / "r", code=2)


def test_both_processes_and_one_give_the_same(folder, tmp_path):
    arguments = [str(folder), "--codecs", "jpeg,webp", "--metrics", "psnr", "--points", "4", "--crops", "0", "--quiet"]
    for jobs in ("1", "2"):
        assert CliRunner().invoke(rd, [*arguments, "--out", str(tmp_path / jobs), "-j", jobs]).exit_code == 0

    def essence(place):
        return sorted((r["file"], r["codec"], r["setting"], r["bytes"], r["psnr-rgb"]) for r in rows_in(place))

    assert essence(tmp_path / "1") == essence(tmp_path / "2")
    assert os.path.getsize(tmp_path / "2" / "index.html") > 10_000
