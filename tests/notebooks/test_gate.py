"""The gate can fail: on a wrong value, NaN, a claim left out, outputs that were not made by the code beside them."""

import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import check_notebooks
import pytest

from ntk_helpers.bookkit.session import CLAIM_MIME

ROOT = Path(__file__).resolve().parents[2]

CONTRACT = """
[gate.first]
paper = "ours"
source = "derived, eq. (1)"
statement = "the first number"
kind = "equals"
expected = 2.0
rtol = 0.01
why = "rounding"
scales = ["quick"]

[gate.second]
paper = "ours"
source = "derived, eq. (2)"
statement = "the second number"
kind = "at_most"
expected = 0.5
atol = 0.01
why = "a bound"
scales = ["quick"]
"""
# Two more like the first, for what can go wrong in nbval.
FIRST = CONTRACT.strip().split("\n\n")[0]
CONTRACT += "\n".join(["", FIRST.replace("first", "third"), "", FIRST.replace("first", "fourth"), ""])

CELLS = [
    'import ntk_helpers as nh\nfrom tqdm import tqdm\nnh.chapter("90_gate")\nfor _ in tqdm(range(3)):\n    pass',
    'nh.claim("gate.first", 2.0012345678)',
    'nh.claim("gate.second", 0.25)',
    'nh.claim("gate.third", 2.0)',
    'nh.claim("gate.fourth", 2.0)',
    "nh.claims_table()",
]

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3", record_timing=False).execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of one chapter in a folder of its own, executed."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "book" / "claims").mkdir(parents=True)
    (folder / "book" / "claims" / "90_gate.toml").write_text(CONTRACT)
    (folder / "conftest.py").write_text((ROOT / "notebooks" / "conftest.py").read_text())
    cells = [
        {"cell_type": "code", "id": f"c{i}", "source": s, "metadata": {}, "outputs": [], "execution_count": None}
        for i, s in enumerate(CELLS)
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    write(folder / "90_gate.ipynb", {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    run([sys.executable, "-W", "ignore", "-c", EXECUTE, "90_gate.ipynb"], folder, TQDM_DISABLE="1")
    return folder


@pytest.fixture(scope="module")
def executed(book):
    return json.loads((book / "90_gate.ipynb").read_text())


@pytest.fixture
def check(book, executed, monkeypatch):
    """Run the static checks over a changed copy of the executed notebook."""
    monkeypatch.setenv("NTK_BOOK_DIR", str(book / "book"))

    def run_check(change=None, contract=CONTRACT):
        notebook = copy.deepcopy(executed)
        if change:
            change(notebook)
        path = book / "checked" / "90_gate.ipynb"
        path.parent.mkdir(exist_ok=True)
        write(path, notebook)
        (book / "book" / "claims" / "90_gate.toml").write_text(contract)
        try:
            return check_notebooks.check_notebook(path, anatomy=False)
        finally:
            (book / "book" / "claims" / "90_gate.toml").write_text(CONTRACT)

    return run_check


def write(path, notebook):
    path.write_text(json.dumps(notebook))


def run(command, folder, **more):
    environment = {k: v for k, v in os.environ.items() if k != "TQDM_DISABLE"}
    environment |= {"NTK_BOOK_DIR": str(folder / "book"), "NTK_SCALE": "quick", **more}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done


def cell(notebook, number):
    return notebook["cells"][number - 1]


def bundle(notebook, number):
    """The output of a claim's cell."""
    return next(o["data"] for o in cell(notebook, number)["outputs"] if CLAIM_MIME in o.get("data", {}))


def lines(change):
    """Apply a change to a text that may be stored as a list of lines."""
    return lambda value: [change(v) for v in value] if isinstance(value, list) else change(value)


def in_all_outputs(notebook, old, new):
    """Replace a text wherever outputs show it."""
    for one in notebook["cells"]:
        for output in one["outputs"]:
            data = output.get("data", {})
            for mime in [m for m in data if m.startswith("text/")]:
                data[mime] = lines(lambda s: s.replace(old, new))(data[mime])


def last_digits(notebook):
    """As if another CPU had measured: a late digit differs, which readers see rounded away."""
    bundle(notebook, 2)[CLAIM_MIME]["measured"] = 2.0012345679


def flip(notebook):
    """A failing measurement made to look as if it had passed."""
    bundle(notebook, 2)[CLAIM_MIME]["measured"] = 3.0


# ---- what nbval sees: the code runs again, its text is compared


@pytest.fixture(scope="module")
def verdicts(book, executed):
    """One run of nbval over several changed copies: outcome of each code cell, by notebook and cell."""

    def changed(name, change):
        notebook = copy.deepcopy(executed)
        change(notebook)
        write(book / f"{name}.ipynb", notebook)

    def broken(notebook):
        # The chapter's name stays, so that the copy is checked against the same contract.
        cell(notebook, 2)["source"] = 'nh.claim("gate.first", 2.1)'  # wrong value
        cell(notebook, 3)["source"] = 'nh.claim("gate.second", float("nan"))'  # NaN
        cell(notebook, 4)["source"], cell(notebook, 4)["outputs"] = "pass", []  # left out: the table must notice
        data = bundle(notebook, 5)  # flipped
        data["text/plain"] = lines(lambda s: s.replace("fourth agrees", "fourth refutes"))(data["text/plain"])

    changed("honest", last_digits)
    changed("broken", broken)
    report = book / "report.xml"
    # As `make test` runs it, the project's own settings included.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-c",
        str(ROOT / "pyproject.toml"),
        f"--rootdir={book}",
    ]
    command += ["--nbval", "--nbval-current-env", f"--nbval-sanitize-with={ROOT / 'tools' / 'nbval_sanitize.cfg'}"]
    run([*command, f"--junitxml={report}", "honest.ipynb", "broken.ipynb"], book)
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = re.search(r"(\w+)\.ipynb|(honest|broken)", case.get("classname") + " " + case.get("name"))
        number = int(re.search(r"Cell (\d+)", case.get("name"))[1]) + 1
        found[name[1] or name[2], number] = "failed" if len(case) and case[0].tag in ("failure", "error") else "passed"
    return found


def test_nbval_passes_an_honest_notebook_with_other_last_digits(verdicts):
    """And with progress bars in it, which a slow machine would show on stderr."""
    assert [verdicts["honest", i] for i in range(1, 7)] == ["passed"] * 6


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (2, "a wrong value"),
        (3, "NaN"),
        (5, "a flipped verdict in the stored output"),
        (6, "a claim of the contract that is not measured"),
    ],
)
def test_nbval_fails(verdicts, number, why):
    assert verdicts["broken", number] == "failed", why


# ---- what the static checks see: the stored outputs against the contract


def test_the_checks_pass_an_honest_notebook(check):
    assert check() == []
    assert check(last_digits) == []


def unexecuted(notebook):
    for one in notebook["cells"]:
        one["execution_count"], one["outputs"] = None, []


def out_of_order(notebook):
    cell(notebook, 2)["execution_count"] = 5


def with_error(notebook):
    cell(notebook, 2)["outputs"].append({"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []})


def with_stderr(notebook):
    cell(notebook, 2)["outputs"].append({"output_type": "stream", "name": "stderr", "text": "a warning"})


def with_path(notebook):
    cell(notebook, 2)["outputs"].append({"output_type": "stream", "name": "stdout", "text": "saved in /home/me/x"})


def tagged(notebook):
    cell(notebook, 2)["metadata"]["tags"] = ["nbval-ignore-output"]


def commented(notebook):
    cell(notebook, 2)["source"] = "# NBVAL_SKIP\n" + CELLS[1]


def without_claim(notebook):
    cell(notebook, 3)["outputs"] = []


def twice(notebook):
    cell(notebook, 2)["outputs"] += copy.deepcopy(cell(notebook, 2)["outputs"])


def nan(notebook):
    bundle(notebook, 2)[CLAIM_MIME]["measured"] = None


def verdict_in_record(notebook):
    bundle(notebook, 2)[CLAIM_MIME]["verdict"] = "refutes"


def verdict_in_text(notebook):
    data = bundle(notebook, 2)
    data["text/plain"] = lines(lambda s: s.replace("agrees", "refutes"))(data["text/plain"])


def verdict_in_html(notebook):
    data = bundle(notebook, 2)
    data["text/html"] = lines(lambda s: s.replace("agrees", "refutes"))(data["text/html"])


def number_in_html(notebook):
    in_all_outputs(notebook, "2.001", "2.000")


def not_run(notebook):
    bundle(notebook, 2)[CLAIM_MIME].update(verdict="not run", cause="no time", measured=None)


def other_scale(notebook):
    bundle(notebook, 2)[CLAIM_MIME]["scale"] = "full"


def bare_picture(notebook):
    data = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}
    cell(notebook, 2)["outputs"].append({"output_type": "display_data", "data": data, "metadata": {}})


def picture_without_alt(notebook):
    data = {"text/html": '<img src="data:," alt="a figure">', "text/plain": "Figure"}
    cell(notebook, 2)["outputs"].append({"output_type": "display_data", "data": data, "metadata": {}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unexecuted, "code cell 1 was not executed"),
        (unexecuted, "gate.first: in the contract, measured in no output"),
        (out_of_order, "executed as number 5"),
        (with_error, "ended with ValueError"),
        (with_stderr, "wrote to stderr"),
        (with_path, "path of the machine"),
        (tagged, "keeps nbval from comparing"),
        (commented, "keeps nbval from comparing"),
        (without_claim, "gate.second: in the contract, measured in no output"),
        (twice, "measured in 2 outputs"),
        (nan, "gate.first: fails"),
        (flip, "the stored measurement gives 'fails'"),
        (verdict_in_record, "the output says 'refutes'"),
        (verdict_in_text, "the text of its output does not follow"),
        (verdict_in_html, "the HTML of its output does not follow"),
        (number_in_html, "the table of all claims does not show"),
        (not_run, "names nothing that could be missing"),
        (other_scale, "measured at scale 'full'"),
        (bare_picture, "shows a bare image/png"),
        (picture_without_alt, "alternative text below 40 characters"),
    ],
)
def test_the_checks_fail(check, change, message):
    assert any(message in problem for problem in check(change))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("expected = 2.0", "expected = 2.2"),  # ten times the tolerance of 0.02
        ("expected = 0.5", "expected = 0.4"),  # ten times 0.01
        ("expected = 0.5", "expected = 0.6"),
        ("rtol = 0.01", "rtol = 0.5"),
        ("atol = 0.01", "atol = 0.02"),
        ('kind = "at_most"', 'kind = "at_least"'),
        ("the first number", "another statement"),
    ],
)
def test_a_changed_contract_fails_until_it_is_measured_again(check, old, new):
    assert old in CONTRACT
    assert any("in the contract; execute again" in p for p in check(contract=CONTRACT.replace(old, new)))


def test_a_new_claim_that_no_notebook_measures_fails(check):
    new = f"{CONTRACT}\n{FIRST.replace('first', 'fifth')}\n"
    assert "gate.fifth: in the contract, measured in no output" in check(contract=new)


def test_a_claim_without_a_contract_fails(check):
    assert any("gate.second: measured in code cell 3, not in the contract" in p for p in check(contract=FIRST))


def test_stored_results_are_held_to_the_contract(check, book, executed):
    folder = book / "book" / "results" / "90_gate"
    folder.mkdir(parents=True)
    contract = CONTRACT.replace('scales = ["quick"]', 'scales = ["quick", "full"]')
    record = {**bundle(executed, 2)[CLAIM_MIME], "scale": "full"}

    def problems(**changes):
        (folder / "full.json").write_text(json.dumps({"claims": [{**record, **changes}]}))
        return [p for p in check(contract=contract) if p.startswith("full.json")]

    try:
        missing = [f"full.json: gate.{name} is missing; run it again" for name in ("second", "third", "fourth")]
        assert problems() == missing
        assert len(problems(measured=3.0)) == 3 + 2  # the verdict is wrong, and the claim fails
        assert len(problems(expected=1.0)) == 3 + 1
        assert len(problems(id="gate.none")) == 3 + 2  # an unknown claim, and gate.first is missing too
    finally:
        (folder / "full.json").unlink()


def test_a_contract_without_notebook_and_an_unknown_paper_are_found(book, monkeypatch, tmp_path):
    monkeypatch.setenv("NTK_BOOK_DIR", str(tmp_path))
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "90_gate.toml").write_text(CONTRACT.replace('"ours"', '"nobody2020nothing"', 1))
    (tmp_path / "claims" / "91_again.toml").write_text(CONTRACT)
    found = check_notebooks.check_contracts(book)
    assert "book/claims/91_again.toml has no notebook: its claims are measured nowhere" in found
    assert any("no 'nobody2020nothing' in references.bib" in p for p in found)
    assert "gate.first stands in the contracts of 90_gate and 91_again" in found
