"""The book's own contracts: none can be changed by ten of its tolerances without a check failing."""

from dataclasses import replace

import _notebooks
import pytest

from ntk_helpers.bookkit.contracts import at_scale, chapter_names, load_contracts

QUICK = [
    (chapter, name, contract)
    for chapter in chapter_names()
    for name, contract in load_contracts(chapter).items()
    if "quick" in contract.scales
]


def moved(contract, sign):
    """The claim with `expected` ten tolerances away; where the tolerance is 0, a thousandth away."""
    by = sign * (10 * contract.tolerance or 1e-3 * max(map(abs, ends(contract))) or 1e-12)
    if contract.kind == "ordering":
        return replace(contract, expected=contract.expected[::-1])
    shifted = tuple(e + by for e in ends(contract))
    return replace(contract, expected=shifted if isinstance(contract.expected, tuple) else shifted[0])


def ends(contract):
    value = contract.expected
    return (0.0,) if contract.kind == "ordering" else value if isinstance(value, tuple) else (value,)


@pytest.mark.parametrize(("chapter", "name", "contract"), QUICK, ids=[q[1] for q in QUICK])
def test_a_moved_expectation_is_found(chapter, name, contract):
    notebook = _notebooks.read(_notebooks.NOTEBOOKS / f"{chapter}.ipynb")
    (record,) = [r for _, r, _ in _notebooks.records(notebook) if r["id"] == name]
    assert _notebooks.record_problems(record, contract, "quick") == []
    here = at_scale(contract, "quick")
    for sign in (-1, 1):
        assert _notebooks.record_problems(record, moved(here, sign), "quick") != []
    # An equality fails by its verdict too, so that measuring again does not help.
    if here.kind == "equals" and here.tolerance > 0 and not here.sigmas:
        for sign in (-1, 1):
            problems = _notebooks.record_problems(record, moved(here, sign), "quick")
            assert any("fails" in problem for problem in problems)
