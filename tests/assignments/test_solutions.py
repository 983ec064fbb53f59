"""Every solution, right or wrong, against the tests taken out of its set, task by task in one process."""

import jax
import pytest
from assignments.problem_set import Variant, before, problem_set, run, slugs_and_tasks, variants

CASES = slugs_and_tasks()


@pytest.fixture(autouse=True)
def precision():
    """The set-up of a set switches to double precision; undo that afterwards."""
    enabled = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", enabled)


def task_of(slug, name):
    return next(task for task in problem_set(slug).tasks if task.name == name)


def faults(task, variant: Variant, names) -> tuple[Exception | None, Exception | None]:
    """What the visible and the hidden tests say to one solution."""
    own = dict(names)
    broken = run(variant.code, own, variant.label)
    assert broken is None, f"{variant.label}: {broken!r}"
    return tuple(run(code, dict(own), f"tests of {task.name}") for code in (task.tests, task.hidden))


@pytest.mark.parametrize(("slug", "name"), CASES)
def test_every_solution_loses_the_points_it_should(slug, name):
    task, names = task_of(slug, name), before(slug, name)
    wrong = []
    for variant in [Variant("the reference solution", 0, task.solution), *variants(slug, name)]:
        visible, hidden = faults(task, variant, names)
        lost = task.tests_points * (visible is not None) + task.hidden_points * (hidden is not None)
        if lost != variant.loses:
            wrong.append(f"{variant.label}: lost {lost}; visible: {visible!r}; hidden: {hidden!r}")
        # A visible test that fails says in words what was expected.
        if visible is not None and not (isinstance(visible, AssertionError) and len(str(visible).split()) >= 8):
            wrong.append(f"{variant.label}: the visible tests say only {visible!r}")
        if visible is not None and hidden is None:
            wrong.append(f"{variant.label}: the visible tests fail and the hidden ones pass")
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize(("slug", "name"), CASES)
def test_each_task_has_right_and_wrong_solutions_and_each_hidden_test_is_needed(slug, name):
    task, found = task_of(slug, name), variants(slug, name)
    assert sum(variant.loses == 0 for variant in found) >= 2, "at least two right solutions besides the reference"
    assert sum(variant.loses > 0 for variant in found) >= 3, "at least three wrong solutions"
    assert task.tests_points != task.hidden_points, "the points tell which tests a wrong solution fails"
    assert any(variant.loses == task.hidden_points for variant in found), "no wrong solution needs the hidden tests"
    codes = [variant.code.strip() for variant in found]
    assert len(set(codes)) == len(codes), "two solutions are the same"
