"""The site for students, `make book SOLUTIONS=hide`: built, and searched for every solution."""

import html
import json
import re

import build_book
import hide_solutions
import pytest
from assignments.problem_set import ROOT

CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: two chapters, so that the test takes seconds; the switch is the same for all."""
    folder = tmp_path_factory.mktemp("students")
    toc = folder / "toc.yml"
    chosen = [path.stem for path in (CHAPTERS[0], CHAPTERS[-1])]
    lines = ["format: jb-book", "root: book/intro", "chapters:", *(f"  - file: notebooks/{slug}" for slug in chosen)]
    toc.write_text("\n".join([*lines, "  - file: book/bibliography", ""]), encoding="utf-8")
    switch = {hide_solutions.SWITCH: "hide"}
    assert build_book.build(False, folder, switch, "--toc", str(toc)) == 0
    return folder / "_build" / "html", chosen


def solution_lines(slug) -> set[str]:
    """Lines of a chapter's solutions, text and code, that say anything."""
    cells = json.loads((ROOT / "notebooks" / f"{slug}.ipynb").read_text(encoding="utf-8"))["cells"]
    found, elsewhere = [], []
    for cell in cells:
        source = hide_solutions.text(cell["source"])
        if hide_solutions.is_solution(cell):
            found.append(source)
        elif cell["cell_type"] == "markdown":
            found += hide_solutions.FOLDED.findall(source)
            elsewhere.append(hide_solutions.without(source))
        else:
            elsewhere.append(source)
    shown = "\n".join(elsewhere)
    lines = {line.strip() for text in found for line in text.splitlines()}
    return {line for line in lines if len(line) > 20 and line not in shown}


def words(page: str) -> str:
    """A page's text without its elements."""
    return html.unescape(re.sub(r"<[^>]+>", "", page))


def test_neither_pages_nor_downloads_hold_a_solution(site):
    folder, chosen = site
    for slug in chosen:
        lines = solution_lines(slug)
        assert len(lines) > 30
        page = (folder / "notebooks" / f"{slug}.html").read_text(encoding="utf-8")
        assert page.count("<strong>Exercise") >= 4
        assert not re.search(r"<summary>\s*Solution", page)
        assert "tag_hide-cell" not in page
        assert [line for line in lines if line in words(page)] == []
        download = (folder / "_sources" / "notebooks" / f"{slug}.ipynb").read_text(encoding="utf-8")
        sources = "\n".join(hide_solutions.text(cell["source"]) for cell in json.loads(download)["cells"])
        assert [line for line in lines if line in sources] == []
        # The same search finds the solutions in the committed notebook, so it can find them.
        whole = json.loads((ROOT / "notebooks" / f"{slug}.ipynb").read_text(encoding="utf-8"))
        assert all(line in "\n".join(hide_solutions.text(c["source"]) for c in whole["cells"]) for line in lines)


def test_no_file_of_the_site_is_the_whole_notebook_and_no_button_leads_to_it(site):
    folder, chosen = site
    assert {path.stem for path in folder.rglob("*.ipynb")} == set(chosen)
    for path in folder.rglob("*.ipynb"):
        assert "hide-cell" not in path.read_text(encoding="utf-8")
    for slug in chosen:
        page = (folder / "notebooks" / f"{slug}.html").read_text(encoding="utf-8")
        assert "colab.research.google.com" not in page
        assert "blob/main" not in page
        assert f'href="../_sources/notebooks/{slug}.ipynb"' in page
