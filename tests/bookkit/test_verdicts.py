import jax.numpy as jnp
import numpy as np
import pytest

from ntk_helpers.bookkit.contracts import Contract
from ntk_helpers.bookkit.verdicts import as_number, describe, judge, short


def claim(kind, expected, **more):
    stated = {"paper": "ours", "source": "s", "statement": "s", "why": "w", "scales": ("quick",)}
    return Contract(id="t.n", kind=kind, expected=expected, **stated, **more)


# (contract, measured, interval, standard error, passes)
CASES = [
    (claim("equals", 2.0, rtol=0.01), 2.019, None, None, True),
    (claim("equals", 2.0, rtol=0.01), 2.021, None, None, False),
    (claim("equals", -2.0, rtol=0.01), -2.019, None, None, True),
    (claim("equals", 0.0, atol=0.0), 0.0, None, None, True),
    (claim("equals", 0.0, atol=0.0), 5e-324, None, None, False),
    (claim("equals", 1.0, rtol=0.01, atol=0.02), 1.029, None, None, True),
    (claim("equals", 1.0, rtol=0.01, atol=0.02), 1.031, None, None, False),
    # four standard errors of 0.1; a standard error above max_se is noise and fails even with the right value
    (claim("equals", 1.0, sigmas=4.0, max_se=0.1), 1.39, None, 0.1, True),
    (claim("equals", 1.0, sigmas=4.0, max_se=0.1), 1.41, None, 0.1, False),
    (claim("equals", 1.0, sigmas=4.0, max_se=0.1), 1.0, None, 0.11, False),
    (claim("equals", 1.0, sigmas=4.0, max_se=0.1), 1.0, None, None, False),
    (claim("equals", 1.0, sigmas=4.0, max_se=0.1), 1.0, None, float("nan"), False),
    (claim("equals", 1.0, rtol=0.1, max_half_width=0.2), 1.05, (0.9, 1.2), None, True),
    (claim("equals", 1.0, rtol=0.1, max_half_width=0.1), 1.05, (0.9, 1.2), None, False),
    (claim("equals", 1.0, rtol=0.1, max_half_width=0.1), 1.05, None, None, False),
    (claim("at_most", 1.0), 1.0, None, None, True),
    (claim("at_most", 1.0), 1.0000001, None, None, False),
    (claim("at_most", 1.0, atol=0.1), 1.09, None, None, True),
    (claim("at_most", 1.0), 0.9, (0.8, 1.1), None, False),
    (claim("at_most", 1.0), 0.9, (0.8, 0.95), None, True),
    (claim("at_most", 1.0), 0.9, None, 0.02, True),
    (claim("at_most", 1.0), 0.9, None, 0.03, False),
    (claim("at_least", 1.0), 0.99, None, None, False),
    (claim("at_least", 1.0), 1.1, None, 0.03, False),
    (claim("at_least", 1.0), 1.1, None, 0.02, True),
    (claim("between", (1.0, 2.0)), 1.5, (1.1, 1.9), None, True),
    (claim("between", (1.0, 2.0)), 1.5, (0.9, 1.9), None, False),
    (claim("between", (1.0, 2.0)), 2.1, None, None, False),
    (claim("slope", -1.0, max_half_width=0.1), -0.97, (-1.02, -0.9), None, True),
    (claim("slope", -1.0, max_half_width=0.1), -0.9, (-0.95, -0.85), None, False),
    (claim("slope", -1.0, max_half_width=0.1), -1.0, (-1.2, -0.9), None, False),
    (claim("slope", -1.0, max_half_width=0.1), -1.0, None, None, False),
    (claim("slope", -1.0, max_half_width=0.1, atol=0.05), -0.9, (-0.96, -0.85), None, True),
    (claim("slope", -1.0, max_half_width=0.1), -1.0, (float("nan"), -0.9), None, False),
    (claim("refutes", 2.0, rtol=0.05, paper_value=1.0), 2.05, None, None, True),
    (claim("refutes", 2.0, rtol=0.05, paper_value=1.0), 1.5, None, None, False),
    (claim("refutes", 2.0, rtol=0.05, paper_value=1.0), 1.0, None, None, False),
    (claim("refutes", 2.0, rtol=0.05, paper_value=(0.0, 1.5)), 1.95, (1.4, 2.5), None, False),
    (claim("refutes", (1.8, 2.2), paper_value=1.0), 2.1, (1.7, 2.4), None, True),
]


@pytest.mark.parametrize(("contract", "measured", "interval", "se", "passes"), CASES)
def test_verdicts(contract, measured, interval, se, passes):
    assert judge(contract, measured, interval, se).passed is passes


@pytest.mark.parametrize("contract", [c[0] for c in CASES])
@pytest.mark.parametrize("measured", [None, float("nan"), float("inf"), {"a": 1.0}])
def test_what_is_no_finite_number_never_passes(contract, measured):
    assert not judge(contract, measured, None, 0.01).passed
    assert not judge(contract, measured, (0.0, 3.0), 0.01).passed


@pytest.mark.parametrize("case", [c for c in CASES if c[-1] and c[0].tolerance > 0])
def test_an_expectation_moved_by_ten_tolerances_fails(case):
    contract, measured, interval, se, _ = case
    away = 10 * contract.tolerance * (1 if contract.kind in ("equals", "refutes", "slope") else -1)
    ends = contract.expected if isinstance(contract.expected, tuple) else (contract.expected,)
    width = (interval[1] - interval[0]) if interval else 0.0
    moved = tuple(e + away + np.sign(away) * width for e in ends)
    fields = {**contract.__dict__, "expected": moved if len(moved) == 2 else moved[0]}
    assert not judge(Contract(**fields), measured, interval, se).passed


def test_orderings():
    contract = claim("ordering", ("relu", "erf", "sin"), min_gap=0.1)
    assert judge(contract, {"sin": 3.0, "relu": 1.0, "erf": 2.0}).passed
    assert not judge(contract, {"sin": 2.0, "relu": 1.0, "erf": 3.0}).passed
    assert not judge(contract, {"sin": 2.05, "relu": 1.0, "erf": 2.0}).passed, "a gap below min_gap"
    assert not judge(contract, {"relu": 1.0, "erf": 2.0}).passed, "a name is missing"
    assert not judge(contract, {"sin": float("nan"), "relu": 1.0, "erf": 2.0}).passed
    assert not judge(contract, 1.0).passed
    se = dict.fromkeys(("relu", "erf", "sin"), 0.1)  # 4 sqrt(2) 0.1 = 0.57
    assert judge(contract, {"sin": 2.2, "relu": 1.0, "erf": 1.6}, None, se).passed
    assert not judge(contract, {"sin": 2.1, "relu": 1.0, "erf": 1.6}, None, se).passed
    assert not judge(contract, {"sin": 2.2, "relu": 1.0, "erf": 1.6}, None, {"relu": 0.1}).passed
    equal = claim("ordering", ("a", "b"))
    assert not judge(equal, {"a": 1.0, "b": 1.0}).passed, "equal numbers are not in order"


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3.0),
        (np.float32(0.5), 0.5),
        (jnp.asarray(0.5), 0.5),
        (np.array(2), 2.0),
        (np.bool_(True), 1.0),
        (float("nan"), None),
        (-np.inf, None),
        (None, None),
        (1j, None),
        (np.complex64(1), None),
        ("1.0", None),
    ],
)
def test_numbers(value, number):
    assert as_number(value) == number


def test_an_array_is_no_measurement():
    with pytest.raises(TypeError, match=r"one number, got an array of shape \(2,\)"):
        as_number(np.ones(2))


@pytest.mark.parametrize(
    ("contract", "text"),
    [
        (claim("equals", 1.0, rtol=0.03), "1 ± 3 %"),
        (claim("equals", 0.0, atol=0.0), "0 exactly"),
        (claim("equals", 1.5, atol=1e-5), "1.5 ± 1e-5"),
        (claim("equals", 1.0, sigmas=4.0, max_se=0.1), "1 ± 4 standard errors (each at most 0.1)"),
        (claim("at_most", 1e-12), "at most 1e-12"),
        (claim("between", (0.0, 2.0)), "[0, 2]"),
        (claim("ordering", ("a", "b")), "a < b"),
        (claim("slope", -1.0, max_half_width=0.1), "slope -1 inside the interval, half-width at most 0.1"),
        (claim("refutes", 2.0, rtol=0.05, paper_value=1.0), "not 1 as in the paper, but 2 ± 5 %"),
    ],
)
def test_expectations_in_words(contract, text):
    assert describe(contract) == text


def test_measurements_in_words():
    assert short(1.23456, (1.2, 1.3)) == "1.235 [1.2, 1.3]"
    assert short(1.23456, None, 0.0123) == "1.235 ± 0.01"
    assert short(None) == "not a number"
    assert short({"a": 1.0, "b": 2.0}) == "a: 1, b: 2"
