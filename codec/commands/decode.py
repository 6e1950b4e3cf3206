"""`vqc decode`: .vqc files to pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import click

from vqc.batch import STREAM, Job, Outcome
from vqc.commands.encode import is_vqc
from vqc.commands.options import (
    FILE,
    Engine,
    Messages,
    Region,
    batch_options,
    cluster_option,
    combine,
    engine_options,
    message_options,
)
from vqc.commands.report import report, shown
from vqc.commands.targets import jobs_for, open_target, run_files, source_of
from vqc.failures import CORRUPT
from vqc.places import size_of

# Format names as --format takes them, with their extensions; output names are made with the first.
FORMATS = {
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "jpeg": (".jpg", ".jpeg", ".jfif"),
    "webp": (".webp",),
    "avif": (".avif",),
    "jp2": (".jp2", ".j2k"),
    "bmp": (".bmp",),
    "ppm": (".ppm", ".pgm", ".pnm"),
    "tga": (".tga",),
}
DEFAULT_FORMAT = "png"
_FORMAT_OF = {extension: name for name, extensions in FORMATS.items() for extension in extensions}

format_options = combine(
    click.option(
        "--format",
        "format_name",
        type=click.Choice(list(FORMATS), case_sensitive=False),
        help="Format of the picture written; jpeg, avif and jp2 lose a little.  [default: by the extension of OUT; png for -]",
    ),
    click.option(
        "--eight-bit",
        is_flag=True,
        help="Round a 16-bit picture to 8 bits where the format holds no more.  [default: refuse]",
    ),
)


@dataclass(frozen=True)
class DecodeFile:
    """Decode the input of one job to its target. Picklable, so that worker processes can run it."""

    format: str | None
    eight_bit: bool
    region: tuple[int, int, int, int] | None
    allow_partial: bool
    force: bool
    engine: Engine
    workers: int = 1

    def __call__(self, job: Job) -> Outcome:
        from vqc import api
        from vqc.image_files import write_image

        start = perf_counter()
        with open_target(job, self.force) as file:
            decoded = api.decode(
                source_of(job), region=self.region, allow_partial=self.allow_partial, **self.engine.arguments(self.workers)
            )
            write_image(decoded.content, file, self.format or format_of(job.target), eight_bit=self.eight_bit)
        seconds = perf_counter() - start
        width, height = decoded.content.width, decoded.content.height
        record: dict[str, Any] = {
            "input": job.source,
            "output": job.target,
            "width": width,
            "height": height,
            "seconds": round(seconds, 4),
            "damage": [damage_record(damage) for damage in decoded.damage],
        }
        if job.target != STREAM:
            record["bytes"] = size_of(job.target)
        summary = f"{shown(job.source)} -> {shown(job.target, 'stdout')}: {width}x{height}, {seconds:.2f} s"
        problems = tuple(damage_line(damage) for damage in decoded.damage)
        return Outcome(job, record, summary, problems, CORRUPT if problems else 0)


@click.command(
    epilog="Exit codes: 0 done, 1 failure, 2 usage, 3 corrupt or truncated, 4 unsupported version or model, 5 limit exceeded, "
    "130 interrupted. Several files: the highest."
)
@click.argument("inputs", metavar="IN [OUT]", nargs=-1, required=True, type=FILE)
@format_options
@click.option(
    "--region",
    type=Region(),
    help="Decode this part only, in pixels from the top left corner of the stored picture; reads only the tiles it needs.  "
    "[default: all]",
)
@click.option(
    "--allow-partial",
    is_flag=True,
    help="From a damaged file, write what is whole, say what is missing, and exit with 3.  [default: write nothing]",
)
@batch_options
@cluster_option
@engine_options
@message_options
def decode(
    inputs: tuple[str, ...],
    format_name: str | None,
    eight_bit: bool,
    region: tuple[int, int, int, int] | None,
    allow_partial: bool,
    output_dir: str | None,
    jobs: int,
    force: bool,
    cluster: str | None,
    engine: Engine,
    messages: Messages,
) -> None:
    """Decode the .vqc file IN to the picture OUT.

    IN can be - for standard input. Without OUT, photo.vqc becomes photo.png beside it. The extension of OUT chooses the
    format; OUT can be - for standard output. Several inputs, and folders with all the .vqc files below them, need -o DIR.
    Inputs are never changed.
    """
    extension = FORMATS[format_name or DEFAULT_FORMAT][0]
    todo = jobs_for(inputs, output_dir, extension=extension, wanted=is_vqc, is_output=is_writable, as_json=messages.as_json)
    if output_dir is None:
        check_format(todo[0].target, format_name)
    workers = min(jobs, len(todo))
    work = DecodeFile(format_name, eight_bit, region, allow_partial, force, engine, workers)
    click.get_current_context().exit(report(run_files(work, todo, workers, cluster), len(todo), messages))


def is_writable(name: str) -> bool:
    """Whether the extension of the name is that of a format in which pictures are written."""
    return os.path.splitext(name)[1].lower() in _FORMAT_OF


def format_of(target: str) -> str:
    """Format name for an output by its extension; ValueError when no format has it."""
    if target == STREAM:
        return DEFAULT_FORMAT
    extension = os.path.splitext(target)[1].lower()
    if extension not in _FORMAT_OF:
        raise ValueError(f"no format for the extension of {target}; one of {' '.join(_FORMAT_OF)}, or --format.")
    return _FORMAT_OF[extension]


def check_format(target: str, format_name: str | None) -> None:
    """A usage error, before anything is done, when the output has neither --format nor an extension that tells one."""
    if format_name is None:
        try:
            format_of(target)
        except ValueError as error:
            raise click.UsageError(str(error)) from None


def damage_record(damage: Any) -> dict[str, Any]:
    """A place of damage as JSON."""
    return {"offset": damage.offset, "chunk": damage.chunk, "message": damage.message}


def damage_line(damage: Any) -> str:
    """A place of damage as one line."""
    where = [f"chunk {damage.chunk}"] if damage.chunk is not None else []
    where += [f"byte {damage.offset}"] if damage.offset is not None else []
    return f"{damage.message} ({', '.join(where)})" if where else damage.message
