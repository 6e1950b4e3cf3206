"""Whatever goes wrong is one line on standard error with its exit code, and leaves no partial output."""

import errno
import json

import numpy as np
import pytest
from PIL import Image

from vqc import api
from vqc.bitstream.errors import Corrupt, LimitExceeded, NotVqc, Truncated, UnsupportedModel, UnsupportedVersion
from vqc.pixels import Pixels
from vqc.rate_search import TargetOutOfRange


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def one_line(text):
    return text.count("\n") == 1 and text.endswith("\n")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (NotVqc("not a vqc file"), 3, "not a vqc file"),
        (Corrupt("checksum is wrong", 77, "TILE"), 3, "checksum is wrong (chunk TILE, byte 77)"),
        (Truncated("ends too early", 12), 3, "ends too early (byte 12)"),
        (UnsupportedVersion("needs reader 9, this is 1"), 4, "needs reader 9"),
        (UnsupportedModel("needs model a, here is b"), 4, "needs model a"),
        (LimitExceeded("too many pixels"), 5, "too many pixels"),
        (TargetOutOfRange(10, 0, 99), 1, "target of 10 bytes is out of range: the smallest file is 99 bytes"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "elsewhere"), 1, "elsewhere: No such file"),
        (MemoryError(), 1, "not enough memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), 1, "not enough memory"),
        (ValueError("two\nlines \x1b[31m"), 1, "two lines \\x1b[31m"),
        (ZeroDivisionError("oops"), 1, "internal error, ZeroDivisionError: oops (-v -v shows where)"),
    ],
)
def test_each_failure_is_one_line_with_its_exit_code(monkeypatch, vqc, tmp_path, error, code, words):
    def fail(*args, **options):
        raise error

    for name in ("decode", "inspect", "verify"):
        monkeypatch.setattr(api, name, fail)
    for command in (["decode", "x.vqc", tmp_path / "y.png"], ["info", "x.vqc"], ["verify", "x.vqc"]):
        got, out, err = vqc(*command)
        assert (got, out) == (code, "")
        assert err.startswith(f"vqc: x.vqc: {words}") and one_line(err)
        assert names(tmp_path) == []
    assert "Traceback" in vqc("info", "x.vqc", "-v", "-v")[2]


def test_failure_in_the_middle_of_the_output_leaves_no_file(monkeypatch, photo, vqc, tmp_path):
    def half(source, file, **options):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(api, "encode_to", half)
    code, _, err = vqc("encode", photo)
    assert code == 1 and one_line(err) and "no space left" in err.lower() and "photo.vqc" in err
    assert names(tmp_path) == ["photo.png"]


def test_interrupt_gives_130_and_leaves_no_file(monkeypatch, photo, vqc, tmp_path):
    def stop(source, file, **options):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "encode_to", stop)
    code, _, err = vqc("encode", photo)
    assert code == 130 and err.strip() == "vqc: interrupted"
    assert names(tmp_path) == ["photo.png"]


def test_partial_output_is_written_with_what_is_missing(monkeypatch, encoded, vqc, tmp_path):
    content = Pixels(np.zeros((2, 3, 3), np.uint8))
    damage = [api.Damage(40, "TILE", "tile 3 is lost"), api.Damage(None, None, "index is missing")]
    seen = {}

    def decode(source, *, allow_partial, **options):
        seen["allow_partial"] = allow_partial
        return api.Decoded(content, damage)

    monkeypatch.setattr(api, "decode", decode)
    code, out, err = vqc("decode", "--allow-partial", encoded, tmp_path / "part.png", "--json", "--quiet")
    assert code == 3 and seen == {"allow_partial": True}
    assert f"vqc: {encoded}: tile 3 is lost (chunk TILE, byte 40)\nvqc: {encoded}: index is missing\n" == err
    assert json.loads(out)["damage"][0] == {"offset": 40, "chunk": "TILE", "message": "tile 3 is lost"}
    assert Image.open(tmp_path / "part.png").size == (3, 2)


def test_truncated_file_fails_strictly_and_names_the_place(encoded, vqc, tmp_path):
    cut = tmp_path / "cut.vqc"
    cut.write_bytes(encoded.read_bytes()[:-30])
    for command in (["decode", cut, tmp_path / "out.png"], ["verify", cut]):
        code, _, err = vqc(*command)
        assert code == 3 and err.startswith(f"vqc: {cut}: ") and "byte " in err
    assert not (tmp_path / "out.png").exists()


def test_odd_file_names_stay_on_one_line(vqc, tmp_path):
    code, _, err = vqc("info", tmp_path / "two\nlines \x1b[31m \udcff.vqc")
    assert code == 1 and one_line(err) and "\x1b" not in err
