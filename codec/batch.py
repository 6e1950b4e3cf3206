"""Many files: inputs and folders to jobs, run in this process or in several, where one failure never stops the rest.

Workers are processes, not threads: a worker that the system kills for memory takes one job with it, and a torch thread pool
stays with the process it was sized for. They are spawned, because a forked torch can deadlock.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqc.failures import FAILURE, describe, one_line
from vqc.places import files_below, is_url
from vqc.timing import collect

if TYPE_CHECKING:
    from concurrent.futures import Future

STREAM = "-"
# Where `--ray` finds what runs jobs on a cluster: a callable (work, jobs, address) -> outcomes.
EXECUTORS, CLUSTER = "vqc.executors", "ray"
_AHEAD = 2  # jobs per worker that are handed out: the one it does and the next


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
    A folder without any, or one that cannot be read, is yielded itself, so that its job can fail by name. A URL is a folder or
    a file of its store.
    """
    for given in inputs:
        if is_url(given):
            for url, place in files_below(given, wanted) or [(given, "")]:
                yield url, Path(place) if place else _own_name(given)
            continue
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

    def target(place: Path) -> str:
        below = place.with_suffix(extension)
        return f"{output_dir.rstrip('/')}/{below.as_posix()}" if is_url(output_dir) else str(Path(output_dir) / below)

    return [Job(source, target(place), True) for source, place in files_in(inputs, wanted)]


def run_jobs(work: Work, jobs: list[Job], workers: int = 1, cluster: str | None = None) -> Iterator[Outcome]:
    """Run `work` on every job and yield the outcomes as they come; an exception becomes a failed Outcome.

    A job whose target is an input, or the target of an earlier job, fails without being run. The rest: see `execute`.
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
    yield from execute(work, runnable, min(workers, len(runnable)), cluster)


def execute(work: Work, jobs: Iterable[Job], workers: int = 1, cluster: str | None = None) -> Iterator[Outcome]:
    """Run `work` on every job, in this process, in several (workers > 1), or on the cluster of that address.

    Jobs are taken from the iterable as they are needed, and outcomes come in the order in which they are done. But for one
    worker, `work` must be picklable. KeyboardInterrupt stops the workers after they have removed what they were writing.
    """
    if cluster is not None:
        yield from _cluster_executor()(work, jobs, cluster)
    elif workers > 1:
        yield from _in_processes(work, jobs, workers)
    else:
        for job in jobs:
            yield attempt(work, job)


def _cluster_executor() -> Callable[[Work, Iterable[Job], str], Iterator[Outcome]]:
    """Loaded by name, as commands from elsewhere are: the codec itself knows no cluster."""
    from importlib.metadata import entry_points

    for point in entry_points(group=EXECUTORS, name=CLUSTER):
        return point.load()
    raise ImportError(f"no executor {CLUSTER!r} is installed in the entry-point group {EXECUTORS}")


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


def attempt(work: Work, job: Job) -> Outcome:
    """Run one job; whatever it raises becomes a failed Outcome, and warnings become its problems."""
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


_at_work = False  # in a worker process: whether a job is under way


def _attempt_in_worker(work: Work, job: Job) -> Outcome:
    global _at_work
    try:
        try:
            _at_work = True
            return attempt(work, job)
        finally:
            _at_work = False
    except SystemExit:  # from _leave: the pool would take it for a result and start the next job
        os._exit(FAILURE)


def _in_processes(work: Work, jobs: Iterable[Job], workers: int) -> Iterator[Outcome]:
    waiting = iter(jobs)
    while lost := (yield from _in_pool(work, waiting, workers)):
        # A worker was killed, and the pool with it. Each of the jobs that it may have been alone tells which one it was.
        for job in lost:
            if (yield from _in_pool(work, iter([job]), 1)):
                yield failed(job, ChildProcessError(None, "the process working on it was killed (out of memory?)"))


def _in_pool(work: Work, jobs: Iterator[Job], workers: int) -> Generator[Outcome, None, list[Job]]:
    """Run jobs until none is left or a worker is killed; returns those that were under way then."""
    from concurrent.futures import FIRST_COMPLETED, wait
    from concurrent.futures.process import BrokenProcessPool

    running: dict[Future[Outcome], Job] = {}
    lost: list[Job] = []
    with _pool(workers) as submit:
        while True:
            # Few at a time: a hundred thousand futures would cost more memory than the work.
            for job in islice(jobs, 0 if lost else workers * _AHEAD - len(running)):
                try:
                    running[submit(_attempt_in_worker, work, job)] = job
                except BrokenProcessPool:
                    lost.append(job)
                    break
            if not running:
                return lost
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    lost.append(job)
                else:
                    yield outcome


@contextmanager
def _pool(workers: int) -> Iterator[Callable[..., Future[Any]]]:
    """A process pool whose workers ignore Ctrl-C, which reaches the whole terminal group, and end when this process says so."""
    # Here and not above, like the rest of what only a pool needs: it would be a good part of the time of `vqc info`.
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

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
    import threading

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Leave when the parent is killed: workers hold both ends of the queue of jobs, so they would wait on it for ever."""
    from multiprocessing import parent_process

    if parent := parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _leave(signum: int, frame: object) -> None:
    if not _at_work:
        # Nothing to remove, and the pool's own code swallows SystemExit: the worker would live on, and the pool wait for it.
        os._exit(128 + signum)
    # A pool that lost one worker terminates the others, again: a second exit would cut short the cleaning up of the first.
    signal.signal(signum, signal.SIG_IGN)
    # Raised in the middle of the job, so that its context managers remove the temporary file.
    sys.exit(128 + signum)
