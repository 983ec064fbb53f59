"""Check that every key of a citation, a claim or a chapter stands in book/references.bib."""

import re
import sys
import tomllib
from pathlib import Path

import book_map
import nbformat
from pybtex.database import parse_file

ROOT = book_map.ROOT
CITE = re.compile(r"\{(?:foot)?cite(?::\w+)?\}`([^`]+)`")


def cited(text: str) -> set[str]:
    """Return the keys that the citations of a MyST text name."""
    keys = (key.strip() for match in CITE.finditer(text) for key in match[1].split(","))
    return {re.sub(r".*<(.*)>$", r"\1", key) for key in keys if key}


def uses() -> list[tuple[str, str]]:
    """Return (where, key) for every use of a key."""
    found: list[tuple[str, str]] = []
    for path in sorted((ROOT / "book").glob("*.md")):
        found += [(str(path.relative_to(ROOT)), key) for key in cited(path.read_text(encoding="utf-8"))]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        found += [(str(path.relative_to(ROOT)), key) for key in cited(text)]
    for path in sorted((ROOT / "book" / "claims").glob("*.toml")):
        found += [(str(path.relative_to(ROOT)), key) for key in papers(tomllib.loads(path.read_text(encoding="utf-8")))]
    _, chapters = book_map.load()
    found += [("book/chapters.toml", key) for chapter in chapters for key in chapter.papers]
    return found


def papers(table: dict) -> set[str]:
    """Return the values of `paper` anywhere in a contract; "ours" is no paper."""
    keys: set[str] = set()
    for name, value in table.items():
        if isinstance(value, dict):
            keys |= papers(value)
        elif name == "paper" and value != "ours":
            keys.add(value)
    return keys


def main() -> int:
    """Report each unknown key with its place."""
    known = set(parse_file(Path(ROOT / "book" / "references.bib"), bib_format="bibtex").entries)
    used = uses()
    faults = [
        f"references: {where} names {key!r}, which book/references.bib lacks" for where, key in used if key not in known
    ]
    print(
        "\n".join(faults)
        if faults
        else f"references: {len(used)} uses of {len({key for _, key in used})} keys, all known"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
