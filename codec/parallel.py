"""Work on independent pieces in this process and in others, results in order.

Threads alone gain little where a piece is thousands of small operations: the interpreter's lock is what they wait for.
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")
IDLE = 20  # seconds after which a process that has nothing to do ends


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


def shared_out(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """As `in_order`, in this process and `workers` - 1 others, which are kept for the next call.

    work: a function of a module; items and results can be pickled. Processes take seconds to start: until they have, all is
    done here. No program needs a guard around its main part for it (loky starts interpreters anew).
    """
    if multiprocessing.current_process().daemon:  # may not have children
        yield from in_order(work, items, workers)
        return
    free: SimpleQueue[Executor | None] = SimpleQueue()  # who has nothing to do: None is this process
    free.put(None)
    coming: list[Executor] = []  # what is started and has nothing ready yet

    def watched() -> Iterator[T]:
        """The items; others are started only when there is a second one."""
        for number, item in enumerate(items):
            if number == 1:
                with suppress(*_lost()):
                    others = _processes(workers - 1)
                    coming.append(others)
                    for _ in range(workers - 1):
                        others.submit(_get_ready).add_done_callback(functools.partial(joined, others))
            yield item

    def joined(others: Executor, ready: Future[None]) -> None:
        if not ready.cancelled() and ready.exception() is None:
            coming.clear()
            free.put(others)

    def someone(item: T) -> R:
        place = free.get()
        try:
            return work(item) if place is None else place.submit(_elsewhere, work, item).result()
        except _lost():
            place = None
            return work(item)
        finally:
            free.put(place)

    try:
        yield from in_order(someone, watched(), workers)
    finally:
        for others in list(coming):  # too late: the end of the program would wait for them
            others.shutdown(wait=False, kill_workers=True)


def _lost() -> tuple[type[Exception], ...]:
    """Errors of a process that is gone: killed, for want of memory perhaps, or ended by another call that was over soon."""
    from loky.process_executor import ShutdownExecutorError

    return BrokenExecutor, ShutdownExecutorError


def _processes(count: int) -> Executor:
    from loky import get_reusable_executor  # here, since most of what vqc does needs no other process

    # loky takes memory that is kept (see `keep_memory`) for a leak and would start such processes anew, with a warning.
    environment = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e15"}
    return get_reusable_executor(count, timeout=IDLE, initializer=_prepare_process, env=environment)


def _prepare_process() -> None:
    """Ctrl-C reaches every process of a terminal; the one that was asked decides, and none outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """Leaves when the parent was killed: processes hold both ends of their queue of jobs, and would wait on it for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _get_ready() -> None:
    keep_memory()
    torch.set_num_threads(1)


def _elsewhere(work: Callable[[T], R], item: T) -> R:
    _get_ready()
    return work(item)


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
