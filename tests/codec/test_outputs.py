"""Outputs appear whole or not at all, and say why not."""

import errno
import io
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from vqc.outputs import OutputError, OutputExists, open_output

unprivileged = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX files")


def put(path, content=b"new", **options):
    with open_output(path, **options) as file:
        file.write(content)


def test_the_name_appears_when_the_block_ends(tmp_path):
    with open_output(tmp_path / "out.vqc") as file:
        file.write(b"some")
        assert not (tmp_path / "out.vqc").exists()
    assert (tmp_path / "out.vqc").read_bytes() == b"some"
    assert os.listdir(tmp_path) == ["out.vqc"]


@pytest.mark.parametrize("fault", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3), OSError(errno.EIO, "read", "other")])
def test_any_failure_leaves_nothing_and_passes_on(tmp_path, fault):
    with pytest.raises(type(fault)) as caught, open_output(tmp_path / "out.vqc") as file:
        file.write(b"some")
        raise fault
    assert caught.value is fault
    assert not os.listdir(tmp_path)


def test_an_existing_file_is_refused_and_left_alone(tmp_path):
    (tmp_path / "out.vqc").write_bytes(b"old")
    with pytest.raises(FileExistsError, match=r"out\.vqc") as caught:
        put(tmp_path / "out.vqc")
    assert isinstance(caught.value, OutputExists) and caught.value.errno == errno.EEXIST
    assert (tmp_path / "out.vqc").read_bytes() == b"old"
    put(tmp_path / "out.vqc", force=True)
    assert (tmp_path / "out.vqc").read_bytes() == b"new"


def test_a_failure_with_force_keeps_the_old_file(tmp_path):
    (tmp_path / "out.vqc").write_bytes(b"old")
    with pytest.raises(ValueError, match="no"), open_output(tmp_path / "out.vqc", force=True) as file:
        file.write(b"half")
        raise ValueError("no")
    assert (tmp_path / "out.vqc").read_bytes() == b"old" and os.listdir(tmp_path) == ["out.vqc"]


def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(OutputExists), open_output(tmp_path / "out.vqc") as file:
        file.write(b"mine")
        (tmp_path / "out.vqc").write_bytes(b"theirs")
    assert (tmp_path / "out.vqc").read_bytes() == b"theirs" and os.listdir(tmp_path) == ["out.vqc"]


def test_a_file_system_without_links_works_too(tmp_path, monkeypatch):
    def no_links(*names):
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", no_links)
    put(tmp_path / "out.vqc")
    assert os.listdir(tmp_path) == ["out.vqc"]
    with pytest.raises(OutputExists), open_output(tmp_path / "second.vqc"):
        (tmp_path / "second.vqc").write_bytes(b"theirs")
    assert (tmp_path / "second.vqc").read_bytes() == b"theirs"


def test_the_input_is_never_the_output(tmp_path):
    (tmp_path / "in.png").write_bytes(b"input")
    (tmp_path / "other.png").symlink_to("in.png")
    for name in ("in.png", "other.png"):
        with pytest.raises(OutputError, match="input itself"):
            put(tmp_path / name, force=True, source=tmp_path / "in.png")
    assert (tmp_path / "in.png").read_bytes() == b"input"
    put(tmp_path / "out.vqc", source=tmp_path / "in.png")
    put(tmp_path / "out2.vqc", source="-")


@posix
def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path):
    previous = os.umask(0o027)
    try:
        put(tmp_path / "new")
    finally:
        os.umask(previous)
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o640
    os.chmod(tmp_path / "new", 0o604)
    put(tmp_path / "new", force=True)
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o604


@posix
def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    put(tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"


def test_places_that_cannot_be_written_are_named(tmp_path):
    for path, number in [(tmp_path / "none" / "out", errno.ENOENT), (tmp_path, errno.EISDIR)]:
        with pytest.raises(OutputError, match="cannot write") as caught:
            put(path)
        assert caught.value.errno == number and str(path) in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        put(tmp_path / "file" / "out")
    with pytest.raises(OutputError, match="too long"):
        put(tmp_path / ("x" * 300))


@posix
@unprivileged
def test_a_read_only_folder_is_named(tmp_path):
    os.chmod(tmp_path, 0o500)
    with pytest.raises(OutputError, match="ermission"):
        put(tmp_path / "out")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_device_is_said_plainly():
    for content in (b"small", b"x" * 10_000_000):
        with pytest.raises(OutputError, match="cannot write /dev/full: no space left on the disk") as caught:
            put("/dev/full", content)
        assert caught.value.errno == errno.ENOSPC


@posix
def test_a_device_is_written_and_stays_a_device():
    put("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"out\.vqc: no space left on the disk"):
        put(tmp_path / "out.vqc")
    with pytest.raises(OutputError, match="no space left"), open_output(tmp_path / "out.vqc"):
        full(0)
    assert not os.listdir(tmp_path)


class Terminal:
    def __init__(self, terminal):
        self.buffer = io.BytesIO()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def test_standard_output_takes_bytes_but_not_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal(False))
    put("-")
    assert sys.stdout.buffer.getvalue() == b"new"
    monkeypatch.setattr(sys, "stdout", Terminal(True))
    with pytest.raises(OutputError, match="terminal"):
        put("-")
    assert sys.stdout.buffer.getvalue() == b""


def test_a_reader_that_went_away_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal(False))
    with pytest.raises(OutputError, match="standard output"), open_output("-"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


@posix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_leaves_nothing(tmp_path, number):
    program = (
        "import signal, sys, time; from vqc.outputs import open_output\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where they run in the background\n"
        "with open_output(sys.argv[1]) as file:\n"
        "    file.write(b'x'); print('ready', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process:
        assert process.stdout.readline() == b"ready\n"
        assert len(os.listdir(tmp_path)) == 1
        process.send_signal(number)
        assert process.wait(30) != 0
    assert not os.listdir(tmp_path)


@posix
def test_handlers_of_others_are_left_alone_and_ours_taken_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    put(tmp_path / "a")
    assert signal.getsignal(signal.SIGTERM) == before
    thread = threading.Thread(target=put, args=(tmp_path / "b",))
    thread.start()
    thread.join()
    assert (tmp_path / "b").exists()
