"""Put deliberate scientific errors into copies of the package, and see which claims of the book notice.

python tools/claim_sensitivity.py              all errors of tests/trust/errors.toml
python tools/claim_sensitivity.py --only NAME  one of them (may be repeated)
python tools/claim_sensitivity.py --write      the same, then the table in book/numerics.md
python tools/claim_sensitivity.py --check      runs nothing: does each error still match its file, is it in the table?

For each error the cells of its chapter that lead to the claims expected to fail run at quick scale, once with the
unchanged package, where all claims must hold, and once with the changed copy, where one of those claims must fail. An
exception of another kind is no verdict of a claim: it does not count, and is reported. What is done is kept in
_build/claim_sensitivity and not done again until a source changes; Ctrl-C loses at most the run under way. The exit
code is 1 where an error goes unnoticed that is not a known gap, or a known gap is one no more.
"""

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import _notebooks as nb
import _slices
from _notebooks import ROOT

from ntk_helpers.bookkit.verdicts import short

BEGIN, END = "<!-- claim sensitivity: begin -->", "<!-- claim sensitivity: end -->"
WORKER = Path(__file__).with_name("_run_slice.py")
LIMIT = 900  # seconds for one run: far above any, so that only a hang meets it
KEYS = {"what", "file", "old", "new", "chapter", "claims", "gap"}


class Error(NamedTuple):
    """One deliberate error: the text `old`, once in `file` of the package, becomes `new`.

    Attributes:
        name: its key in errors.toml.
        what: in words, as in the table.
        file: relative to the package.
        old: what stands there.
        new: what takes its place.
        chapter: whose notebook should notice.
        claims: of which at least one is expected to fail.
        gap: why no claim notices, where that is known; empty otherwise.
    """

    name: str
    what: str
    file: str
    old: str
    new: str
    chapter: str
    claims: tuple[str, ...]
    gap: str


class Places(NamedTuple):
    """Where everything is; the tests have their own."""

    errors: Path
    package: Path
    notebooks: Path
    book: Path
    build: Path


HERE = Places(
    ROOT / "tests" / "trust" / "errors.toml",
    ROOT / "ntk_helpers",
    nb.NOTEBOOKS,
    ROOT / "book",
    ROOT / "_build" / "claim_sensitivity",
)


class Wrong(Exception):
    """The table of errors does not fit the sources."""


def load(places: Places) -> list[Error]:
    """The errors, each with all keys."""
    found = []
    for name, entry in tomllib.loads(places.errors.read_text(encoding="utf-8")).items():
        missing, unknown = KEYS - {"gap"} - entry.keys(), entry.keys() - KEYS
        if missing or unknown or not entry["claims"]:
            raise Wrong(f"{name}: missing {sorted(missing)}, unknown {sorted(unknown)}, claims {entry.get('claims')}")
        found.append(Error(**entry | {"name": name, "claims": tuple(entry["claims"]), "gap": entry.get("gap", "")}))
    if len({error.what for error in found}) < len(found):
        raise Wrong("two errors have the same `what`")
    return found


def changed(error: Error, package: Path) -> str:
    """The changed file. Raises Wrong unless the text to change is there exactly once."""
    path = package / error.file
    source = path.read_text(encoding="utf-8") if path.is_file() else ""
    count = source.count(error.old)
    if count != 1:
        raise Wrong(
            f"{error.name}: its text must be in {error.file} exactly once, it is there {count} times: {error.old!r}"
        )
    text = source.replace(error.old, error.new)
    if text == source:
        raise Wrong(f"{error.name}: it changes nothing in {error.file}")
    ast.parse(text)
    return text


def cells(error: Error, notebooks: Path) -> list[tuple[int, str]]:
    """Number and source of the cells to run: those that measured the claims, and what they need."""
    notebook = nb.read(notebooks / f"{error.chapter}.ipynb")
    at = {record["id"]: number for number, record, _ in nb.records(notebook)}
    if unknown := [claim for claim in error.claims if claim not in at]:
        raise Wrong(f"{error.name}: {error.chapter} measures no claim {', '.join(unknown)}")
    sources = [nb.text(cell["source"]) for cell in nb.code_cells(notebook)]
    chosen = _slices.needed(sources, {at[claim] - 1 for claim in error.claims})
    return [(place + 1, _slices.plain(sources[place])) for place in chosen]


def fingerprint(places: Places, chapter: str, to_run: list[tuple[int, str]], file: str = "", text: str = "") -> str:
    """Hash of all that decides the outcome of a run."""
    contract = places.book / "claims" / f"{chapter}.toml"
    digest = hashlib.sha256(contract.read_bytes() if contract.is_file() else b"")
    for path in sorted(places.package.rglob("*.py")):
        name = path.relative_to(places.package).as_posix()
        digest.update(f"{name}\0{text if name == file else path.read_text(encoding='utf-8')}\0".encode())
    versions = [version(name) for name in ("jax", "numpy", "scipy")]
    digest.update(json.dumps([to_run, versions, WORKER.read_text(encoding="utf-8")]).encode())
    return digest.hexdigest()[:16]


def run(places: Places, chapter: str, to_run: list[tuple[int, str]], file: str = "", text: str = "") -> dict[str, Any]:
    """What the cells measured with the package, changed in one file or not: from an earlier run, or now."""
    key = fingerprint(places, chapter, to_run, file, text)
    kept = places.build / f"{key}.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy, task, answer = (Path(folder, name) for name in ("ntk_helpers", "task.json", "answer.json"))
        shutil.copytree(places.package, copy, ignore=shutil.ignore_patterns("__pycache__"))
        if file:
            (copy / file).write_text(text, encoding="utf-8")
        task.write_text(json.dumps({"chapter": chapter, "package": str(copy), "cells": to_run}), encoding="utf-8")
        own = {"PYTHONPATH": folder, "NTK_SCALE": "quick", "NTK_BOOK_DIR": str(places.book), "MPLBACKEND": "Agg"}
        environment = os.environ | own | {"TQDM_DISABLE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, str(WORKER), str(task), str(answer)]
        try:
            ended = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=LIMIT,
                check=False,
            )
            said = ended.stdout.strip().splitlines()[-1:]
            trouble = f"exit {ended.returncode}: {''.join(said)}"
        except subprocess.TimeoutExpired:
            trouble = f"not done after {LIMIT} s"
        failed = {"claims": [], "assertions": [], "error": trouble}
        found = json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else failed
    found["seconds"] = round(time.monotonic() - begin, 1)
    places.build.mkdir(parents=True, exist_ok=True)
    unfinished = kept.with_suffix(".tmp")  # a run that is killed here leaves no half-written result
    unfinished.write_text(json.dumps(found), encoding="utf-8")
    unfinished.replace(kept)
    return found


class Outcome(NamedTuple):
    """What one error did.

    Attributes:
        error: the error.
        noticed: records of the expected claims that failed.
        remarks: what else happened: other claims, assertions, an exception.
        broken: why the run says nothing: its cells do not pass with the unchanged package.
        seconds: of the changed run.
    """

    error: Error
    noticed: list[dict[str, Any]]
    remarks: list[str]
    broken: str
    seconds: float

    @property
    def good(self) -> bool:
        """Noticed, unless it is a known gap; a gap that is noticed has to be taken off the list of gaps."""
        return not self.broken and bool(self.noticed) != bool(self.error.gap)


def attempt(error: Error, places: Places) -> Outcome:
    """Run an error's cells without and with it."""
    text, to_run = changed(error, places.package), cells(error, places.notebooks)
    before = run(places, error.chapter, to_run)
    held = {claim["id"] for claim in before["claims"] if claim["verdict"] in ("agrees", "refutes")}
    wrong = [claim["id"] for claim in before["claims"] if claim["id"] not in held]
    wrong += [claim for claim in error.claims if claim not in held and claim not in wrong]
    if before["error"] or before["assertions"] or wrong:
        broken = "; ".join(filter(None, [before["error"], *before["assertions"], ", ".join(wrong)]))
        return Outcome(error, [], [], broken, before["seconds"])
    after = run(places, error.chapter, to_run, error.file, text)
    failed = [claim for claim in after["claims"] if claim["verdict"] == "fails"]
    noticed = [claim for claim in failed if claim["id"] in error.claims]
    remarks = [f"also {claim['id']}" for claim in failed if claim not in noticed]
    remarks += [f"an assertion of the page failed, {said}" for said in after["assertions"]]
    remarks += [f"stopped by {after['error']}"] if after["error"] else []
    return Outcome(error, noticed, remarks, "", after["seconds"])


def measured(record: dict[str, Any]) -> str:
    """A measurement as the table shows it."""
    return "not finite" if record["measured"] is None else short(record["measured"], record["interval"], record["se"])


def line(outcome: Outcome) -> str:
    """One outcome for the terminal."""
    verdict = "NOT NOTICED" if not outcome.noticed else f"noticed by {outcome.noticed[0]['id']}"
    if outcome.noticed:
        first = outcome.noticed[0]
        verdict += f": {measured(first)}, expected {first['expectation']}"
    if outcome.error.gap:
        verdict += " (listed as a gap, but it is noticed)" if outcome.noticed else " (known gap)"
    if outcome.broken:
        verdict = f"NO VERDICT: the cells do not pass with the unchanged package: {outcome.broken}"
    return "; ".join([f"{outcome.error.name}, chapter {outcome.error.chapter[:2]}: {verdict}", *outcome.remarks])


def markdown(text: str) -> str:
    """Text as it may stand in a Markdown table."""
    return re.sub(r"([\\|$*_`\[\]])", r"\\\1", text).replace("<", "&lt;")


def table(outcomes: list[Outcome]) -> str:
    """The table of book/numerics.md."""
    rows = ["| error | claim | measured | expected |", "|---|---|---|---|"]
    for error, noticed, *_ in outcomes:
        if noticed:
            shown = noticed[0]["id"], measured(noticed[0]), noticed[0]["expectation"]
        else:
            shown = f"none of {len(error.claims)}", "–", "–"
        chapter = f"{{chapter}}`{error.chapter[:2]}`"
        rows.append(
            "| "
            + " | ".join([markdown(error.what), f"{chapter} {markdown(shown[0])}", *map(markdown, shown[1:])])
            + " |"
        )
    gaps = [f"- {markdown(o.error.what)}: {markdown(o.error.gap)}" for o in outcomes if o.error.gap]
    return "\n".join([*rows, *(["", "None of the claims that were tried notices these:", "", *gaps] if gaps else [])])


def block(page: str) -> tuple[int, int]:
    """Where the generated part of the page begins and ends."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise Wrong(f"book/numerics.md must hold {BEGIN} and {END} once each")
    return page.index(BEGIN) + len(BEGIN), page.index(END)


def check(errors: list[Error], places: Places) -> list[str]:
    """What is out of step: the errors with the sources, and the table with the errors (by name, not by number)."""
    found = []
    for error in errors:
        try:
            changed(error, places.package)
            cells(error, places.notebooks)
        except Wrong as wrong:
            found.append(str(wrong))
    page = (places.book / "numerics.md").read_text(encoding="utf-8")
    start, end = block(page)
    shown = {row.split(" | ")[0].removeprefix("| ") for row in page[start:end].splitlines() if row.startswith("| ")}
    shown -= {"error"}
    named = {markdown(error.what) for error in errors}
    again = "; python tools/claim_sensitivity.py --write"
    found += [f"book/numerics.md: no row for the error {what!r}{again}" for what in sorted(named - shown)]
    found += [
        f"book/numerics.md: a row for {what!r}, which is no error any more{again}" for what in sorted(shown - named)
    ]
    return found


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="one error, by its name")
    parser.add_argument("--write", action="store_true", help="write the table into book/numerics.md")
    parser.add_argument("--check", action="store_true", help="run nothing")
    return parser.parse_args(given)


def main(given: list[str] | None = None, places: Places = HERE) -> int:
    """Run the errors that were asked for; print and store the table."""
    options = arguments(given)
    try:
        errors = load(places)
        problems = check(errors, places) if options.check else []
        if unknown := set(options.only or ()) - {error.name for error in errors}:
            raise Wrong(f"no such error: {', '.join(unknown)}; there are: {', '.join(e.name for e in errors)}")
        if options.write and options.only:
            raise Wrong("--write takes all errors, not --only some")
        for error in errors:  # all of them before the first long run
            if not options.check:
                changed(error, places.package), cells(error, places.notebooks)
    except Wrong as wrong:
        problems = [str(wrong)]
    if options.check or problems:
        print("\n".join(problems) or f"{len(errors)} errors match their files and the table")
        return 1 if problems else 0

    chosen = [error for error in errors if not options.only or error.name in options.only]
    outcomes: list[Outcome] = []
    begin = time.monotonic()
    try:
        for error in chosen:
            print(f"[{time.monotonic() - begin:5.0f} s, {len(outcomes) + 1} of {len(chosen)}] {error.what}", flush=True)
            outcomes.append(attempt(error, places))
            print(f"    {line(outcomes[-1])} ({outcomes[-1].seconds:.0f} s)", flush=True)
    except KeyboardInterrupt:
        print(f"interrupted after {len(outcomes)} of {len(chosen)} errors; the same command continues there")
        return 130
    text = table(outcomes)
    places.build.mkdir(parents=True, exist_ok=True)
    (places.build / "table.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\n")
    bad = [outcome.error.name for outcome in outcomes if not outcome.good]
    if options.write and not bad:
        path = places.book / "numerics.md"
        page = path.read_text(encoding="utf-8")
        start, end = block(page)
        path.write_text(f"{page[:start]}\n{text}\n{page[end:]}", encoding="utf-8")
    seen = sum(bool(outcome.noticed) for outcome in outcomes)
    gaps = sum(bool(outcome.error.gap) for outcome in outcomes)
    print(f"{seen} of {len(outcomes)} errors are noticed, {gaps} are known gaps", end="")
    print(f"; NOT AS LISTED: {', '.join(bad)}" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
