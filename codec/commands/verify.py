"""`vqc verify`: whether a .vqc file is whole, by decoding every symbol of it."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import click

from vqc.batch import Job, Outcome, run_jobs
from vqc.commands.damage import damage_lines, damage_record
from vqc.commands.options import FILE, Engine, Messages, engine_options, message_options
from vqc.commands.report import report, shown
from vqc.commands.targets import source_of
from vqc.failures import CORRUPT


@dataclass(frozen=True)
class VerifyFile:
    """Check the input of one job."""

    engine: Engine

    def __call__(self, job: Job) -> Outcome:
        from vqc import api

        start = perf_counter()
        result = api.verify(source_of(job), **self.engine.arguments())
        record = {
            "input": job.source,
            "ok": result.ok,
            "segments": result.segments,
            "damage": [damage_record(damage) for damage in result.damage],
            "seconds": round(perf_counter() - start, 4),
        }
        if result.ok:
            return Outcome(job, record, f"{shown(job.source)}: ok, {result.segments} segments")
        return Outcome(job, record, "", damage_lines(result.damage), CORRUPT)


@click.command(
    epilog="Exit codes: 0 whole, 1 failure, 2 usage, 3 corrupt or truncated, 4 unsupported version or model, 5 limit exceeded."
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@engine_options
@message_options
def verify(files: tuple[str, ...], engine: Engine, messages: Messages) -> None:
    """Check that a .vqc FILE is whole.

    Decodes every symbol and compares checksums (CRC-32 of each chunk, digest of the symbols of each segment), but makes no
    picture. FILE can be - for standard input. Each place of damage is told with its chunk and byte offset.
    """
    outcomes = run_jobs(VerifyFile(engine), [Job(file) for file in files])
    click.get_current_context().exit(report(outcomes, len(files), messages))
