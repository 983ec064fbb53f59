"""The form of the sets: what each task says, and the points."""

import re

import build_course
import nbformat
import pytest
from assignments.problem_set import SOLUTIONS, problem_set

TITLE = re.compile(r"^## Task (\d+): .+ \((\d+) points?(, by hand)?\)$", re.MULTILINE)
SLUGS = build_course.slugs()


def test_the_sets_follow_the_parts():
    assert [slug[:2] for slug in SLUGS] == [f"{number:02}" for number in range(1, len(SLUGS) + 1)]


@pytest.mark.parametrize("slug", SLUGS)
def test_tasks_say_what_is_learnt_and_the_points_add_up(slug):
    whole = problem_set(slug)
    text = "\n\n".join(whole.texts)
    titles = TITLE.findall(text)
    assert [int(number) for number, _, _ in titles] == list(range(1, len(titles) + 1))
    assert 4 <= len(titles) <= 6
    assert text.count("**What you learn.**") == len(titles)
    by_hand = [points for _, points, _ in whole.derivations]
    by_tests = [task.tests_points + task.hidden_points for task in whole.tasks]
    assert [int(points) for _, points, hand in titles if hand] == by_hand
    assert [int(points) for _, points, hand in titles if not hand] == by_tests
    said = re.search(r"\*\*Points:\*\* (\d+) \((\d+) by tests, (\d+) by hand\)", text)
    assert tuple(map(int, said.groups())) == (sum(by_hand + by_tests), sum(by_tests), sum(by_hand))
    minutes = int(re.search(r"\*\*Time:\*\* about (\d+) minutes", text)[1])
    assert 60 <= minutes <= 120


@pytest.mark.parametrize("slug", SLUGS)
def test_every_derivation_has_a_rubric_that_adds_up(slug):
    whole = problem_set(slug)
    assert whole.derivations
    for name, points, source in whole.derivations:
        rubric = source.partition("**Rubric.**")[2]
        assert sum(int(number) for number in re.findall(r"^- (\d+): \S", rubric, re.MULTILINE)) == points, name
        assert "**Model answer.**" in source or "**What a good answer holds.**" in source


@pytest.mark.parametrize("slug", SLUGS)
def test_the_solutions_are_those_of_the_tasks(slug):
    files = sorted(path.stem for path in (SOLUTIONS / slug).glob("*.py"))
    assert files == sorted(task.name for task in problem_set(slug).tasks)


@pytest.mark.parametrize("slug", SLUGS)
def test_only_a_tests_cell_is_read_only_and_its_names_are_its_own(slug):
    """A test cell imports what compares, so that a student's definitions can't stand in its way."""
    for task in problem_set(slug).tasks:
        for source in (task.tests, task.hidden):
            assert "from ntk_helpers.bookkit.grading import" in source
            assert source.rstrip().splitlines()[-1].lstrip().startswith(("expect(", "raise", "assert")), source


@pytest.mark.parametrize(
    ("tags", "kind", "words"),
    [
        (["solution"], "code", "one kind, one task"),
        (["tests", "task"], "code", "its points"),
        (["tests", "task", "points-2", "other"], "code", "one task"),
        (["derivation", "task", "points-2"], "code", "stand on a code cell"),
        (["tests", "task", "points-2"], "markdown", "stand on a markdown cell"),
        (["sloution", "task"], "code", "no kind"),
    ],
)
def test_tags_that_mean_nothing_are_refused(tags, kind, words):
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    with pytest.raises(ValueError, match=words):
        build_course.role(make("x", metadata={"tags": tags}))
