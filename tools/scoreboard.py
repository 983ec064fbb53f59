"""Write book/scoreboard.md from the contracts, the executed notebooks and the stored full-scale results.

python tools/scoreboard.py          writes it
python tools/scoreboard.py --check  fails where it differs
"""

import re
import sys
from typing import Any

import _notebooks as nb
from _notebooks import NOTEBOOKS, ROOT

from ntk_helpers.bookkit.contracts import Contract, at_scale, chapter_names, load_contracts
from ntk_helpers.bookkit.results import load_results
from ntk_helpers.bookkit.verdicts import describe, short

PAGE = ROOT / "book" / "scoreboard.md"
WORDS = {"agrees": "agrees", "refutes": "**refutes**", "fails": "**fails**", "not run": "not run"}


def outcome(contract: Contract, quick: dict[str, Any] | None, full: dict[str, Any] | None) -> tuple[str, str]:
    """Verdict of a claim over both scales, and the cause where it was not run. A failure anywhere counts."""
    ran = [r for r in (quick, full) if r is not None and r["verdict"] != "not run"]
    for verdict in ("fails", "refutes", "agrees"):
        if any(r["verdict"] == verdict for r in ran):
            return verdict, ""
    if full is not None and full["cause"]:
        return "not run", full["cause"]
    runs = f"no run at {' or '.join(contract.scales)} scale is stored"
    return "not run", f"{runs}; needs {contract.needs}" if contract.needs else runs


def measured(record: dict[str, Any] | None) -> str:
    """A measurement in a table cell."""
    if record is None or record["verdict"] == "not run":
        return "–"
    return short(record["measured"], record["interval"], record["se"])


def cell(content: str) -> str:
    """Text as it may stand in a Markdown table: no sign of it ends the cell or starts a formula or emphasis."""
    return re.sub(r"([\\|$*_`\[\]])", r"\\\1", content).replace("<", "&lt;").replace("\n", " ")


def rows(chapter: str) -> list[dict[str, str]]:
    """One row for each claim of a chapter."""
    path = NOTEBOOKS / f"{chapter}.ipynb"
    quick = {r["id"]: r for _, r, _ in nb.records(nb.read(path))} if path.is_file() else {}
    stored = load_results(chapter) or {"claims": [], "device": "", "label": ""}
    full = {r["id"]: r for r in stored["claims"]}
    found = []
    for name, contract in load_contracts(chapter).items():
        verdict, cause = outcome(contract, quick.get(name), full.get(name))
        devices = [quick[name]["device"]] if measured(quick.get(name)) != "–" else []
        devices += [f"{stored['device']} ({stored['label']})"] if measured(full.get(name)) != "–" else []
        source = (
            contract.source if contract.paper == "ours" else f"{{cite:t}}`{contract.paper}`, {cell(contract.source)}"
        )
        found.append(
            {
                "verdict": verdict,
                "cause": cause,
                "claim": f"{cell(contract.statement)} ({{claim}}`{chapter[:2]}:{name}`)",
                "source": source,
                "expected": cell(describe(at_scale(contract, "quick"))),
                "quick": measured(quick.get(name)),
                "full": measured(full.get(name)),
                "device": "; ".join(devices) or "–",
            }
        )
    return found


def overview(chapters: dict[str, list[dict[str, str]]]) -> list[str]:
    """One line for each chapter: how many claims, with which verdicts, how many at full scale."""
    lines = ["::::{container} ntk-overview"]
    lines += ["| Chapter | Claims | Agree | Refute | Not run | Full scale |", "|---|---|---|---|---|---|"]
    for chapter, found in chapters.items():
        number = chapter.split("_")[0]
        counts = [sum(row["verdict"] == verdict for row in found) for verdict in ("agrees", "refutes", "not run")]
        full = sum(row["full"] != "–" for row in found)
        lines.append(
            f"| [{int(number)}](#chapter-{int(number)}) | {len(found)} | {' | '.join(map(str, [*counts, full]))} |"
        )
    return [*lines, "::::", ""]


def render() -> str:
    """The page."""
    chapters = {chapter: rows(chapter) for chapter in chapter_names()}
    every = [row for found in chapters.values() for row in found]
    count = {verdict: sum(row["verdict"] == verdict for row in every) for verdict in WORDS}
    lines = [
        *("---", "html_theme.sidebar_secondary.remove: true", "---", ""),
        "# Scoreboard",
        "",
        "% Written by tools/scoreboard.py from book/claims, the executed notebooks and book/results; edit those.",
        "",
        "Every claim stands in a contract, with its tolerance and the reason for it; where one was changed after a "
        "measurement, its reason says so.",
        "The notebooks measure it again on every change, and a claim that fails stops the build.",
        "",
        f"**{len(every)} claims: {count['agrees']} agree, {count['refutes']} refute what a paper says, "
        f"{count['not run']} were not run" + (f", {count['fails']} fail" if count["fails"] else "") + ".**",
        "",
        "Quick is what a CPU measures in minutes; full is a stored run, with its device. "
        "A claim's name leads to where it is measured.",
        "",
        *overview(chapters),
    ]
    lines += listing("What is refuted", [r for r in every if r["verdict"] == "refutes"], "expected")
    lines += listing("What was not run, and why", [r for r in every if r["verdict"] == "not run"], "cause")
    for chapter, found in chapters.items():
        number = chapter.split("_")[0]
        lines += [
            f"(chapter-{int(number)})=",
            f"## Chapter {int(number)}",
            "",
            f"Measured in {{chapter}}`{number}`.",
            "",
            # Folded, so that the page is short on a phone; a browser's search and printing.js unfold it.
            f'<details class="ntk-board"><summary>{len(found)} claims of chapter {int(number)}</summary>',
            "",
            "| Claim | Source | Expected | Measured, quick | Measured, full | Device | Verdict |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| {r['claim']} | {r['source']} | {r['expected']} | {r['quick']} | {r['full']} | {r['device']} | "
                f"{WORDS[r['verdict']]} |"
                for r in found
            ),
            "",
            "</details>",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def listing(title: str, found: list[dict[str, str]], what: str) -> list[str]:
    """A list under a heading of its own; nothing where it is empty."""
    if not found:
        return []
    return [f"## {title}", "", *(f"- {r['claim']}: {r[what]}" for r in found), ""]


def main() -> int:
    page = render()
    current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if page == current:
        print("scoreboard: in step")
        return 0
    if "--check" in sys.argv:
        print("scoreboard: book/scoreboard.md differs from contracts, notebooks and results; run tools/scoreboard.py")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    print("scoreboard: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
