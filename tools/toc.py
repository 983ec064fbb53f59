"""Derive _toc.yml from book/chapters.toml and the notebooks that exist.

python tools/toc.py          writes it
python tools/toc.py --check  fails where it differs, or where a notebook is missing from the map
"""

import sys

import book_map

TOC = book_map.ROOT / "_toc.yml"
FRONT = ["book/notation", "book/running"]
BACK = ["book/scoreboard", "book/theorems", "book/glossary"]
BACK += ["book/benchmarks", "book/numerics", "book/bridge", "book/instructors", "book/bibliography"]
# The reference of the package: an overview, and a page for each room.
PACKAGE = ["book/api", *(f"book/api/{room}" for room in ("limits", "finite", "predict", "bookkit"))]


def render() -> str:
    """Return the text of _toc.yml."""
    parts, chapters = book_map.load()
    lines = [
        "# Written by tools/toc.py from book/chapters.toml and the notebooks that exist; edit those.",
        "format: jb-book",
        "root: book/intro",
        "parts:",
        "  - caption: Before you start",
        "    chapters:",
        *[f"      - file: {page}" for page in FRONT],
    ]
    for number, title in parts.items():
        written = [chapter for chapter in chapters if chapter.part == number and chapter.written]
        if written:
            lines += [f"  - caption: {number}. {title}", "    numbered: true", "    chapters:"]
            lines += [f"      - file: notebooks/{chapter.slug}" for chapter in written]
    lines += ["  - caption: Reference", "    chapters:", *[f"      - file: {page}" for page in BACK]]
    lines += ["  - caption: The package", "    chapters:", *[f"      - file: {page}" for page in PACKAGE]]
    return "\n".join(lines) + "\n"


def strangers() -> list[str]:
    """Return the notebooks that the map doesn't know."""
    _, chapters = book_map.load()
    known = {chapter.slug for chapter in chapters}
    return sorted(path.name for path in (book_map.ROOT / "notebooks").glob("*.ipynb") if path.stem not in known)


def main() -> int:
    unknown = strangers()
    if unknown:
        print(f"toc: not in book/chapters.toml: {', '.join(unknown)}")
        return 1
    text = render()
    current = TOC.read_text(encoding="utf-8") if TOC.exists() else ""
    if "--check" in sys.argv:
        if text != current:
            print("toc: _toc.yml differs from book/chapters.toml and the notebooks; run `make book` or tools/toc.py")
            return 1
        print("toc: _toc.yml agrees with book/chapters.toml")
    elif text != current:
        TOC.write_text(text, encoding="utf-8")
        print("toc: _toc.yml rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
