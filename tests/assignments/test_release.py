"""The students' version holds no solution and no hidden test."""

import re

import build_course
import nbformat
import pytest
from assignments.problem_set import problem_set

SLUGS = build_course.slugs()
MARKS = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TEST", "Model answer", "Rubric", "What a good answer holds")


def released(course, slug):
    return nbformat.read(course / "release" / slug / f"{slug}.ipynb", as_version=4)


def secret_lines(slug) -> set[str]:
    """Lines of solutions, hidden tests, model answers and rubrics that say anything and stand nowhere in the open."""
    secret, shown = [], []
    for cell in build_course.read(slug).cells:
        own = build_course.role(cell)
        if own is not None and own.kind == "solution":
            before, _, rest = cell.source.partition("### BEGIN SOLUTION")
            secret_part, _, after = rest.partition("### END SOLUTION")
            secret.append(secret_part)
            shown += [before, after]
        elif own is not None and own.kind in ("hidden", "derivation"):
            secret.append(cell.source)
        else:
            shown.append(cell.source)
    lines = {line.strip() for text in secret for line in text.splitlines()}
    open_lines = {line.strip() for text in shown for line in text.splitlines()}
    return {line for line in lines - open_lines if len(line) > 8}


@pytest.mark.parametrize("slug", SLUGS)
def test_the_release_holds_no_solution_and_no_hidden_test(course, slug):
    text = "\n".join(cell.source for cell in released(course, slug).cells)
    secret = secret_lines(slug)
    assert len(secret) > 20  # otherwise the comparison would show nothing
    assert [line for line in secret if line in text] == []
    raw = (course / "release" / slug / f"{slug}.ipynb").read_text(encoding="utf-8")
    assert [mark for mark in MARKS if mark in raw] == []
    # The same search finds them in the source, so it can find them.
    source = (course / "source" / slug / f"{slug}.ipynb").read_text(encoding="utf-8")
    assert "BEGIN SOLUTION" in source
    assert "HIDDEN TEST" in source
    assert {path.name for path in (course / "release" / slug).iterdir()} == {f"{slug}.ipynb"}


@pytest.mark.parametrize("slug", SLUGS)
def test_the_release_asks_for_every_task(course, slug):
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in released(course, slug).cells if cell.metadata}
    whole = problem_set(slug)
    for task in whole.tasks:
        assert "raise NotImplementedError()" in cells[f"{task.name}_solution"].source
        assert "def " in cells[f"{task.name}_solution"].source
        assert cells[f"{task.name}_tests"].source.strip() == task.tests.strip()
        assert cells[f"{task.name}_hidden"].source.strip() == build_course.HIDDEN_NOTE
    for name, _, _ in whole.derivations:
        assert cells[f"{name}_derivation"].source == "YOUR ANSWER HERE"


@pytest.mark.parametrize("student", ["ada", "s_12", "ada.l-22"])
@pytest.mark.parametrize("folder", ["", "a/b_01_c/"])
def test_the_name_of_a_submission_tells_student_and_set(course, student, folder):
    pattern = build_course.settings(course).FileNameCollectorPlugin.named_regexp
    found = re.match(pattern, f"{folder}{student}_{SLUGS[0]}.ipynb")
    assert (found["student_id"], found["file_id"]) == (student, SLUGS[0])


def test_a_course_keeps_its_settings_and_submissions(tmp_path):
    slug = SLUGS[0]
    build_course.write_course(tmp_path, [slug])
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    (tmp_path / "submitted").mkdir()
    build_course.write_course(tmp_path, [slug])
    assert (tmp_path / "nbgrader_config.py").read_text() == "c = get_config()\n"
    assert (tmp_path / "submitted").is_dir()
