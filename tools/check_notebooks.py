"""Check every notebook without running it: part of `make check`.

python tools/check_notebooks.py               all notebooks of the book
python tools/check_notebooks.py 01 02         some chapters

Execution    every code cell was run, in order 1..n, without error and without anything on stderr; it has the kernel
             "python3"; no output names a folder of the machine it ran on; no tag or comment keeps nbval from
             comparing a cell.
Sizes        the notebook at most 600 kB (the tables of its figures' data not counted), 15 to 35 code cells (solutions,
             tagged "hide-cell", not counted) of at most 15 lines, 1500 to 3500 words.
Figures      every picture is an <img> with alternative text of 40 characters or more (nh.show and nh.slider make
             these); no two sliders share an id.
Pair         notebooks/text/NN_topic.md has the same cells.
Claims       every claim that the contract lists at quick scale is measured in exactly one output; its expectation is
             the contract's; its verdict, its text and its row of HTML follow from the stored measurement; the table of
             all claims shows the same rows. No id stands in two contracts; `paper` is "ours" or in references.bib;
             every notebook has a contract and every contract a notebook. book/results/NN_topic/full.json holds to the
             same rules.
Anatomy      the first cell starts with the only heading of level 1; the first code cell is tagged "setup"; it or the
             next calls nh.chapter("NN_topic"); these headings of level 2 follow one another, each recognized by its
             first words, others may stand between them:
                 Goals | Setting | The theorem | From scratch | The experiment | Claims | Full scale | Summary |
                 Exercises | Further reading
             and "Where it breaks" stands between The experiment and Summary.
             Goals has 3 to 5 numbered or bulleted points, Summary 5; The theorem holds a {prf:theorem} block with a
             label; From scratch has an assert; nh.configure, nh.claims_table and nh.stored_results are called.
             4 to 8 exercises ("**Exercise N" at the start of a line, or {exercise}), each with a solution (<summary>
             Solution, or {solution}), and at least one code cell between two of them.
"""

import re
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import _notebooks as nb
from _notebooks import NOTEBOOKS, ROOT, text

from ntk_helpers.bookkit import render
from ntk_helpers.bookkit.contracts import Contract, ContractError, chapter_names, load_contracts
from ntk_helpers.bookkit.figures import MIN_ALT
from ntk_helpers.bookkit.results import load_results

MAX_BYTES = 600_000
MAX_LINES = 15
HEADINGS = (
    "Goals",
    "Setting",
    "The theorem",
    "From scratch",
    "The experiment",
    "Claims",
    "Full scale",
    "Summary",
    "Exercises",
    "Further reading",
)
# What would make nbval or nbclient skip a cell, or take its error for granted.
ESCAPES = {"nbval-skip", "nbval-ignore-output", "nbval-raises-exception", "raises-exception", "skip-execution"}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|root|work|tmp|Users|content|usr|opt)/\S|[A-Z]:\\\\?Users")


def check_execution(notebook: dict[str, Any]) -> list[str]:
    """Outputs are there, from one run from top to bottom, and clean."""
    found = []
    for number, cell in enumerate(nb.code_cells(notebook), start=1):
        count = cell.get("execution_count")
        if count is None:
            found.append(f"code cell {number} was not executed")
        elif count != number:
            found.append(f"code cell {number} was executed as number {count}: run the notebook from top to bottom")
        tags = {tag.lower().replace("_", "-") for tag in cell["metadata"].get("tags", [])}
        if tags & ESCAPES or re.search(r"#\s*(?:NBVAL_|PYTEST_VALIDATE)", text(cell["source"]), flags=re.I):
            found.append(f"code cell {number} keeps nbval from comparing it")
    for number, output in nb.outputs(notebook):
        if output["output_type"] == "error":
            found.append(f"code cell {number} ended with {output.get('ename')}")
        if output.get("name") == "stderr":
            found.append(f"code cell {number} wrote to stderr: {text(output['text'])[:80]!r}")
        shown = text(output.get("text", "")) + text(output.get("data", {}).get("text/plain", ""))
        if path := MACHINE_PATH.search(shown):
            found.append(f"code cell {number} shows a path of the machine: {path[0]!r}")
    kernel = notebook["metadata"].get("kernelspec", {}).get("name")
    if kernel != "python3":
        found.append(f"the kernel is {kernel!r}, not 'python3'")
    return found


def check_sizes(notebook: dict[str, Any], size: int) -> list[str]:
    """Bytes, cells, lines, words."""
    tables = [text(output.get("data", {}).get("text/csv", "")) for _, output in nb.outputs(notebook)]
    # In the file each line of a table has quotes, a comma, an escaped newline and its indentation around it.
    size -= sum(len(table) + 14 * table.count("\n") for table in tables)
    found = [] if size <= MAX_BYTES else [f"{size / 1000:.0f} kB, allowed are {MAX_BYTES / 1000:.0f}"]
    cells = nb.code_cells(notebook)
    counted = [cell for cell in cells if "hide-cell" not in cell["metadata"].get("tags", ())]
    if not 15 <= len(counted) <= 35:
        found.append(f"{len(counted)} code cells besides the solutions, wanted are 15 to 35")
    for number, cell in enumerate(cells, start=1):
        lines = [line for line in text(cell["source"]).splitlines() if line.strip()]
        if len(lines) > MAX_LINES:
            found.append(
                f"code cell {number} has {len(lines)} lines, allowed are {MAX_LINES} (blank lines not counted)"
            )
    words = count_words(notebook)
    if not 1500 <= words <= 3500:
        found.append(f"{words} words, wanted are 1500 to 3500")
    return found


def count_words(notebook: dict[str, Any]) -> int:
    """Words of prose: formulas, code and markup are left out."""
    prose = "\n".join(text(c["source"]) for c in notebook["cells"] if c["cell_type"] == "markdown")
    prose = re.sub(r"```.*?```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|<[^>]*>|\{[^}]*\}", " ", prose, flags=re.S)
    return len(re.findall(r"[^\W\d_][\w'’-]*", prose))


def check_figures(notebook: dict[str, Any]) -> list[str]:
    """Every picture has alternative text."""
    found, ids = [], Counter()
    for number, output in nb.outputs(notebook):
        data = output.get("data", {})
        if bare := [m for m in data if m.startswith("image/")]:
            found.append(f"code cell {number} shows a bare {bare[0]}; use nh.show(fig, caption=..., alt=...)")
        html = text(data.get("text/html", ""))
        for tag in re.findall(r"<img\b[^>]*>", html):
            alt = re.search(r'\balt="([^"]*)"', tag)
            if alt is None or len(alt[1].strip()) < MIN_ALT:
                found.append(f"code cell {number} shows a picture with alternative text below {MIN_ALT} characters")
        ids.update(re.findall(r'<input id="([^"]*)"', html))
    found += [f"two sliders share the id {name}; give each its own name" for name, n in ids.items() if n > 1]
    for number, cell in enumerate(notebook["cells"], start=1):
        if cell["cell_type"] == "markdown":
            images = re.findall(r"!\[([^\]]*)\]\(|<img\b[^>]*?(?:\balt=\"([^\"]*)\")?[^>]*>", text(cell["source"]))
            found += [f"cell {number}: a picture without alternative text" for a, b in images if not (a or b).strip()]
    return found


def check_pair(notebook: dict[str, Any], path: Path) -> list[str]:
    """The MyST text has the same cells."""
    import jupytext

    if not path.is_file():
        return [f"no text beside it: {path.parent.name}/{path.name}"]
    written = jupytext.read(path, fmt="md:myst")
    theirs = [(c.cell_type, c.source.strip(), sorted(c.metadata.get("tags", []))) for c in written.cells]
    ours = [
        (c["cell_type"], text(c["source"]).strip(), sorted(c["metadata"].get("tags", []))) for c in notebook["cells"]
    ]
    if len(ours) != len(theirs):
        return [f"the text has {len(theirs)} cells, the notebook {len(ours)}: run `make execute`"]
    differing = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=True), start=1) if a != b]
    return [f"cell {i} differs between notebook and text: run `make execute`" for i in differing]


def check_claims(notebook: dict[str, Any], contracts: dict[str, Contract]) -> list[str]:
    """Contract, stored measurements, verdicts and what readers see of them agree."""
    found, measured = [], nb.records(notebook)
    times = Counter(record["id"] for _, record, _ in measured)
    for name, contract in contracts.items():
        if "quick" in contract.scales and not times[name]:
            found.append(f"{name}: in the contract, measured in no output")
    found += [f"{name}: measured in {n} outputs" for name, n in times.items() if n > 1]
    tables = [
        html
        for _, output in nb.outputs(notebook)
        if f'aria-label="{render.CHAPTER_TABLE}"' in (html := text(output.get("data", {}).get("text/html", "")))
    ]
    if len(tables) != 1:
        found.append(f"{len(tables)} tables of all claims (nh.claims_table), wanted is one")
    for number, record, data in measured:
        contract = contracts.get(record["id"])
        if contract is None:
            found.append(f"{record['id']}: measured in code cell {number}, not in the contract")
            continue
        found += nb.record_problems(record, contract, "quick")
        if text(data.get("text/plain", "")) != render.line(record):
            found.append(f"{record['id']}: the text of its output does not follow from the stored measurement")
        if text(data.get("text/html", "")) != render.claim_html(record):
            found.append(f"{record['id']}: the HTML of its output does not follow from the stored measurement")
        if len(tables) == 1 and render.row(record) not in tables[0]:
            found.append(f"{record['id']}: the table of all claims does not show what was measured")
    return found


def check_results(chapter: str, contracts: dict[str, Contract]) -> list[str]:
    """The stored full-scale results hold to the contract of today."""
    stored = load_results(chapter)
    if stored is None:
        return []
    by_id = {record["id"]: record for record in stored["claims"]}
    found = [f"full.json: {name} is not in the contract" for name in by_id if name not in contracts]
    for name, contract in contracts.items():
        if name in by_id:
            found += [f"full.json: {problem}" for problem in nb.record_problems(by_id[name], contract, "full")]
        elif "full" in contract.scales:
            found.append(f"full.json: {name} is missing; run it again")
    return found


def check_anatomy(notebook: dict[str, Any], name: str) -> list[str]:
    """The parts of a chapter, see the top of this file."""
    found, cells = [], notebook["cells"]
    titles = [text(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    level1 = sum(len(re.findall(r"^# ", strip_fences(t), flags=re.M)) for t in titles)
    if level1 != 1 or not text(cells[0]["source"]).startswith("# "):
        found.append("the first cell must start with the only heading of level 1")
    code = nb.code_cells(notebook)
    if not code or "setup" not in code[0]["metadata"].get("tags", []):
        found.append('the first code cell must be tagged "setup"')
    sources = [text(c["source"]) for c in code]
    if not any(f'nh.chapter("{name}")' in s for s in sources[:2]):
        found.append(f'nh.chapter("{name}") must be called in one of the first two code cells')
    calls = ("nh.configure(", "nh.claims_table(", "nh.stored_results(")
    found += [f"{call}...) is not called" for call in calls if not any(call in s for s in sources)]
    sections = split(cells)
    order = [(h, i) for h in (*HEADINGS, "Where it breaks") if (i := place(sections, h)) is not None]
    where = dict(order)
    found += [f'no heading "## {h}"' for h in (*HEADINGS, "Where it breaks") if h not in where]
    listed = [(h, where[h]) for h in HEADINGS if h in where]
    found += [f'"## {b}" must come after "## {a}"' for (a, i), (b, j) in pairwise(listed) if i > j]
    breaks = where.get("Where it breaks")
    if breaks is not None and not where.get("The experiment", -1) < breaks < where.get("Summary", len(sections)):
        found.append('"## Where it breaks" must stand between "## The experiment" and "## Summary"')
    return found + check_sections({h: sections[i] for h, i in order})


def check_sections(sections: dict[str, tuple[str, str, str]]) -> list[str]:
    """What single sections must hold; a missing section was reported before."""
    found = []
    for heading, low, high in (("Goals", 3, 5), ("Summary", 5, 5)):
        points = len(re.findall(r"^(?:[-*]|\d+\.) ", sections.get(heading, ("", "", ""))[1], flags=re.M))
        if heading in sections and not low <= points <= high:
            found.append(f"{heading} has {points} points, wanted are {low if low == high else f'{low} to {high}'}")
    theorem = sections.get("The theorem", ("", "", ""))[1]
    if "The theorem" in sections and not re.search(r"\{prf:theorem\}[^\n]*\n(?:[^\n]*\n)*?:label:", theorem):
        found.append("The theorem holds no {prf:theorem} block with a label")
    if "From scratch" in sections and not re.search(r"^\s*assert ", sections["From scratch"][2], flags=re.M):
        found.append("From scratch has no assert that compares with the helper")
    _, prose, code = sections.get("Exercises", ("", "", ""))
    exercises = len(re.findall(r"^\*\*Exercise \d|^(?:`{3,}|:{3,})\{exercise(?:-start)?\}", prose, flags=re.M))
    solutions = len(re.findall(r"<summary>Solution|^(?:`{3,}|:{3,})\{solution(?:-start)?\}", prose, flags=re.M))
    if "Exercises" in sections:
        if not 4 <= exercises <= 8:
            found.append(f"{exercises} exercises, wanted are 4 to 8")
        if solutions != exercises:
            found.append(f"{exercises} exercises and {solutions} solutions")
        if not code.strip():
            found.append("no solution is executed")
    return found


def split(cells: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Sections of level 2: heading, prose, code."""
    sections: list[list[str]] = []
    for cell in cells:
        source = text(cell["source"])
        if cell["cell_type"] == "code":
            if sections:
                sections[-1][2] += source + "\n"
            continue
        for part in re.split(r"^(?=## )", source, flags=re.M):
            if part.startswith("## "):
                sections.append([part.splitlines()[0][3:].strip(), part + "\n", ""])
            elif sections:
                sections[-1][1] += part + "\n"
    return [(heading, prose, code) for heading, prose, code in sections]


def place(sections: list[tuple[str, str, str]], heading: str) -> int | None:
    """Number of the first section whose heading starts with these words."""
    starts = [i for i, s in enumerate(sections) if re.match(rf"{re.escape(heading)}\b", s[0], flags=re.I)]
    return starts[0] if starts else None


def strip_fences(source: str) -> str:
    """Markdown without its fenced blocks, where a # is no heading."""
    return re.sub(r"^```.*?^```", "", source, flags=re.S | re.M)


def check_notebook(path: Path, *, anatomy: bool = True) -> list[str]:
    """All checks of one notebook; ``anatomy=False`` leaves out what only a whole chapter has."""
    try:
        contracts = load_contracts(path.stem)
    except (FileNotFoundError, ContractError) as error:
        return [str(error)]
    notebook = nb.read(path)
    found = check_execution(notebook) + check_claims(notebook, contracts) + check_figures(notebook)
    found += check_results(path.stem, contracts)
    if anatomy:
        found += check_anatomy(notebook, path.stem) + check_sizes(notebook, path.stat().st_size)
        found += check_pair(notebook, path.parent / "text" / f"{path.stem}.md")
    return found


def check_contracts(folder: Path) -> list[str]:
    """Across chapters: each contract has a notebook, ids are unique, papers are in the bibliography."""
    found, owner = [], {}
    bibliography = ROOT / "book" / "references.bib"
    keys = set(re.findall(r"^@\w+\{([^,\s]+),", bibliography.read_text(encoding="utf-8"), flags=re.M))
    for chapter in chapter_names():
        if not (folder / f"{chapter}.ipynb").is_file():
            found.append(f"book/claims/{chapter}.toml has no notebook: its claims are measured nowhere")
        try:
            contracts = load_contracts(chapter)
        except ContractError as error:
            found.append(str(error))
            continue
        for name, contract in contracts.items():
            if name in owner:
                found.append(f"{name} stands in the contracts of {owner[name]} and {chapter}")
            owner[name] = chapter
            if contract.paper != "ours" and contract.paper not in keys:
                found.append(f"book/claims/{chapter}.toml: {name}: no {contract.paper!r} in references.bib")
    return found


def main() -> int:
    chosen = [name.zfill(2) for name in sys.argv[1:]]
    paths = [p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if not chosen or p.stem.startswith(tuple(chosen))]
    problems = [] if chosen else check_contracts(NOTEBOOKS)
    for path in paths:
        problems += [f"{path.stem}: {problem}" for problem in check_notebook(path)]
    for problem in problems:
        print(problem)
    print(f"notebooks: {len(paths)} checked, {len(problems)} problems")
    return 1 if problems or (chosen and not paths) else 0


if __name__ == "__main__":
    sys.exit(main())
