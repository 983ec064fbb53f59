"""The site for students, `make book SOLUTIONS=hide`: built, and searched for every solution."""

import html
import json
import re

import build_book
import hide_solutions
import pytest
from assignments.problem_set import ROOT

CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site, built with the switch; a reference into a solution would be a warning, which is an error here."""
    folder = tmp_path_factory.mktemp("students")
    assert build_book.build(True, folder, {hide_solutions.SWITCH: "hide"}) == 0
    return folder / "_build" / "html"


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
    for slug in CHAPTERS:
        lines = solution_lines(slug)
        assert len(lines) > 20
        page = (site / "notebooks" / f"{slug}.html").read_text(encoding="utf-8")
        said = words(page)
        assert page.count("<strong>Exercise") >= 4
        assert not re.search(r"<summary>\s*Solution", page)
        assert "tag_hide-cell" not in page
        assert [line for line in lines if line in said] == []
        download = (site / "_sources" / "notebooks" / f"{slug}.ipynb").read_text(encoding="utf-8")
        sources = "\n".join(hide_solutions.text(cell["source"]) for cell in json.loads(download)["cells"])
        assert [line for line in lines if line in sources] == []
        # The same search finds the code that stays, so it would find the code of solutions.
        cells = [cell for cell in json.loads(download)["cells"] if cell["cell_type"] == "code"]
        kept = {line.strip() for cell in cells for line in hide_solutions.text(cell["source"]).splitlines()}
        assert [line for line in kept if line not in said] == []


def test_no_file_of_the_site_is_the_whole_notebook_and_no_button_leads_to_it(site):
    assert {path.stem for path in site.rglob("*.ipynb")} == set(CHAPTERS)
    for path in site.rglob("*.ipynb"):
        assert "hide-cell" not in path.read_text(encoding="utf-8")
    for slug in CHAPTERS:
        page = (site / "notebooks" / f"{slug}.html").read_text(encoding="utf-8")
        assert "colab.research.google.com" not in page
        assert "blob/main" not in page
        assert f'href="../_sources/notebooks/{slug}.ipynb"' in page
