"""`vqc rd`: rate-distortion evaluation of vqc and the codecs that people use now, on their own files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import PurePath
from time import perf_counter

import click

from vqc.batch import Outcome
from vqc.commands.options import FiniteFloat, cluster_option
from vqc.failures import describe

from .bd import MIN_OVERLAP
from .codecs import Codec, make_codecs
from .evaluation import Cost, Plan, available, computable, measure, new_summary, open_log
from .files import OutputFolder, read_bytes, same_place
from .find import codec_options, find
from .media import MEDIA, collect
from .medium import Medium
from .picture import PICTURE
from .previews import Detail, choose, details
from .report import write_report
from .results import Results, is_kodak, published_kodak, read_results
from .rows import ResumeError
from .summary import Comparison, Summary

_METRICS = "; ".join(f"of {medium.plural}: {', '.join(medium.metrics)}" for medium in MEDIA)
_DEFAULTS = "; ".join(f"for {medium.plural} {medium.codecs} by {medium.chosen_metrics}" for medium in MEDIA)


class Rd(click.Group):
    """`vqc rd INPUTS…` is short for `vqc rd run INPUTS…`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.command(
    epilog=f"Without --codecs and --metrics, measured are {_DEFAULTS}. "
    "Options of codecs go after colons, as in avif:speed=4 or jpeg:ladder=20/50/80:label=JPEG. "
    "`vqc rd find --help`: the setting of a codec that meets a target. "
    "Exit codes: 0 done, 1 something failed (the rest is done), 2 usage, 130 interrupted (--resume continues)."
)
@click.argument("inputs", nargs=-1, required=True)
@codec_options(None)
@click.option("--metrics", help=f"Measures of quality {_METRICS}.")
@click.option("--points", type=click.IntRange(2), default=6, show_default=True, metavar="N", help="Settings of each codec.")
@click.option("--out", required=True, metavar="DIR", help="Folder for the report, which is made if need be; path or URL.")
@click.option("--curves", multiple=True, metavar="FILE", help="Also compare with results in compressai's JSON; repeatable.")
@click.option(
    "--published",
    type=click.Choice(["auto", "kodak", "none"]),
    default="auto",
    show_default=True,
    help="Published curves on the Kodak set (VTM, BPG, models of compressai); auto: when INPUTS are that set.",
)
@click.option("--anchor", metavar="CODEC", help="Codec that BD-rates are printed against.  [default: jpeg, opus, or the first]")
@click.option(
    "--min-overlap",
    type=FiniteFloat(0, 1),
    default=MIN_OVERLAP,
    show_default=True,
    metavar="X",
    help="Refuse a BD-rate where the curves share less than this part of the shorter range of quality.",
)
@click.option("--crop", "crop_files", multiple=True, metavar="FILE", help="Show a detail of this input; repeatable.")
@click.option("--crops", type=click.IntRange(0), default=3, show_default=True, metavar="N", help="Inputs to show details of.")
@click.option("--resume", is_flag=True, help="Continue the run whose results are in --out.")
@click.option("-f", "--force", is_flag=True, help="Throw away results that are in --out.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Processes. Times are those of one process while the others run.  [default: one per CPU, --threads apart]",
)
@cluster_option
@click.option("--title", default="Rate-distortion report", show_default=True, help="Of the report and its plots.")
@click.option("--quiet", is_flag=True, help="No progress and no table; errors still.")
def run(
    inputs: tuple[str, ...],
    codecs: str | None,
    programs: tuple[tuple[str, str, str], ...],
    threads: int,
    metrics: str | None,
    points: int,
    out: str,
    curves: tuple[str, ...],
    published: str,
    anchor: str | None,
    min_overlap: float,
    crop_files: tuple[str, ...],
    crops: int,
    resume: bool,
    force: bool,
    jobs: int | None,
    cluster: str | None,
    title: str,
    quiet: bool,
) -> None:
    """Compare codecs on INPUTS: pictures, sounds or videos, folders of them, or URLs.

    Every codec encodes every file at several settings to real files. Into DIR go index.html, plots as PNG, results.json,
    CSV tables, and rows.jsonl, to which every measurement is added as it comes.
    """
    start, notes = perf_counter(), []

    def note(line: str) -> None:
        """What whoever reads the report has to know too."""
        notes.append(line)
        _tell(line)

    try:
        medium, found = collect(inputs)
        templates = {name: (encoder, decoder) for name, encoder, decoder in programs}
        chosen = make_codecs((codecs or medium.codecs).split(","), templates, threads, medium)
        wanted = medium.metrics_named(metrics or medium.chosen_metrics)
        extra = _extra_curves(medium, curves, published, found, [codec.label for codec in chosen], note)
        shown = _shown(crop_files, found, crops)
        if anchor and anchor not in {*(codec.label for codec in chosen), *(results.name for results in extra)}:
            raise ValueError(f"--anchor {anchor} is none of the codecs and curves")
    except (OSError, ValueError) as error:
        raise click.UsageError(describe(error).message) from error
    here = available(chosen, note)
    if not here:
        raise click.ClickException("none of the codecs is available")
    measures = computable(wanted, note)
    if not measures:
        raise click.ClickException("none of the metrics can be computed")
    workers = jobs or max(1, (os.cpu_count() or 1) // threads)
    plan = Plan(medium, found, here, measures, points, threads, workers, cluster)
    folder, summary, description = OutputFolder(out), new_summary(plan), plan.description()
    try:
        log = open_log(plan, description, folder, summary, resume=resume, force=force)
    except ResumeError as error:
        raise click.ClickException(str(error)) from error
    cost = measure(plan, log, summary, _tell, quiet=quiet)
    if not summary.measured():
        raise click.ClickException("nothing could be measured")
    crops_made = _details(summary, here, shown, workers, cluster)
    reference = anchor or (medium.anchor if medium.anchor in summary.measured() else summary.measured()[0])
    comparisons = write_report(
        folder,
        description,
        summary,
        extra,
        crops_made,
        log,
        notes=notes,
        anchor=reference,
        min_overlap=min_overlap,
        title=title,
        quiet=quiet,
    )
    if not quiet:
        _print_table(summary, comparisons, reference)
        _print_cost(cost, perf_counter() - start)
        click.echo(f"report: {folder.where('index.html')}")
    complete = not summary.failures and len(here) == len(chosen) and len(measures) == len(wanted)
    click.get_current_context().exit(0 if complete else 1)


@click.group(cls=Rd, commands={"run": run, "find": find})
def rd() -> None:
    """Rate-distortion evaluation: quality against size of several codecs."""


def _extra_curves(
    medium: Medium,
    files: Sequence[str],
    published: str,
    inputs: Sequence[str],
    labels: Sequence[str],
    note: Callable[[str], None],
) -> list[Results]:
    """Curves of the files and published ones; a name that a codec (of these labels) or curve has already gets its file's."""
    extra: list[Results] = []
    taken = set(labels)
    for file in files:
        for results in read_results(read_bytes(file), file, medium):
            numbered = (f"{results.name} ({file}, {number})" for number in count(2))
            names = chain((results.name, f"{results.name} ({file})"), numbered)
            name = next(name for name in names if name not in taken)
            taken.add(name)
            extra.append(replace(results, name=name))
    kodak = medium is PICTURE and is_kodak(PurePath(file).stem for file in inputs)
    if published == "kodak" and medium is not PICTURE:
        raise ValueError(f"--published kodak is for pictures, and the inputs are {medium.plural}")
    if published == "kodak" and not kodak:
        note("the published curves are means over the 24 Kodak pictures, and the inputs are others: do not compare them")
    if published == "kodak" or (published == "auto" and kodak):
        extra += (results for results in published_kodak() if results.name not in taken)
    return extra


def _shown(asked: Sequence[str], inputs: Sequence[str], count: int) -> list[str]:
    # The same file can be spelled ./a and a.
    known = {same_place(file): file for file in inputs}
    if unknown := [file for file in asked if same_place(file) not in known]:
        raise ValueError(f"--crop {unknown[0]} is not among the inputs")
    return [known[same_place(file)] for file in asked] or choose(inputs, count)


def _details(
    summary: Summary, codecs: Sequence[Codec], files: Sequence[str], workers: int, cluster: str | None
) -> list[Detail]:
    """Crops at the size of the first codec in the lower middle of its ladder, where differences show."""
    label = summary.measured()[0]
    complete = set(summary.complete(label))
    sizes: dict[str, int] = {}
    for file in files:
        if file in complete:
            every = summary.values(label, file, "bytes")
            sizes[file] = int(every[(len(every) - 1) // 2] or 0)
    made = []
    for item in details(sizes, codecs, workers, cluster):
        if isinstance(item, Outcome):
            _tell(f"{item.job.source}: no detail: {'; '.join(item.problems)}")
        else:
            made.append(item)
    return made


def _print_table(summary: Summary, comparisons: Sequence[Comparison], anchor: str) -> None:
    for metric in summary.metrics:
        against = [c for c in comparisons if c.metric == metric.name and c.anchor == anchor]
        if not against:
            continue
        click.echo(f"\nBD-rate against {anchor}, {metric.title}:")
        for found in sorted(against, key=lambda c: (c.rate is None, c.rate)):
            click.echo(f"  {found.test:34}{_cell(found)}")


def _cell(found: Comparison) -> str:
    if found.rate is None:
        return f"refused: {found.averages.reason or 'in every file'}"
    shared = found.averages.over_quality
    overlap = f", overlap {shared.share:.0%}" if shared else ""
    if found.rates is None:
        return f"{found.rate:+7.1f} %           (averaged curves{overlap})"
    refused = f", {found.rates.refused} refused" if found.rates.refused else ""
    return f"{found.rate:+7.1f} % ± {found.rates.deviation:5.1f}   ({found.rates.count} files{refused}{overlap})"


def _print_cost(cost: Cost, whole: float) -> None:
    if cost.codecs:
        by = f"by {cost.processes} processes, overhead {cost.overhead:.1%}" if cost.processes else "on a cluster"
        parts = f"codecs {cost.codecs:.1f} s, metrics {cost.metrics:.1f} s"
        click.echo(f"\nmeasured in {cost.wall:.1f} s {by}: {parts}; all with report {whole:.1f} s")


def _tell(line: str) -> None:
    click.echo(f"vqc rd: {line}", err=True)
    sys.stderr.flush()
