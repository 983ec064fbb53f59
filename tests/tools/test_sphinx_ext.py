"""Links to chapters and their numbers, in a small book of two chapters of which one is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONF = f"""
import sys
from pathlib import Path
sys.path[:0] = [{str(ROOT / "tools" / "sphinx_ext")!r}, {str(ROOT / "tools")!r}]
import book_map
read, here = book_map.load, Path(__file__).parent
book_map.ROOT = here
book_map.load = lambda: read(here / "chapters.toml")
extensions = ["myst_parser", "ntk_book"]
html_theme = "sphinx_book_theme"
html_theme_options = {{"use_repository_button": True}}
numfig = True
"""
MAP = """
[[part]]
number = "I"
title = "Only"
[[chapter]]
slug = "03_planned"
part = "I"
title = "Planned thing"
papers = []
[[chapter]]
slug = "05_written"
part = "I"
title = "Written thing"
papers = []
"""
INDEX = """# Book

A {chapter}`3`, B {chapter}`05`, C [third](notebooks/03_planned.ipynb), D [fifth](notebooks/05_written.md).

```{chapter-map}
```

```{toctree}
:numbered:
notebooks/05_written
```
"""
CHAPTER = "# Written thing\n\nBack to [three](03_planned.ipynb).\n\n## Section\n\nText.\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build it; give (what Sphinx said, its first page, its chapter)."""
    folder = tmp_path_factory.mktemp("small-book")
    (folder / "notebooks").mkdir()
    (folder / "conf.py").write_text(CONF)
    (folder / "chapters.toml").write_text(MAP)
    (folder / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://github.com/some/where"\nDocumentation = "https://some.github.io/where/"\n'
    )
    (folder / "index.md").write_text(INDEX)
    (folder / "notebooks" / "05_written.md").write_text(CHAPTER)
    # What counts as written is the notebook; this small book reads the text in its stead.
    (folder / "notebooks" / "05_written.ipynb").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(folder), str(folder / "out")],
        env={**os.environ, "BOOK_REF": "v9.9.9"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (folder / "out" / "index.html").read_text(), (folder / "out" / "notebooks" / "05_written.html").read_text()


def plain(html: str) -> str:
    """Return the page's text without its marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html[html.index("<article") :]))


def test_role_and_link_are_links_where_the_chapter_is_written(built):
    index, _ = built
    assert re.search(r'<a [^>]*href="notebooks/05_written.html"[^>]*>(<span[^>]*>)?Chapter 5 \(Written thing\)', index)
    assert re.search(r'<a [^>]*href="notebooks/05_written.html"[^>]*>(<span[^>]*>)?fifth', index)


def test_role_and_link_are_plain_text_where_it_is_not(built):
    index, chapter = built
    assert "A Chapter 3 (Planned thing), B" in plain(index)
    assert "C third, D" in plain(index)
    assert "Back to three." in plain(chapter)
    assert "03_planned" not in index[index.index("<article") :]
    assert "03_planned" not in chapter[chapter.index("<article") :]


def test_the_map_marks_what_is_to_come(built):
    text = plain(built[0])
    assert "Part I. Only" in text
    assert "3. Planned thing (to come)" in text
    assert "5. Written thing (to come)" not in text


def test_numbers_come_from_the_file_name(built):
    text = plain(built[1])
    assert "5. Written thing" in text
    assert "5.1. Section" in text


def test_address_comes_from_pyproject(built):
    assert "https://github.com/some/where" in built[1]
    assert "https://some.github.io/where/notebooks/05_written.html" in built[1]
