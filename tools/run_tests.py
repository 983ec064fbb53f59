"""Run the stages of `make test`; a failed stage doesn't stop the later ones, and the summary names it.

python tools/run_tests.py                 all stages
python tools/run_tests.py lint unit       some of them
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PYTEST = [sys.executable, "-m", "pytest", "--no-header", "-p", "no:cacheprovider"]


def tool(name: str, *arguments: str) -> list[str]:
    """Return the command that runs one of the scripts of tools/."""
    return [sys.executable, str(ROOT / "tools" / f"{name}.py"), *arguments]


# Each stage is a list of commands, which all run.
STAGES: dict[str, list[list[str]]] = {
    "lint": [
        [str(BIN / "ruff"), "check", "--quiet", "."],
        [str(BIN / "ruff"), "format", "--check", "--quiet", "."],
    ],
    "static": [
        tool("check_notebooks"),
        tool("scoreboard", "--check"),
        tool("benchmarks_page", "--check"),
        tool("toc", "--check"),
        tool("address", "--check"),
        tool("references"),
        tool("nt_own_tests_record", "--check"),
    ],
    # Compiling on one core takes most of the time. A whole file goes to one worker, which makes its fixtures once.
    # The models of Flax, which is in no lock (pyproject.toml says why), are tested by the weekly workflow.
    "unit": [
        [
            *PYTEST,
            *("-n", "auto", "--maxprocesses=4", "--dist=loadfile"),
            *("tests", "--ignore=tests/book", "--ignore=tests/finite/tangents/test_entk_flax.py"),
        ]
    ],
    "oldest-jax": [tool("oldest_jax")],
    "doctest": [[*PYTEST, "--doctest-modules", "ntk_helpers"]],
    "notebooks": [
        [
            *PYTEST,
            *("--nbval", "--nbval-current-env", "--nbval-cell-timeout=300"),
            "--nbval-sanitize-with=tools/nbval_sanitize.cfg",
            "notebooks",
        ]
    ],
    "book": [tool("build_book", "--strict")],
    "browser": [[*PYTEST, "tests/book"]],
}


# Runs beside the stages that come after it: they keep one core busy, and it is mostly compiling on its own.
BESIDE = "oldest-jax"


class Result(NamedTuple):
    """What a stage took and said."""

    seconds: float
    good: bool
    closings: list[str]


def run(command: list[str], environment: dict[str, str], say: Callable[[str], None]) -> tuple[int, str]:
    """Run one command, say its output as it comes, return its exit code and pytest's closing line."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    closing = ""
    with process:
        for line in process.stdout:
            say(line)
            if re.search(r"=+ .*\b(passed|failed|errors?|no tests ran)\b.* =+$", line.strip()):
                closing = line.strip()
    return process.returncode, closing


def run_stage(name: str, environment: dict[str, str], say: Callable[[str], None]) -> Result:
    """Run all commands of a stage, the later ones after a failure too."""
    say(f"\n---- {name}\n")
    start, good, closings = time.monotonic(), True, []
    for command in STAGES[name]:
        code, closing = run(command, environment, say)
        good = good and code == 0
        if code:
            shown = " ".join(part.replace(str(ROOT) + os.sep, "") for part in command)
            say(f"FAILED (exit {code}): {shown}\n")
        closings += [closing] if closing else []
    return Result(time.monotonic() - start, good, closings)


def say_now(text: str) -> None:
    """Print at once."""
    print(text, end="", flush=True)


def main() -> int:
    """Run the named stages, then print each one's time and verdict."""
    chosen = sys.argv[1:] or list(STAGES)
    unknown = [name for name in chosen if name not in STAGES]
    if unknown:
        print(f"no such stage: {', '.join(unknown)}; there are: {', '.join(STAGES)}")
        return 2
    environment = {**os.environ, "NTK_SCALE": "quick", "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"}
    environment.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    start, results, kept = time.monotonic(), {}, []
    with ThreadPoolExecutor(1) as beside:
        for name in chosen:
            if name == BESIDE:
                results[name] = beside.submit(run_stage, name, environment, kept.append)
            else:
                results[name] = run_stage(name, environment, say_now)
        if BESIDE in results:
            results[BESIDE] = results[BESIDE].result()
            say_now("".join(kept))
    total = time.monotonic() - start
    print("\n---- summary")
    for name, (seconds, good, closings) in results.items():
        said = "  ".join(closing.strip("= ") for closing in closings)
        print(f"{'ok    ' if good else 'FAILED'} {name:<11}{seconds:7.1f} s {seconds / total:5.0%}  {said}".rstrip())
    failed = [name for name, result in results.items() if not result.good]
    print(f"{'FAILED: ' + ', '.join(failed) if failed else 'all stages passed'} in {total / 60:.1f} min")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
