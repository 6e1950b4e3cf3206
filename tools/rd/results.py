"""Rate-distortion results as files in the shape that compressai writes: name, description, results of lists."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from .bd import Curve, curve
from .medium import Medium, Metric
from .picture import PICTURE

KODAK_FILES = frozenset(f"kodim{number:02}" for number in range(1, 25))


@dataclass(frozen=True)
class Results:
    """Points of a codec, averaged over files: lists of the same length under the key of the rate and those of metrics.

    published: not measured in this run. headline: drawn without being asked for. rate: key of the rate.
    """

    name: str
    description: str
    results: dict[str, list[Any]]
    published: bool = False
    headline: bool = True
    rate: str = "bpp"

    def curve(self, metric: Metric) -> Curve | None:
        """Its curve in a metric, on the axis of the metric; None when it has no such results."""
        values = self.results.get(metric.key)
        if values is None:
            return None
        return curve(self.results[self.rate], [None if value is None else metric.axis(value) for value in values])

    def document(self) -> dict[str, Any]:
        """As written to a file; infinities, which JSON does not have, as null."""
        return {"name": self.name, "description": self.description, "results": finite(self.results)}


def finite(value: Any) -> Any:
    """The value with every infinity and NaN in it replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_results(data: bytes, origin: str, medium: Medium = PICTURE) -> list[Results]:
    """Results on files of the medium, out of JSON: one object with `results`, a list of such, or bare lists by key, as
    eval_model may print them.

    compressai's eval_model names its keys `psnr` and `ms-ssim` in older files; they count as over RGB.
    Raises ValueError, naming `origin`, for anything else.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ValueError(f"{origin} is not JSON: {error}") from error
    entries = document if isinstance(document, list) else [document]
    return [_read_entry(entry, origin, medium) for entry in entries]


def _read_entry(entry: Any, origin: str, medium: Medium) -> Results:
    if not isinstance(entry, dict):
        raise ValueError(f"{origin}: results are an object with name, description and results, not {type(entry).__name__}")
    results = entry.get("results", entry)
    if not isinstance(results, dict):
        raise ValueError(f"{origin}: `results` is an object of lists, not {type(results).__name__}")
    renamed = {"psnr": "psnr-rgb", "ms-ssim": "ms-ssim-rgb"}
    lists = {renamed.get(key, key): value for key, value in results.items() if isinstance(value, list)}
    keys = [metric.key for metric in medium.metrics.values()]
    wanted = [medium.rate, *(key for key in keys if key in lists)]
    if medium.rate not in lists or len(wanted) < 2:
        raise ValueError(f"{origin}: no list `{medium.rate}`, or none of a metric ({', '.join(keys)})")
    for key in wanted:
        _check_numbers(lists[key], lists[medium.rate], f"{origin}: `{key}`", medium.rate)
    for key in wanted:
        if key.startswith("ms-ssim") and any(value is not None and not 0 <= value <= 1 for value in lists[key]):
            raise ValueError(f"{origin}: `{key}` is outside 0..1 (it must not be in dB)")
    name = str(entry.get("name", origin))
    return Results(name, str(entry.get("description", "")), lists, True, bool(entry.get("headline", True)), medium.rate)


def _check_numbers(values: list[Any], rates: list[Any], what: str, rate: str) -> None:
    if len(values) != len(rates):
        raise ValueError(f"{what} has {len(values)} values and `{rate}` {len(rates)}")
    for value in values:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{what} holds {value!r}, which is not a number")


def published_kodak() -> list[Results]:
    """The published curves on the 24 Kodak pictures that come with vqc, each with its source in its description."""
    name = "kodak_published.json"
    return read_results(files(__package__).joinpath("curves", name).read_bytes(), name)


def is_kodak(stems: Iterable[str]) -> bool:
    """Whether pictures of these names, without folder and extension, are the 24 of the Kodak set."""
    return sorted(stems) == sorted(KODAK_FILES)
