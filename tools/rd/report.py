"""Writes the report: tables for machines, PNGs for documents, and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from typing import Any

from tqdm import tqdm

from . import plots, tables
from .files import OutputFolder
from .medium import Medium
from .previews import Crop, Detail
from .results import Results, finite
from .rows import Row, RowLog
from .summary import Comparison, Summary, compare


def write_report(
    folder: OutputFolder,
    run: Row,
    summary: Summary,
    published: Sequence[Results],
    details: Sequence[Detail],
    log: RowLog,
    *,
    notes: Sequence[str],
    anchor: str,
    min_overlap: float,
    title: str,
    quiet: bool = False,
) -> list[Comparison]:
    """Write everything but the rows themselves into the folder and return the comparisons, single files left out.

    log: where all rows of the run are, failures too. notes: what a reader has to know. anchor: what speed is drawn against.
    """
    medium, labels = summary.medium, list(summary.settings)
    versions = {label: codec["version"] for label, codec in run["codecs"].items()}
    averages = summary.averages(versions)
    comparisons = _compare(folder, summary, averages, published, min_overlap, quiet)
    times = {
        results.name: tuple(summary.seconds_per_unit(results.name, key) for key in ("encoding_time", "decoding_time"))
        for results in averages
    }
    for results in averages:
        folder.write(f"curves/{tables.slug(results.name)}.json", tables.to_json(tables.codec_document(summary, results)))
    document = {
        "title": title,
        "run": run,
        "files": len({file for label in labels for file in summary.complete(label)}),
        "files_averaged": len(summary.common()),
        "codecs": [results.document() for results in averages],
        "published": [results.document() for results in published],
        times_key(medium): {label: dict(zip(("encoding", "decoding"), pair)) for label, pair in times.items()},
        "peak_memory": {
            label: {way: summary.peak(label, f"{way}_memory") for way in ("encoding", "decoding")} for label in times
        },
        "comparisons": [tables.comparison_document(comparison) for comparison in comparisons],
        "notes": list(notes),
        "failures": summary.failures,
    }
    folder.write("results.json", tables.to_json(finite(document)))
    columns = ("file", "codec", "setting", *medium.facts, *summary.columns[:-1], "error")
    folder.write("rows.csv", tables.rows_csv(summary.current(log.rows()), columns))
    if medium.series:
        folder.write("frames.csv", tables.frames_csv(summary.current(log.rows()), medium.series.key))
    folder.write("averages.csv", tables.averages_csv(averages))
    folder.write("bd.csv", tables.rows_csv(map(tables.comparison_row, comparisons), tables.BD_COLUMNS))
    pictures = _pictures(summary, averages, published, comparisons, times, anchor, title)
    if medium.series and details:
        pictures["frames.png"] = plots.frames_plot(medium.series.title, details, title)
    for name, png in pictures.items():
        folder.write(name, png)
    folder.write("index.html", page(document, summary, averages, published, details, anchor))
    return comparisons


def _compare(
    folder: OutputFolder,
    summary: Summary,
    averages: Sequence[Results],
    published: Sequence[Results],
    min_overlap: float,
    quiet: bool,
) -> list[Comparison]:
    """The comparisons without their single files, which go to bd_files.csv one comparison at a time: there may be millions."""
    kept = []

    def rows() -> Iterator[Row]:
        found = compare(summary, averages, published, min_overlap)
        for comparison in tqdm(found, "comparing", unit="pair", disable=quiet or None, leave=False):
            yield from tables.file_rows(comparison)
            kept.append(replace(comparison, files={}))

    folder.write("bd_files.csv", tables.rows_csv(rows(), tables.FILE_COLUMNS))
    return kept


def _pictures(
    summary: Summary,
    averages: Sequence[Results],
    published: Sequence[Results],
    comparisons: Sequence[Comparison],
    times: Mapping[str, Any],
    anchor: str,
    title: str,
) -> dict[str, bytes]:
    drawn, medium = [results for results in published if results.headline], summary.medium
    curves = {metric: plots.curve_plot(medium, metric, averages, drawn, title) for metric in summary.metrics}
    pictures = {f"rd-{metric.name}.png": png for metric, png in curves.items()}
    metric = summary.metrics[0]
    rates = {c.test: c.rate for c in comparisons if c.metric == metric.name and c.anchor == anchor and c.rate is not None}
    rates[anchor] = 0.0
    heading = f"{title}, {metric.title}"
    pictures["speed.png"] = plots.speed_plot(medium, anchor, rates, times, heading) if anchor in times else None
    return {name: png for name, png in pictures.items() if png}


def page(
    document: Mapping[str, Any],
    summary: Summary,
    averages: Sequence[Results],
    published: Sequence[Results],
    details: Sequence[Detail],
    anchor: str,
) -> str:
    """The HTML page: the template with all its data as one JSON block."""
    medium, curves = summary.medium, []
    for place, results in enumerate([*averages, *published]):
        for metric in summary.metrics:
            if (curve := results.curve(metric)) is not None and curve.rate:
                line = {"codec": results.name, "metric": metric.name, "rate": curve.rate, "quality": curve.quality}
                curves.append({**line, "published": results.published, "shown": results.headline, "place": place})
    data = {
        "title": document["title"],
        "medium": {
            "plural": medium.plural,
            "rate": medium.rate_name,
            "logarithmic": medium.logarithmic,
            "unit": medium.unit,
            "look": medium.look,
            "series": medium.series and medium.series.title,
        },
        "run": document["run"],
        "files": document["files"],
        "averaged": document["files_averaged"],
        "notes": document["notes"],
        "failures": [*document["failures"][:200]],
        "failed": len(document["failures"]),
        "metrics": [{"name": m.name, "title": m.title, "unit": m.unit} for m in summary.metrics],
        "curves": curves,
        "colours": plots.COLOURS,
        "anchor": anchor,
        "times": document[times_key(medium)],
        "memory": document["peak_memory"],
        "comparisons": document["comparisons"],
        "details": [_detail(detail) for detail in details],
    }
    # `</script>` in a file name must not end the block.
    text = json.dumps(finite(data), ensure_ascii=False).replace("<", "\\u003c")
    template = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return template.replace("/*DATA*/null", text)


def _detail(detail: Detail) -> dict[str, Any]:
    return {"file": os.path.basename(detail.file), "crops": [_crop(crop) for crop in detail.crops]}


def _crop(crop: Crop) -> dict[str, Any]:
    shown = crop.preview
    return {
        **{key: value for key, value in asdict(crop).items() if key != "preview"},
        "image": _data_url("image/png", shown.image),
        "sound": shown.sound and _data_url("audio/flac", shown.sound),
        "series": shown.series,
    }


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def times_key(medium: Medium) -> str:
    """Key of the times in results.json."""
    return f"seconds_per_{medium.unit.replace(' ', '_')}"
