"""Stored full-scale results: read from ``book/results/NN_topic/full.json`` and shown beside the quick ones."""

import json
from html import escape
from typing import Any

from ntk_helpers.bookkit.contracts import book_dir
from ntk_helpers.bookkit.render import cells, claim_cell, measured, table, verdict
from ntk_helpers.bookkit.session import current, emit, started
from ntk_helpers.bookkit.verdicts import short


def load_results(chapter: str) -> dict[str, Any] | None:
    """The stored full-scale results of a chapter, as ``tools/run_full.py`` wrote them; None where there are none.

    Args:
        chapter: name of the chapter, for example ``"01_gp_at_initialization"``.
    """
    path = book_dir() / "results" / chapter / "full.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def stored_results(chapter: str | None = None) -> None:
    """Show the stored full-scale results beside those of this run, or say plainly that there are none.

    Args:
        chapter: name of the chapter; the running one unless given.
    """
    name = chapter or started().chapter
    stored = load_results(name)
    number = name.split("_")[0]
    how = f"`make full CHAPTER={number}` in a checkout, or `python tools/run_full.py {name}`, makes them."
    if stored is None:
        emit(f"No full-scale results are stored for chapter {name} yet. {how}")
        return
    where = f"{stored['label']}: {stored['device']}, {stored['seconds'] / 60:.3g} minutes, commit {stored['commit']}"
    config = stored.get("config_name", "full")
    if config != "full":  # measured on a smaller machine, with the sizes of another configuration
        how = (
            f"The sizes are those of the configuration {config!r}: `python tools/run_full.py {name} --config {config}` "
            f"measures them again, and `make full CHAPTER={number}` measures at full size."
        )
    lines, rows = [where], []
    for record in stored["claims"]:
        here = current.records.get(record["id"]) if name == current.chapter else None
        full = record["cause"] or short(record["measured"], record["interval"], record["se"])
        lines.append(f"{record['id']} {record['verdict']}; expected {record['expectation']}; stored {full}")
        quick = measured(here) if here else "not run"
        expected = escape(record["expectation"])
        rows.append(cells(claim_cell(record), expected, quick, measured(record), verdict(record)))
    titles = ("Claim", "Expected", "This run", "Stored", "Verdict (stored)")
    emit("\n".join(lines), table(titles, rows, "Stored full-scale results") + f"<p>{escape(where)}. {escape(how)}</p>")
