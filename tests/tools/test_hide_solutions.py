import json
from pathlib import Path

import hide_solutions
import pytest

CHAPTERS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("[0-9]*.ipynb"))


def cell(kind, source, *tags):
    return {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)} if tags else {}}


FOLDED = "**Exercise 1.** Why?\n\n<details><summary>Solution</summary>\n\nBecause.\n</details>"
DIRECTIVE = "**Exercise 1.** Why?\n\n:::{solution} ex\nBecause.\n:::\n\nMore."
GATED = "```{solution-start} ex\n```\nBecause.\n```{solution-end}\n```\nMore."


@pytest.mark.parametrize("source", [FOLDED, DIRECTIVE, GATED])
def test_solutions_go_and_the_rest_stays(source):
    found = hide_solutions.without(source)
    assert "Because" not in found
    assert "solution" not in found.lower()
    assert ("Why?" in found) == ("Why?" in source)
    assert ("More." in found) == ("More." in source)


def test_code_of_solutions_goes_and_empty_texts_too():
    cells = [
        cell("markdown", FOLDED),
        cell("code", "answer = 42", "hide-cell"),
        cell("code", "kept = 1", "hide-input"),
        cell("markdown", "<details><summary>Solution</summary>\n\nBecause.\n</details>"),
    ]
    left = hide_solutions.stripped({"cells": cells, "nbformat": 4})
    assert [c["source"] for c in left["cells"]] == ["**Exercise 1.** Why?", "kept = 1"]
    assert left["nbformat"] == 4


def test_an_unknown_form_stops_the_build():
    broken = {"cells": [cell("markdown", "<details><summary>Solution</summary>\n\nBecause, without an end.")]}
    with pytest.raises(ValueError, match=r"05_x.*form"):
        hide_solutions.stripped(broken, "05_x")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem[:2])
def test_no_chapter_keeps_a_solution(path):
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    taken = [c for c in notebook["cells"] if hide_solutions.is_solution(c)]
    folded = sum(hide_solutions.text(c["source"]).count("<summary>Solution") for c in notebook["cells"])
    assert taken
    assert 4 <= folded <= 8
    left = json.loads(hide_solutions.strip_json(text, path.name))
    sources = "\n".join(hide_solutions.text(c["source"]) for c in left["cells"])
    assert "summary>Solution" not in sources
    assert not any(hide_solutions.text(c["source"]) in sources for c in taken)
    assert sources.count("**Exercise") == folded  # the exercises themselves are all there
    assert "## Further reading" in sources
