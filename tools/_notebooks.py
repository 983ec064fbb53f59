"""Read notebooks, their claims and their contracts; shared by check_notebooks.py, scoreboard.py and run_full.py.

Needs nothing beyond ntk_helpers, so that run_full.py works where there is no Jupyter.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# A checkout that is not installed works too; an installed package of another place must not be used in its stead.
sys.path.insert(0, str(ROOT))

from ntk_helpers.bookkit.contracts import Contract, at_scale  # noqa: E402
from ntk_helpers.bookkit.session import CLAIM_MIME  # noqa: E402
from ntk_helpers.bookkit.verdicts import describe, judge  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"


def text(value: str | list[str]) -> str:
    """Notebook files hold texts as one string or as a list of lines."""
    return value if isinstance(value, str) else "".join(value)


def read(path: Path) -> dict[str, Any]:
    """A notebook as plain dictionaries."""
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Its code cells that hold any code."""
    return [c for c in notebook["cells"] if c["cell_type"] == "code" and text(c["source"]).strip()]


def outputs(notebook: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    """All outputs of code cells, with the cell's number among the code cells (from 1)."""
    for number, cell in enumerate(code_cells(notebook), start=1):
        for output in cell.get("outputs", []):
            yield number, output


def records(notebook: dict[str, Any]) -> list[tuple[int, dict[str, Any], dict[str, Any]]]:
    """The claims measured in a notebook: cell number, record, and the whole bundle of the output."""
    found = []
    for number, output in outputs(notebook):
        data = output.get("data", {})
        if CLAIM_MIME in data:
            found.append((number, data[CLAIM_MIME], data))
    return found


def sources_of_text(path: Path) -> list[str]:
    """Sources of the code cells of a MyST text notebook (directives of the form ```{code-cell})."""
    blocks = re.findall(
        r"^```\{code-cell\}[^\n]*\n(.*?)^```[ \t]*$", path.read_text(encoding="utf-8"), flags=re.S | re.M
    )
    return [re.sub(r"\A(?::[\w-]+:[^\n]*\n)+\n?|\A---\n.*?^---\n", "", b, flags=re.S | re.M) for b in blocks]


def record_problems(record: dict[str, Any], contract: Contract, scale: str) -> list[str]:
    """Where a stored record contradicts the contract: scale, expectation, and the verdict, which is recomputed."""
    name, here = contract.id, at_scale(contract, scale)
    expected = list(here.expected) if isinstance(here.expected, tuple) else here.expected
    if record.get("scale") != scale:
        return [f"{name}: measured at scale {record.get('scale')!r}, not {scale!r}"]
    stated = {"kind": here.kind, "expected": expected, "expectation": describe(here), "statement": here.statement}
    stated |= {"paper": here.paper, "source": here.source}
    found = [
        f"{name}: {key} is {record.get(key)!r} in the output and {value!r} in the contract; execute again"
        for key, value in stated.items()
        if record.get(key) != value
    ]
    if record["verdict"] == "not run":
        if scale in contract.scales and contract.needs is None:
            found.append(f"{name}: not run, but its contract lists {scale} and names nothing that could be missing")
        return found if record.get("cause") else [*found, f"{name}: not run without a cause"]
    if scale not in contract.scales:
        return [*found, f"{name}: measured at {scale}, which its contract does not list"]
    interval = tuple(record["interval"]) if record["interval"] is not None else None
    broken = interval is not None and None in interval
    verdict = judge(here, record["measured"], None if broken else interval, record["se"])
    right = ("refutes" if here.kind == "refutes" else "agrees") if verdict.passed and not broken else "fails"
    if record["verdict"] != right:
        found.append(f"{name}: the output says {record['verdict']!r}, the stored measurement gives {right!r}")
    if right == "fails":
        found.append(f"{name}: fails: {verdict.reason}")
    return found
