"""Claims: measured in a chapter, compared with the contract that was stated before.

``nh.chapter`` loads the contract, ``nh.claim`` compares, shows and records, ``nh.claims_table`` ends the account.
A claim that fails raises, so that the notebook, nbval and CI fail with it.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ntk_helpers.bookkit.contracts import Contract, at_scale, load_contracts
from ntk_helpers.bookkit.render import CHAPTER_TABLE, HEADINGS, claim_html, line, row, table
from ntk_helpers.bookkit.scale import scale
from ntk_helpers.bookkit.session import CLAIM_MIME, Session, current, emit, started
from ntk_helpers.bookkit.statistics import Slope
from ntk_helpers.bookkit.verdicts import as_number, describe, judge, short


class ClaimFailed(AssertionError):
    """A measurement contradicts the contract."""


def chapter(name: str) -> None:
    """Start a chapter: load its contract, forget earlier measurements, set the figure style.

    Args:
        name: file name of the notebook without its ending, for example ``"01_gp_at_initialization"``.

    Raises:
        FileNotFoundError: the chapter has no contract.
        ntk_helpers.bookkit.contracts.ContractError: its contract is wrong.
    """
    from ntk_helpers.bookkit.figures import use_style

    contracts = load_contracts(name)
    deadline = current.deadline  # set by tools/run_full.py before the chapter starts
    current.__dict__.update(Session(chapter=name, contracts=contracts, deadline=deadline).__dict__)
    use_style(name)
    print(f"Chapter {name}, scale {scale()}: {len(contracts)} claims to check.")
    if "google.colab" in sys.modules:
        # JAX would take most of the GPU's memory for itself when it starts; once it has started, this changes nothing.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        larger = 'os.environ["NTK_SCALE"] = "t4" before this cell runs the chapter at the size of a 15 GB GPU.'
        if jax.default_backend() == "cpu":
            print("No GPU is attached. Quick scale runs without one; for more: Runtime > Change runtime type > GPU.")
            print(f"Then {larger}")
        elif scale() == "quick":
            print(f"A GPU is attached: {larger}")


def claim(
    claim_id: str,
    measured: Any,
    *,
    interval: Sequence[float] | None = None,
    se: Any = None,
) -> None:
    """Compare a measurement with the contract, show the outcome and record it.

    Args:
        claim_id: ``"topic.name"`` as in the contract.
        measured: one real number (Python, NumPy or JAX scalar), a result of ``nh.fit_slope``, or, for an ordering,
            a mapping from name to number. NaN, infinity and complex numbers fail the claim.
        interval: confidence interval (lo, hi) of the measurement; ``nh.fit_slope`` brings its own.
        se: standard error of the measurement; for an ordering by name.

    Raises:
        ClaimFailed: the measurement contradicts the contract.
        KeyError: the chapter's contract has no such claim.
        TypeError: ``measured`` is an array with an axis.

    At a scale that the contract does not list the claim is recorded as not run.
    """
    contract = _contract(claim_id)
    if isinstance(measured, Slope):
        measured, interval = measured.slope, measured.interval
    if isinstance(measured, Mapping):
        # Sorted, as a notebook sorts the keys when it is stored: what is shown then follows from what is stored.
        number = dict(sorted((str(k), as_number(v)) for k, v in measured.items()))
    else:
        number = as_number(measured)
    interval = None if interval is None else tuple(float(end) for end in interval)
    se = {str(k): float(v) for k, v in se.items()} if isinstance(se, Mapping) else None if se is None else float(se)
    if scale() not in contract.scales:
        _record(contract, "not run", cause=f"measured at {' and '.join(contract.scales)} scale")
        return
    here = at_scale(contract, scale())
    verdict = judge(here, number, interval, se)
    passed = "refutes" if here.kind == "refutes" else "agrees"
    _record(
        here,
        passed if verdict.passed else "fails",
        measured=_finite(number),
        interval=_finite(interval),
        se=_finite(se),
        reason=verdict.reason,
    )
    if not verdict.passed:
        raise ClaimFailed(
            f"{claim_id}: measured {short(number, interval, se)}, expected {describe(here)}: {verdict.reason}"
        )


def not_run(claim_id: str, cause: str) -> None:
    """Record that a claim could not be measured here, with the cause.

    Only a claim whose contract names what it ``needs`` may be left out, and never at quick scale.

    Args:
        claim_id: ``"topic.name"`` as in the contract.
        cause: what is missing, in words, for example ``"no data: MNIST cannot be loaded"``.

    Raises:
        ValueError: the contract says that every machine can measure it, or no cause is given.
    """
    contract = _contract(claim_id)
    if not cause.strip():
        raise ValueError(f"{claim_id}: a claim that is not run needs a cause")
    if scale() in contract.scales and contract.needs is None:
        raise ValueError(f"{claim_id}: the contract names nothing it needs, so it has to be measured")
    _record(contract, "not run", cause=cause)


def claims_table() -> None:
    """Show every claim of the chapter's contract with its verdict.

    Raises:
        ClaimFailed: a claim that the contract lists at this scale was not measured.
    """
    session = started()
    lines, rows = [], []
    missing = []
    for contract in session.contracts.values():
        record = session.records.get(contract.id)
        if record is None and scale() in contract.scales:
            missing.append(contract.id)
            continue
        if record is None:
            cause = f"measured at {' and '.join(contract.scales)} scale"
            record = _make_record(contract, "not run", cause=cause)
        lines.append(line(record))
        rows.append(row(record))
    emit("\n".join(lines), table(HEADINGS, rows, CHAPTER_TABLE))
    if missing:
        raise ClaimFailed(f"in the contract, but not measured: {', '.join(missing)}")


def _contract(claim_id: str) -> Contract:
    """The running chapter's contract of one claim."""
    contracts = started().contracts
    if claim_id not in contracts:
        raise KeyError(f"no claim {claim_id!r} in the contract of {started().chapter}; there: {', '.join(contracts)}")
    return contracts[claim_id]


def _finite(value: Any) -> Any:
    """What goes into the record as JSON: NaN and infinity have no place there, they become null."""
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_finite(v) for v in value]
    return value if value is None or np.isfinite(value) else None


def _make_record(contract: Contract, verdict: str, **found: Any) -> dict[str, Any]:
    """Everything the scoreboard and the checks need to know about one measurement."""
    shown = contract if contract.overrides is None else at_scale(contract, scale())
    return {
        "id": contract.id,
        "scale": scale(),
        "statement": contract.statement,
        "paper": contract.paper,
        "source": contract.source,
        "kind": contract.kind,
        "expected": list(shown.expected) if isinstance(shown.expected, tuple) else shown.expected,
        "expectation": describe(shown),
        "measured": found.get("measured"),
        "interval": found.get("interval"),
        "se": found.get("se"),
        "verdict": verdict,
        "reason": found.get("reason", ""),
        "cause": found.get("cause", ""),
        "device": "CPU" if (device := jax.devices()[0]).platform == "cpu" else device.device_kind,
    }


def _record(contract: Contract, verdict: str, **found: Any) -> None:
    """Keep the record and show it."""
    record = _make_record(contract, verdict, **found)
    started().records[contract.id] = record
    emit(line(record), claim_html(record), {CLAIM_MIME: record})
