import json

import _notebooks
import pytest
import scoreboard

from ntk_helpers.bookkit.session import CLAIM_MIME

CLAIM = """
[score.{name}]
paper = "{paper}"
source = "theorem 1"
statement = "{name} holds | costs $5 *"
kind = "{kind}"
expected = 2.0
why = "w"
{more}
"""
CONTRACT = (
    CLAIM.format(name="plain", paper="ours", kind="at_most", more='scales = ["quick", "full"]')
    + CLAIM.format(
        name="refuted", paper="lee2018deep", kind="refutes", more='atol=0.1\npaper_value=1.0\nscales=["quick"]'
    )
    + CLAIM.format(name="data", paper="ours", kind="at_most", more='scales = ["full"]\nneeds = "MNIST"')
)


def record(name, verdict, measured, device="CPU", cause=""):
    return {
        "id": f"score.{name}",
        "verdict": verdict,
        "measured": measured,
        "interval": None,
        "se": None,
        "cause": cause,
        "device": device,
    }


@pytest.fixture
def page(tmp_path, monkeypatch):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "01_gp_at_initialization.toml").write_text(CONTRACT)
    monkeypatch.setenv("NTK_BOOK_DIR", str(tmp_path))
    monkeypatch.setattr(scoreboard, "NOTEBOOKS", tmp_path)

    def make(quick, full=None):
        outputs = [{"output_type": "display_data", "data": {CLAIM_MIME: r}} for r in quick]
        cells = [{"cell_type": "code", "source": "x", "outputs": outputs}]
        (tmp_path / "01_gp_at_initialization.ipynb").write_text(json.dumps({"cells": cells}))
        if full is not None:
            folder = tmp_path / "results" / "01_gp_at_initialization"
            folder.mkdir(parents=True)
            stored = {"claims": full, "device": "a GPU", "label": "full scale"}
            (folder / "full.json").write_text(json.dumps(stored))
        return scoreboard.render()

    return make


def test_every_claim_is_counted_and_shown(page):
    text = page([record("plain", "agrees", 1.25), record("refuted", "refutes", 2.01)])
    assert "**3 claims: 1 agree, 1 refute what a paper says, 1 were not run.**" in text
    assert "| at most 2 | 1.25 | – | CPU | agrees |" in text
    assert "{cite:t}`lee2018deep`" in text
    assert "| **refutes** |" in text
    assert "no run at full scale is stored; needs MNIST" in text
    assert r"plain holds \| costs \$5 \*" in text


def test_full_results_stand_beside_the_quick_ones(page):
    full = [record("plain", "agrees", 1.5, "a GPU"), record("data", "not run", None, cause="no data: MNIST")]
    text = page([record("plain", "agrees", 1.25), record("refuted", "refutes", 2.01)], full)
    assert "| 1.25 | 1.5 | CPU; a GPU (full scale) | agrees |" in text
    assert "no data: MNIST" in text


def test_a_failure_at_either_scale_is_a_failure(page):
    text = page([record("plain", "agrees", 1.25)], [record("plain", "fails", 3.0)])
    assert "1 fail" in text
    assert "**fails**" in text


def test_without_a_notebook_nothing_agrees(page):
    assert "**3 claims: 0 agree, 0 refute what a paper says, 3 were not run.**" in page([])


def test_the_page_is_the_same_twice(page):
    quick = [record("plain", "agrees", 1.25)]
    assert page(quick) == page(quick)


def test_records_are_found_with_their_cells():
    notebook = {
        "cells": [
            {"cell_type": "code", "source": "a", "outputs": []},
            {"cell_type": "code", "source": "", "outputs": []},
            {"cell_type": "code", "source": ["b"], "outputs": [{"data": {CLAIM_MIME: {"id": "x.y"}}}]},
        ]
    }
    assert [(n, r["id"]) for n, r, _ in _notebooks.records(notebook)] == [(2, "x.y")]
