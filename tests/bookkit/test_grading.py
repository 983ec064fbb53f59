import sys
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

from ntk_helpers.bookkit.grading import expect, expect_shape, parts, set_up

WHAT = "Half of a Gaussian is positive."


def said(got, want, **options) -> str:
    with pytest.raises(AssertionError) as caught:
        expect(got, want, WHAT, **options)
    assert str(caught.value).startswith(WHAT)
    return str(caught.value).removeprefix(WHAT).strip()


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (jnp.array(0.5), 0.5),
        ([1, 2], np.array([1.0, 2.0])),
        (jnp.ones((2, 3)), np.ones((2, 3))),
        (np.array([1.0 + 0j, 2.0]), [1, 2]),
        (1.0 + 5e-7, 1.0),
        (5e-10, 0.0),
    ],
)
def test_right_results_pass_whatever_they_are_made_of(got, want):
    expect(got, want, WHAT)


@pytest.mark.parametrize(
    ("got", "want", "words"),
    [
        (None, 1.0, "`return` missing"),
        ("one", 1.0, "is a str and not an array of numbers"),
        (lambda x: x, 1.0, "is a function"),
        ([[1.0], [2.0, 3.0]], [1.0, 2.0], "is a list and not"),
        (1j, 1.0, "complex"),
        ([1.0], 1.0, r"shape should be \(\); yours is \(1,\)"),
        (np.ones((2, 3)), np.ones((3, 2)), r"shape should be \(3, 2\); yours is \(2, 3\)"),
        ([1.0, np.nan], [1.0, 2.0], "not finite"),
        ([2.0, 4.0], [1.0, 2.0], "twice what"),
        ([-1.0, -2.0], [1.0, 2.0], "the negative of"),
        ([[0.0, 1.0], [2.0, 3.0]], [[0.0, 2.0], [1.0, 3.0]], "the transpose"),
        ([1.0, 2.5], [1.0, 2.0], r"entry is \[1\]: yours is 2.5, expected was 2"),
        (0.7, 0.5, "Yours is 0.7, expected was 0.5"),
        (1e-3, 0.0, "Yours is 0.001"),
    ],
)
def test_wrong_results_are_told_what_is_wrong(got, want, words):
    with pytest.raises(AssertionError, match=words):
        expect(got, want, WHAT)


def test_a_hint_answers_the_mistake_it_knows():
    hints = [(1.0, "Is the factor 1/2 there?"), ([1.0, 2.0], "never: another shape")]
    assert said(1.0, 0.5, hints=hints) == "Is the factor 1/2 there?"
    assert said(0.9, 0.5, hints=hints).startswith("Yours is 0.9")
    assert said(1.0, 0.5) == "Your result is twice what was expected."


def test_tolerances_count():
    expect(1.04, 1.0, WHAT, rtol=0.05)
    assert said(1.06, 1.0, rtol=0.05)
    expect(0.04, 0.0, WHAT, rtol=0.0, atol=0.05)
    assert said(0.06, 0.0, rtol=0.0, atol=0.05)


def test_parts_says_how_many_things_are_wanted():
    assert parts([1, 2], "a", "b") == (1, 2)
    with pytest.raises(AssertionError, match=r"returns 2 things: a, b\. Yours returned one float"):
        parts(1.0, "a", "b")
    with pytest.raises(AssertionError, match="Yours returned 3 things"):
        parts((1, 2, 3), "a", "b")


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (None, "`return` missing"),
        (np.ones((3, 2)), r"should be \(2, 3\); yours is \(3, 2\)"),
        (np.ones(6), r"yours is \(6,\)"),
        (1.0, r"yours is \(\)"),
    ],
)
def test_a_wrong_shape_is_told(got, words):
    expect_shape(jnp.ones((2, 3)), (2, 3), WHAT)
    with pytest.raises(AssertionError, match=words):
        expect_shape(got, (2, 3), WHAT)


def test_warnings_go_where_nbgrader_does_not_count_them(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", sys.stderr)  # put back afterwards
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        set_up()
        warnings.warn("divided by zero", RuntimeWarning, stacklevel=1)
        print("half done", file=sys.stderr)
    out, err = capsys.readouterr()
    assert "RuntimeWarning: divided by zero" in out
    assert "half done" in out
    assert err == ""
