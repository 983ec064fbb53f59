import os
import sys
from pathlib import Path

import execute
import jupytext
import nbformat
import pytest
import release_notes
import run_tests


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def jobs_are(monkeypatch, *jobs):
    monkeypatch.setattr(run_tests, "all_jobs", lambda: list(jobs))


@pytest.mark.parametrize("cores", [1, 2])
def test_a_failed_job_fails_the_run_and_the_others_still_run(cores, monkeypatch, capsys):
    jobs_are(
        monkeypatch,
        run_tests.Job("first", [command("print('=== 3 passed in 0.1s ===')")]),
        run_tests.Job("second", [command("raise SystemExit(3)"), command("print('after the failure')")]),
        run_tests.Job("third", [command("print('=== 1 passed in 0.2s ===')")], "second"),
    )
    monkeypatch.setattr(run_tests, "cores", lambda: cores)
    monkeypatch.setattr("sys.argv", ["run_tests.py"])
    assert run_tests.main() == 1
    said = capsys.readouterr().out
    assert "after the failure" in said
    assert "FAILED: second in" in said
    summary = said[said.index("---- summary") :].splitlines()
    assert [line.split()[:2] for line in summary[1:4]] == [["ok", "first"], ["FAILED", "second"], ["ok", "third"]]
    assert "3 passed in 0.1s" in summary[1]


def test_green_stages_pass_and_unknown_ones_are_named(monkeypatch, capsys):
    jobs_are(monkeypatch, run_tests.Job("first-part", [command("pass")]), run_tests.Job("second", [command("1 / 0")]))
    for name in ("first", "first-part"):
        monkeypatch.setattr("sys.argv", ["run_tests.py", name])
        assert run_tests.main() == 0
    monkeypatch.setattr("sys.argv", ["run_tests.py", "frist"])
    assert run_tests.main() == 2
    assert "no such stage: frist" in capsys.readouterr().out


def test_as_many_jobs_run_at_a_time_as_there_are_cores_and_needs_come_first(tmp_path):
    note = "import sys, time; log = open({!r}, 'a'); log.write('+{} '); log.flush(); time.sleep({}); log.write('-{} ')"
    log = tmp_path / "log"
    jobs = [
        run_tests.Job(name, [command(note.format(str(log), name, seconds, name))], needs)
        for name, seconds, needs in (("d", 0.1, "a"), ("a", 1.0, None), ("b", 0.1, None), ("c", 0.1, None))
    ]
    results = run_tests.run_jobs(jobs, dict(os.environ), cores=2, optimized=False)
    assert all(result.good for result in results.values())
    events = log.read_text().split()
    running = 0
    for event in events:
        running += 1 if event[0] == "+" else -1
        assert running <= 2
    assert events.index("-a") < events.index("+d")
    assert events.index("+b") < events.index("-a")


@pytest.mark.parametrize("optimized", [False, True])
def test_quick_compilation_is_for_the_jobs_that_want_it(optimized, capfd):
    show = command("import os; print(os.environ['XLA_FLAGS'], os.environ.get('JAX_DISABLE_MOST_OPTIMIZATIONS'))")
    for quick in (True, False):
        environment = {**os.environ, "XLA_FLAGS": "--own=1"}
        environment.pop("JAX_DISABLE_MOST_OPTIMIZATIONS", None)
        run_tests.run_jobs([run_tests.Job("one", [show], quick=quick)], environment, cores=1, optimized=optimized)
        said = capfd.readouterr().out.splitlines()[-1]
        is_quick = quick and not optimized
        assert said == (f"--own=1 {run_tests.QUICK['XLA_FLAGS']} 1" if is_quick else "--own=1 None")


def test_every_command_of_every_job_exists_and_every_need():
    jobs = run_tests.all_jobs()
    for job in jobs:
        for parts in job.commands:
            scripts = [part.removeprefix("--ignore=") for part in parts if part.endswith(".py")]
            assert all((run_tests.ROOT / script).is_file() for script in scripts), scripts
        assert job.needs is None or job.needs in {other.name for other in jobs}


def test_every_test_file_is_in_one_unit_job():
    """Each file of tests/ is collected once, but for those of the mark `optimized`, which are a job of their own."""
    found = []
    for job in [*run_tests.unit_jobs(), *run_tests.assignment_jobs()]:
        if job.name == "unit-optimized":
            continue
        (arguments,) = job.commands
        where = [Path(part) for part in arguments if part.startswith("tests")]
        found += [path for path in where if path.suffix == ".py"]
        left_out = [Path(part.removeprefix("--ignore=")) for part in arguments if part.startswith("--ignore=")]
        for folder in where:
            paths = [path.relative_to(run_tests.ROOT) for path in (run_tests.ROOT / folder).rglob("test_*.py")]
            found += [path for path in paths if not any(path.is_relative_to(out) for out in left_out)]
    paths = (path.relative_to(run_tests.ROOT) for path in (run_tests.ROOT / "tests").rglob("test_*.py"))
    elsewhere = (Path("tests/book"), Path("tests/finite/tangents/test_entk_flax.py"))
    assert sorted(found) == sorted(path for path in paths if not any(path.is_relative_to(e) for e in elsewhere))


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    (tmp_path / "text").mkdir()
    monkeypatch.setattr(execute, "NOTEBOOKS", tmp_path)
    return tmp_path


def pair(folder, source: str, text_source: str):
    """Write a notebook and a text of one code cell each."""
    for name, code in (("03_x.ipynb", source), ("text/03_x.md", text_source)):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        jupytext.write(notebook, folder / name, fmt="ipynb" if name.endswith("ipynb") else "md:myst")
    return folder / "03_x.ipynb", folder / "text" / "03_x.md"


def test_the_one_saved_last_wins(notebooks):
    stored, text = pair(notebooks, "old = 1", "new = 2")
    os.utime(stored, (1000, 1000))
    assert execute.paired("03_x").cells[0].source == "new = 2"
    os.utime(text, (500, 500))
    assert execute.paired("03_x").cells[0].source == "old = 1"


def test_executed_notebook_is_stored_with_its_text(notebooks):
    stored, text = pair(notebooks, "print(1 + 1)", "print(1 + 1)")
    assert execute.execute("03_x")
    cell = nbformat.read(stored, as_version=4).cells[0]
    assert (cell.execution_count, cell.outputs[0].text) == (1, "2\n")
    assert "print(1 + 1)" in text.read_text()


def test_a_failing_notebook_is_not_stored(notebooks, capsys):
    stored, _ = pair(notebooks, "1 / 0", "1 / 0")
    before = stored.read_bytes()
    assert not execute.execute("03_x")
    assert stored.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_release_notes_are_those_of_the_tag(monkeypatch, capsys):
    text = "# Changelog\n\n## [0.2.0] - 2030-01-01\n\nnew\n\n## 0.1.0\n\nold\n"
    assert release_notes.section(text, "0.2.0") == "new"
    assert release_notes.section(text, "0.1.0") == "old"
    assert release_notes.section(text, "0.3.0") == ""
    monkeypatch.setattr("sys.argv", ["release_notes.py", "v999.0.0"])
    assert release_notes.main() == 1
    assert "the tag is v999.0.0" in capsys.readouterr().err
