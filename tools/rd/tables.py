"""The report's files for machines: results.json, one file per codec in compressai's shape, and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from .results import Results, finite
from .rows import Row
from .summary import Comparison, Summary


def codec_document(summary: Summary, results: Results) -> dict[str, Any]:
    """A codec in compressai's shape, with the same lists for each file under `per_file`."""
    per_file = {
        file: {key: summary.values(results.name, file, key) for key in summary.measured_keys}
        for file in summary.complete(results.name)
    }
    return {**results.document(), "files_averaged": len(summary.common()), "per_file": finite(per_file)}


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """A comparison without its single files, which are in bd_files.csv."""
    document = {key: value for key, value in asdict(comparison).items() if key != "files"}
    return finite({**document, "rate": comparison.rate, "quality": comparison.quality})


def rows_csv(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """Rows as CSV; a value that a row does not have is empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def frames_csv(rows: Iterable[Row], key: str) -> str:
    """One line per frame: what the rows hold as a list under `key`."""
    columns = ("file", "codec", "setting", "frame", key)
    lines = ({**row, "frame": frame, key: value} for row in rows for frame, value in enumerate(row.get(key, ())))
    return rows_csv(lines, columns)


def averages_csv(averages: Sequence[Results]) -> str:
    """One line per codec and setting."""
    keys = list(dict.fromkeys(key for results in averages for key in results.results))
    rows = (
        {"codec": results.name, **{key: values[place] for key, values in results.results.items()}}
        for results in averages
        for place in range(len(results.results["setting"]))
    )
    return rows_csv(rows, ["codec", *keys])


BD_COLUMNS = (
    "metric", "anchor", "test", "bd_rate_percent", "bd_rate_deviation", "bd_quality", "bd_quality_deviation", "files",
    "refused", "bd_rate_of_averages", "bd_quality_of_averages", "quality_from", "quality_to", "quality_overlap", "reason",
)  # fmt: skip


def comparison_row(comparison: Comparison) -> Row:
    """A comparison as a line of bd.csv. Overlap and range are those of the averaged curves."""
    shared = comparison.averages.over_quality
    return {
        "metric": comparison.metric,
        "anchor": comparison.anchor,
        "test": comparison.test,
        "bd_rate_percent": comparison.rate,
        "bd_rate_deviation": comparison.rates and comparison.rates.deviation,
        "bd_quality": comparison.quality,
        "bd_quality_deviation": comparison.qualities and comparison.qualities.deviation,
        "files": comparison.rates.count if comparison.rates else 0,
        "refused": comparison.compared - (comparison.rates.count if comparison.rates else 0),
        "bd_rate_of_averages": comparison.averages.rate,
        "bd_quality_of_averages": comparison.averages.quality,
        "quality_from": shared and shared.low,
        "quality_to": shared and shared.high,
        "quality_overlap": shared and shared.share,
        "reason": comparison.averages.reason,
    }


FILE_COLUMNS = ("metric", "anchor", "test", "file", "bd_rate_percent", "bd_quality", "quality_overlap", "reason")


def file_rows(comparison: Comparison) -> Iterable[Row]:
    """The deltas of single files as lines of bd_files.csv."""
    for file, delta in comparison.files.items():
        yield {
            "metric": comparison.metric,
            "anchor": comparison.anchor,
            "test": comparison.test,
            "file": file,
            "bd_rate_percent": delta.rate,
            "bd_quality": delta.quality,
            "quality_overlap": delta.over_quality and delta.over_quality.share,
            "reason": delta.reason,
        }


def to_json(document: Any) -> str:
    """JSON with lists of numbers on one line."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return re.sub(r"\[[^\[\]{}\"]*\]", lambda match: re.sub(r"\s+", " ", match[0]), text) + "\n"


def slug(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", label).strip("_") or "codec"
