import os
import sys

import execute
import jupytext
import nbformat
import pytest
import release_notes
import run_tests


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_failed_stage_fails_the_run_and_later_stages_still_run(monkeypatch, capsys):
    stages = {
        "first": [command("print('=== 3 passed in 0.1s ===')")],
        "second": [command("raise SystemExit(3)"), command("print('after the failure')")],
        "third": [command("print('=== 1 passed in 0.2s ===')")],
    }
    monkeypatch.setattr(run_tests, "STAGES", stages)
    monkeypatch.setattr("sys.argv", ["run_tests.py"])
    assert run_tests.main() == 1
    said = capsys.readouterr().out
    assert "after the failure" in said
    assert "FAILED: second in" in said
    summary = said[said.index("---- summary") :].splitlines()
    assert [line.split()[:2] for line in summary[1:4]] == [["ok", "first"], ["FAILED", "second"], ["ok", "third"]]
    assert "3 passed in 0.1s" in summary[1]


def test_green_stages_pass_and_unknown_ones_are_named(monkeypatch, capsys):
    monkeypatch.setattr(run_tests, "STAGES", {"first": [command("pass")]})
    monkeypatch.setattr("sys.argv", ["run_tests.py", "first"])
    assert run_tests.main() == 0
    monkeypatch.setattr("sys.argv", ["run_tests.py", "frist"])
    assert run_tests.main() == 2
    assert "no such stage: frist" in capsys.readouterr().out


def test_every_command_of_every_stage_exists():
    for commands in run_tests.STAGES.values():
        for parts in commands:
            scripts = [part.removeprefix("--ignore=") for part in parts if part.endswith(".py")]
            assert all((run_tests.ROOT / script).is_file() for script in scripts), scripts


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
