"""Build the course folder of nbgrader from assignments/: `make assignments [COURSE=FOLDER]`.

assignments/source/SET/SET.md is one problem set with its solutions, as people edit and review it (MyST). This script
writes it to FOLDER/source/SET/SET.ipynb with the metadata that nbgrader wants and has nbgrader make the students'
version, FOLDER/release/SET/SET.ipynb. What else is in FOLDER (submissions, grades) stays as it is.

Cells say what they are by tags: a kind, the task's name and, where they are graded, their points.

[setup]                              run first, read-only
[solution, NAME]                     what the student writes; the reference solution stands between ### BEGIN SOLUTION
                                     and ### END SOLUTION
[tests, NAME, points-2]              tests that the student sees
[hidden, NAME, points-3]             tests that the student does not see, in whole
[derivation, NAME, points-6]         a text graded by hand (a markdown cell): the model answer and the rubric
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import book_map
import jupytext
import nbformat

ROOT = book_map.ROOT
ASSIGNMENTS = ROOT / "assignments"
SOURCE = ASSIGNMENTS / "source"
COURSE = ROOT / "_build" / "course"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
KINDS = ("setup", "solution", "tests", "hidden", "derivation")
HIDDEN_NOTE = "# Here stand tests that are run when the work is graded."


class Role(NamedTuple):
    """What a cell is for: its kind, its task and its points."""

    kind: str
    task: str
    points: int

    @property
    def grade_id(self) -> str:
        """The cell's name for nbgrader."""
        return f"{self.task}_{self.kind}"


def slugs() -> list[str]:
    """The problem sets, in order."""
    return sorted(path.parent.name for path in SOURCE.glob("[0-9][0-9]_*/*.md"))


def role(cell: nbformat.NotebookNode) -> Role | None:
    """The role that a cell's tags give it; None for text and code that is not graded. Raises ValueError."""
    tags = list(cell.metadata.get("tags", ()))
    kinds = [tag for tag in tags if tag in KINDS]
    if not kinds:
        if tags:
            raise ValueError(f"the tags {tags} have no kind; there are {', '.join(KINDS)}")
        return None
    points = [int(tag.removeprefix("points-")) for tag in tags if tag.startswith("points-")]
    names = [tag for tag in tags if tag not in KINDS and not tag.startswith("points-")]
    kind = kinds[0]
    graded = kind in ("tests", "hidden", "derivation")
    if kind == "setup":
        names = names or ["set_up"]
    if len(kinds) != 1 or len(names) != 1 or len(points) != int(graded) or not re.fullmatch(r"[a-z]\w*", names[0]):
        raise ValueError(f"the tags {tags} are not one kind, one task and, where the cell is graded, its points")
    if (kind == "derivation") != (cell.cell_type == "markdown"):
        raise ValueError(f"the tags {tags} stand on a {cell.cell_type} cell")
    return Role(kind, names[0], points[0] if graded else 0)


def read(slug: str) -> nbformat.NotebookNode:
    """The text of a set as a notebook, with its tags."""
    return jupytext.read(SOURCE / slug / f"{slug}.md", fmt="md:myst")


def source_notebook(slug: str) -> nbformat.NotebookNode:
    """A set as nbgrader wants it: with metadata in place of the tags, hidden tests marked."""
    notebook = read(slug)
    for number, cell in enumerate(notebook.cells):
        own = role(cell)
        cell.id = own.grade_id if own else f"cell-{number}"
        cell.metadata = nbformat.NotebookNode()
        if own is None:
            continue
        solution = own.kind in ("solution", "derivation")
        metadata = {"grade_id": own.grade_id, "schema_version": 3, "task": False, "locked": not solution}
        metadata |= {"solution": solution, "grade": own.points > 0}
        metadata |= {"points": own.points} if own.points else {}
        cell.metadata["nbgrader"] = nbformat.from_dict(metadata)
        if own.kind == "hidden":
            cell.source = f"{HIDDEN_NOTE}\n### BEGIN HIDDEN TESTS\n{cell.source.rstrip()}\n### END HIDDEN TESTS"
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    return notebook


def write_course(course: Path, chosen: list[str]) -> None:
    """Write the configuration, unless there is one, and the sources."""
    course.mkdir(parents=True, exist_ok=True)
    if not (course / "nbgrader_config.py").exists():
        shutil.copyfile(ASSIGNMENTS / "nbgrader_config.py", course / "nbgrader_config.py")
    for slug in chosen:
        folder = course / "source" / slug
        folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(source_notebook(slug), folder / f"{slug}.ipynb")


def settings(course: Path):
    """The configuration of a course folder, as nbgrader reads it there."""
    from traitlets.config import PyFileConfigLoader

    # nbgrader calls alembic by its name, which stands beside this Python.
    beside = str(Path(sys.executable).parent)
    if beside not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])
    return PyFileConfigLoader("nbgrader_config.py", path=str(course)).load_config()


def generate(course: Path, chosen: list[str]) -> list[str]:
    """Have nbgrader make the students' version of each set; return what went wrong."""
    from nbgrader.apps import NbGraderAPI

    faults = []
    for slug in chosen:
        result = NbGraderAPI(config=settings(course)).generate_assignment(slug, force=True, create=True)
        if not result["success"]:
            faults.append(f"{slug}: {result.get('error') or result.get('log')}")
    return faults


def main() -> int:
    """Build the folder and say where it is."""
    parser = argparse.ArgumentParser(description="Build the course folder of nbgrader.")
    parser.add_argument("sets", nargs="*", help="numbers or names of sets; all without")
    parser.add_argument("--course", type=Path, default=COURSE, help="the course folder (default: _build/course)")
    options = parser.parse_args()
    known = slugs()
    chosen = [slug for slug in known if not options.sets or slug.startswith(tuple(s.zfill(2) for s in options.sets))]
    if not chosen:
        print(f"no such set; there are: {', '.join(known)}")
        return 2
    course = options.course.expanduser().resolve()
    write_course(course, chosen)
    faults = generate(course, chosen)
    if faults:
        print("\n".join(faults))
        return 1
    for slug in chosen:
        print(f"students' version  {course / 'release' / slug / f'{slug}.ipynb'}")
    print(f"course folder      {course}   (book/instructors.md says how to go on)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
