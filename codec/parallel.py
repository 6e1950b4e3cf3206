"""Work on independent pieces in several threads, results in order: torch computes outside the interpreter's lock."""

from __future__ import annotations

import ctypes
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """work(item) of each, `workers` at a time; items are taken as they are needed."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@functools.cache
def keep_memory() -> None:
    """Has the C library keep what torch frees. Else every large result is mapped and zeroed anew by the system, one thread at a
    time: a tenth of the time of video. Only glibc knows this."""
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, value in ((mmap_threshold, 2**30), (trim_threshold, 2**30), (top_pad, 2**26)):
        mallopt(option, value)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Within, each operation of torch takes one thread: several at a time on threads of their own would fight for the cores."""
    keep_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
