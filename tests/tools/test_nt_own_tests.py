"""The record of neural-tangents' own tests: how outcomes become counts and causes, and the bars that it must meet."""

import json

import nt_own_tests
import nt_own_tests_record as record
import pytest


def note(folder, file, *tests, **more):
    path = folder / (file.replace("/", "-") + ".jsonl")
    path.write_text("".join(json.dumps(line) + "\n" for line in (*tests, more)))


def outcome_of(name, outcome, structured=False, message=""):
    line = {"test": name, "outcome": outcome, "structured": structured, "message": message}
    return line | {"seconds": 60, "where": ""}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Tests that pass, fail everywhere, fail here alone, or are structured; and a file that cannot be collected."""
    monkeypatch.setattr(record, "WORK", tmp_path)
    for run, last in (("locked", "failed"), ("reference", "passed")):
        (tmp_path / run).mkdir()
        (tmp_path / run / "settings.json").write_text(json.dumps({"versions": {"jax": "1"}}))
        tests = [outcome_of("a", "passed"), outcome_of("b", "failed"), outcome_of("c", last, message="a new\nerror")]
        note(tmp_path / run, "tests/predict_test.py", *tests, outcome_of("d", "passed", structured=True))
        note(tmp_path / run, "tests/imdb_test.py", uncollected="tests/imdb_test.py", message="no tensorflow")
    return record.make_record()["runs"]


def test_counts_and_causes(runs):
    locked = runs["locked"]
    assert locked["totals"]["plain"] == {
        "passed": 1,
        "failed": 2,
        "skipped": 0,
        "failed_on_its_own_jax_too": 1,
        "percent_passed": 33.3,
        "percent_passed_of_those_that_can": 50.0,
    }
    assert locked["totals"]["structured"]["passed"] == 1
    assert [failure["cause"] for failure in locked["failures"]] == [record.OWN, "unexplained"]
    assert locked["failures"][1]["message"] == "a new error"
    assert locked["files"]["tests/imdb_test.py"] == {"not_run": "needs data sets"}
    assert locked["cpu_minutes"] == 4.0


def test_a_known_message_has_its_cause(monkeypatch):
    monkeypatch.setattr(record, "CAUSES", ((r"c: .*new error", "known"),))
    failed = outcome_of("c", "failed", message="a new error")
    assert record.cause(failed, outcome_of("c", "passed")) == "known"
    assert record.cause(failed, outcome_of("c", "failed")) == record.OWN
    assert record.cause(failed | {"test": "e"}, None) == "unexplained"


def test_check_fails_where_the_page_is_stale_or_a_failure_has_no_cause(runs, tmp_path, monkeypatch, capsys):
    page, stored = tmp_path / "bridge.md", tmp_path / "bridge.json"
    monkeypatch.setattr(record, "PAGE", page)
    monkeypatch.setattr(record, "RECORD", stored)
    monkeypatch.setattr("sys.argv", ["nt_own_tests_record.py", "--check"])
    marks = "".join(f"% table {name}\n\n% end of table {name}\n" for name in ("totals", "files", "causes"))
    stored.write_text(json.dumps({"runs": runs}))
    page.write_text(f"before\n{marks}after\n")
    assert record.main() == 1
    assert "differs from its record" in capsys.readouterr().out
    page.write_text(record.filled(page.read_text(), record.render({"runs": runs})))
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")
    assert record.main() == 1
    assert "without a known cause: c" in capsys.readouterr().out
    del runs["locked"]["failures"][1]
    stored.write_text(json.dumps({"runs": runs}))
    page.write_text(record.filled(page.read_text(), record.render({"runs": runs})))
    assert record.main() == 0


def test_the_committed_record_meets_the_bars():
    """At least 95 % pass on the JAX of the lock, of all but structured derivatives, of those, and of their rules."""
    runs = json.loads(record.RECORD.read_text())["runs"]
    for kind in record.KINDS:
        assert runs["locked"]["totals"][kind]["percent_passed"] >= 95
        assert runs["locked"]["totals"][kind]["passed"] >= 50
    assert set(runs["locked"]["files"]) == set(nt_own_tests.FILES)
    failed = [failure for run in record.bridged(runs) for failure in runs[run]["failures"]]
    assert all(failure["cause"] != "unexplained" for failure in failed)
