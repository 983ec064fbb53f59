"""Verdicts: compare one measurement with its contract. Pure functions, used by chapters and by the checks alike."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ntk_helpers.bookkit.contracts import Contract, span

Interval = tuple[float, float]
Measured = float | Mapping[str, float | None]


class Verdict(NamedTuple):
    """Outcome of a comparison: ``passed``, and in words why (shown when it failed)."""

    passed: bool
    reason: str


def as_number(value: object) -> float | None:
    """A real scalar (Python, NumPy or JAX, 0-d) as a float; None for NaN, infinity, complex, None and text.

    Raises:
        TypeError: the value is an array with an axis; a claim is about one number.
    """
    if value is None or isinstance(value, str | complex):
        return None
    array = np.asarray(value)
    if array.ndim > 0:
        raise TypeError(
            f"a claim compares one number, got an array of shape {array.shape}; reduce it first (to its largest error, "
            "say)"
        )
    if array.dtype.kind not in "biuf" and not hasattr(value, "__float__"):
        return None
    if array.dtype.kind == "c":
        return None
    number = float(array)
    return number if math.isfinite(number) else None


def judge(
    contract: Contract,
    measured: Measured | None,
    interval: Interval | None = None,
    se: float | Mapping[str, float] | None = None,
) -> Verdict:
    """Compare a measurement with its contract (scale overrides already put in, see ``contracts.at_scale``).

    An interval (or ``se``, taken as 4 standard errors to either side) must satisfy ``at_most``, ``at_least`` and
    ``between`` as a whole; for ``slope`` it must contain ``expected`` up to ``atol``; for ``refutes`` it must lie
    outside what the paper says. None as measurement stands for NaN, infinity or no number, and fails.

    Args:
        contract: the claim at one scale.
        measured: finite number; for an ordering the numbers by name.
        interval: confidence interval of the measurement, (lo, hi).
        se: standard error of the measurement; for an ordering by name.

    Returns:
        Verdict: whether it passed, and the reason.
    """
    if measured is None:
        return Verdict(False, "the measurement is not a finite real number")
    if contract.kind == "ordering":
        return _ordering(contract, measured, se)
    if isinstance(measured, Mapping):
        return Verdict(False, f"kind {contract.kind!r} compares one number, got numbers by name")
    if not math.isfinite(measured):
        return Verdict(False, "the measurement is not a finite real number")
    if se is not None and not (isinstance(se, int | float) and math.isfinite(se) and se >= 0):
        return Verdict(False, f"the standard error is not a finite number >= 0: {se}")
    if interval is not None:
        lo, hi = interval
        if not (math.isfinite(lo) and math.isfinite(hi) and lo <= measured <= hi):
            return Verdict(False, f"the interval [{num(lo)}, {num(hi)}] is not finite around the measurement")
        if contract.max_half_width is not None and (hi - lo) / 2 > contract.max_half_width:
            half = num((hi - lo) / 2)
            return Verdict(False, f"the half-width {half} exceeds {num(contract.max_half_width)}: too noisy to tell")
    elif contract.max_half_width is not None:
        return Verdict(False, "the contract asks for an interval (max_half_width) and none was measured")
    if contract.sigmas:
        if se is None:
            return Verdict(False, "the contract counts standard errors (sigmas) and none was measured")
        if se > contract.max_se:
            return Verdict(False, f"the standard error {num(se)} exceeds {num(contract.max_se)}: too noisy to tell")
    return _RULES[contract.kind](contract, measured, interval, se)


def _near(contract: Contract, measured: float, se: float | None) -> Verdict:
    """Distance to `expected` (a number or an interval) against the tolerance."""
    lo, hi = span(contract.expected)
    tolerance = contract.tolerance + contract.sigmas * (se or 0.0)
    distance = max(lo - measured, measured - hi, 0.0)
    return Verdict(distance <= tolerance, f"off by {num(distance)}, tolerance {num(tolerance)}")


def _equals(contract, measured, interval, se) -> Verdict:
    return _near(contract, measured, se)


def _ends(measured, interval, se) -> Interval:
    """The range that a one-sided claim has to hold on: the interval, or 4 standard errors to either side."""
    if interval is not None:
        return interval
    return (measured - 4 * (se or 0.0), measured + 4 * (se or 0.0))


def _at_most(contract, measured, interval, se) -> Verdict:
    top, bound = _ends(measured, interval, se)[1], contract.expected + contract.tolerance
    return Verdict(top <= bound, f"{num(top)} against at most {num(bound)}")


def _at_least(contract, measured, interval, se) -> Verdict:
    bottom, bound = _ends(measured, interval, se)[0], contract.expected - contract.tolerance
    return Verdict(bottom >= bound, f"{num(bottom)} against at least {num(bound)}")


def _between(contract, measured, interval, se) -> Verdict:
    (lo, hi), (bottom, top) = contract.expected, _ends(measured, interval, se)
    return Verdict(lo <= bottom and top <= hi, f"[{num(bottom)}, {num(top)}] against [{num(lo)}, {num(hi)}]")


def _slope(contract, measured, interval, se) -> Verdict:
    lo, hi = interval
    inside = lo - contract.atol <= contract.expected <= hi + contract.atol
    return Verdict(inside, f"{num(contract.expected)} against the interval [{num(lo)}, {num(hi)}]")


def _refutes(contract, measured, interval, se) -> Verdict:
    lo, hi = _ends(measured, interval, se)
    paper = span(contract.paper_value)
    if lo <= paper[1] and paper[0] <= hi:
        return Verdict(False, "the measurement does not lie outside what the paper says")
    return _near(contract, measured, se)


_RULES = {
    "equals": _equals,
    "at_most": _at_most,
    "at_least": _at_least,
    "between": _between,
    "slope": _slope,
    "refutes": _refutes,
}


def _ordering(contract: Contract, measured: object, se: object) -> Verdict:
    """Neighbours must differ by more than min_gap, and by more than 4 standard errors where these are given."""
    names = contract.expected
    if not isinstance(measured, Mapping) or set(measured) != set(names):
        return Verdict(False, f"an ordering needs one number for each of {', '.join(names)}")
    if any(v is None or not math.isfinite(v) for v in measured.values()):
        return Verdict(False, "one of the measurements is not a finite real number")
    if se is not None and (not isinstance(se, Mapping) or set(se) != set(names)):
        return Verdict(False, "the standard errors of an ordering are given by name, for every name")
    for a, b in pairwise(names):
        needed = max(contract.min_gap, 4 * math.hypot(se[a], se[b]) if se else 0.0)
        if not (measured[b] > measured[a] and measured[b] - measured[a] >= needed):
            return Verdict(False, f"{b} exceeds {a} by {num(measured[b] - measured[a])}, needed: {num(needed)}")
    return Verdict(True, "in the expected order")


def describe(contract: Contract) -> str:
    """The expectation in one line, for tables and for the text that nbval compares."""
    tolerance = []
    if contract.rtol:
        tolerance.append(f"{num(100 * contract.rtol)} %")
    if contract.atol or not (contract.rtol or contract.sigmas):
        tolerance.append(num(contract.atol))
    if contract.sigmas:
        tolerance.append(f"{num(contract.sigmas)} standard errors (each at most {num(contract.max_se)})")
    tol = " + ".join(tolerance)
    if contract.kind == "ordering":
        gap = f", gaps at least {num(contract.min_gap)}" if contract.min_gap else ""
        return " < ".join(contract.expected) + gap
    value = _shown(contract.expected)
    if contract.kind == "equals":
        return f"{value} exactly" if tol == "0" else f"{value} ± {tol}"
    if contract.kind == "slope":
        extra = f" (up to {num(contract.atol)})" if contract.atol else ""
        return f"slope {value} inside the interval{extra}, half-width at most {num(contract.max_half_width)}"
    if contract.kind == "refutes":
        ours = value if isinstance(contract.expected, tuple) and tol == "0" else f"{value} ± {tol}"
        return f"not {_shown(contract.paper_value)} as in the paper, but {ours}"
    words = {"at_most": "at most ", "at_least": "at least ", "between": ""}[contract.kind]
    return f"{words}{value}" + (f" ± {tol}" if tol != "0" else "")


def _shown(value: float | Interval) -> str:
    """A number or an interval as text."""
    return f"[{num(value[0])}, {num(value[1])}]" if isinstance(value, tuple) else num(value)


def num(value: float) -> str:
    """A number as short text: ten digits at most, so that a contract's value is shown as written."""
    return f"{value:.10g}".replace("e-0", "e-").replace("e+0", "e")


def short(value: Measured | None, interval: Sequence[float | None] | None = None, se: object = None) -> str:
    """A measurement as text with the digits a reader needs, its interval or standard error beside it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_digits(v, 3)}" for k, v in value.items())
    if interval is not None:
        return f"{_digits(value, 4)} [{_digits(interval[0], 3)}, {_digits(interval[1], 3)}]"
    return f"{_digits(value, 4)} ± {se:.1g}" if isinstance(se, int | float) else _digits(value, 4)


def _digits(value: float | None, digits: int) -> str:
    """A number with so many digits; None, which a record holds for NaN and infinity, in words."""
    return "not a number" if value is None else f"{value:.{digits}g}"
