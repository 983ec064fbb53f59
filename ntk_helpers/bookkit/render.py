"""How records of claims look: a line of text, which nbval compares, and rows of HTML, for readers."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from ntk_helpers.bookkit.verdicts import short

HEADINGS = ("Claim", "Source", "Expected", "Measured", "Verdict")
CHAPTER_TABLE = "The claims of this chapter"

_MARK = {"agrees": "✓", "refutes": "✓", "fails": "✗", "not run": "○"}


def line(record: Mapping[str, Any]) -> str:
    """Verdict and expectation, no measured digits: those differ from machine to machine."""
    cause = f" ({record['cause']})" if record["cause"] else ""
    return f"{_MARK[record['verdict']]} {record['id']} {record['verdict']}{cause}; expected {record['expectation']}"


def row(record: Mapping[str, Any]) -> str:
    """One record as a row under HEADINGS."""
    source = record["source"] if record["paper"] == "ours" else f"{record['paper']}, {record['source']}"
    return cells(claim_cell(record), escape(source), escape(record["expectation"]), measured(record), verdict(record))


def claim_html(record: Mapping[str, Any]) -> str:
    """One record as a table of its own."""
    return table(HEADINGS, [row(record)], record["statement"])


def claim_cell(record: Mapping[str, Any]) -> str:
    """The claim in words, its id below."""
    return f"{escape(record['statement'])}<br><code>{escape(record['id'])}</code>"


def measured(record: Mapping[str, Any]) -> str:
    """The measurement with its interval or standard error, or why there is none."""
    return escape(record["cause"] or short(record["measured"], record["interval"], record["se"]))


def verdict(record: Mapping[str, Any]) -> str:
    """The verdict as a sign and a word, so that it does not rest on colour."""
    return f"<strong>{_MARK[record['verdict']]} {record['verdict']}</strong>"


def cells(*contents: str) -> str:
    """A row of HTML contents."""
    return "<tr>" + "".join(f'<td style="text-align:left">{c}</td>' for c in contents) + "</tr>"


def table(headings: Iterable[str], rows: Iterable[str], label: str, kind: str = "ntk-claims") -> str:
    """A table in a box that scrolls by itself, reachable from the keyboard; ``kind`` is a class of the style sheet."""
    head = "".join(f'<th scope="col" style="text-align:left">{h}</th>' for h in headings)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return (
        f'<div class="{kind}" style="overflow-x:auto" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table style="width:100%">{head}<tbody>{"".join(rows)}</tbody></table></div>'
    )
