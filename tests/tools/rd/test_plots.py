"""The plots: what is drawn can be read."""

from __future__ import annotations

from itertools import combinations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vqc.tools.rd.plots import label_points


def test_names_of_near_points_do_not_cover_points_or_one_another():
    figure = Figure(figsize=(5, 4))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    near = {"first codec": (1.0, 1.0), "second codec": (1.02, 1.0), "third": (1.01, 0.97)}
    points = {"jpeg": (0.0, 0.0), **near, "webp": (1.0, 0.5)}
    for point in points.values():
        axes.plot(*point, "o")
    axes.set(xlim=(-0.2, 1.2), ylim=(-0.2, 1.2))
    boxes = [text.get_window_extent() for text in label_points(axes, points)]
    assert len(boxes) == len(points)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*axes.transData.transform(point)) for box in boxes for point in points.values())
    assert all(box.x0 >= axes.bbox.x0 and box.x1 <= axes.bbox.x1 for box in boxes)
