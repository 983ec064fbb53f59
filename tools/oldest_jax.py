#!/usr/bin/env python3
"""Run unit tests on the oldest supported JAX, in a virtual environment of its own.

    python tools/oldest_jax.py            make the environment, run the tests below on it
    python tools/oldest_jax.py tests/...  run these instead
    python tools/oldest_jax.py --make     only make the environment and print its path

The environment is made the way a Colab session is: the oldest JAX with a NumPy of its time is there first, then plain
pip installs the package's wheel and what the chapters' set-up cell installs. It lies in _build/venv-oldest and is made
anew when pyproject.toml, requirements-nt.txt or this file changed; where only the package changed, its wheel is
installed again. The tests (TESTS below) exercise every public function of the limits, the finite networks and the door
to neural-tangents. Every step is printed; the exit status is that of the first step that fails.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / "_build" / "venv-oldest"

# What stands there before the package comes. The first is the lower bound of `jax` in pyproject.toml (tested).
JAX = "0.7.2"
THERE_BEFORE = (f"jax=={JAX}", f"jaxlib=={JAX}", "numpy==2.1.3")
# What the tests need beyond the package.
FOR_TESTS = ("pytest", "hypothesis", "mpmath", "beartype")
# Every public function of the kernels, the networks and the door to neural-tangents, each against its own reference;
# the many cases of precision and of bad input are left to the JAX of the lock.
TESTS = (
    "tests/test_nt.py",
    *("tests/limits/test_layers.py", "tests/limits/test_angle.py"),
    *(
        f"tests/limits/test_duals.py::test_{name}"
        for name in ("jax_derivative_obeys_prices_theorem", "value_takes_scalars_arrays_and_broadcasts")
    ),
    *(
        f"tests/limits/test_fcn.py::test_{name}"
        for name in (
            "equals_neural_tangents",
            "networks_of_several_activations_equal_neural_tangents",
            "deep_networks_against_fifty_digits",
            "blocks_of_rows_change_nothing",
            "jit_and_vmap",
            "sigmas_may_be_traced",
        )
    ),
    *("tests/finite/test_network.py", "tests/finite/test_initializers.py::test_orthogonal_is_an_isometry"),
    *(
        f"tests/finite/test_fcn.py::test_{name}"
        for name in ("the_formula", "both_parameterizations_are_the_same_function_at_initialization", "dtypes")
    ),
    *(
        f"tests/finite/test_sampling.py::test_{name}"
        for name in ("one_network_a_key", "draws_do_not_depend_on_the_batch_size", "the_law_keeps_equal_inputs_equal")
    ),
    *("tests/predict/test_solves.py", "tests/predict/test_ensembles.py::test_samples_have_the_covariance"),
    "tests/predict/test_large.py::test_product_without_the_matrix",
    "tests/predict/test_large_processes.py::test_eight_devices",
    "tests/predict/test_flow.py::test_time_is_learning_rate_times_steps_for_a_real_network",
    *(
        f"tests/predict/test_training.py::test_{name}"
        for name in ("many_seeds_are_single_runs", "interrupted_and_resumed_is_uninterrupted")
    ),
)


def python_of(directory: Path) -> Path:
    return directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess:
    """Run a command, print it and the time it took; stop the program with its status where it fails."""
    shown = [str(part).replace(str(ROOT) + os.sep, "") for part in command]
    print("$", shlex.join(shown), flush=True)
    start = time.monotonic()
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False, **options)
    print(f"  {time.monotonic() - start:.1f} s", flush=True)
    if done.returncode:
        print(f"failed with status {done.returncode}", file=sys.stderr)
        raise SystemExit(done.returncode)
    return done


def digest(*paths: Path) -> str:
    """A hash of the content of files."""
    content = hashlib.sha256(sys.version.encode())
    for path in paths:
        content.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return content.hexdigest()


def up_to_date(name: str, value: str) -> bool:
    stamp = VENV / name
    return stamp.is_file() and stamp.read_text() == value


def versions(python: Path) -> dict[str, str]:
    """Versions of what must not change."""
    code = "from importlib.metadata import version as v; print(v('jax'), v('jaxlib'), v('numpy'))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True, cwd=VENV)
    return dict(zip(("jax", "jaxlib", "numpy"), done.stdout.split(), strict=True))


@contextlib.contextmanager
def lock() -> Iterator[None]:
    """Let one process at a time make the environment; test workers may ask for it at the same moment."""
    VENV.parent.mkdir(exist_ok=True)
    with open(VENV.with_suffix(".lock"), "w") as file:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def make() -> Path:
    """Make the environment, unless an up-to-date one is there, and return its Python."""
    with lock():
        return _make()


def _make() -> Path:
    python = python_of(VENV)
    environment = digest(ROOT / "pyproject.toml", ROOT / "requirements-nt.txt", Path(__file__).resolve())
    package = digest(*sorted((ROOT / "ntk_helpers").rglob("*.py")))
    pip = (python, "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check")
    if up_to_date("environment", environment) and up_to_date("package", package):
        print(f"{VENV.relative_to(ROOT)} is up to date", flush=True)
        return python
    with tempfile.TemporaryDirectory() as directory:
        run(sys.executable, "-m", "build", "-w", "-n", "--outdir", directory, stdout=subprocess.DEVNULL)
        (wheel,) = Path(directory).glob("*.whl")
        if up_to_date("environment", environment):
            print("the package changed: its wheel is installed again", flush=True)
            run(*pip, "--no-deps", "--force-reinstall", wheel)
        else:
            print(f"making {VENV.relative_to(ROOT)} with JAX {JAX} (about a minute)", flush=True)
            shutil.rmtree(VENV, ignore_errors=True)
            venv.create(VENV, with_pip=True)
            run(*pip, *THERE_BEFORE)
            before = versions(python)
            # These two are what a chapter's set-up cell runs.
            run(*pip, f"{wheel}[data]")
            run(*pip, "--no-deps", "-r", ROOT / "requirements-nt.txt")
            after = versions(python)
            (VENV / "versions").write_text(f"{before}\n{after}\n")
            if before != after:
                print(f"the installation changed what was there: {before} became {after}", file=sys.stderr)
                raise SystemExit(1)
            run(*pip, *FOR_TESTS)
            (VENV / "environment").write_text(environment)
    (VENV / "package").write_text(package)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", action="store_true", help="only make the environment")
    parser.add_argument("tests", nargs="*", default=TESTS)
    arguments = parser.parse_args()
    python = make()
    if arguments.make:
        print(python)
        return
    missing = [test for test in arguments.tests if not (ROOT / test.split("::")[0]).exists()]
    if missing:
        print(f"no such tests: {', '.join(missing)}", file=sys.stderr)
        raise SystemExit(2)
    run(python, "-m", "pytest", "-q", *arguments.tests)


if __name__ == "__main__":
    main()
