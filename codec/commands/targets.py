"""From the arguments IN [OUT] and -o DIR to jobs, with the rules that keep a slip from overwriting a picture."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import click
from click.core import ParameterSource

from vqc.batch import STREAM, Job, Outcome, failed, plan, run_jobs
from vqc.outputs import OutputExists, open_output
from vqc.places import exists, is_url, readable


def jobs_for(
    inputs: tuple[str, ...],
    output_dir: str | None,
    *,
    extension: str,
    wanted: Callable[[str], bool],
    is_output: Callable[[str], bool],
    as_json: bool = False,
) -> list[Job]:
    """Jobs for `IN [OUT]`, or for any number of inputs with `-o DIR`.

    extension: of output names made from input names. wanted: file names to take from folders. is_output: names that can be OUT;
    an OUT that exists and is none of these is more likely an input, given without -o, and refused. Raises click.UsageError.
    """
    if output_dir is not None:
        return _into_folder(inputs, output_dir, extension, wanted, is_output)
    if len(inputs) > 2:
        raise click.UsageError("several inputs need -o DIR.")
    source = inputs[0]
    if os.path.isdir(source):
        raise click.UsageError(f"{source} is a folder, which needs -o DIR.")
    if len(inputs) == 2:
        target = inputs[1]
        if os.path.isdir(target):
            raise click.UsageError(f"{target} is a folder; to write into it, give -o {target}.")
        if target != STREAM and os.path.isfile(target) and not is_output(target):
            raise click.UsageError(f"{target} exists and does not look like an output; several inputs need -o DIR.")
    else:
        target = _beside(source, extension)
    if target == STREAM:
        if as_json:
            raise click.UsageError("--json and the output cannot share standard output.")
        if sys.stdout is not None and sys.stdout.isatty():
            raise click.UsageError("the output is binary and standard output is a terminal; give OUT, or redirect.")
    return [Job(source, target)]


def _beside(source: str, extension: str) -> str:
    if is_url(source):
        return os.path.splitext(source)[0] + extension
    return STREAM if source == STREAM else str(Path(source).with_suffix(extension)) if Path(source).name else source


def _into_folder(
    inputs: tuple[str, ...],
    output_dir: str,
    extension: str,
    wanted: Callable[[str], bool],
    is_output: Callable[[str], bool],
) -> list[Job]:
    if STREAM in inputs:
        raise click.UsageError("standard input has no name to give to a file in -o DIR; give OUT.")
    if is_output(output_dir) and not os.path.isdir(output_dir):
        raise click.UsageError(f"-o takes a folder; to write one file, give it as OUT: IN {output_dir}")
    return plan(inputs, output_dir, extension, wanted)


def run_files(work: Any, jobs: list[Job], workers: int, cluster: str | None) -> Iterator[Outcome]:
    """As vqc.batch.run_jobs, for work with a field `force`. Raises click.UsageError for streams on a cluster.

    A cluster may run a job twice, when a node dies that had written the output but not said so. So outputs that exist are
    looked for once, before the work starts, and what then exists is the job's own.
    """
    if cluster is not None:
        if any(STREAM in (job.source, job.target) for job in jobs):
            raise click.UsageError("--ray works on files, not on standard input or output.")
        if not work.force:
            there = [job for job in jobs if job.target and exists(job.target)]
            for job in there:
                yield failed(job, OutputExists(errno.EEXIST, "exists already (-f overwrites it)", job.target))
            left_out = set(there)
            jobs = [job for job in jobs if job not in left_out]
            work = replace(work, force=True)
    yield from run_jobs(work, jobs, workers, cluster)


def open_target(job: Job, force: bool) -> AbstractContextManager[BinaryIO]:
    """The output of a job as a file that appears whole or not at all; see vqc.outputs.open_output."""
    if job.target is None:
        raise ValueError("this job has no output")
    if job.make_folder and not is_url(job.target):
        os.makedirs(os.path.dirname(job.target), exist_ok=True)
    return open_output(job.target, force=force, source=job.source)


def source_of(job: Job) -> Any:
    """The input of a job for vqc.api: its path, the content of its URL, or standard input as a binary file.

    Raises ValueError or OSError for folders.
    """
    if job.source == STREAM:
        if sys.stdin is None:  # so Python tells that the program was started with it closed
            raise ValueError("standard input is closed")
        return sys.stdin.buffer
    if os.path.isdir(job.source):
        os.listdir(job.source)  # a folder that cannot be read says so
        raise ValueError("no file to work on in this folder")
    return readable(job.source)


def groups_at_a_time(jobs: int, todo: list[Job]) -> int:
    """Groups of a single video worked on at a time: as -j says, or one for each core; of a pipe one, to wait less."""
    if len(todo) != 1:
        return 1
    given = click.get_current_context().get_parameter_source("jobs") is not ParameterSource.DEFAULT
    return jobs if given else 1 if todo[0].source == STREAM else os.cpu_count() or 1
