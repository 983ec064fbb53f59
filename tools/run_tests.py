"""Run the stages of `make test`; a failed stage doesn't stop the others, and the summary names it.

python tools/run_tests.py                    all stages
python tools/run_tests.py lint unit          some of them
python tools/run_tests.py unit-limits        one part of a stage
python tools/run_tests.py --optimized unit   everything compiled as users compile it (see QUICK)

A stage is made of jobs, each for one core. As many run side by side as there are cores; what a job prints is shown when
it has ended, or at once where it runs alone.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PYTEST = (sys.executable, "-m", "pytest", "--no-header", "-p", "no:cacheprovider")

# Most of a test's time is compiling, and most of that is optimizing code that then runs once. With these settings a
# program compiles in a third of the time; its arithmetic is the same but for how operations are fused. Tests whose bar
# is for the compiler's usual work (rounding errors, exact zeros, memory, float32) carry the mark `optimized` and run
# without them, and so do the chapters. The flag is one that the JAX of the lock and the oldest know; a JAX that doesn't
# know a flag stops, so another JAX is tested with --optimized.
QUICK = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"}


class Job(NamedTuple):
    """Commands that run one after the other, the later ones after a failure too.

    Attributes:
        name: the stage's name, or the stage's name and a part: "unit-limits" belongs to "unit".
        commands: what runs.
        needs: the job that ends before this one starts, where both were chosen.
        quick: compile with the settings QUICK.
    """

    name: str
    commands: Sequence[Sequence[str]]
    needs: str | None = None
    quick: bool = False


class Result(NamedTuple):
    """What a job took and said."""

    seconds: float
    cpu_seconds: float
    good: bool
    closings: list[str]


def tool(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs one of the scripts of tools/."""
    return (sys.executable, str(ROOT / "tools" / f"{name}.py"), *arguments)


def unit_jobs() -> list[Job]:
    """The unit tests, in parts of similar length; a test file that no part names is in the last one."""
    # The models of Flax, which is in no lock (pyproject.toml says why), are tested by the weekly workflow.
    flax = "--ignore=tests/finite/tangents/test_entk_flax.py"
    parts = {
        "tangents": ("tests/finite/tangents", flax),
        "limits": ("tests/limits",),
        "predict": ("tests/predict",),
        "finite": ("tests/finite", "--ignore=tests/finite/tangents"),
    }
    elsewhere = ("--ignore=tests/book", "--ignore=tests/assignments")
    named = [*elsewhere, *(f"--ignore=tests/{folder}" for folder in ("limits", "predict", "finite"))]
    jobs = [
        Job("unit-optimized", [[*PYTEST, "-m", "optimized", "tests", *elsewhere, flax]]),
        Job("unit-rest", [[*PYTEST, "-m", "not optimized", "tests", *named]], "oldest-env", quick=True),
    ]
    for name, where in parts.items():
        jobs.append(Job(f"unit-{name}", [[*PYTEST, "-m", "not optimized", *where]], quick=True))
    return jobs


def notebook_jobs() -> list[Job]:
    """Every notebook, run again and compared."""
    options = ("--nbval", "--nbval-current-env", "--nbval-cell-timeout=300")
    command = [*PYTEST, *options, "--nbval-sanitize-with=tools/nbval_sanitize.cfg"]
    notebooks = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    return [Job(f"notebooks-{path.stem[:2]}", [[*command, f"notebooks/{path.name}"]]) for path in notebooks]


def assignment_jobs() -> list[Job]:
    """The problem sets: right and wrong solutions against their tests, and nbgrader from release to feedback."""
    folder = "tests/assignments"
    slow = [f"{folder}/test_{name}.py" for name in ("round_trip", "guide", "release")]  # all that need a course folder
    return [
        Job("assignments-nbgrader", [[*PYTEST, *slow]], quick=True),
        Job("assignments-solutions", [[*PYTEST, folder, *(f"--ignore={path}" for path in slow)]], quick=True),
    ]


def all_jobs() -> list[Job]:
    """All jobs, in the order in which they start: what others wait for, then the long ones."""
    return [
        Job(
            "lint",
            [
                [str(BIN / "ruff"), "check", "--quiet", "."],
                [str(BIN / "ruff"), "format", "--check", "--quiet", "."],
            ],
        ),
        Job(
            "static",
            [
                tool("check_notebooks"),
                tool("scoreboard", "--check"),
                tool("benchmarks_page", "--check"),
                tool("toc", "--check"),
                tool("address", "--check"),
                tool("references"),
                tool("nt_own_tests_record", "--check"),
                tool("claim_sensitivity", "--check"),
                [str(BIN / "lint-imports"), "--no-cache"],
            ],
        ),
        Job("oldest-env", [tool("oldest_jax", "--make")]),
        Job("book", [tool("build_book", "--strict")]),
        Job("browser", [[*PYTEST, "tests/book"]], "book"),
        # One chapter with neural-tangents and one without; the weekly workflow runs all of them.
        Job("colab", [tool("colab_run", "01", "05")]),
        *notebook_jobs(),
        *unit_jobs(),
        *assignment_jobs(),
        Job("oldest-jax", [tool("oldest_jax")], "oldest-env", quick=True),
        Job("doctest", [[*PYTEST, "--doctest-modules", "ntk_helpers"]], quick=True),
    ]


def run_command(
    command: Sequence[str], environment: dict[str, str], say: Callable[[str], None]
) -> tuple[int, str, float]:
    """Run one command, say its output as it comes, return its exit code, pytest's closing line and its CPU seconds."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    closing, cpu_seconds = "", 0.0
    with process:
        for line in process.stdout:
            say(line)
            if re.search(r"=+ .*\b(passed|failed|errors?|no tests ran)\b.* =+$", line.strip()):
                closing = line.strip()
        if hasattr(os, "wait4"):  # also says what the command and its children took; not on Windows
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            cpu_seconds = usage.ru_utime + usage.ru_stime
    return process.returncode, closing, cpu_seconds


def run_job(job: Job, environment: dict[str, str], say: Callable[[str], None]) -> Result:
    """Run all commands of a job."""
    say(f"\n---- {job.name}\n")
    start, cpu_seconds, good, closings = time.monotonic(), 0.0, True, []
    for command in job.commands:
        code, closing, taken = run_command(command, environment, say)
        good, cpu_seconds = good and code == 0, cpu_seconds + taken
        if code:
            shown = " ".join(part.replace(str(ROOT) + os.sep, "") for part in command)
            say(f"FAILED (exit {code}): {shown}\n")
        closings += [closing] if closing else []
    return Result(time.monotonic() - start, cpu_seconds, good, closings)


def say_now(text: str) -> None:
    """Print at once."""
    print(text, end="", flush=True)


def run_jobs(jobs: Sequence[Job], environment: dict[str, str], *, cores: int, optimized: bool) -> dict[str, Result]:
    """Run jobs side by side, each after the one it needs, in their order as cores become free."""
    start = time.monotonic()
    waiting, running, results = list(jobs), {}, {}
    names = {job.name for job in jobs}
    with ThreadPoolExecutor(cores) as pool:
        while waiting or running:
            ready = [job for job in waiting if job.needs not in names or job.needs in results]
            for job in ready[: cores - len(running)]:
                waiting.remove(job)
                own = dict(environment)
                if job.quick and not optimized:
                    own |= QUICK | {"XLA_FLAGS": f"{environment.get('XLA_FLAGS', '')} {QUICK['XLA_FLAGS']}".strip()}
                said = []
                running[pool.submit(run_job, job, own, say_now if len(jobs) == 1 else said.append)] = job, said
            if len(jobs) > 1:
                at_work = ", ".join(job.name for job, _ in running.values())
                say_now(f"[{time.monotonic() - start:5.0f} s, {len(waiting)} waiting] running: {at_work}\n")
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, said = running.pop(future)
                results[job.name] = future.result()
                say_now("".join(said))
    return {job.name: results[job.name] for job in jobs}


def choose(names: Sequence[str]) -> list[Job]:
    """The jobs of these stages, or of these names; all without names. Raises ValueError for a name that is neither."""
    jobs = all_jobs()
    known = {job.name for job in jobs} | {job.name.split("-")[0] for job in jobs}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no such stage: {', '.join(unknown)}; there are: {', '.join(job.name for job in jobs)}")
    return [job for job in jobs if not names or job.name in names or job.name.split("-")[0] in names]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> int:
    """Run the named stages, then print each job's time and verdict."""
    names = [name for name in sys.argv[1:] if name != "--optimized"]
    try:
        jobs = choose(names)
    except ValueError as error:
        print(error)
        return 2
    environment = {**os.environ, "NTK_SCALE": "quick", "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg"}
    environment.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    # A job is for one core: linear algebra on more threads would wait for its neighbours, spinning.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        environment.setdefault(name, "1")
    start = time.monotonic()
    results = run_jobs(jobs, environment, cores=cores(), optimized="--optimized" in sys.argv[1:])
    total = time.monotonic() - start
    print("\n---- summary (seconds, seconds of one core)")
    for name, (seconds, cpu_seconds, good, closings) in results.items():
        said = "  ".join(closing.strip("= ") for closing in closings)
        print(f"{'ok    ' if good else 'FAILED'} {name:<22}{seconds:7.1f}{cpu_seconds:8.1f}  {said}".rstrip())
    failed = [name for name, result in results.items() if not result.good]
    busy = sum(result.cpu_seconds for result in results.values())
    print(f"{'FAILED: ' + ', '.join(failed) if failed else 'all stages passed'} in {total / 60:.1f} min", end="")
    print(f", {busy / 60:.1f} min of one core" if busy else "")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
