"""Any exception as one line for people and an exit code for scripts."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass

from vqc.bitstream.errors import VqcError
from vqc.outputs import OutputError

FAILURE, USAGE, CORRUPT, INTERRUPTED = 1, 2, 3, 130


@dataclass(frozen=True)
class Failure:
    """`message` is one line without the file it is about; `trace` is the traceback, for -v -v."""

    message: str
    exit_code: int
    trace: str


def one_line(text: str) -> str:
    """The text on one line, with control characters and undecodable bytes of file names made visible."""
    flat = " ".join(text.split()) if "\n" in text or "\r" in text else text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)


def describe(error: BaseException, source: str | None = None) -> Failure:
    """The failure as a line and an exit code. `source` is the file the line will begin with, so it need not be named again."""
    trace = "".join(traceback.format_exception(error))
    return Failure(one_line(_message(error, source)), getattr(error, "exit_code", FAILURE), trace)


def _message(error: BaseException, source: str | None) -> str:
    if isinstance(error, VqcError | OutputError):
        return str(error)
    if isinstance(error, OSError):
        return _system_message(error, source)
    # An error of vqc.image_files names the source itself, as the line does already.
    text = str(getattr(error, "reason", error) if getattr(error, "source", None) is not None and source else error)
    # torch reports memory that it could not get as RuntimeError, each allocator in its own words.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in text and "alloc" in text):
        return "not enough memory"
    if isinstance(error, ImportError):
        return f"cannot load a needed package: {text}"
    if isinstance(error, ValueError) and text:
        return text
    return f"internal error, {type(error).__name__}: {text} (-v -v shows where)"


def _system_message(error: OSError, source: str | None) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else None
    return reason if name is None or name == source else f"{name}: {reason}"
