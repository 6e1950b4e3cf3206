"""The results of a run as they come: JSON lines, one row per file, codec and setting, that survive a kill at any moment.

The first line describes the run, and so does one more whenever further codecs join, so that `--resume` never mixes rows of
different codecs or versions. A local folder holds one file that grows; a store of objects cannot append, so there each batch
of rows is an object of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from .files import OutputFolder

Row = dict[str, Any]
PREFIX = "rows"
LOCAL = "rows.jsonl"
# A kill loses what a store of objects has not got yet: at most the rows of so many seconds.
_REMOTE_INTERVAL = 10.0


class ResumeError(ValueError):
    """The rows that are there cannot be continued; the message says why and what to do."""


@dataclass
class RowLog:
    """Open with `start`; `append` rows; `close`. Every row of a local folder is in the file when `append` returns."""

    folder: OutputFolder
    _waiting: list[str] = field(default_factory=list)
    _written: float = field(default_factory=monotonic)
    _count: int = 0

    def start(self, run: Row, *, resume: bool, force: bool) -> Iterator[Row]:
        """Begin, or continue where a run of the same description stopped; yields the rows that are there.

        Raises ResumeError when there are rows and neither resume nor force is given, or they are those of another run.
        """
        names = [name for name in self.folder.names(PREFIX) if name.endswith(".jsonl")]
        if names and not (resume or force):
            raise ResumeError(f"{self.folder.place} has results already: --resume continues them, --force starts anew")
        if names and force and not resume:
            for name in names:
                self.folder.remove(name)
            names = []
        self._count = len(names)
        if names and not self.folder.remote:
            _drop_torn_line(self.folder.where(LOCAL))
        runs = [entry["run"] for entry in self._entries() if "run" in entry]
        for before in runs:
            _compare(before, run)
        # A codec that joins is compared too when the run is continued once more.
        if not run["codecs"].keys() <= {label for before in runs for label in before.get("codecs", ())}:
            self._append_line(json.dumps({"run": run}))
            self.flush()
        yield from self.rows()

    def rows(self) -> Iterator[Row]:
        """Every row that has been written, in that order."""
        return (entry for entry in self._entries() if "run" not in entry)

    def _entries(self) -> Iterator[Row]:
        for name in self.folder.names(PREFIX):
            if name.endswith(".jsonl"):
                yield from map(json.loads, self.folder.read(name).splitlines())

    def append(self, row: Row) -> None:
        """Add a row."""
        self._append_line(json.dumps(row))
        if self.folder.remote and monotonic() - self._written > _REMOTE_INTERVAL:
            self.flush()

    def flush(self) -> None:
        """Write what waits for a store of objects."""
        if self.folder.remote and self._waiting:
            self.folder.write(f"{PREFIX}-{self._count:06}.jsonl", "".join(self._waiting))
            self._count += 1
            self._waiting.clear()
        self._written = monotonic()

    def close(self) -> None:
        self.flush()

    def _append_line(self, line: str) -> None:
        if self.folder.remote:
            self._waiting.append(line + "\n")
            return
        # One write of one whole line: a kill tears at most the line being written.
        with open(self.folder.where(LOCAL), "ab", buffering=0) as file:
            file.write(line.encode() + b"\n")


def _drop_torn_line(path: str) -> None:
    data = Path(path).read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)


def _compare(there: Row, now: Row) -> None:
    """Medium, codecs and metrics of both runs must be the same; further codecs may join."""
    before, wanted = (run.get("medium", "picture") for run in (there, now))  # runs of old have only pictures
    if before != wanted:
        raise ResumeError(f"results there are of {before}s, not {wanted}s: --force starts anew")
    if there.get("metrics") != now["metrics"]:
        raise ResumeError(f"results there have metrics {there.get('metrics')}, not {now['metrics']}: --force starts anew")
    for label, codec in now["codecs"].items():
        before = there.get("codecs", {}).get(label, codec)
        for key in ("version", "options"):
            if before[key] != codec[key]:
                raise ResumeError(
                    f"the results of {label} there were made with {before[key]}, this is {codec[key]}: --force starts anew"
                )
