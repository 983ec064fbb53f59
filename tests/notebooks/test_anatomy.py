"""The rules on a chapter's parts, sizes and text, each broken once."""

import copy
import json

import check_notebooks
import jupytext
import nbformat
import pytest

NAME = "90_demo"
WORDS = "plain words " * 900


def markdown(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def code(source, *tags):
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": [], "execution_count": 1}


CHAPTER = [
    markdown("# A title\n\nWhat will be seen."),
    code(f'import ntk_helpers as nh\nnh.chapter("{NAME}")', "setup"),
    code("config = nh.configure(quick=1, t4=2, full=3)"),
    markdown("## Goals\n\n1. one\n2. two\n3. three\n\n## Setting\n\n" + WORDS),
    markdown("## The theorem\n\n:::{prf:theorem} Name\n:label: thm-name\n\nText.\n:::"),
    markdown("## From scratch"),
    code("assert 1 == 1"),
    markdown("## The experiment: what is measured"),
    *[code(f"x{i} = {i}") for i in range(11)],
    markdown("## Where it breaks\n\nHere.\n\n## Claims"),
    code("nh.claims_table()"),
    markdown("## Full scale"),
    code("nh.stored_results()"),
    markdown("## Summary\n\n- a\n- b\n- c\n- d\n- e"),
    markdown(
        "## Exercises\n\n"
        + "".join(
            f"**Exercise {i} (code).** Do.\n\n<details><summary>Solution</summary>\nSo.\n</details>\n\n"
            for i in range(4)
        )
    ),
    code("print(1)"),
    markdown("## Further reading\n\n- a"),
]


def problems(cells):
    notebook = {"cells": cells, "metadata": {}}
    return check_notebooks.check_anatomy(notebook, NAME) + check_notebooks.check_sizes(notebook, 1000)


def test_a_complete_chapter_passes():
    assert problems(CHAPTER) == []


def replaced(old, new):
    cells = copy.deepcopy(CHAPTER)
    assert any(old in c["source"] for c in cells)
    for cell in cells:
        cell["source"] = cell["source"].replace(old, new)
    return cells


def test_where_it_breaks_may_also_follow_full_scale():
    cells = replaced("## Where it breaks\n\nHere.\n\n", "")
    place = next(i for i, c in enumerate(cells) if c["source"].startswith("## Summary"))
    assert problems([*cells[:place], markdown("## Where it breaks\n\nHere."), *cells[place:]]) == []


@pytest.mark.parametrize("heading", [*check_notebooks.HEADINGS, "Where it breaks"])
def test_every_part_is_needed(heading):
    assert f'no heading "## {heading}"' in problems(replaced(f"## {heading}", f"### {heading}"))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (CHAPTER[::-1], "first cell must start"),
        ([*CHAPTER, markdown("# A second title")], "only heading of level 1"),
        ([*replaced("## Claims", "## Swap"), markdown("## Claims")], '"## Full scale" must come after "## Claims"'),
        ([*replaced("## Where it breaks", "## X"), markdown("## Where it breaks")], "must stand between"),
        ([c if "tags" not in c["metadata"] else code(c["source"]) for c in CHAPTER], 'tagged "setup"'),
        (replaced(NAME, "91_other"), "nh.chapter"),
        (replaced("nh.claims_table()", "1"), "nh.claims_table(...) is not called"),
        (replaced("nh.stored_results()", "1"), "nh.stored_results(...) is not called"),
        (replaced("nh.configure(", "dict("), "nh.configure(...) is not called"),
        (replaced("1. one\n", ""), "Goals has 2 points"),
        (replaced("- e", ""), "Summary has 4 points"),
        (replaced(":label: thm-name", ""), "{prf:theorem}"),
        (replaced("assert 1 == 1", "1"), "From scratch has no assert"),
        (replaced("**Exercise 3 ", "**Task 3 "), "3 exercises"),
        (replaced("<summary>Solution", "<summary>Answer"), "4 exercises and 0 solutions"),
        (replaced("print(1)", ""), "no solution is executed"),
        ([c for c in CHAPTER if "x1" not in c["source"]][:8], "code cells besides the solutions, wanted are 15 to 35"),
        ([*CHAPTER, code("\n".join(["x = 1"] * 16))], "has 16 lines"),
        (replaced(WORDS, "few words"), "words, wanted are 1500 to 3500"),
        (replaced(WORDS, WORDS * 2), "words, wanted are 1500 to 3500"),
    ],
)
def test_each_rule_can_fail(cells, message):
    assert any(message in problem for problem in problems(cells))


def test_size():
    notebook = {"cells": CHAPTER, "metadata": {}}
    assert "601 kB, allowed are 600" in check_notebooks.check_sizes(notebook, 601_000)


def test_words_leave_out_formulas_code_and_markup():
    source = "two words $x + y$ and `code here` <b>bold</b>\n\n$$\na = b\n$$\n\n```python\nnot these\n```"
    assert check_notebooks.count_words({"cells": [markdown(source)]}) == 4


def test_exercises_in_cells_of_their_own_are_counted():
    cells = copy.deepcopy(CHAPTER)
    place = next(i for i, c in enumerate(cells) if c["source"].startswith("## Exercises"))
    parts = cells[place]["source"].rstrip().split("\n\n**")
    cells[place : place + 1] = [markdown(parts[0]), *(markdown("**" + p) for p in parts[1:])]
    assert len(parts) == 5
    assert problems(cells) == []


def test_comments_in_code_blocks_are_no_headings():
    cells = copy.deepcopy(CHAPTER)
    cells[3]["source"] += "\n\n```python\n# a comment\n```"
    assert problems(cells) == []


def test_the_text_has_to_be_in_step(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# T"), nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["setup"]})]
    notebook = nbformat.v4.new_notebook(cells=cells)
    path = tmp_path / "90_demo.md"
    jupytext.write(notebook, path, fmt="md:myst")
    plain = json.loads(nbformat.writes(notebook))
    assert check_notebooks.check_pair(plain, path) == []
    for change in ({"source": "x = 2"}, {"metadata": {}}):
        changed = copy.deepcopy(plain)
        changed["cells"][1].update(change)
        assert check_notebooks.check_pair(changed, path) == [
            "cell 2 differs between notebook and text: run `make execute`"
        ]
    del plain["cells"][1]
    assert "the text has 2 cells, the notebook 1" in check_notebooks.check_pair(plain, path)[0]
    assert "no text beside it" in check_notebooks.check_pair(plain, tmp_path / "91_none.md")[0]
