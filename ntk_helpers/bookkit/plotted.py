"""What a figure draws, as a table: lines, points, bands and bars of every panel, in the units of its axes."""

import csv
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("panel", "series", "kind", "x", "y", "y_high")
MAX_BYTES = 40_000

Series = tuple[str, str, np.ndarray]  # name, kind, and rows of (x, y) or (x, y, y_high)


def figure_csv(figs: "Figure | list[Figure]", values: list[str] | None = None) -> str:
    """Return the data of a figure, or of the frames of a slider, as CSV, or "" where nothing in it has data.

    One row for each point: the panel (its title, or its number from 1), the series (its legend, or line1, line2, ...),
    the kind (line, points, band, bar), x, y, and for a band and a bar their upper edge in y_high. Six digits are kept.
    Pictures (imshow) and text aren't listed. Above 40 kB every series is thinned, and the first line says so.

    Args:
        figs: the figure, or one for each value.
        values: what the slider shows beside each frame; it becomes a first column "frame".
    """
    frames = figs if isinstance(figs, list) else [figs]
    names = values if values is not None else [""] * len(frames)
    found = [
        (frame, panel, series)
        for frame, fig in zip(names, frames, strict=True)
        for panel, ax in _panels(fig)
        for series in _series(ax)
    ]
    if not found:
        return ""
    step = 1
    while len(text := _table(found, step, framed=values is not None)) > MAX_BYTES and step < 1000:
        step += 1
    return text


def _table(found: list[tuple[str, str, Series]], step: int, *, framed: bool) -> str:
    """The rows, every ``step``-th of each series."""
    out = io.StringIO()
    if step > 1:
        out.write(f"# one point in {step} of each series\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((["frame"] if framed else []) + list(COLUMNS))
    for frame, panel, (name, kind, points) in found:
        for row in points[::step]:
            numbers = [f"{value:.6g}" if np.isfinite(value) else "" for value in row]
            writer.writerow(([frame] if framed else []) + [panel, name, kind, *numbers, *[""] * (3 - len(numbers))])
    return out.getvalue()


def _panels(fig: "Figure") -> Iterator[tuple[str, "Axes"]]:
    """The axes that hold data, with a name each; a colour bar's holds none."""
    for number, ax in enumerate(fig.axes, start=1):
        if ax.get_label() != "<colorbar>":
            yield ax.get_title().strip() or str(number), ax


def _series(ax: "Axes") -> Iterator[Series]:
    """Everything drawn in an axes whose coordinates are data."""
    from matplotlib.collections import PathCollection, PolyCollection

    for number, line in enumerate(ax.lines, start=1):
        points = np.column_stack([_numbers(line.get_xdata(orig=False)), _numbers(line.get_ydata(orig=False))])
        # Lines across the whole axes (axhline) have one coordinate in another unit.
        if line.get_transform() == ax.transData and len(points):
            yield _name(line, f"line{number}"), "line", points
    for number, artist in enumerate(ax.collections, start=1):
        if isinstance(artist, PathCollection):
            if len(points := np.asarray(artist.get_offsets(), dtype=float)):
                yield _name(artist, f"points{number}"), "points", points
        elif isinstance(artist, PolyCollection):
            for points in filter(len, map(_band, artist.get_paths())):
                yield _name(artist, f"band{number}"), "band", points
    for number, container in enumerate(ax.containers, start=1):
        bars = [(b.get_x() + b.get_width() / 2, b.get_y(), b.get_y() + b.get_height()) for b in _bars(container)]
        if bars:
            yield _name(container, f"bars{number}"), "bar", np.array(bars, dtype=float)


def _bars(container) -> list:
    """The bars of a container; error bars have none."""
    from matplotlib.container import BarContainer

    return list(container) if isinstance(container, BarContainer) else []


def _band(path) -> np.ndarray:
    """(x, low, high) from the outline that ``fill_between`` draws; empty where it isn't one."""
    corners = path.vertices
    n = (len(corners) - 3) // 2
    if len(corners) != 2 * n + 3 or n < 1:
        return np.empty((0, 3))
    there, back = corners[1 : n + 1], corners[n + 2 : 2 * n + 2][::-1]
    if not np.array_equal(there[:, 0], back[:, 0]):
        return np.empty((0, 3))
    return np.column_stack([there[:, 0], np.minimum(there[:, 1], back[:, 1]), np.maximum(there[:, 1], back[:, 1])])


def _name(artist, otherwise: str) -> str:
    """The legend's text; matplotlib names what has none with an underscore."""
    label = str(artist.get_label() or "").strip()
    return label if label and not label.startswith("_") else otherwise


def _numbers(values) -> np.ndarray:
    """Coordinates as floats; a place that masked arrays leave out is NaN."""
    return np.ma.filled(np.ma.asarray(values, dtype=float), np.nan).ravel()
