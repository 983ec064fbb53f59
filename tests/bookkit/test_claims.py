import json
import os
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh
from ntk_helpers.bookkit import render, session

CONTRACT = """
[demo.one]
paper = "ours"
source = "derived, eq. (1)"
statement = "a number is <one>"
kind = "equals"
expected = 1.0
rtol = 0.03
why = "rounding"
scales = ["quick", "full"]
[demo.one.full]
rtol = 0.001

[demo.rate]
paper = "lee2018deep"
source = "theorem 1"
statement = "falls as one over width"
kind = "slope"
expected = -1.0
why = "bootstrap"
scales = ["quick"]

[demo.big]
paper = "ours"
source = "table 1"
statement = "at full size"
kind = "at_most"
expected = 0.5
why = "a bound"
scales = ["full"]
needs = "MNIST"
"""


@pytest.fixture
def demo(book):
    book(CONTRACT)
    nh.chapter("90_demo")


def test_a_passing_claim_is_shown_and_recorded(demo, capsys):
    nh.claim("demo.one", jnp.asarray(1.0123456))
    shown = capsys.readouterr().out
    assert "✓ demo.one agrees; expected 1 ± 3 %" in shown
    assert "1.012" not in shown, "measured digits differ between machines and stay out of the compared text"
    record = session.current.records["demo.one"]
    assert record["measured"] == pytest.approx(1.0123456)
    assert (record["verdict"], record["scale"], record["expected"]) == ("agrees", "quick", 1.0)
    json.dumps(record, allow_nan=False)


@pytest.mark.parametrize("wrong", [1.04, float("nan"), float("inf"), None, 1j, "1.0"])
def test_a_failing_claim_raises_after_it_was_shown(demo, capsys, wrong):
    with pytest.raises(nh.ClaimFailed, match=r"demo\.one"):
        nh.claim("demo.one", wrong)
    assert "✗ demo.one fails" in capsys.readouterr().out
    json.dumps(session.current.records["demo.one"], allow_nan=False)


def test_a_fitted_slope_brings_its_interval(demo):
    x = np.array([32, 64, 128, 256, 1024])
    noise = 1 + 0.02 * np.random.default_rng(0).standard_normal((8, 5))
    nh.claim("demo.rate", nh.fit_slope(x, noise / x))
    assert len(session.current.records["demo.rate"]["interval"]) == 2
    with pytest.raises(nh.ClaimFailed, match="interval"):
        nh.claim("demo.rate", -1.0)


def test_a_broken_interval_fails_the_claim(demo):
    with pytest.raises(nh.ClaimFailed, match="not finite around"):
        nh.claim("demo.rate", -1.0, interval=[float("nan"), -0.99])
    json.dumps(session.current.records["demo.rate"], allow_nan=False)


def test_the_table_misses_nothing(demo, capsys):
    nh.claim("demo.one", 1.0)
    with pytest.raises(nh.ClaimFailed, match=r"not measured: demo\.rate"):
        nh.claims_table()
    nh.claim("demo.rate", -1.0, interval=(-1.01, -0.99))
    capsys.readouterr()
    nh.claims_table()
    assert capsys.readouterr().out.splitlines() == [
        "✓ demo.one agrees; expected 1 ± 3 %",
        "✓ demo.rate agrees; expected slope -1 inside the interval, half-width at most 0.1",
        "○ demo.big not run (measured at full scale); expected at most 0.5",
    ]


def test_scales_choose_claims_and_tolerances(demo, monkeypatch):
    nh.claim("demo.big", 0.9)  # would fail, but is not stated at quick scale
    assert session.current.records["demo.big"]["verdict"] == "not run"
    monkeypatch.setenv("NTK_SCALE", "full")
    with pytest.raises(nh.ClaimFailed):
        nh.claim("demo.big", 0.9)
    with pytest.raises(nh.ClaimFailed):
        nh.claim("demo.one", 1.02)  # within 3 %, not within 0.1 %


def test_not_run_needs_a_reason_in_the_contract(demo, monkeypatch):
    with pytest.raises(ValueError, match="has to be measured"):
        nh.not_run("demo.one", "no time")
    monkeypatch.setenv("NTK_SCALE", "full")
    with pytest.raises(ValueError, match="needs a cause"):
        nh.not_run("demo.big", " ")
    nh.not_run("demo.big", "no data: MNIST")
    assert session.current.records["demo.big"]["cause"] == "no data: MNIST"


def test_misuse_is_named(demo):
    with pytest.raises(KeyError, match=r"demo\.none"):
        nh.claim("demo.none", 1.0)
    with pytest.raises(TypeError, match="one number"):
        nh.claim("demo.one", np.ones(3))


def test_no_claim_without_a_chapter():
    with pytest.raises(RuntimeError, match=r"call nh\.chapter"):
        nh.claim("demo.one", 1.0)


def test_a_new_chapter_forgets(demo, book):
    nh.claim("demo.one", 1.0)
    nh.chapter("90_demo")
    assert session.current.records == {}


def test_html_is_escaped(demo):
    nh.claim("demo.one", 1.0)
    html = render.claim_html(session.current.records["demo.one"])
    assert "&lt;one&gt;" in html
    assert "<one>" not in html
    assert 'tabindex="0"' in html


def test_stored_results(demo, book, capsys):
    nh.claim("demo.one", 1.0)
    assert nh.load_results("90_demo") is None
    capsys.readouterr()
    nh.stored_results()
    assert "No full-scale results are stored for chapter 90_demo yet" in capsys.readouterr().out
    folder = book(CONTRACT) / "results" / "90_demo"
    folder.mkdir(parents=True)
    record = {**session.current.records["demo.one"], "scale": "full", "measured": 1.0002}
    stored = {"label": "full scale", "device": "a GPU", "seconds": 120.0, "commit": "abc", "claims": [record]}
    (folder / "full.json").write_text(json.dumps(stored))
    nh.stored_results("90_demo")
    shown = capsys.readouterr().out
    assert "full scale: a GPU, 2 minutes, commit abc" in shown
    assert "demo.one agrees; expected 1 ± 3 %; stored 1" in shown


@pytest.mark.parametrize(("device", "said"), [("cpu", "No GPU is attached"), ("gpu", "A GPU is attached")])
def test_on_colab_the_chapter_says_what_a_gpu_is_for(book, monkeypatch, capsys, device, said):
    book(CONTRACT)
    monkeypatch.setitem(sys.modules, "google.colab", object())
    monkeypatch.setattr("jax.default_backend", lambda: device)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "as the reader set it")
    nh.chapter("90_demo")
    out = capsys.readouterr().out
    assert said in out
    assert 'os.environ["NTK_SCALE"] = "t4"' in out
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "as the reader set it"
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")
    nh.chapter("90_demo")
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    monkeypatch.setenv("NTK_SCALE", "t4")
    nh.chapter("90_demo")
    assert "A GPU is attached" not in capsys.readouterr().out.splitlines()[-1]
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")


def test_measurements_by_name_are_shown_in_one_order(book, monkeypatch):
    # A notebook is stored with sorted keys: an execution that shows another order would differ from what is stored.
    numbers, names = 'kind = "equals"\nexpected = 1.0\nrtol = 0.03', 'kind = "ordering"\nexpected = ["tanh", "erf"]'
    book(CONTRACT.replace(numbers, names).replace("[demo.one.full]\nrtol = 0.001\n", ""))
    nh.chapter("90_demo")
    nh.claim("demo.one", {"tanh": 1.0, "erf": 2.0})
    assert list(session.current.records["demo.one"]["measured"]) == ["erf", "tanh"]
