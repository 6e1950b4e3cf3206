"""Peak memory of a call: how far the resident set of this process, and of programs it runs, rose above what stood before."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_STATUS, _RESET = "/proc/self/status", "/proc/self/clear_refs"


@dataclass
class Peak:
    """`added` bytes at the highest moment; None where the system does not tell (outside Linux)."""

    added: int | None = None


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure a `with` block. Memory that the process kept from earlier calls and uses again is not seen; child processes are,
    as long as none of this process was larger before."""
    peak = Peak()
    before, children = _reset(), _children()
    yield peak
    if before is not None:
        own = _status("VmHWM") - before
        after = _children()
        peak.added = max(own, 0) + (after if after > children else 0)


def give_back() -> None:
    """Return memory that earlier calls left behind to the system, where the C library can (glibc), so that the next call is
    seen to take it. Not before a call that is timed: it would pay for getting the pages again."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset() -> int | None:
    """Set the high-water mark back to the resident set of now (proc(5), clear_refs, value 5), and return that in bytes."""
    try:
        with open(_RESET, "w") as file:
            file.write("5")
        return _status("VmRSS")
    except OSError:
        return None


def _status(key: str) -> int:
    with open(_STATUS) as file:
        for line in file:
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    raise OSError(f"{_STATUS} has no {key}")


def _children() -> int:
    if sys.platform != "linux":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
