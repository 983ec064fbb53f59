"""Small SVG files that are the same on every run, and the ``<img>`` that carries one."""

import io
import re
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

import matplotlib as mpl

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_svg(fig: "Figure", salt: str) -> str:
    """The figure as SVG without date and without what a picture does not need.

    Matplotlib writes absolute coordinates to a millionth of a point; relative ones to a hundredth take a third.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt, "svg.fonttype": "path"}):
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.S)
    # Letters are drawn on a grid of 64 units to the point and scaled down: whole numbers are exact there.
    text = re.sub(r'<path id="([^"]*)" d="([^"]*)" transform="scale\(0.015625\)"/>', _letter, text)
    text = re.sub(r'\bd="(M[^"]*)"', lambda m: f'd="{relative_path(m[1], 2)}"', text)
    text = re.sub(r'\b(x|y|transform)="([^"]*)"', lambda m: f'{m[1]}="{_rounded(m[2])}"', text)
    # An <img> is a document of its own: ids may be as short as they come, and those without a use go.
    short = {name: f"i{i}" for i, name in enumerate(dict.fromkeys(re.findall(r'[("]#([\w-]+)', text)))}
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{short[m[1]]}"' if m[1] in short else "", text)
    text = re.sub(r'([("])#([\w-]+)(?=[)"])', lambda m: f"{m[1]}#{short[m[2]]}", text)
    text = re.sub(r'style="([^"]*)"', lambda m: m[0].replace(": ", ":").replace("; ", ";"), text)
    return re.sub(r">\s+<", "><", text).strip()


def img_tag(svg_text: str, alt: str, extra: str = "") -> str:
    """An ``<img>`` that holds the SVG, percent-encoding only what a data address cannot hold."""
    # Single quotes inside let the address stand in double quotes without encoding every attribute's quotes.
    data = quote(svg_text.replace('"', "'"), safe=" ='/:;,.()-_!*@$?+[]{}|~^`")
    return (
        f'<img src="data:image/svg+xml,{data}" alt="{escape(alt, quote=True)}"{extra} '
        'style="display:block;max-width:100%;height:auto;margin:auto">'
    )


def relative_path(path: str, digits: int) -> str:
    """Path data with absolute M, L, Q, C, z rewritten with relative commands, rounded to ``digits`` decimals.

    Every point is rounded by itself and the differences are taken after that, so errors do not add up.
    """
    unit = 10**digits
    out, last = [], ""
    here = start = (0, 0)
    for command, numbers in re.findall(r"([MLQCz])([^MLQCz]*)", path):
        values = [round(float(n) * unit) for n in numbers.split()]
        points = list(zip(values[::2], values[1::2], strict=True))
        if command == "z":
            out.append("z")
            here, last = start, "z"
            continue
        deltas = [_number(p[i] - here[i], unit) for p in points for i in (0, 1)]
        letter = command.lower()
        # A repeated letter may be left out, and a line may follow a move without one.
        implied = letter == last or (letter == "l" and last == "m")
        out.append(_joined(deltas, "" if implied and letter != "m" else letter))
        here, last = points[-1], letter
        if command == "M":
            start = here
    return "".join(out)


def _joined(numbers: list[str], letter: str) -> str:
    """Numbers behind a command; a minus sign separates by itself."""
    text = letter
    for i, n in enumerate(numbers):
        first_behind_letter = i == 0 and letter
        text += n if first_behind_letter or n.startswith("-") else f" {n}"
    return text


def _number(value: int, unit: int) -> str:
    """value/unit in as few characters as possible: no trailing zeros, no zero before the point."""
    text = f"{value / unit:.2f}".rstrip("0").rstrip(".") if unit > 1 else str(value)
    return re.sub(r"^(-?)0\.", r"\1.", text) if text not in ("-0", "") else "0"


def _rounded(text: str) -> str:
    """Numbers in positions to a hundredth of a point; the tiny scale factors of letters keep their digits."""
    return re.sub(r"-?\d+\.\d{3,}", lambda n: f"{float(n[0]):.2f}" if abs(float(n[0])) >= 1 else n[0], text)


def _letter(match: re.Match) -> str:
    """The outline of a letter in whole units."""
    return f'<path id="{match[1]}" d="{relative_path(match[2], 0)}" transform="scale(0.015625)"/>'
