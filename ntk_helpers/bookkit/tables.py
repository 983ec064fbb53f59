"""Measured numbers outside of claims: shown to readers, not compared by nbval (other machines give other digits)."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from ntk_helpers.bookkit.render import cells, table
from ntk_helpers.bookkit.session import emit, in_jupyter


def show_numbers(label: str, *numbers: Any) -> None:
    """Show numbers behind a label. nbval compares the label only.

    Args:
        label: what they are, without measured digits.
        numbers: what ``print`` would get.

    Raises:
        ValueError: if the label is empty.
    """
    if not label.strip():
        raise ValueError("label: numbers need a word that says what they are")
    said = " ".join(map(str, (label, *numbers)))
    emit(label if in_jupyter() else said, f"<p>{escape(said)}</p>")


def show_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, label: str) -> None:
    """Show a table that scrolls by itself on a phone. nbval compares the label only.

    Args:
        headings: one for each column.
        rows: as many entries in each.
        label: what the table holds, for who cannot see it.

    Raises:
        ValueError: if the label is empty or a row has another length than the headings.
    """
    if not label.strip():
        raise ValueError("label: a table needs a word that says what it holds")
    lines = [[str(entry) for entry in row] for row in rows]
    if wrong := {len(line) for line in lines} - {len(headings)}:
        raise ValueError(f"rows must have {len(headings)} entries, one for each heading, got {sorted(wrong)}")
    text = [f"Table: {label}"] + ([] if in_jupyter() else ["  ".join(line) for line in [list(headings), *lines]])
    body = (cells(*map(escape, line)) for line in lines)
    emit("\n".join(text), table(map(escape, headings), body, label, kind="ntk-table"))
