import json
from pathlib import Path

import _slices
import claim_sensitivity
import pytest
from _notebooks import ROOT

# A package of the same names as the real one, without JAX: what the worker needs of bookkit, and one formula.
CLAIMS = """
from ntk_helpers.bookkit import session

class ClaimFailed(AssertionError):
    pass

def claim(name, measured, expected):
    verdict = "agrees" if abs(measured - expected) < 1e-9 else "fails"
    record = {"id": name, "measured": float(measured), "interval": None, "se": None}
    session.current.records[name] = record | {"verdict": verdict, "expectation": f"{expected:g}"}
    if verdict == "fails":
        raise ClaimFailed(name)
"""
PACKAGE = {
    "__init__.py": "from ntk_helpers.bookkit.claims import claim\nfrom ntk_helpers.area import circle, square\n",
    "area.py": "def circle(r):\n    return 3.0 * r**2\n\n\ndef square(a):\n    return a * a\n",
    "bookkit/__init__.py": "",
    "bookkit/claims.py": CLAIMS,
    "bookkit/session.py": "class current:\n    records = {}\n",
}
CELLS = [
    "import ntk_helpers as nh",
    "sides = []\nfor a in (1, 2):\n    sides.append(a)",
    "unused = undefined_name",  # a slice leaves this out
    "total = sum(nh.square(a) for a in sides)",
    'assert nh.circle(0) == 0, "a point has no area"\nnh.claim("area.squares", total, 5.0)',
    'nh.claim("area.circle", nh.circle(2.0), 12.0)',
]
RECORDS = {4: "area.squares", 5: "area.circle"}
ERRORS = {
    "cube": ("a cube", "return a * a", "return a**3", "area.squares"),
    "shifted": ("a shifted circle", "3.0 * r**2", "3.0 * r**2 + 1", "area.circle"),
    "harmless": ("a double negative", "3.0 * r**2", "3.0 * (-r) ** 2", "area.circle"),
    "crash": ("a wrong name", "return a * a", "return a * b", "area.squares"),
}


@pytest.fixture
def places(tmp_path):
    """The fake package and chapter; `errors` writes the table of errors."""
    at = claim_sensitivity.Places(
        *(tmp_path / name for name in ("errors.toml", "package", "notebooks", "book", "build"))
    )
    for name, text in PACKAGE.items():
        (at.package / name).parent.mkdir(parents=True, exist_ok=True)
        (at.package / name).write_text(text)
    notebook = {"cells": [{"cell_type": "code", "source": source, "outputs": []} for source in CELLS]}
    for place, name in RECORDS.items():
        data = {claim_sensitivity.nb.CLAIM_MIME: {"id": name, "measured": 0.0}}
        notebook["cells"][place]["outputs"] = [{"output_type": "display_data", "data": data}]
    at.notebooks.mkdir()
    (at.notebooks / "01_area.ipynb").write_text(json.dumps(notebook))
    at.book.mkdir()
    (at.book / "numerics.md").write_text(f"before\n{claim_sensitivity.BEGIN}\n{claim_sensitivity.END}\nafter\n")
    errors(at, *ERRORS)
    return at


def errors(places, *names, gap="", **other):
    keys = ("what", "old", "new")
    text = ""
    for name in names:
        *values, claim = ERRORS[name]
        entry = dict(zip(keys, values, strict=True)) | {"file": "area.py", "chapter": "01_area", "gap": gap} | other
        lines = [f"{key} = {json.dumps(value)}" for key, value in entry.items() if value]
        text += "\n".join([f"[{name}]", *lines, f"claims = [{json.dumps(claim)}]", ""])
    places.errors.write_text(text)


def test_a_noticed_error_is_named_with_its_claim_and_the_table_is_written(places, capsys):
    errors(places, "cube")
    assert claim_sensitivity.main(["--check"], places) == 1  # no row yet
    assert claim_sensitivity.main(["--write"], places) == 0
    assert "noticed by area.squares: 9, expected 5" in capsys.readouterr().out
    page = (places.book / "numerics.md").read_text()
    assert "| a cube | {chapter}`01` area.squares | 9 | 5 |" in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert claim_sensitivity.main(["--check"], places) == 0
    errors(places, "shifted")  # another name: the table is stale
    assert claim_sensitivity.main(["--check"], places) == 1
    said = capsys.readouterr().out
    assert "no row for the error 'a shifted circle'" in said
    assert "a row for 'a cube', which is no error any more" in said


def test_what_no_claim_notices_fails_the_run(places, capsys):
    errors(places, "harmless")
    assert claim_sensitivity.main([], places) == 1
    assert "NOT NOTICED" in (said := capsys.readouterr().out)
    assert "NOT AS LISTED: harmless" in said
    errors(places, "harmless", gap="a sign that is squared")
    assert claim_sensitivity.main([], places) == 0
    assert "- a double negative: a sign that is squared" in capsys.readouterr().out
    errors(places, "cube", gap="wrongly listed")
    assert claim_sensitivity.main([], places) == 1
    assert "listed as a gap, but it is noticed" in capsys.readouterr().out


def test_neither_an_exception_nor_an_assertion_of_the_page_counts(places, capsys):
    errors(places, "crash")
    assert claim_sensitivity.main([], places) == 1
    assert "NOT NOTICED; stopped by cell 4: NameError: name 'b' is not defined" in capsys.readouterr().out
    # the assertion fails, the claim behind it in its cell is not reached, the next cell runs
    errors(places, "shifted")
    table = places.errors.read_text().replace('["area.circle"]', '["area.squares", "area.circle"]')
    places.errors.write_text(table)
    assert claim_sensitivity.main([], places) == 0
    said = capsys.readouterr().out
    assert "noticed by area.circle: 13, expected 12" in said
    assert "an assertion of the page failed, cell 5: a point has no area" in said


def test_cells_that_fail_without_the_error_give_no_verdict(places, capsys):
    (places.package / "area.py").write_text((places.package / "area.py").read_text().replace("3.0", "3.1"))
    errors(places, "cube", **{"claims": None})
    table = places.errors.read_text().replace('["area.squares"]', '["area.squares", "area.circle"]')
    places.errors.write_text(table)
    assert claim_sensitivity.main([], places) == 1
    assert "NO VERDICT: the cells do not pass with the unchanged package: area.circle" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("a * a", "a / a"), "exactly once, it is there 0 times"),
        (("def square(a):\n    return a * a", "def square(a):\n    return a * a\n    return a * a"), "2 times"),
    ],
)
def test_a_substitution_that_does_not_match_once_is_an_error_before_anything_runs(change, complaint, places, capsys):
    path = places.package / "area.py"
    path.write_text(path.read_text().replace(*change))
    errors(places, "cube")
    for options in ([], ["--check"]):
        assert claim_sensitivity.main(options, places) == 1
        assert complaint in capsys.readouterr().out
    assert not places.build.exists()


def test_wrong_tables_are_explained(places, capsys):
    for options, change, complaint in (
        (["--only", "cubes"], {}, "no such error: cubes; there are: cube"),
        ([], {"chapter": "01_area", "size": 3}, "unknown ['size']"),
        (["--write", "--only", "cube"], {}, "--write takes all errors"),
    ):
        errors(places, "cube", **change)
        assert claim_sensitivity.main(options, places) == 1
        assert complaint in capsys.readouterr().out
    places.errors.write_text(places.errors.read_text().replace("area.squares", "area.squirrels"))
    assert claim_sensitivity.main([], places) == 1
    assert "01_area measures no claim area.squirrels" in capsys.readouterr().out


def test_what_is_done_is_kept_and_an_interrupt_loses_nothing(places, monkeypatch, capsys):
    errors(places, "cube", "shifted")
    real, calls = claim_sensitivity.subprocess.run, []

    def third_is_interrupted(command, **options):
        calls.append(command)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(command, **options)

    monkeypatch.setattr(claim_sensitivity.subprocess, "run", third_is_interrupted)
    assert claim_sensitivity.main([], places) == 130
    assert "interrupted after 1 of 2" in capsys.readouterr().out
    assert claim_sensitivity.main([], places) == 0
    assert len(calls) == 5  # two of the second error: those of the first are kept
    (places.package / "area.py").write_text(PACKAGE["area.py"] + "\n# changed\n")
    assert claim_sensitivity.main(["--only", "cube"], places) == 0
    assert len(calls) == 7  # another source: both again


def test_a_run_that_dies_is_no_verdict(places, capsys):
    errors(places, "cube", new="import os\n    os._exit(3)")
    assert claim_sensitivity.main([], places) == 1
    assert "NOT NOTICED; stopped by exit 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["a = 1", "b = 2", "use = a"], [0, 2]),
        (["a = 1", "a = 2", "use = a"], [0, 1, 2]),  # the set-up cell always runs
        (["", "a = 1", "a = 2", "use = a"], [0, 2, 3]),
        (["", "a = []", "a.append(1)", "b.append(1)", "use = a"], [0, 1, 2, 4]),
        (["", "a = {}", "a['x'] = 1", "use = a"], [0, 1, 2, 3]),
        (["", "import m", "m.show()", "use = m.f()"], [0, 1, 3]),  # what a module shows changes nothing
        (["", "def f():\n    return g()", "def g():\n    return 1", "use = f()"], [0, 1, 2, 3]),  # g is defined later
        (["", "x = 1", "f = lambda x: x", "use = f(2)"], [0, 2, 3]),  # x is the function's own
        (["", "a = 1", "if a:\n    b = 1", "b = 0", "use = b"], [0, 3, 4]),
        (["", "b = 0", "a = 1", "if a:\n    b = 1", "use = b"], [0, 1, 2, 3, 4]),
        (["", "k = 1", "for k in (1, 2):\n    s = k", "use = s"], [0, 2, 3]),
        (["", "n = 1", "n += 1", "use = n"], [0, 1, 2, 3]),
        (["", "%matplotlib inline\na = 1", "use = a"], [0, 1, 2]),
    ],
)
def test_a_slice_holds_what_the_last_cell_needs(cells, wanted):
    assert _slices.needed(cells, [len(cells) - 1]) == wanted


def test_the_errors_of_the_book_are_enough_and_of_many_kinds():
    found = claim_sensitivity.load(claim_sensitivity.HERE)
    assert len(found) >= 20
    assert len({error.chapter for error in found}) >= 6
    assert len({error.file for error in found}) >= 10
    assert Path(ROOT / "ntk_helpers" / found[0].file).is_file()
