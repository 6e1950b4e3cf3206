"""Where the time of an encode or decode goes: named spans, summed while a collector is active, next to free otherwise.

    with collect() as times:
        data = vqc.encode(image)
    times.seconds["coder"]

Spans may nest. Each second is counted once, in the innermost span, so the parts add up to at most the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter


@dataclass
class Times:
    """Seconds and number of spans by name."""

    seconds: dict[str, float] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    _open: list[float] = field(default_factory=list, repr=False)

    @contextmanager
    def _measure(self, name: str) -> Iterator[None]:
        self._open.append(0.0)
        start = perf_counter()
        try:
            yield
        finally:
            elapsed = perf_counter() - start
            inner = self._open.pop()
            self.seconds[name] = self.seconds.get(name, 0.0) + elapsed - inner
            self.calls[name] = self.calls.get(name, 0) + 1
            if self._open:
                self._open[-1] += elapsed


_active: ContextVar[Times | None] = ContextVar("vqc_times", default=None)
_IDLE = nullcontext()


def span(name: str) -> AbstractContextManager[None]:
    """Count the time of a `with` block under `name`, if anyone collects in this thread or task."""
    times = _active.get()
    return _IDLE if times is None else times._measure(name)


@contextmanager
def collect() -> Iterator[Times]:
    """Collect the spans of this thread (or asyncio task) until the block ends. Threads it starts are not seen."""
    times = Times()
    token = _active.set(times)
    try:
        yield times
    finally:
        _active.reset(token)
