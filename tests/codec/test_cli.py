"""What the programs promise: names of outputs, exit codes, one clear line for each failure, JSON, and a quick start."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vqc import api, cli
from vqc.commands.decode import FORMATS
from vqc.commands.options import Region
from vqc.commands.roundtrip import psnr
from vqc.image_writers import file_bytes
from vqc.pixels import Pixels

PROGRAM = [sys.executable, "-c", "import sys; from vqc.cli import main; sys.exit(main())"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def one_line(text):
    return text.count("\n") == 1 and text.endswith("\n")


# The way there and back


def test_outputs_are_named_after_their_inputs(photo, vqc, tmp_path):
    before = photo.read_bytes()
    code, out, err = vqc("encode", photo)
    assert (code, out) == (0, "") and one_line(err) and "photo.vqc: 48x32" in err
    (tmp_path / "photo.vqc").rename(tmp_path / "other.vqc")
    assert vqc("decode", tmp_path / "other.vqc")[0] == 0
    assert names(tmp_path) == ["other.png", "other.vqc", "photo.png"]
    assert Image.open(tmp_path / "other.png").size == (48, 32)
    assert photo.read_bytes() == before


def test_existing_output_needs_force(photo, encoded, vqc):
    before = encoded.read_bytes()
    code, _, err = vqc("encode", photo, "-q", 5)
    assert code == 1 and one_line(err) and "photo.vqc" in err and "exists" in err
    assert encoded.read_bytes() == before
    assert vqc("encode", photo, "-q", 5, "-f")[0] == 0
    assert encoded.read_bytes() != before


def test_an_input_is_never_overwritten(photo, encoded, vqc):
    for path, command in ((photo, "encode"), (encoded, "encode"), (encoded, "decode")):
        before = path.read_bytes()
        code, _, err = vqc(command, path, path, "-f", *(["--format", "png"] if command == "decode" else []))
        assert code in (1, 2) and one_line(err)
        assert path.read_bytes() == before


def test_second_picture_is_not_taken_for_the_output(photo, vqc, tmp_path):
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes())
    code, _, err = vqc("encode", photo, other, "-f")
    assert code == 2 and "-o DIR" in err
    assert other.read_bytes() == photo.read_bytes()


def test_folder_in_folder_out_with_a_bad_file(photo, vqc, tmp_path):
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    (source / "good.png").write_bytes(photo.read_bytes())
    (source / "sub" / "good.png").write_bytes(photo.read_bytes())
    (source / "bad.png").write_bytes(photo.read_bytes()[:60])
    (source / "notes.txt").write_text("not a picture")
    code, out, err = vqc("encode", source, tmp_path / "missing.png", "-o", tmp_path / "out", "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and len(records) == 4
    assert sorted(record["exit_code"] for record in records if "error" in record) == [1, 1]
    assert len(err.splitlines()) == 2 and "bad.png: " in err and "missing.png: No such file" in err
    assert names(tmp_path / "out") == ["good.vqc", "sub"] and names(tmp_path / "out" / "sub") == ["good.vqc"]
    code, _, err = vqc("decode", tmp_path / "out", "-o", tmp_path / "back", "--format", "ppm", "--quiet", "-j", 2)
    assert (code, err) == (0, "")
    assert (tmp_path / "back" / "sub" / "good.ppm").read_bytes().startswith(b"P6")


def test_json_of_each_command(photo, encoded, vqc, tmp_path):
    size = encoded.stat().st_size
    answers = {}
    for command in (["encode", photo, "-f"], ["decode", encoded, tmp_path / "b.png"], ["info", encoded], ["verify", encoded],
                    ["roundtrip", photo]):  # fmt: skip
        code, out, err = vqc(*command, "--json")
        assert (code, err) == (0, "")
        assert one_line(out)
        answers[command[0]] = json.loads(out)
    assert answers["encode"]["bytes"] == answers["info"]["bytes"] == answers["roundtrip"]["bytes"] == size
    assert answers["encode"]["bpp"] == pytest.approx(8 * size / (48 * 32))
    assert answers["encode"]["quality"] == api.DEFAULT_QUALITY
    assert answers["decode"]["damage"] == [] and answers["decode"]["width"] == 48
    assert answers["verify"]["ok"] is True
    reference, decoded = (np.asarray(Image.open(path), float) for path in (photo, tmp_path / "b.png"))
    expected = 10 * np.log10(255**2 / np.mean((reference - decoded) ** 2))
    assert answers["roundtrip"]["psnr"] == pytest.approx(expected, abs=0.1)


def test_roundtrip_writes_the_decoded_picture(photo, encoded, vqc, tmp_path):
    code, out, _ = vqc("roundtrip", photo, tmp_path / "seen.png", "--quiet")
    assert code == 0 and "dB" in out, "the answer is printed even with --quiet"
    assert vqc("decode", encoded, tmp_path / "decoded.png")[0] == 0
    assert np.array_equal(Image.open(tmp_path / "seen.png"), Image.open(tmp_path / "decoded.png"))


def test_region_is_that_part_of_the_picture(encoded, vqc, tmp_path):
    assert vqc("decode", encoded, tmp_path / "all.png")[0] == 0
    assert vqc("decode", encoded, tmp_path / "part.png", "--region", "5,7,20,11")[0] == 0
    whole, part = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("all.png", "part.png"))
    assert part.shape == (11, 20, 3) and np.abs(part - whole[7:18, 5:25]).max() <= 1
    code, _, err = vqc("decode", encoded, tmp_path / "out.png", "--region", "40,0,20,20")
    assert code == 2 and one_line(err) and "48x32" in err
    assert not (tmp_path / "out.png").exists()


def test_target_size_is_met_or_refused_with_the_nearest(photo, vqc, tmp_path):
    big = tmp_path / "big.png"
    rng = np.random.default_rng(1)
    Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).resize((160, 160), Image.Resampling.BICUBIC).save(big)
    code, out, _ = vqc("encode", big, "--bpp", "1", "--json")
    assert code == 0 and json.loads(out)["bpp"] == pytest.approx(1, rel=0.02)
    code, _, err = vqc("encode", big, tmp_path / "small.vqc", "--target-size", 30)
    assert code == 1 and one_line(err) and "out of range: the smallest file is" in err
    assert not (tmp_path / "small.vqc").exists()


# Usage


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nosuch"], "No such command"),
        (["encode"], "Missing argument"),
        (["encode", "a", "b", "c"], "-o DIR"),
        (["encode", "."], "-o DIR"),
        (["encode", "a.png", "."], "-o ."),
        (["encode", "-", "-o", "out"], "standard input"),
        (["encode", "a.png", "-o", "a.vqc"], "takes a folder"),
        (["encode", "a.png", "-", "--json"], "--json"),
        (["encode", "-q", "101", "a"], "0<=x<=100"),
        (["encode", "-q", "nan", "a"], "finite"),
        (["encode", "--bpp", "0", "a"], "x>0"),
        (["encode", "--bpp", "inf", "a"], "finite"),
        (["encode", "-q", "5", "--target-size", "100", "a"], "only one"),
        (["encode", "--effort", "3", "a"], "0<=x<=2"),
        (["encode", "--effort", "-1", "a"], "0<=x<=2"),
        (["encode", "--threads", "0", "a"], "x>=1"),
        (["encode", "--max-pixels", "5", "--no-limits", "a"], "exclude"),
        (["decode", "a.vqc", "b.xyz"], "b.xyz"),
        (["decode", "--region", "1,2,3", "a.vqc"], "X,Y,W,H"),
        (["decode", "--region", "1,2,0,3", "a.vqc"], "at least 1"),
        (["roundtrip", "a.png", "-"], "standard output"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(vqc, args, words):
    code, out, err = vqc(*args)
    assert (code, out) == (2, "") and one_line(err)
    assert err.startswith("vqc") and words in err and "--help" in err


@given(st.text(max_size=30) | st.from_regex(r"-?[0-9 ]{1,30}(,-?[0-9 ]{1,30}){0,5}", fullmatch=True))
def test_region_is_four_numbers_or_a_usage_error(text):
    import click

    try:
        x, y, width, height = Region().convert(text, None, None)
    except click.BadParameter:
        return
    assert x >= 0 and y >= 0 and width >= 1 and height >= 1
    assert [int(part) for part in text.split(",")] == [x, y, width, height]


# Options on their way


def test_options_reach_the_codec(monkeypatch, photo, vqc):
    seen = []

    def record(source, file, **options):
        seen.append((source, options))
        raise ValueError("seen enough")

    monkeypatch.setattr(api, "encode_to", record)
    chosen = ["-q", "33.5", "--effort", "2", "--strip", "--frame", "0", "--device", "cpu", "--threads", "3"]
    vqc("encode", photo, *chosen, "--max-pixels", "7000")
    source, options = seen[0]
    limits = options.pop("limits")
    assert source == str(photo) and limits.pixels == 7000 and limits.side == 2**18
    wanted = {"quality": 33.5, "effort": 2, "strip": True, "frame": 0, "model": None, "device": "cpu", "threads": 3}
    assert wanted.items() <= options.items()


def test_limits_can_be_set_and_lifted(photo, encoded, vqc, tmp_path):
    for command in (["encode", photo, tmp_path / "a.vqc"], ["decode", encoded, tmp_path / "a.png"], ["info", encoded]):
        code, _, err = vqc(*command, "--max-pixels", "1535")
        assert code == 5 and one_line(err) and "1536" in err
    assert vqc("decode", encoded, tmp_path / "a.png", "--no-limits")[0] == 0


def test_formats_are_those_that_can_be_written():
    content = Pixels(np.full((4, 5, 3), 99, np.uint8))
    for name, extensions in FORMATS.items():
        assert {file_bytes(content, extension) for extension in extensions} == {file_bytes(content, name)}


def test_help_states_the_real_default_quality(vqc):
    assert f"[default: {api.DEFAULT_QUALITY:g}]" in " ".join(vqc("encode", "--help")[1].split())


@pytest.mark.parametrize("shift", [0, 1, 40])
def test_psnr_is_that_of_the_definition(shift):
    reference = np.random.default_rng(2).integers(0, 200, (700, 9, 3)).astype(np.uint16) * 257
    decoded = reference + np.uint16(shift)
    expected = np.inf if shift == 0 else 20 * np.log10(65535 / shift)
    assert psnr(reference, decoded) == pytest.approx(expected)
    with pytest.raises(ValueError, match="original"):
        psnr(reference, decoded[:, :, :1])


# The programs


def test_foreign_commands_are_listed_unloaded_and_fail_in_one_line(monkeypatch, vqc):
    points = [
        EntryPoint("broken", "no.such.module:command", cli.ENTRY_POINTS),
        EntryPoint("wrong", "json:dumps", cli.ENTRY_POINTS),
        EntryPoint("encode", "no.such.module:command", cli.ENTRY_POINTS),
        EntryPoint("again", "vqc.commands.info:info", cli.ENTRY_POINTS),
    ]
    monkeypatch.setattr(cli, "entry_points", lambda: points)
    code, out, _ = vqc("--help")
    assert code == 0 and out.count("\n  encode ") == 1 and "\n  broken " in out
    for name, words in (("broken", "No module named 'no'"), ("wrong", "is not a click command")):
        code, out, err = vqc(name, "--help")
        assert (code, out) == (1, "") and one_line(err) and words in err
    code, out, _ = vqc("again", "--help")
    assert code == 0 and "Usage: vqc again" in out


def test_the_halves_are_programs_of_their_own(photo, vqc, tmp_path):
    code, _, err = vqc(photo, program="vqc-enc", command=cli.encode_alone)
    assert code == 0 and "photo.vqc" in err
    assert vqc(tmp_path / "photo.vqc", tmp_path / "b.png", program="vqc-dec", command=cli.decode_alone)[0] == 0
    code, _, err = vqc(tmp_path / "photo.vqc", tmp_path / "b.png", program="vqc-dec", command=cli.decode_alone)
    assert code == 1 and err.startswith("vqc-dec: ")
    assert vqc("--version", program="vqc-dec", command=cli.decode_alone)[1].startswith("vqc-dec ")
    assert "--version" not in vqc("decode", "--help")[1]


def test_streams(photo, encoded):
    done = subprocess.run([*PROGRAM, "encode", "-", "-"], input=photo.read_bytes(), capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout == encoded.read_bytes(), done.stderr
    done = subprocess.run([*PROGRAM, "decode", "-", "--format", "ppm"], input=done.stdout, capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith(b"P6"), done.stderr
    done = subprocess.run([*PROGRAM, "info", "-"], input=b"", capture_output=True, timeout=60)
    assert done.returncode == 3 and done.stderr.startswith(b"vqc: stdin: ")


def test_info_and_help_load_neither_torch_nor_numpy_for_help(encoded):
    script = (
        "import sys; from vqc.cli import run, vqc; code = run(vqc, 'vqc', sys.argv[2:]); "
        "found = [m for m in sys.argv[1].split(',') if m in sys.modules]; sys.exit(found or code)"
    )
    for banned, args in (
        ("torch,numpy,PIL,av", ["--help"]),
        ("torch,numpy,PIL,av", ["encode", "--help"]),
        ("torch,av", ["info", str(encoded)]),
    ):
        done = subprocess.run([sys.executable, "-c", script, banned, *args], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr


def test_decoder_opens_no_encoder_weights(encoded, tmp_path):
    script = (
        "import sys; opened = []; "
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None); "
        "from vqc.cli import decode_alone, run; code = run(decode_alone, 'vqc-dec', sys.argv[1:]); "
        "print([name for name in opened if name.endswith('.safetensors')]); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(encoded), str(tmp_path / "b.png")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "encoder" not in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")
@pytest.mark.parametrize(("options", "shown"), [([], True), (["--quiet"], False)])
def test_progress_is_for_terminals_only(options, shown):
    import fcntl
    import pty
    import struct
    import termios

    command = [*PROGRAM, "info", "missing", "absent", *options]
    assert b"0/2" not in subprocess.run(command, capture_output=True, timeout=60).stderr
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=60)
        os.close(theirs)
        seen = terminal.read(10_000)
    assert (done.returncode, done.stdout) == (1, b"")
    assert (b"0/2" in seen) is shown and b"absent: No such file" in seen


@pytest.mark.skipif(os.name != "posix", reason="pipes close differently elsewhere")
def test_reader_that_goes_away_is_no_noise(encoded):
    with subprocess.Popen(
        [*PROGRAM, "info", *[str(encoded)] * 3000, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_leave_no_partial_file(tmp_path, stop, code):
    # Standard input that never ends: the output is open, and the encoder waits. A shell starts background jobs with SIGINT
    # ignored, and Python then leaves it so.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program = [PROGRAM[0], PROGRAM[1], heeding + PROGRAM[2]]
    with subprocess.Popen(
        [*program, "encode", "-", str(tmp_path / "out.vqc")], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while not names(tmp_path):
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.02)
            process.send_signal(stop)
            assert process.wait(timeout=20) == code
        finally:
            process.kill()
        assert b"Traceback" not in process.stderr.read()
    assert names(tmp_path) == []


def shell(line, encoded):
    """Runs `line` in a shell, with the program as $VQC and the encoded file as $FILE."""
    program = " ".join([PROGRAM[0], PROGRAM[1], f"'{PROGRAM[2]}'"])
    command = line.replace("$VQC", program).replace("$FILE", f"'{encoded}'")
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(os.name != "posix", reason="closes descriptors in a POSIX shell")
def test_closed_standard_streams_are_no_internal_error(encoded):
    assert shell("$VQC info $FILE >&-", encoded).returncode == 0
    silent = shell("$VQC decode $FILE - 2>&- >/dev/null; echo $?", encoded)
    assert silent.stdout == "0\n"
    needed = {"$VQC info - <&-": "standard input is closed", "$VQC decode $FILE - >&-": "standard output: it is closed"}
    for line, words in needed.items():
        done = shell(line, encoded)
        assert done.returncode == 1 and one_line(done.stderr) and words in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("options", ["", "--json "])
def test_answers_to_a_full_disk_name_standard_output(options, encoded):
    done = shell(f"$VQC info {options}$FILE > /dev/full", encoded)
    assert done.returncode == 1 and one_line(done.stderr) and "cannot write standard output: No space left" in done.stderr
