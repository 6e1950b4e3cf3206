"""Outcomes to the terminal: summaries and errors on standard error, JSON and what was asked for on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

import click

from vqc.batch import STREAM, Outcome
from vqc.commands.options import Messages
from vqc.failures import one_line
from vqc.outputs import OutputError


def shown(path: str, stream: str = "stdin") -> str:
    """A path as it can be printed on one line; `-` under the name of the stream."""
    return stream if path == STREAM else one_line(path)


def report(outcomes: Iterable[Outcome], count: int, messages: Messages, *, answer: bool = False) -> int:
    """Print every outcome as it comes and return the exit code: 0 when all went well, else the highest that occurred.

    `answer`: the summary is what the user asked for (standard output), not news of progress (standard error).
    """
    program = click.get_current_context().find_root().info_name or "vqc"
    bar = _progress(count, messages)
    code = 0
    try:
        for outcome in outcomes:
            code = max(code, outcome.exit_code)
            bar.clear()
            for line in outcome.problems:
                if outcome.exit_code or not messages.quiet:
                    click.echo(f"{program}: {shown(outcome.job.source)}: {line}", err=True)
            if outcome.trace and messages.verbose > 1:
                click.echo(outcome.trace, err=True, nl=False)
            if messages.as_json:
                _answer(json.dumps(outcome.record))
            elif outcome.summary and answer:
                _answer(outcome.summary)
            elif outcome.summary and not messages.quiet:
                click.echo(outcome.summary, err=True)
            if messages.verbose and "times" in outcome.record:
                times = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in outcome.record["times"].items())
                click.echo(f"  {times}", err=True)
            bar.update()
    finally:
        bar.close()
    return code


def _answer(text: str) -> None:
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:  # which names no file: the stream has to be told
        raise OutputError(error.errno, error.strerror, "standard output") from error


class _NoBar:
    def clear(self) -> None: ...

    def update(self) -> None: ...

    def close(self) -> None: ...


def _progress(count: int, messages: Messages) -> _NoBar:
    """A progress bar over the files where somebody watches; one file has nothing to count."""
    if count < 2 or messages.quiet or not sys.stderr.isatty():
        return _NoBar()
    from tqdm import tqdm

    return tqdm(total=count, unit="file", file=sys.stderr, leave=False)
