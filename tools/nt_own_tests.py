#!/usr/bin/env python3
"""Run neural-tangents' own tests through the bridge, ntk_helpers.nt, and write down what became of each.

    python tools/nt_own_tests.py run SOURCE --name locked
    python tools/nt_own_tests.py run SOURCE --name oldest --python _build/venv-oldest/bin/python
    python tools/nt_own_tests.py run SOURCE --name reference --python REFERENCE/bin/python --without-bridge
    python tools/nt_own_tests.py record      writes benchmarks/results/bridge.json from these three

SOURCE is a checkout of neural-tangents v0.6.5 (its tests are not part of its wheel, and never become part of this
repository). The Python of a run needs pytest, absl-py, more-itertools and flax (the tests import them) besides
neural-tangents; that of the reference holds jax==0.4.25, numpy<2, scipy<1.14, which neural-tangents 0.6.5 was made for.

The files run one after another, each in a process of its own, on one thread of computation and with low priority; a
test has a time limit, and a file whose process dies goes on after the test that killed it. What is finished is kept
in _build/nt-own-tests/NAME/, so an interrupted run continues (``--again`` forgets it).
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "_build" / "nt-own-tests"
RECORD = ROOT / "benchmarks" / "results" / "bridge.json"
VERSION = "0.6.5"

# What the tests are of, and what they need that a checkout of this book does not have.
FILES = {
    "tests/predict_test.py": "",
    "tests/rules_test.py": "",
    "tests/monte_carlo_test.py": "",
    "tests/batching_test.py": "",
    "tests/empirical_test.py": "",
    "tests/stax/branching_test.py": "",
    "tests/stax/combinators_test.py": "",
    "tests/stax/elementwise_test.py": "",
    "tests/stax/linear_test.py": "",
    "tests/stax/requirements_test.py": "",
    "tests/stax/stax_test.py": "",
    "tests/elementwise_test.py": "",
    "tests/elementwise_numerical_test.py": "",
    "tests/empirical_ntk_test.py": "",
    "tests/function_space_test.py": "data sets",
    "tests/imdb_test.py": "data sets",
    "tests/infinite_fcn_test.py": "data sets",
    "tests/weight_space_test.py": "data sets",
    "tests/experimental/empirical_ntk_tf_test.py": "TensorFlow",
    "tests/experimental/empirical_tf_test.py": "TensorFlow",
}

# The tests of rules take no time: many cases of each.
CASES = {"tests/rules_test.py": 100}

VERSIONS = """
import json, platform
from importlib.metadata import version, PackageNotFoundError
def of(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
names = ("jax", "jaxlib", "numpy", "scipy", "neural-tangents", "flax", "pytest", "more-itertools", "absl-py")
print(json.dumps({"python": platform.python_version(), **{name: of(name) for name in names}}))
"""


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def watch(process: subprocess.Popen, notes: Path, limit: float) -> str | None:
    """Wait for one process; kill it where a test ignores its limit, since compiled code cannot be interrupted."""
    while process.poll() is None:
        time.sleep(1)
        written = lines(notes)
        hangs = written and "started" in written[-1] and time.time() - notes.stat().st_mtime > 10 * limit
        slow_start = not written and time.monotonic() - process.started > 10 * limit
        if hangs or slow_start:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"killed after {10 * limit:.0f} s in compiled code"
    return None if process.returncode in (0, 1, 5) else f"the process died with status {process.returncode}"


def run_file(file: str, folder: Path, options: argparse.Namespace) -> None:
    """Run one file to its end, in as many processes as that takes."""
    notes = folder / (file.replace("/", "-") + ".jsonl")
    if any("end" in line for line in lines(notes)):
        print(f"{file}: done before", flush=True)
        return
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tools"), str(ROOT)]),
        "PYTHONHASHSEED": "0",  # as neural-tangents' own continuous integration has it
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
        "OMP_NUM_THREADS": "1",
        # The random numbers that JAX drew up to 0.4: some tests hold for these draws only, and one takes it for granted
        # that arrays of two shapes drawn with the same key have no row in common.
        "JAX_THREEFRY_PARTITIONABLE": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": str(int(not options.optimize)),  # compiling is what takes the time
        "JAX_ENABLE_X64": str(int(options.x64)),
        "NT_NUM_GENERATED_CASES": str(CASES.get(file, options.cases)),
        "NT_OWN_TESTS_OUT": str(notes),
        "NT_OWN_TESTS_LIMIT": str(options.limit),
        "NT_OWN_TESTS_BRIDGE": str(int(not options.without_bridge)),
    }
    command = f"-m pytest -p nt_own_tests_plugin -p no:cacheprovider -q --no-header -c {os.devnull} --rootdir=.".split()
    while True:
        with open(folder / (file.replace("/", "-") + ".log"), "a") as log:
            process = subprocess.Popen(
                ["nice", str(options.python), *command, file],
                cwd=folder / "source",
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.started = time.monotonic()
        try:
            died = watch(process, notes, options.limit)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        written = lines(notes)
        finished = {line["test"] for line in written if "test" in line}
        running = [line["started"] for line in written if "started" in line and line["started"] not in finished]
        if died is None or not running:
            break
        with open(notes, "a") as out:
            line = {"test": running[-1], "outcome": "failed", "structured": None, "seconds": 0, "message": died}
            out.write(json.dumps(line | {"where": ""}) + "\n")
    with open(notes, "a") as out:
        out.write(json.dumps({"end": died}) + "\n")
    counts = collections.Counter(line["outcome"] for line in lines(notes) if "test" in line)
    uncollected = [line for line in lines(notes) if "uncollected" in line]
    print(f"{file}: {dict(counts)}{' not collected' if uncollected else ''}", flush=True)


def run(options: argparse.Namespace) -> None:
    source = options.source.resolve()
    found = re.search(r"__version__ = '(.*)'", (source / "neural_tangents" / "__init__.py").read_text())
    if found is None or found[1] != VERSION:
        raise SystemExit(f"{source} holds neural-tangents {found and found[1]}, not {VERSION}")
    folder = WORK / options.name
    if options.again:
        shutil.rmtree(folder, ignore_errors=True)
    # Only the tests, so that `import neural_tangents` finds the one that is installed.
    (folder / "source").mkdir(parents=True, exist_ok=True)
    for part in ("tests", "examples"):
        link = folder / "source" / part
        link.unlink(missing_ok=True)
        link.symlink_to(source / part)
    versions = json.loads(subprocess.run([str(options.python), "-c", VERSIONS], capture_output=True, check=True).stdout)
    if versions["neural-tangents"] != VERSION:
        raise SystemExit(f"{options.python} holds neural-tangents {versions['neural-tangents']}, not {VERSION}")
    settings = {
        "versions": versions,
        "NT_NUM_GENERATED_CASES": {"default": options.cases} | CASES,
        "JAX_ENABLE_X64": int(options.x64),
        "JAX_THREEFRY_PARTITIONABLE": 0,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": int(not options.optimize),
        "limit_s": options.limit,
        "bridge": not options.without_bridge,
    }
    stamp = folder / "settings.json"
    if stamp.exists() and json.loads(stamp.read_text()) != settings:
        raise SystemExit(f"{folder.relative_to(ROOT)} was begun with other settings; add --again to forget it")
    stamp.write_text(json.dumps(settings, indent=1))
    for file in options.only or FILES:
        run_file(file, folder, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    runs = commands.add_parser("run", help="run the tests")
    runs.set_defaults(call=run)
    runs.add_argument("source", type=Path, help="a checkout of neural-tangents v0.6.5")
    runs.add_argument("--name", required=True, help="locked, oldest or reference: the folder of _build/nt-own-tests")
    runs.add_argument("--python", type=Path, default=Path(sys.executable))
    runs.add_argument("--without-bridge", action="store_true", help="import neural-tangents as it is")
    runs.add_argument("--cases", type=int, default=4, help="NT_NUM_GENERATED_CASES: cases drawn for each test")
    runs.add_argument("--limit", type=float, default=120, help="seconds of the processor for one test")
    runs.add_argument("--x64", action="store_true", help="in double precision")
    runs.add_argument("--optimize", action="store_true", help="compile with all optimizations (three times slower)")
    runs.add_argument("--only", nargs="*", choices=FILES, metavar="FILE")
    runs.add_argument("--again", action="store_true", help="forget an earlier run of this name")
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    main()
