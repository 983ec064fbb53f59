"""Each set once through nbgrader: released, fetched, submitted, collected, graded, fed back."""

import build_course
import nbformat
import pytest
from assignments.problem_set import problem_set
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.utils import temp_attrs

SLUGS = build_course.slugs()


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exchange")
    folder.chmod(0o777)
    return folder


def succeeded(result):
    assert result["success"], result.get("error") or result.get("log")


def answered(release, source):
    """The students' version with the reference answers written where a student writes."""
    answers = {cell.metadata.nbgrader.grade_id: cell.source for cell in source.cells if "nbgrader" in cell.metadata}
    for cell in release.cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            cell.source = answers[cell.metadata.nbgrader.grade_id]
    return release


def grades(course, slug, student):
    """Each graded cell's points, with what a grader gives by hand to an answer that was written."""
    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        (notebook,) = gradebook.find_submission(slug, student).notebooks
        for grade in notebook.grades:
            if grade.needs_manual_grade:
                assert grade.name.endswith("_derivation")
                grade.manual_score, grade.needs_manual_grade = grade.max_score, False
        gradebook.db.commit()
        submission = gradebook.find_submission(slug, student)
        assert not submission.needs_manual_grade
        found = {grade.name: (grade.score, grade.max_score) for grade in submission.notebooks[0].grades}
        return found, submission.score, submission.max_score


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.filterwarnings("default")
def test_full_marks_for_the_solution_and_none_for_the_stub(course, exchange, slug, tmp_path, monkeypatch):

    def as_student(name):
        """Each has a folder, and a cache of what was submitted."""
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / f"jupyter-{name}"))
        monkeypatch.chdir(tmp_path / name)

    config = build_course.settings(course)
    config.Exchange.root = str(exchange)
    api = NbGraderAPI(config=config)
    succeeded(api.release_assignment(slug))
    for student in ("solved", "unchanged"):
        (tmp_path / student).mkdir()
        as_student(student)
        with temp_attrs(api.coursedir, assignment_id=slug, student_id=student):
            api.exchange.FetchAssignment(coursedir=api.coursedir, authenticator=api.authenticator, parent=api).start()
            path = tmp_path / student / slug / f"{slug}.ipynb"
            if student == "solved":
                source = nbformat.read(course / "source" / slug / f"{slug}.ipynb", as_version=4)
                nbformat.write(answered(nbformat.read(path, as_version=4), source), path)
            api.exchange.Submit(coursedir=api.coursedir, authenticator=api.authenticator, parent=api).start()
    succeeded(api.collect(slug))
    for student in ("solved", "unchanged"):
        succeeded(api.autograde(slug, student))
    found, score, most = grades(course, slug, "solved")
    assert {name: pair for name, pair in found.items() if pair[0] != pair[1]} == {}
    whole = problem_set(slug)
    points = [task.tests_points + task.hidden_points for task in whole.tasks] + [p for _, p, _ in whole.derivations]
    assert score == most == sum(points)
    found, score, most = grades(course, slug, "unchanged")
    assert {name: pair for name, pair in found.items() if pair[0] != 0} == {}
    assert score == 0

    for student, text in (("solved", f"Score: {float(sum(points))}"), ("unchanged", "Score: 0.0")):
        succeeded(api.generate_feedback(slug, student))
        succeeded(api.release_feedback(slug, student))
        as_student(student)
        succeeded(api.fetch_feedback(slug, student))
        (page,) = (tmp_path / student / slug / "feedback").rglob(f"{slug}.html")
        assert text in page.read_text(encoding="utf-8")
