"""`vqc info`: what a .vqc file says of itself, without decoding it and without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from vqc.batch import Job, Outcome, run_jobs
from vqc.commands.options import FILE, LimitChoice, Messages, limit_options, message_options
from vqc.commands.report import report, shown
from vqc.commands.targets import source_of


@dataclass(frozen=True)
class ShowInfo:
    """Tell what the input of one job holds."""

    limits: LimitChoice

    def __call__(self, job: Job) -> Outcome:
        from vqc import api

        info = api.inspect(source_of(job), limits=self.limits.limits())
        record = {
            "input": job.source,
            "media": info.media,
            "version": info.version,
            "model": info.model,
            "weights": info.weights,
            "width": info.width,
            "height": info.height,
            "channels": info.channels,
            "depth": info.depth,
            "alpha": info.alpha,
            "orientation": info.orientation,
            "quality": info.quality,
            "tile": info.tile,
            "segments": info.segments,
            "bytes": info.file_size,
            "bpp": info.bpp,
            "metadata": {kind: len(content) for kind, content in info.metadata.items()},
        }
        return Outcome(job, record, _for_people(record))


def _for_people(record: dict[str, Any]) -> str:
    colour = ("grey" if record["channels"] == 1 else "RGB") + (" and alpha" if record["alpha"] else "")
    metadata = ", ".join(f"{kind} {size} bytes" for kind, size in record["metadata"].items())
    rows = {
        "media": f"{record['media']}, format version {record['version']}",
        "model": f"{record['model']}, weights {record['weights']}",
        "size": f"{record['width']}x{record['height']}, {colour}, {record['depth']} bits",
        "orientation": record["orientation"],
        "quality": f"{record['quality']:g}",
        "segments": f"{record['segments']}, tiles of {record['tile']}",
        "bytes": f"{record['bytes']}, {record['bpp']:.4f} bits per pixel",
        "metadata": metadata or "none",
    }
    return "\n".join([shown(record["input"]), *(f"  {name + ':':<13}{value}" for name, value in rows.items())])


@click.command(
    epilog="Exit codes: 0 done, 1 failure, 2 usage, 3 corrupt or truncated, 4 unsupported version, 5 limit exceeded."
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@limit_options
@message_options
def info(files: tuple[str, ...], limits: LimitChoice, messages: Messages) -> None:
    """Show what a .vqc FILE holds: size, model, quality, metadata.

    Reads the header and the index only, decodes nothing, and answers at once. FILE can be - for standard input. "bytes" is the
    whole file, and bits per pixel count all of it.
    """
    outcomes = run_jobs(ShowInfo(limits), [Job(file) for file in files])
    click.get_current_context().exit(report(outcomes, len(files), messages, answer=True))
