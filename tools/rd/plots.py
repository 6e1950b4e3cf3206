"""The report's pictures for documents: rate-distortion curves, and speed against BD-rate, as PNG."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from .medium import Medium, Metric
from .previews import Detail
from .results import Results

# Colours that stay apart on white and on black, and for most colour-blind eyes (after Okabe and Ito).
COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#b8860b", "#56b4e9", "#7b4fb5", "#8c564b")
# Where the name of a point may stand: offset in points, and the side of the text that is held there.
_BESIDE = tuple((x, y, side) for y in (6, -7) for x, side in ((6, "left"), (-6, "right"))) + tuple(
    (0, y, "center") for y in (10, -11, 19, -20)
)
_DASHES = ((4, 2), (1, 1.5), (6, 2, 1, 2), (3, 1), (6, 2, 1, 2, 1, 2), (2, 3), (8, 2), (1, 3))


def curve_plot(
    medium: Medium, metric: Metric, measured: Sequence[Results], published: Sequence[Results], title: str
) -> bytes | None:
    """Quality against rate: measured codecs in colour, published ones thin and dashed. None without any curve."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    lines = 0
    reach = 0.0
    for place, results in enumerate(measured):
        curve = results.curve(metric)
        if curve is not None and curve.rate:
            axes.plot(curve.rate, curve.quality, "o-", color=colour(place), label=results.name, markersize=4, zorder=3)
            reach, lines = max(reach, curve.rate[-1]), lines + 1
    for place, results in enumerate(published):
        curve = results.curve(metric)
        if curve is not None and curve.rate:
            dashes = _DASHES[(place + place // len(COLOURS)) % len(_DASHES)]
            style = {"color": colour(place * 3), "dashes": dashes, "linewidth": 1.0, "alpha": 0.8}
            axes.plot(curve.rate, curve.quality, label=results.name, **style)
            lines += 1
    if not lines:
        return None
    if medium.logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif reach:
        axes.set_xlim(0, reach * 1.03)
    axes.set(xlabel=f"{medium.rate_name} (whole files)", ylabel=f"{metric.title} [{metric.unit}]", title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return _png(figure)


def speed_plot(
    medium: Medium, anchor: str, rates: Mapping[str, float], times: Mapping[str, tuple[float, float]], title: str
) -> bytes | None:
    """BD-rate against the anchor over seconds per unit, encoding and decoding. rates: percent. None without any rate."""
    if not rates:
        return None
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    both = figure.subplots(1, 2, sharey=True)
    for axes, direction, name in zip(both, (0, 1), ("encoding", "decoding")):
        for place, (label, seconds) in enumerate(times.items()):
            if label in rates:
                axes.plot(seconds[direction], rates[label], "o", color=colour(place))
        axes.set_xscale("log")
        axes.margins(x=0.25, y=0.15)
        axes.set(xlabel=f"{name}, seconds per {medium.unit}")
        axes.grid(alpha=0.3, which="both")
    both[0].set_ylabel(f"BD-rate against {anchor} [%]")
    figure.suptitle(title)
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # the layout decides where points lie on the paper
    for axes, direction in zip(both, (0, 1)):
        label_points(axes, {label: (seconds[direction], rates[label]) for label, seconds in times.items() if label in rates})
    return _png(figure)


def frames_plot(axis: str, details: Sequence[Detail], title: str) -> bytes | None:
    """Quality of every frame of the details, all codecs of a file at nearly the same bytes. None without any."""
    shown = [detail for detail in details if any(crop.preview.series for crop in detail.crops)]
    if not shown:
        return None
    figure = Figure(figsize=(9, 3.2 * len(shown)), layout="constrained")
    for axes, detail in zip(figure.subplots(len(shown), squeeze=False)[:, 0], shown):
        coded = [crop for crop in detail.crops if crop.preview.series]
        for place, crop in enumerate(coded):
            axes.plot(crop.preview.series, color=colour(place), label=f"{crop.label}, {crop.bytes} bytes", linewidth=1.2)
        axes.set(title=os.path.basename(detail.file), xlabel="frame", ylabel=axis)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.suptitle(title)
    return _png(figure)


def label_points(axes: Any, points: Mapping[str, tuple[float, float]]) -> list[Any]:
    """Name the points where the names cover neither a point nor one another, as far as there is room; the texts."""
    pixels = {label: axes.transData.transform(point) for label, point in points.items()}
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in pixels.values()]
    texts = []
    for label, point in points.items():
        tried = []
        for x, y, side in _BESIDE:
            style = {"xytext": (x, y), "textcoords": "offset points", "ha": side, "va": "center", "fontsize": 8}
            text = axes.annotate(label, point, **style)
            box = text.get_window_extent()
            outside = box.x0 < axes.bbox.x0 or box.x1 > axes.bbox.x1
            tried.append((box.count_overlaps(taken) + outside, len(tried), text, box))
            text.remove()
        _, _, text, box = min(tried)
        axes.add_artist(text)
        taken.append(box)
        texts.append(text)
    return texts


def colour(place: int) -> str:
    """Colour of the codec at this place among the measured ones."""
    return COLOURS[place % len(COLOURS)]


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
