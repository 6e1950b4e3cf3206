"""The jobs of vqc.batch on a Ray cluster (extra `cluster`).

vqc must be installed on every node, and inputs and outputs must be in reach of all: a shared disk, or URLs where the command
takes them. A job of a node that dies is run again elsewhere.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from vqc.batch import Job, Outcome, Work, attempt, failed

# `--ray` without an address: a cluster of this machine alone.
LOCAL = "local"
# Times a job is run again after the process or node that had it died; a job that kills its process must end somewhere.
RETRIES = 4
_AHEAD = 2
# Seconds within which a cluster takes a connection.
_ANSWER = 15


class ClusterMissing(ImportError):
    """ray is not installed."""


def run_on_ray(work: Work, jobs: Iterable[Job], address: str = LOCAL) -> Iterator[Outcome]:
    """Yield the outcomes of `work` on every job as they come, one CPU of the cluster for each.

    address: `local`, `auto` (the cluster that this machine belongs to), `host:port` or `ray://host:port`. A cluster that this
    process is connected to already is used, whatever the address. Raises ClusterMissing, ConnectionError.
    """
    ray = _import_ray()
    ours = not ray.is_initialized()
    if ours:
        _check_answers(address)
        ray.init(**_connection(address), log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield from _run(ray, work, iter(jobs))
    finally:
        if ours:
            ray.shutdown()


def _run(ray: Any, work: Work, jobs: Iterator[Job]) -> Iterator[Outcome]:
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_run_there)
    shared, folder = ray.put(work), os.getcwd()
    running: dict[Any, Job] = {}
    while True:
        # Asked anew every time: nodes come and go.
        cpus = int(ray.cluster_resources().get("CPU", 1))
        for job in islice(jobs, max(0, cpus * _AHEAD + 1 - len(running))):
            running[task.remote(shared, job, folder)] = job
        if not running:
            return
        for done in ray.wait(list(running), num_returns=1)[0]:
            job = running.pop(done)
            try:
                outcome = ray.get(done)
            except ray.exceptions.RayError as error:
                outcome = failed(job, RuntimeError(f"lost on the cluster: {type(error).__name__}: {str(error)[:200]}"))
            yield outcome


def _run_there(work: Work, job: Job, folder: str) -> Outcome:
    # Relative paths mean what they mean to the user, where the folder is shared.
    with suppress(OSError):
        os.chdir(folder)
    return attempt(work, job)


def _check_answers(address: str) -> None:
    """Raises ConnectionError where nothing listens at HOST:PORT, for which ray itself looks for minutes."""
    if address in (LOCAL, "auto"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(f"no Ray cluster answers at {address}: {error}") from error


def _connection(address: str) -> dict[str, Any]:
    if address == LOCAL:
        return {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    return {"address": address}


def _import_ray() -> Any:
    # Before the import, which reads it: nothing is reported to anybody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterMissing(f'--ray needs the cluster extra: pip install "vqc[cluster]" ({error})') from error
    return ray
