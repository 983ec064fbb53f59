"""The commands of book/instructors.md, in order, as a new instructor gives them."""

import csv
import os
import re
import subprocess
import sys

import build_course
from assignments.problem_set import ROOT, problem_set
from nbgrader.utils import get_username

GUIDE = ROOT / "book" / "instructors.md"
# Here the book is checked out and its environment stands, so two commands of the first block become these.
HERE = {
    "git clone https://github.com/ntk-book/ntk-book && cd ntk-book": f"cd '{ROOT}'",
    "make assignments COURSE=~/ntk-course": "python tools/build_course.py 01 02 --course ~/ntk-course",
    "source .venv/bin/activate": "true",
}


def blocks(heading: str) -> list[str]:
    """The commands of a section, block by block."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", GUIDE.read_text(encoding="utf-8"), re.S | re.M)[1]
    return re.findall(r"^```sh\n(.*?)^```", section, re.S | re.M)


def test_the_commands_for_nbgrader_work_in_their_order(tmp_path):
    first, *rest = blocks("nbgrader from nothing")
    replaced = [HERE[line] for line in first.splitlines() if line in HERE]
    assert len(replaced) == len(HERE), "the first block of the guide changed: change HERE too"
    begin = "\n".join(HERE.get(line, line) for line in first.splitlines())
    script = "\n".join(["set -ex", begin, *rest])
    environment = {**os.environ, "HOME": str(tmp_path)}
    # A grammar of web addresses that jsonschema builds at every start takes as long as all else that a command does.
    # Without this package it leaves one check out, which nothing here needs.
    (tmp_path / "left-out").mkdir()
    (tmp_path / "left-out" / "rfc3987_syntax.py").write_text("raise ImportError\n")
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "left-out"), str(ROOT)])
    environment["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), environment["PATH"]])
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        environment.pop(name, None)
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    course = tmp_path / "ntk-course"
    first, second = "01_nngp_and_ntk", "02_spectra_and_smoothness"
    for slug, student in ((first, "ada"), (second, get_username())):
        assert (course / "release" / slug / f"{slug}.ipynb").exists()
        assert (course / "autograded" / student / slug / f"{slug}.ipynb").exists()
        assert (course / "feedback" / student / slug / f"{slug}.html").exists()
    with (course / "grades.csv").open() as file:
        rows = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    assert rows["ada"] == (0.0, 25.0)
    assert list((tmp_path / "student" / second / "feedback").rglob(f"{second}.html"))


def test_every_other_command_of_the_guide_works(tmp_path):
    others = "\n".join([*blocks("Changing a set"), *blocks("A site without solutions")]).split("\n")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in filter(None, others):
        first, second, *arguments = command.split()
        if first == "make":  # these take minutes; tests/assignments/test_hidden_site.py runs what the other does
            assert re.search(rf"^{second}:", makefile, re.M), command
        else:
            assert first == ".venv/bin/python"
            notebook, target = ROOT / arguments[0], tmp_path / arguments[1]
            subprocess.run([sys.executable, ROOT / second, notebook, target], check=True, timeout=60)
            assert "Solution" not in target.read_text(encoding="utf-8")
            assert "Solution" in notebook.read_text(encoding="utf-8")


def test_the_guide_lists_the_sets_with_their_points():

    rows = re.findall(r"^\| `(\d\d_\w+)` \| (\d) \| (\d+) \|", GUIDE.read_text(encoding="utf-8"), re.M)
    found = []
    for slug in build_course.slugs():
        whole = problem_set(slug)
        points = [task.tests_points + task.hidden_points for task in whole.tasks] + [p for _, p, _ in whole.derivations]
        found.append((slug, str(len(points)), str(sum(points))))
    assert rows == found
