#!/usr/bin/env python3
"""Make the environments of the libraries that the benchmark compares with.

    python tools/reference_env.py                    all of them (about two minutes)
    python tools/reference_env.py neural-tangents    one, and print its Python

neural-tangents 0.6.5, the last release, runs untouched on JAX 0.4.16 to 0.5.3, its fastest method up to 0.4.25: that
JAX with a NumPy and a SciPy of its time is its environment. torch has one of its own. They lie in
_build/venv-reference-*
and are made anew when this file changes. Neither is needed by the package or its tests.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What pip installs, and what it installs without what that asks for: neural-tangents' metadata names TensorFlow, which
# only its experimental part uses.
ENVIRONMENTS = {
    "neural-tangents": (
        ("jax==0.4.25", "jaxlib==0.4.25", "numpy==1.26.4", "scipy==1.13.1", "frozendict==2.5.1"),
        ("neural-tangents==0.6.5",),
    ),
    # On Linux the wheel of some indexes brings CUDA along, a few gigabytes; only the processor is used.
    "torch": (("torch==2.13.0", "numpy==2.1.3"), ()),
}
PYTHONS = ("python3.11", "python3.12")  # jaxlib 0.4.25 has no wheel for newer ones


def directory_of(name: str) -> Path:
    return ROOT / "_build" / f"venv-reference-{name}"


def python_of(directory: Path) -> Path:
    return directory / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def run(*command: str | Path) -> None:
    """Run a command, print it and the time it took; stop the program with its status where it fails."""
    shown = [str(part).replace(str(ROOT) + os.sep, "") for part in command]
    print("$", shlex.join(shown), flush=True)
    start = time.monotonic()
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=False)
    print(f"  {time.monotonic() - start:.1f} s", flush=True)
    if done.returncode:
        print(f"failed with status {done.returncode}", file=sys.stderr)
        raise SystemExit(done.returncode)


def create(directory: Path) -> None:
    """A virtual environment of a Python that all packages support."""
    if sys.version_info < (3, 13):
        venv.create(directory, with_pip=True)
        return
    found = next((path for name in PYTHONS if (path := shutil.which(name))), None)
    if found is None:
        print(f"needs one of {', '.join(PYTHONS)}: JAX 0.4.25 has no wheel for newer ones", file=sys.stderr)
        raise SystemExit(1)
    run(found, "-m", "venv", directory)


def make(name: str) -> Path:
    """Make the environment, unless an up-to-date one is there, and return its Python."""
    directory = directory_of(name)
    python, stamp = python_of(directory), directory / "made"
    content = hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == content:
        return python
    print(f"making {directory.relative_to(ROOT)} (about a minute)", flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    directory.parent.mkdir(exist_ok=True)
    create(directory)
    pip = (python, "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check")
    packages, alone = ENVIRONMENTS[name]
    run(*pip, *packages)
    if alone:
        run(*pip, "--no-deps", *alone)
    stamp.write_text(content)
    return python


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(ENVIRONMENTS)}")
    names = parser.parse_args().names or list(ENVIRONMENTS)
    unknown = [name for name in names if name not in ENVIRONMENTS]
    if unknown:
        print(f"no such environment: {', '.join(unknown)}; there are: {', '.join(ENVIRONMENTS)}", file=sys.stderr)
        raise SystemExit(2)
    for name in names:
        print(make(name).relative_to(ROOT))


if __name__ == "__main__":
    main()
