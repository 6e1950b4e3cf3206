"""`vqc rd find`: the setting of a codec that meets a target on one picture."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click
import torch

from vqc.commands.options import FiniteFloat
from vqc.failures import describe
from vqc.outputs import open_output

from .codecs import CODECS, Codec, make_codecs
from .media import collect
from .picture import PICTURE, load
from .picture_metrics import METRICS
from .search import Trial, largest_within, lowest_reaching

Command = Callable[..., Any]


def codec_options(default: str | None) -> Callable[[Command], Command]:
    """--codecs, --program and --threads, as `codecs`, `programs` and `threads`."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of each process."),
            click.option(
                "--program",
                "programs",
                type=(str, str, str),
                multiple=True,
                metavar="NAME ENCODER DECODER",
                help="A program as codec NAME, by two command lines with {source}, {coded}, {decoded}, {quality}; repeatable.",
            ),
            click.option("--codecs", default=default, show_default=True, help=_names()),
        ):
            command = option(command)
        return command

    return decorate


def _names() -> str:
    return "Codecs " + "; ".join(f"of {medium}s: {', '.join(codecs)}" for medium, codecs in CODECS.items()) + "."


@click.command()
@click.argument("file")
@codec_options("vqc")
@click.option("--target-psnr", type=FiniteFloat(), metavar="DB", help="PSNR over RGB of at least this.")
@click.option("--target-ms-ssim", type=FiniteFloat(0, 1), metavar="X", help="MS-SSIM of at least this, 0 to 1.")
@click.option("--target-ssimulacra2", type=FiniteFloat(max=100), metavar="X", help="SSIMULACRA 2 score of at least this.")
@click.option("--target-bytes", type=click.IntRange(1), metavar="N", help="A file of at most N bytes.")
@click.option("-o", "--output", metavar="OUT", help="Write the file found (one codec only); - is standard output.")
@click.option("-f", "--force", is_flag=True, help="Overwrite OUT.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per codec.")
def find(
    file: str,
    codecs: str,
    programs: tuple[tuple[str, str, str], ...],
    threads: int,
    target_psnr: float | None,
    target_ms_ssim: float | None,
    target_ssimulacra2: float | None,
    target_bytes: int | None,
    output: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Find the lowest setting of each codec that brings FILE to a quality, or the highest that keeps it within a size.

    Exactly one target is given. FILE is a picture, by path or URL. The exit code is 1 when a codec cannot meet the target.
    """
    wanted = {"psnr": target_psnr, "ms-ssim": target_ms_ssim, "ssimulacra2": target_ssimulacra2, "bytes": target_bytes}
    given = {name: target for name, target in wanted.items() if target is not None}
    if len(given) != 1:
        raise click.UsageError("give one of --target-psnr, --target-ms-ssim, --target-ssimulacra2 and --target-bytes.")
    try:
        medium, _ = collect([file])
        if medium is not PICTURE:
            raise ValueError(f"{file} is a {medium.name}: settings are found for pictures")
        chosen = make_codecs(codecs.split(","), {name: (encoder, decoder) for name, encoder, decoder in programs}, threads)
    except (OSError, ValueError) as error:
        raise click.UsageError(describe(error).message) from error
    if output and len(chosen) > 1:
        raise click.UsageError("-o takes the file of one codec.")
    ((name, target),) = given.items()
    torch.set_num_threads(threads)
    image = load(file)
    missed = 0
    for codec in chosen:
        try:
            trial = _search(codec, image, name, target)
        except (ValueError, RuntimeError, OSError) as error:
            click.echo(f"vqc rd find: {codec.label}: {describe(error).message}", err=True)
            missed = 1
            continue
        record = _record(codec, image, trial)
        click.echo(json.dumps(record) if as_json else _line(record), err=output == "-")
        if output:
            with open_output(output, force=force, source=file) as stream:
                stream.write(trial.data)
    click.get_current_context().exit(missed)


def _search(codec: Codec, image: Any, name: str, target: float) -> Trial:
    codec.version()
    if name == "bytes":
        return largest_within(codec, image, int(target))
    if METRICS[name].compute(image, image) is None:
        raise ValueError(f"{name} is not defined for a picture of {image.shape[1]}x{image.shape[0]}")
    return lowest_reaching(codec, image, target, lambda decoded: METRICS[name].compute(image, decoded))


def _record(codec: Codec, image: Any, trial: Trial) -> dict[str, Any]:
    decoded = codec.decode(trial.data)
    height, width = image.shape[:2]
    values = {METRICS[name].key: METRICS[name].compute(image, decoded) for name in ("psnr", "ms-ssim", "ssimulacra2")}
    size = len(trial.data)
    record = {"codec": codec.label, "setting": trial.setting, "bytes": size, "bpp": 8 * size / (width * height)}
    return {**record, **values, "encodes": trial.tries}


def _line(record: dict[str, Any]) -> str:
    shown = [f"PSNR {record['psnr-rgb']:.2f} dB"]
    shown += [f"MS-SSIM {record['ms-ssim-rgb']:.4f}"] if record["ms-ssim-rgb"] is not None else []
    shown += [f"SSIMULACRA 2 {record['ssimulacra2']:.1f}"] if record["ssimulacra2"] is not None else []
    size = f"{record['bytes']} bytes, {record['bpp']:.3f} bpp"
    return f"{record['codec']}: setting {record['setting']}, {size}, {', '.join(shown)}"
