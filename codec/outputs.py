"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import secrets
import signal
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from .places import is_url, store_of

STREAM = "-"

# Faults of the place being written. Others that pass through belong to whoever reads or computes, and keep their own words.
_PLACE_FAULTS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE})


class OutputError(OSError):
    """An output that cannot be written. filename: which; strerror: why."""

    def __str__(self) -> str:
        return f"cannot write {self.filename}: {self.strerror}"


class OutputExists(OutputError, FileExistsError):
    """An output that is there already, and was not to be replaced."""


@contextmanager
def open_output(
    destination: str | os.PathLike, *, force: bool = False, source: str | os.PathLike | None = None
) -> Iterator[BinaryIO]:
    """A binary file to write `destination` through; it takes its name only when the block ends without an exception.

    destination: a path, a URL, or `-` for standard output; pipes and devices are written directly.
    force: replace an existing file; its permissions are kept, and a link stays one. source: the input, which is never replaced.
    Until then the bytes stand in a hidden file beside the destination, which every failure removes, Ctrl-C and SIGTERM too.
    Raises OutputExists, and OutputError for everything else that keeps the output from being written.
    """
    name = os.fspath(destination)
    if name == STREAM:
        stream = _standard_output()
        with _faults_of("standard output", _PLACE_FAULTS):
            yield stream
        with _faults_of("standard output"):
            stream.flush()
        return
    if is_url(name):
        yield from _object(name, force)
        return
    # A link is kept, and what it points to replaced.
    path = os.path.realpath(name)
    with _faults_of(name):
        mode = _mode(path)
        _check(name, path, mode, force, source)
    if mode is None or stat.S_ISREG(mode):
        with _termination_as_exit():
            yield from _replacing(name, path, mode, force)
    else:
        yield from _direct(name, path)


def _object(url: str, force: bool) -> Iterator[BinaryIO]:
    """Stores of objects take whole ones: written at the end, at once."""
    store, path = store_of(url)
    with _faults_of(url):
        if not force and store.exists(path):
            raise _exists(url)
    content = io.BytesIO()
    yield content
    with _faults_of(url):
        store.makedirs(path.rpartition("/")[0], exist_ok=True)
        store.pipe_file(path, content.getvalue())


def _standard_output() -> BinaryIO:
    if sys.stdout is None:  # so Python tells that the program was started with it closed
        raise OutputError(errno.EBADF, "it is closed", "standard output")
    stream = getattr(sys.stdout, "buffer", None)
    if stream is None or sys.stdout.isatty():
        raise OutputError(errno.EINVAL, "binary data does not go to a terminal: redirect it or name a file", "standard output")
    return stream


def _direct(name: str, path: str) -> Iterator[BinaryIO]:
    with _faults_of(name):
        file = open(path, "wb")  # noqa: SIM115 - opening and writing fail in different ways
    try:
        with _faults_of(name, _PLACE_FAULTS):
            yield file
        with _faults_of(name):
            file.close()
    finally:
        with suppress(OSError):
            file.close()


def _replacing(name: str, path: str, mode: int | None, force: bool) -> Iterator[BinaryIO]:
    folder, base = os.path.split(path)
    # Not tempfile: its files are private for ever, these get what the umask (applied by the system) gives any new file.
    part = os.path.join(folder, f".{base[:50]}.{secrets.token_hex(4)}.part")
    file = None
    try:
        # inside, since a signal may come as soon as the file is there
        with _faults_of(name):
            file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666), "w+b")
        with _faults_of(name, _PLACE_FAULTS):
            yield file
        with _faults_of(name):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            if mode is not None:
                os.chmod(part, stat.S_IMODE(mode))
            _rename(name, part, path, force)
    except BaseException:
        # On a full disk closing fails as writing did, and the first failure is the one to tell.
        if file is not None:
            with suppress(OSError):
                file.close()
        with suppress(OSError):
            os.unlink(part)
        raise
    _sync_folder(folder)


def _rename(name: str, part: str, path: str, force: bool) -> None:
    if force:
        os.replace(part, path)
        return
    # Two workers may make the same name at once: a link, unlike a rename, never replaces what has come meanwhile.
    try:
        os.link(part, path)
    except FileExistsError:
        raise _exists(name) from None
    except OSError:  # a file system without links
        if os.path.lexists(path):
            raise _exists(name) from None
        os.replace(part, path)
    else:
        os.unlink(part)


def _check(name: str, path: str, mode: int | None, force: bool, source: str | os.PathLike | None) -> None:
    if mode is not None and stat.S_ISDIR(mode):
        raise OutputError(errno.EISDIR, "is a folder", name)
    if source is not None and mode is not None and stat.S_ISREG(mode) and _same(source, path):
        raise OutputError(errno.EINVAL, "is the input itself", name)
    if mode is not None and stat.S_ISREG(mode) and not force:
        raise _exists(name)


def _same(source: str | os.PathLike, path: str) -> bool:
    try:
        return os.fspath(source) != STREAM and os.path.samefile(source, path)
    except OSError:
        return False


def _exists(name: str) -> OutputExists:
    return OutputExists(errno.EEXIST, "exists already (-f overwrites it)", name)


def _mode(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return None


def _sync_folder(folder: str) -> None:
    # So that the new name, too, outlives a power cut; not every system opens folders.
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _faults_of(name: str, only: frozenset[int] | None = None) -> Iterator[None]:
    """Turns faults of the system (all, or those numbers only) into OutputError with the name of the output."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        reason = "no space left on the disk" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise OutputError(error.errno, reason, name) from error


@contextmanager
def _termination_as_exit() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP unwind the program, where they would end it on the spot; handlers of others are left alone."""
    changed = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, exit_by_signal)
                changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def exit_by_signal(number: int, frame: Any) -> None:
    """Signal handler that unwinds the program, so that temporary files are removed on the way out, as they are on Ctrl-C."""
    signal.signal(number, signal.SIG_IGN)  # a second one would cut short the removal of the file
    raise SystemExit(128 + number)
