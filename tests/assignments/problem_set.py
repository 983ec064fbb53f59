"""What the tests of the assignments share: the cells of a set by task, and the right and wrong solutions of each."""

import contextlib
import io
import re
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import build_course  # noqa: E402

from ntk_helpers.bookkit import grading  # noqa: E402

SOLUTIONS = ROOT / "assignments" / "solutions"


class Variant(NamedTuple):
    """One solution of a task and the points that it must lose."""

    label: str
    loses: int
    code: str


class Task(NamedTuple):
    """An autograded task: the reference solution and its tests, which together give the points."""

    name: str
    solution: str
    tests: str
    hidden: str
    tests_points: int
    hidden_points: int


class ProblemSet(NamedTuple):
    """A set by parts."""

    slug: str
    setup: list[str]
    tasks: list[Task]
    derivations: list[tuple[str, int, str]]
    texts: list[str]


@cache
def problem_set(slug: str) -> ProblemSet:
    """The cells of a set, by task; each task has one solution, visible tests and hidden ones, in this order."""
    setup, derivations, texts, found, kinds = [], [], [], {}, {}
    for cell in build_course.read(slug).cells:
        own = build_course.role(cell)
        if own is None:
            texts += [cell.source] if cell.cell_type == "markdown" else []
        elif own.kind == "setup":
            setup.append(cell.source)
        elif own.kind == "derivation":
            derivations.append((own.task, own.points, cell.source))
        else:
            kinds.setdefault(own.task, []).append(own.kind)
            found.setdefault(own.task, {}).update({own.kind: cell.source, f"{own.kind}_points": own.points})
    assert all(order == ["solution", "tests", "hidden"] for order in kinds.values()), kinds
    for parts in found.values():
        del parts["solution_points"]
    return ProblemSet(slug, setup, [Task(name, **parts) for name, parts in found.items()], derivations, texts)


def variants(slug: str, task: str) -> list[Variant]:
    """The solutions of a task: a file of parts that begin with `# %% right: ...` or `# %% loses N: ...`."""
    path = SOLUTIONS / slug / f"{task}.py"
    pieces = re.split(r"^# %% (right|loses (\d+)): (.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert not pieces[0].strip(), f"{path.name} begins with code that is no solution"
    parts = zip(pieces[1::4], pieces[2::4], pieces[3::4], pieces[4::4], strict=True)
    return [Variant(f"{verdict}: {label}", int(points or 0), code) for verdict, points, label, code in parts]


def run(code: str, names: dict[str, Any], label: str) -> Exception | None:
    """Run code as a kernel would, with warnings on; return what it raised, or what nbgrader also takes for a fault."""
    errors = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("default")
        grading.set_up()
        try:
            exec(compile(code, f"<{label}>", "exec"), names)
        except Exception as error:
            return error
    return RuntimeError(f"wrote to standard error: {errors.getvalue()}") if errors.getvalue() else None


@cache
def before(slug: str, task: str) -> dict[str, Any]:
    """The names that are defined where a task begins: those of the set-up and of the reference solutions before it."""
    whole = problem_set(slug)
    names = [other.name for other in whole.tasks]
    place = names.index(task)
    if place:
        last = whole.tasks[place - 1]
        defined, codes = dict(before(slug, last.name)), [last.solution]
    else:
        defined, codes = {"__name__": "__main__"}, whole.setup
    for code in codes:
        fault = run(code, defined, f"{slug} before {task}")
        if fault is not None:
            raise fault
    return defined


def slugs_and_tasks() -> list[tuple[str, str]]:
    """Every autograded task of every set."""
    return [(slug, task.name) for slug in build_course.slugs() for task in problem_set(slug).tasks]
