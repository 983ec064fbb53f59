"""Take the solutions of exercises out of a chapter: for a students' site, `make book SOLUTIONS=hide`.

A chapter's solution is a folded text, <details><summary>Solution</summary> ... </details>, or a {solution} directive,
and the code cells tagged hide-cell. What is left is searched again: a solution in a form that is not known here stops
the build instead of slipping through.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

SWITCH = "BOOK_SOLUTIONS"  # the environment variable; "hide" takes the solutions out
FOLDED = re.compile(r"\n*<details[^>]*>\s*<summary>\s*Solution.*?</details>[ \t]*", re.S | re.I)
DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{solution(?P<gated>-start)?\}.*?^(?P=fence)[ \t]*$"
    r"(?(gated).*?^(?P=fence)\{solution-end\}\s*\n(?P=fence)[ \t]*$)",
    re.S | re.M,
)
LEFT = re.compile(r"<summary>\s*Solution|\{solution", re.I)


def text(value: str | list[str]) -> str:
    """Notebook files hold texts as one string or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def without(markdown: str) -> str:
    """A text without its solutions."""
    return DIRECTIVE.sub("", FOLDED.sub("", markdown))


def is_solution(cell: dict[str, Any]) -> bool:
    """Whether a code cell belongs to a solution."""
    return cell["cell_type"] == "code" and "hide-cell" in cell["metadata"].get("tags", ())


def stripped(notebook: dict[str, Any], name: str = "notebook") -> dict[str, Any]:
    """The notebook without solutions. Raises ValueError where something looks like one and isn't in a known form."""
    cells = []
    for cell in notebook["cells"]:
        if is_solution(cell):
            continue
        if cell["cell_type"] != "markdown":
            cells.append(cell)
            continue
        source = without(text(cell["source"]))
        if LEFT.search(source):
            raise ValueError(f"{name}: a solution in a form that tools/hide_solutions.py doesn't know: {source[:200]}")
        if source.strip():
            cells.append({**cell, "source": source})
    return {**notebook, "cells": cells}


def hiding() -> bool:
    """Whether the site that is being built goes to students."""
    return os.environ.get(SWITCH) == "hide"


def as_built(path: Path) -> dict[str, Any]:
    """A chapter as its page has it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return stripped(notebook, path.name) if hiding() else notebook


def strip_json(content: str, name: str = "notebook") -> str:
    """The same for the text of an .ipynb file."""
    return json.dumps(stripped(json.loads(content), name), ensure_ascii=False, indent=1) + "\n"


def main() -> int:
    """Write a chapter without solutions: tools/hide_solutions.py notebooks/05_x.ipynb students/05_x.ipynb."""
    source, target = map(Path, sys.argv[1:3])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(strip_json(source.read_text(encoding="utf-8"), source.name), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
