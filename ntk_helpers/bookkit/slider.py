"""Sliders that work without a kernel: pre-rendered frames and one range input."""

import re
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from ntk_helpers.bookkit.figures import check_texts, close
from ntk_helpers.bookkit.plotted import figure_csv
from ntk_helpers.bookkit.session import current, emit
from ntk_helpers.bookkit.svg import figure_svg, img_tag

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SLIDER_BYTES = 200_000

# Shows frame number `value`, says its value beside the slider and to screen readers. It looks for its own <figure>
# only, so that any number of sliders can stand on a page.
_SCRIPT = (
    "var f=this.closest('figure'),m=f.querySelectorAll('img'),i=+this.value;"
    "m.forEach(function(e,k){e.style.display=k===i?'block':'none'});"
    "f.querySelector('output').textContent=m[i].dataset.value;"
    "this.setAttribute('aria-valuetext',m[i].dataset.value)"
)


def slider(
    frames: "Callable[[Any], Figure] | Sequence[Figure]",
    values: Sequence[Any],
    *,
    name: str,
    label: str,
    caption: str,
    alt: str | Sequence[str],
) -> None:
    """Show figures one at a time, chosen by a slider that works in a static page, by mouse, touch and keyboard.

    Without JavaScript the first frame is seen. All frames should share their size and their axis limits.

    Args:
        frames: a function from a value to its figure (each is closed once rendered), or the figures.
        values: one value for each frame, shown beside the slider.
        name: short name in letters, digits and hyphens, once per page.
        label: what the slider changes, for example ``"width"``.
        caption: sentences that read the figure; no measured digits.
        alt: what the figure shows, at least 40 characters; one text, or one for each frame.

    Raises:
        ValueError: numbers of frames, values and texts differ, fewer than two frames, or more than 200 kB in total.
    """
    values = list(values)
    if len(values) < 2:
        raise ValueError(f"values: a slider needs at least two frames, got {len(values)}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
        raise ValueError(f"name: letters, digits and hyphens, starting with a letter; got {name!r}")
    if not label.strip():
        raise ValueError("label: say what the slider changes")
    if not callable(frames) and len(frames) != len(values):
        raise ValueError(f"frames: {len(frames)} figures for {len(values)} values")
    alts = [alt] * len(values) if isinstance(alt, str) else list(alt)
    if len(alts) != len(values):
        raise ValueError(f"alt: {len(alts)} texts for {len(values)} values")
    images, drawn = [], []
    for i, value in enumerate(values):
        check_texts(caption, alts[i])
        fig = frames(value) if callable(frames) else frames[i]
        text = alts[i] if not isinstance(alt, str) else f"{alts[i]} Shown for {label} {value}."
        images.append(_frame(figure_svg(fig, current.chapter or "ntk-book"), text, str(value), first=i == 0))
        close(fig)
        drawn.append(fig)
    data = figure_csv(drawn, [str(v) for v in values])
    html = _html(images, [str(v) for v in values], name, label, caption)
    if len(html) > MAX_SLIDER_BYTES:
        raise ValueError(
            f"the slider takes {len(html) / 1000:.0f} kB, allowed are {MAX_SLIDER_BYTES / 1000:.0f}: "
            f"use fewer than {len(values)} frames, or fewer points in each"
        )
    emit(f"Slider over {label} ({', '.join(map(str, values))}): {caption}", html, {"text/csv": data} if data else None)


def _frame(svg_text: str, alt: str, value: str, *, first: bool) -> str:
    """One frame; all but the first are hidden."""
    tag = img_tag(svg_text, alt, f' data-value="{escape(value, quote=True)}"')
    return tag if first else tag.replace("display:block", "display:none")


def _html(images: list[str], values: list[str], name: str, label: str, caption: str) -> str:
    """The figure with its control between picture and caption."""
    control = f"ntk-slider-{current.chapter or 'book'}-{name}"
    return (
        f'<figure class="ntk-figure ntk-slider" style="margin:1em 0">{"".join(images)}'
        '<div style="display:flex;flex-wrap:wrap;gap:0.6em;align-items:center;justify-content:center">'
        f'<label for="{control}">{escape(label)}</label>'
        f'<input id="{control}" type="range" min="0" max="{len(images) - 1}" value="0" step="1" autocomplete="off" '
        f'aria-valuetext="{escape(values[0], quote=True)}" style="flex:1 1 10em;max-width:22em;min-height:2em" '
        f'oninput="{_SCRIPT}"><output for="{control}" style="min-width:4em">{escape(values[0])}</output></div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
