"""Many files: inputs and folders to jobs, run in this process or in several, where one failure never stops the rest.

Workers are processes, not threads: a worker that the system kills for memory takes one job with it, and a torch thread pool
stays with the process it was sized for. They are spawned, because a forked torch can deadlock.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vqc.failures import FAILURE, describe, one_line
from vqc.timing import collect

STREAM = "-"


@dataclass(frozen=True)
class Job:
    """One input (a path, or `-` for standard input) and where its output goes (None: nowhere).

    make_folder: the folder of the target is made if need be.
    """

    source: str
    target: str | None = None
    make_folder: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a job: a record for --json, a line for people, and what went wrong, if anything did."""

    job: Job
    record: dict[str, Any]
    summary: str = ""
    problems: tuple[str, ...] = ()
    exit_code: int = 0
    trace: str = field(default="", repr=False)


Work = Callable[[Job], Outcome]


def files_in(inputs: Iterable[str], wanted: Callable[[str], bool]) -> Iterator[tuple[str, Path]]:
    """Each file with its place below the output folder: a file keeps its name, one in a folder its path from that folder.

    Folders are walked in sorted order, without following links to folders; there only files whose name is `wanted` count.
    A folder without any, or one that cannot be read, is yielded itself, so that its job can fail by name.
    """
    for given in inputs:
        if not os.path.isdir(given):
            yield given, _own_name(given)
            continue
        found = False
        unreadable: list[OSError] = []
        for folder, below, names in os.walk(given, onerror=unreadable.append):
            below.sort()
            for name in sorted(filter(wanted, names)):
                found = True
                path = os.path.join(folder, name)
                yield path, Path(path).relative_to(given)
        for path in [os.fspath(error.filename) for error in unreadable] or ([] if found else [given]):
            yield path, _own_name(path)


def _own_name(path: str) -> Path:
    return Path(Path(path).name or "unnamed")


def plan(inputs: Iterable[str], output_dir: str, extension: str, wanted: Callable[[str], bool]) -> list[Job]:
    """Jobs that write every input below `output_dir` under its own name with `extension`."""
    return [
        Job(source, str(Path(output_dir) / place.with_suffix(extension)), True) for source, place in files_in(inputs, wanted)
    ]


def run_jobs(work: Work, jobs: list[Job], workers: int = 1) -> Iterator[Outcome]:
    """Run `work` on every job and yield the outcomes as they come; an exception becomes a failed Outcome.

    A job whose target is an input, or the target of an earlier job, fails without being run. With more than one worker,
    `work` must be picklable. KeyboardInterrupt stops the workers after they have removed what they were writing.
    """
    sources = {_identity(job.source) for job in jobs if job.source != STREAM}
    targets: dict[object, Job] = {}
    runnable = []
    for job in jobs:
        place = _identity(job.target) if job.target not in (None, STREAM) else None
        if place in sources:
            yield failed(job, ValueError(f"output {job.target} is an input, and inputs are never overwritten"))
        elif place in targets:
            yield failed(job, ValueError(f"output {job.target} is already that of {targets[place].source}"))
        else:
            if place:
                targets[place] = job
            runnable.append(job)
    if workers > 1 and len(runnable) > 1:
        yield from _in_processes(work, runnable, min(workers, len(runnable)))
    else:
        for job in runnable:
            yield _attempt(work, job)


def _identity(path: str) -> object:
    """The same for two names of one file, on file systems that ignore case too."""
    with suppress(OSError, ValueError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return os.path.realpath(path)


def failed(job: Job, error: Exception) -> Outcome:
    """The outcome of a job that ended in `error`."""
    failure = describe(error, job.source)
    record = {"input": job.source, "error": failure.message, "exit_code": failure.exit_code}
    return Outcome(job, record, "", (failure.message,), failure.exit_code, failure.trace)


def _attempt(work: Work, job: Job) -> Outcome:
    with warnings.catch_warnings(record=True) as caught:
        try:
            with collect() as times:
                outcome = work(job)
            if times.seconds:
                outcome.record["times"] = {name: round(seconds, 4) for name, seconds in times.seconds.items()}
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE and job.target == STREAM:
                # Nobody reads the output any more: the end of the program, not a fault of this file.
                raise BrokenPipeError(*error.args) from error
            outcome = failed(job, error)
    if not caught:
        return outcome
    told = dict.fromkeys(one_line(f"warning: {warning.message}") for warning in caught)
    return replace(outcome, problems=(*told, *outcome.problems))


def _attempt_in_worker(work: Work, job: Job) -> Outcome:
    try:
        return _attempt(work, job)
    except SystemExit:  # from _leave: the pool would take it for a result and start the next job
        os._exit(FAILURE)


def _in_processes(work: Work, jobs: list[Job], workers: int) -> Iterator[Outcome]:
    pending = list(jobs)
    while pending:
        with _pool(workers) as submit:
            futures: dict[Future[Outcome], Job] = {}
            with suppress(BrokenProcessPool):
                for job in pending:
                    futures[submit(_attempt_in_worker, work, job)] = job
            for future in as_completed(futures):
                with suppress(BrokenProcessPool):
                    outcome = future.result()
                    pending.remove(futures[future])
                    yield outcome
        # Jobs left over: a worker was killed, and the pool with it. A single worker takes them in order: the first one did it.
        if pending and workers == 1:
            job = pending.pop(0)
            yield failed(job, ChildProcessError(None, "the process working on it was killed (out of memory?)"))
        workers = 1


@contextmanager
def _pool(workers: int) -> Iterator[Callable[..., Future[Any]]]:
    """A process pool whose workers ignore Ctrl-C, which reaches the whole terminal group, and end when this process says so."""
    before = set(multiprocessing.active_children())
    executor = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_prepare_worker)

    def submit(*call: Any) -> Future[Any]:
        with _ignored_interrupt():  # inherited by a worker that is started here, until its own initializer runs
            return executor.submit(*call)

    try:
        yield submit
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()


@contextmanager
def _ignored_interrupt() -> Iterator[None]:
    try:
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, which alone may set handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)


def _leave(signum: int, frame: object) -> None:
    # Raised in the middle of the job, so that its context managers remove the temporary file.
    sys.exit(128 + signum)
