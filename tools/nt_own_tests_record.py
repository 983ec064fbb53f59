#!/usr/bin/env python3
"""Write the record of neural-tangents' own tests, and the tables of book/bridge.md from it.

    python tools/nt_own_tests_record.py           from the runs of nt_own_tests.py named locked, reference and oldest
    python tools/nt_own_tests_record.py --check   fails where the page differs from the record

Every failure needs a cause: on the reference JAX it fails too, or CAUSES explains it. One that has none is an error.
"""

from __future__ import annotations

import collections
import json
import os
import re
import sys

from nt_own_tests import FILES, ROOT, VERSION, WORK, lines

RECORD = ROOT / "benchmarks" / "results" / "bridge.json"
PAGE = ROOT / "book" / "bridge.md"
RUNS = {"locked": "the lock", "oldest": "the oldest supported", "reference": "its own, without the bridge"}
OUTCOMES = ("passed", "failed", "skipped")
KINDS = {
    "plain": "all but structured derivatives",
    "structured": "structured derivatives",
    "rules": "their tables of rules",
}

OWN = "fails on its own JAX too"
# What is looked for in "test: message", and what it means.
CAUSES = (
    (
        r"rules_test.*test_utils.py.*rules_test.py:488",
        "JAX itself: `jacfwd` and `jacrev` of a windowed sum with strides disagree (neural-tangents is not called)",
    ),
)


def kind(file: str, structured: bool | None) -> str:
    """What a test is of; the rules are read by the structured derivatives alone."""
    return "rules" if file == "tests/rules_test.py" else "structured" if structured else "plain"


def tests_of(run: str) -> dict[str, dict]:
    """The last word on every test of a run."""
    return {
        line["test"]: line | {"file": file}
        for file in FILES
        for line in lines(WORK / run / (file.replace("/", "-") + ".jsonl"))
        if "test" in line
    }


def cause(test: dict, reference: dict | None) -> str:
    if reference and reference["outcome"] == "failed":
        return OWN
    text = f"{test['test']}: {test['message']} {test['where']}"
    return next((why for pattern, why in CAUSES if re.search(pattern, text, re.DOTALL)), "unexplained")


def zero() -> dict[str, int]:
    return dict.fromkeys(OUTCOMES, 0)


def summary(run: str, tests: dict[str, dict], reference: dict[str, dict]) -> dict:
    """Counts of one run, file by file, and its failures with their causes."""
    settings = json.loads((WORK / run / "settings.json").read_text())
    files, failures = {}, []
    for file, needs in FILES.items():
        notes = lines(WORK / run / (file.replace("/", "-") + ".jsonl"))
        if not notes:
            continue
        mine = [test for test in tests.values() if test["file"] == file]
        entry = {kind: zero() for kind in KINDS} | {"cpu_s": round(sum(test["seconds"] for test in mine))}
        if not mine:
            message = next((line["message"] for line in notes if "uncollected" in line), "")
            entry = {"not_run": f"needs {needs}" if needs else message.strip().splitlines()[-1]}
        for test in mine:
            # Skipped tests reach nothing: where the reference ran them, it says what they reach.
            structured = test["structured"] or reference.get(test["test"], {}).get("structured")
            test["kind"] = kind(file, structured)
            entry[test["kind"]][test["outcome"]] += 1
            if test["outcome"] == "failed":
                failures.append(
                    {
                        "test": test["test"],
                        "kind": test["kind"],
                        "on_its_own_jax": reference.get(test["test"], {}).get("outcome", "not run"),
                        "cause": cause(test, reference.get(test["test"])) if run != "reference" else "",
                        "message": " ".join(test["message"].split())[:300],
                    }
                )
        files[file] = entry
    totals = {
        name: {o: sum(entry[name][o] for entry in files.values() if name in entry) for o in OUTCOMES} for name in KINDS
    }
    for name, total in totals.items():
        own = sum(failure["kind"] == name and failure["cause"] == OWN for failure in failures)
        ran = total["passed"] + total["failed"]
        total["failed_on_its_own_jax_too"] = own
        total["percent_passed"] = round(100 * total["passed"] / ran, 1) if ran else None
        total["percent_passed_of_those_that_can"] = round(100 * total["passed"] / (ran - own), 1) if ran > own else None
    reasons = collections.Counter(test["message"] for test in tests.values() if test["outcome"] == "skipped")
    cpu = sum(entry.get("cpu_s", 0) for entry in files.values())
    return settings | {
        "cpu_minutes": round(cpu / 60, 1),
        "totals": totals,
        "skipped_because": {reason.removeprefix("Skipped: "): n for reason, n in reasons.most_common()},
        "files": files,
        "failures": failures,
    }


def make_record() -> dict:
    reference = tests_of("reference")
    record = {
        "what": "neural-tangents' own tests through ntk_helpers.nt, and on the JAX it was made for, one core",
        "source": f"google/neural-tangents, tag v{VERSION}, folder tests",
        "made_by": "tools/nt_own_tests.py",
        "note": "cpu_minutes are those of a busy machine that had part of the compiled programs in a cache",
        "runs": {run: summary(run, tests_of(run), reference) for run in RUNS if (WORK / run).exists()},
    }
    return record


def bridged(runs: dict) -> list[str]:
    return [run for run in runs if run != "reference"]


def table(rows: list[list[object]]) -> str:
    head, *body = [[str(cell) for cell in row] for row in rows]
    marks = ["---:" if i and all(row[i][:1].isdigit() for row in body[:1]) else "---" for i in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, marks, *body)) + "\n"


def render(record: dict) -> dict[str, str]:
    """The tables of the page by name."""
    runs = record["runs"]
    totals = [["JAX", "tests of", "passed", "failed", "of these, on its own JAX too", "percent passed", "skipped"]]
    for run, result in runs.items():
        for name, title in KINDS.items():
            total = result["totals"][name]
            keys = ("passed", "failed", "failed_on_its_own_jax_too", "percent_passed", "skipped")
            if total["passed"] + total["failed"]:
                totals.append([f"{result['versions']['jax']}, {RUNS[run]}", title, *(total[key] for key in keys)])
    locked = runs["locked"]["files"]
    files = [["file of the locked run", "passed", "failed", "skipped", "passed*", "failed*", "skipped*"]]
    for file, entry in locked.items():
        name = f"`{file.removeprefix('tests/')}`"
        if "not_run" in entry:
            files.append([name, entry["not_run"], *[""] * 5])
        else:
            starred = [entry["structured"][o] + entry["rules"][o] for o in OUTCOMES]
            files.append([name, *(entry["plain"][o] for o in OUTCOMES), *starred])
    causes = [["cause of a failure", *(RUNS[run] for run in bridged(runs))]]
    counted = [collections.Counter(failure["cause"] for failure in runs[run]["failures"]) for run in bridged(runs)]
    causes += [[why, *(counts[why] for counts in counted)] for why in sorted(set().union(*counted))]
    return {"totals": table(totals), "files": table(files), "causes": table(causes)}


def filled(page: str, tables: dict[str, str]) -> str:
    """The page with the tables between their marks."""
    for name, text in tables.items():
        start, end = f"% table {name}\n", f"% end of table {name}\n"
        before, rest = page.split(start)
        page = before + start + "\n" + text + "\n" + end + rest.split(end)[1]
    return page


def main() -> int:
    if "--check" not in sys.argv:
        record = make_record()
        record["machine"] = {"cores": os.cpu_count(), "kind": os.uname().machine}
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    record = json.loads(RECORD.read_text())
    page = PAGE.read_text(encoding="utf-8")
    wanted = filled(page, render(record))
    if "--check" not in sys.argv:
        PAGE.write_text(wanted, encoding="utf-8")
    elif page != wanted:
        print("bridge: book/bridge.md differs from its record; run: python tools/nt_own_tests_record.py")
        return 1
    unexplained = [
        failure["test"]
        for run in bridged(record["runs"])
        for failure in record["runs"][run]["failures"]
        if failure["cause"] == "unexplained"
    ]
    for test in unexplained:
        print(f"bridge: failed without a known cause: {test}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
