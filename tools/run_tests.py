"""Run the stages of `make test`; a failed stage doesn't stop the later ones, and the summary names it.

python tools/run_tests.py                 all stages
python tools/run_tests.py lint unit       some of them
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

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
        tool("toc", "--check"),
        tool("address", "--check"),
        tool("references"),
    ],
    # Compiling on one core takes most of the time. A whole file goes to one worker, which makes its fixtures once.
    "unit": [[*PYTEST, "-n", "auto", "--maxprocesses=4", "--dist=loadfile", "tests", "--ignore=tests/book"]],
    "doctest": [[*PYTEST, "--doctest-modules", "ntk_helpers"]],
    "oldest-jax": [tool("oldest_jax")],
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


def run(command: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run one command, show its output as it comes, return its exit code and pytest's closing line."""
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
            print(line, end="", flush=True)
            if re.search(r"=+ .*\b(passed|failed|errors?|no tests ran)\b.* =+$", line.strip()):
                closing = line.strip()
    return process.returncode, closing


def main() -> int:
    """Run the named stages, then print each one's time and verdict."""
    chosen = sys.argv[1:] or list(STAGES)
    unknown = [name for name in chosen if name not in STAGES]
    if unknown:
        print(f"no such stage: {', '.join(unknown)}; there are: {', '.join(STAGES)}")
        return 2
    environment = {**os.environ, "NTK_SCALE": "quick", "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"}
    environment.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    results: list[tuple[str, float, bool, list[str]]] = []
    for name in chosen:
        print(f"\n---- {name}", flush=True)
        start, good, closings = time.monotonic(), True, []
        for command in STAGES[name]:
            code, closing = run(command, environment)
            good = good and code == 0
            if code:
                shown = " ".join(part.replace(str(ROOT) + os.sep, "") for part in command)
                print(f"FAILED (exit {code}): {shown}", flush=True)
            closings += [closing] if closing else []
        results.append((name, time.monotonic() - start, good, closings))
    total = sum(seconds for _, seconds, _, _ in results)
    print("\n---- summary")
    for name, seconds, good, closings in results:
        said = "  ".join(closing.strip("= ") for closing in closings)
        print(f"{'ok    ' if good else 'FAILED'} {name:<11}{seconds:7.1f} s {seconds / total:5.0%}  {said}".rstrip())
    failed = [name for name, _, good, _ in results if not good]
    print(f"{'FAILED: ' + ', '.join(failed) if failed else 'all stages passed'} in {total / 60:.1f} min")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
