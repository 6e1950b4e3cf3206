"""`vqc rd-sound`: rate against quality of sound, vqc beside Opus, AAC and MP3, by the bytes of whole files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from time import perf_counter

import click
import numpy as np
import torch

from vqc.sound import CODED_RATE, resample
from vqc.sound_files import open_sound
from vqc.tools.rd.sound_codecs import CODECS
from vqc.tools.rd.sound_metrics import MEASURES


def load(path: Path) -> np.ndarray:
    """A sound as (C, N) float32 at 48 kHz."""
    with open_sound(path) as (kind, blocks):
        return np.concatenate(list(resample(blocks, kind.channels, kind.rate, CODED_RATE)), axis=1)


def aligned(decoded: np.ndarray, length: int) -> np.ndarray:
    """Cut or padded to `length` samples."""
    decoded = decoded[:, :length]
    return np.pad(decoded, ((0, 0), (0, length - decoded.shape[1])))


def available(names: list[str]) -> list[str]:
    """The measures whose packages are installed; says which are left out."""
    wave = np.random.default_rng(0).normal(0, 0.1, (1, CODED_RATE)).astype(np.float32)
    found = []
    for name in names:
        try:
            MEASURES[name](wave, wave)
            found.append(name)
        except ImportError as error:
            click.echo(f"{name} is left out: {error} (extra: sound)", err=True)
    return found


def measure(codec: str, wave: np.ndarray, kbps: float, measures: list[str]) -> dict[str, float]:
    """One file of one codec: real rate, times (warm, of a second of sound) and measures."""
    start = perf_counter()
    data = CODECS[codec].encode(wave, kbps)
    middle = perf_counter()
    decoded = CODECS[codec].decode(data)
    end = perf_counter()
    seconds = wave.shape[1] / CODED_RATE
    decoded = aligned(np.clip(decoded, -1, 1), wave.shape[1])
    return {
        "kbps": len(data) * 8 / seconds / 1000,
        "encoding_time": (middle - start) / seconds,
        "decoding_time": (end - middle) / seconds,
        **{name: MEASURES[name](wave, decoded) for name in measures},
    }


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--codecs", default="vqc,opus", show_default=True, help=f"Out of {', '.join(CODECS)}.")
@click.option("--rates", default="3,6,9,12,24", show_default=True, help="Asked for, in kbit/s.")
@click.option("--metrics", default=",".join(MEASURES), show_default=True, help="Columns, in order.")
@click.option("--mono", is_flag=True, help="Mix everything down to mono first.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for rows.csv and averages.json.")
def command(inputs: tuple[Path, ...], codecs: str, rates: str, metrics: str, mono: bool, out: Path | None) -> None:
    """Measure codecs of sound on INPUTS, files or folders: rate of whole files, ViSQOL, STOI, mel distance, SI-SDR, times.

    The encoding time of vqc includes its search for the rate. One thread. A file that a codec refuses is reported and left out.
    """
    torch.set_num_threads(1)
    chosen, wanted = codecs.split(","), metrics.split(",")
    for name in [*chosen, *wanted]:
        if name not in CODECS and name not in MEASURES:
            raise click.UsageError(f"{name} is none of {', '.join([*CODECS, *MEASURES])}.")
    asked = [float(rate) for rate in rates.split(",")]
    wanted = available(wanted)
    paths = [p for given in inputs for p in (sorted(given.iterdir()) if given.is_dir() else [given])]
    rows: list[dict] = []
    for path in paths:
        try:
            wave = load(path)
        except ValueError as error:
            click.echo(f"{path}: {error}", err=True)
            continue
        wave = wave.mean(axis=0, keepdims=True) if mono else wave
        for codec in chosen:
            for rate in asked:
                try:
                    rows.append({"file": path.name, "codec": codec, "asked": rate} | measure(codec, wave, rate, wanted))
                except (ValueError, OSError) as error:
                    click.echo(f"{path.name}, {codec} at {rate:g} kbit/s: {error}", err=True)
    averages = []
    keys = ["kbps", *wanted, "encoding_time", "decoding_time"]
    click.echo("".join(f"{name:>15}" for name in ("codec", "asked", "files", *keys)))
    for codec in chosen:
        for rate in asked:
            part = [row for row in rows if row["codec"] == codec and row["asked"] == rate]
            if part:
                mean = {key: float(np.mean([row[key] for row in part])) for key in keys}
                averages.append({"codec": codec, "asked": rate, "files": len(part), **mean})
                click.echo(f"{codec:>15}{rate:>15g}{len(part):>15}" + "".join(f"{mean[key]:>15.4f}" for key in keys))
    if out is not None and rows:
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "rows.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        (out / "averages.json").write_text(json.dumps(averages, indent=1) + "\n")
    if not rows:
        raise click.ClickException("nothing could be measured")
