"""Figures: one style, bands over seeds, reference slopes, and output that reads on a page, a phone and in Colab.

A figure is shown as an SVG inside an ``<img>``: it keeps its own ids (several figures on a page cannot clash), carries
its alternative text, and survives the sanitizers of JupyterLab and Colab.
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import jax
import matplotlib as mpl
import numpy as np
from jaxtyping import Num

from ntk_helpers.bookkit.plotted import figure_csv
from ntk_helpers.bookkit.session import current, emit
from ntk_helpers.bookkit.statistics import Slope
from ntk_helpers.bookkit.svg import figure_svg, img_tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with every common form of colour blindness. Black is for theory.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
THEORY = "#000000"

MAX_FIGURE_BYTES = 60_000
MIN_ALT = 40  # characters; shorter text names the figure and does not say what it shows

_STYLE = {
    # On a phone 374 points of width become about 350 pixels: 12 points of text then stand at 11 pixels.
    "figure.figsize": (5.2, 3.4),
    "font.size": 12,
    "axes.titlesize": 12,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "lines.linewidth": 1.8,
    "image.cmap": "cividis",
    # A white card is read on a dark page too; transparent figures with black text are not.
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 110,  # of rasterized artists
    "svg.fonttype": "path",  # the same letters in every browser, formulas included
    "path.simplify_threshold": 0.3,
}


def use_style(salt: str = "ntk-book") -> None:
    """Set the book's matplotlib style; ``nh.chapter`` does this.

    Args:
        salt: seed of the ids inside SVG files, so that the same figure gives the same file.
    """
    mpl.rcParams.update({**_STYLE, "svg.hashsalt": salt})


def band(
    ax: "Axes",
    x: Num[np.ndarray, " points"] | Num[jax.Array, " points"] | Sequence[float],
    samples: Num[np.ndarray, "seeds points"] | Num[jax.Array, "seeds points"],
    *,
    label: str | None = None,
    color: str | None = None,
    quantiles: tuple[float, float] = (0.1, 0.9),
    **line: Any,
) -> None:
    """Draw the median over seeds as a line and a band between two quantiles.

    Args:
        ax: axes to draw on.
        x: shape (points,).
        samples: shape (seeds, points), at least two seeds.
        label: for the legend.
        color: of line and band.
        quantiles: lower and upper edge of the band.
        **line: passed to ``ax.plot``.

    Raises:
        ValueError: shapes that do not fit, fewer than two seeds, a value that is not finite.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(samples, dtype=float)
    if ys.ndim != 2 or xs.shape != ys.shape[1:]:
        raise ValueError(f"band: x (points,) and samples (seeds, points) do not fit: got {xs.shape} and {ys.shape}")
    if len(ys) < 2:
        raise ValueError("band: one seed has no spread; give at least two")
    if not np.isfinite(ys).all():
        raise ValueError(f"band: {np.sum(~np.isfinite(ys))} of {ys.size} samples are not finite")
    lo, mid, hi = np.quantile(ys, [quantiles[0], 0.5, quantiles[1]], axis=0)
    (drawn,) = ax.plot(xs, mid, label=label, color=color, **line)
    ax.fill_between(xs, lo, hi, color=drawn.get_color(), alpha=0.22, linewidth=0)


def loglog_with_slope(
    ax: "Axes",
    x: Num[np.ndarray, " points"] | Num[jax.Array, " points"] | Sequence[float],
    y_samples: Num[np.ndarray, "seeds points"] | Num[jax.Array, "seeds points"],
    *,
    slope: float,
    label: str = "networks",
    fit: Slope | None = None,
    theory: str | None = None,
    color: str | None = None,
) -> None:
    """Draw samples over seeds on logarithmic axes, with the slope that theory gives as a dashed line.

    The line of theory passes through the geometric mean of the data: its slope is the claim, its height is not.

    Args:
        ax: axes to draw on.
        x: shape (points,), positive.
        y_samples: shape (seeds, points); the mean over seeds and the band of the seeds are drawn.
        slope: exponent that theory gives.
        label: for the data.
        fit: result of ``nh.fit_slope``; its slope and interval then stand in the legend.
        theory: legend of the dashed line; "slope -1 (theory)" unless given.
        color: of the data.

    Raises:
        ValueError: shapes that do not fit, or a mean that is not positive.
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y_samples, dtype=float)
    if ys.ndim != 2 or xs.shape != ys.shape[1:]:
        raise ValueError(
            f"loglog_with_slope: x {xs.shape} and y_samples {ys.shape} do not fit (points, seeds x points)"
        )
    mean = ys.mean(axis=0)
    if not ((xs > 0).all() and (mean > 0).all() and np.isfinite(mean).all()):
        raise ValueError("loglog_with_slope: x and the means over seeds must be positive and finite")
    if fit is not None:
        label = f"{label}: slope {fit.slope:.2f} [{fit.interval[0]:.2f}, {fit.interval[1]:.2f}]"
    lo, hi = np.quantile(ys, [0.1, 0.9], axis=0)
    (drawn,) = ax.plot(xs, mean, "o-", label=label, color=color)
    # A seed below zero has no place on a logarithmic axis; the band then ends at a hundredth of the mean.
    ax.fill_between(xs, np.maximum(lo, mean / 100), hi, color=drawn.get_color(), alpha=0.22, linewidth=0)
    height = np.exp(np.mean(np.log(mean)) - slope * np.mean(np.log(xs)))
    ax.plot(xs, height * xs**slope, "--", color=THEORY, label=theory or f"slope {slope:g} (theory)")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.legend()


def show(fig: "Figure", *, caption: str, alt: str) -> None:
    """Show a figure with its caption and its alternative text, and close it.

    The numbers that it draws are stored beside it as CSV; the book's page offers them for download.

    Args:
        fig: the figure.
        caption: sentences that read the figure; formulas in ``$...$``. It is the text that nbval compares, so it
            holds no measured digits.
        alt: what the figure shows, for who cannot see it: axes, curves and what they do, 40 characters or more.

    Raises:
        ValueError: caption or alt text are missing or too short, or the figure is above 60 kB.
    """
    check_texts(caption, alt)
    image = img_tag(figure_svg(fig, current.chapter or "ntk-book"), alt)
    data = figure_csv(fig)
    close(fig)
    html = f'<figure class="ntk-figure" style="margin:1em 0">{image}<figcaption>{escape(caption)}</figcaption></figure>'
    if len(html) > MAX_FIGURE_BYTES:
        raise ValueError(
            f"the figure takes {len(html) / 1000:.0f} kB, allowed are {MAX_FIGURE_BYTES / 1000:.0f}: draw fewer "
            "points, or pass rasterized=True to the artist that has many (scatter, imshow, pcolormesh)"
        )
    emit(f"Figure: {caption}", html, {"text/csv": data} if data else None)


def check_texts(caption: str, alt: str) -> None:
    """Caption and alternative text are there and say more than a name."""
    if not caption.strip():
        raise ValueError("caption: a figure needs a sentence that reads it")
    if len(alt.strip()) < MIN_ALT:
        raise ValueError(f"alt: say what the figure shows in at least {MIN_ALT} characters, got {alt!r}")


def close(fig: "Figure") -> None:
    """Close a figure, so that Jupyter's inline backend does not show it a second time."""
    import matplotlib.pyplot as plt

    plt.close(fig)
