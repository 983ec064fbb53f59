#!/usr/bin/env python3
"""Run chapters as a Colab session does: other packages than here, and the set-up cell alone brings what is missing.

    python tools/colab_run.py                        every chapter, in a fresh environment with the JAX named below
    python tools/colab_run.py 01 05                  some of them
    python tools/colab_run.py --jax 0.9.0            another JAX of the supported range
    python tools/colab_run.py --python python3 ...   in an environment that is there, as in Colab's own image

The chapter that runs is the committed notebook, except for one address: its set-up cell installs the package from the
repository, here from the wheel built from this checkout. `google.colab` can be imported, as in a session, so that the
cell does install. Of each chapter it is checked that every cell runs, that the set-up cell takes less than a minute
(downloads of a first run not counted: the chapters after it find them in pip's cache) and says that no GPU is attached,
and that JAX and NumPy are those of before.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Between the oldest, on which the unit tests run, and the JAX of the lock. A session brings the rest too, newer ones.
JAX = "0.8.1"
BROUGHT = ("numpy==2.2.6", "scipy", "matplotlib", "pandas", "scikit-learn", "ipykernel", "nbclient", "nbformat")
MAX_SETUP = 60  # seconds
ADDRESS = re.compile(r"git\+https://[^\"'\s]+")

# Runs in the session's Python, so it needs nothing but what is there. argv: notebook, file for what was measured.
DRIVER = """
import json, sys, time
import nbformat
from importlib.metadata import version
from nbclient import NotebookClient

def versions():
    return {name: version(name) for name in ("jax", "jaxlib", "numpy")}

notebook, out = nbformat.read(sys.argv[1], as_version=4), {"before": versions()}
client = NotebookClient(notebook, timeout=900, kernel_name="python3")
with client.setup_kernel():
    for number, cell in enumerate(notebook.cells):
        start = time.monotonic()
        client.execute_cell(cell, number)
        if "setup" in cell.metadata.get("tags", ()):
            out["setup_seconds"] = time.monotonic() - start
            out["setup_said"] = "".join(o.get("text", "") for o in cell.outputs)
out["after"] = versions()
json.dump(out, open(sys.argv[2], "w"))
"""


def run(*command: str | Path, **options) -> None:
    """Run a command; stop the program with its status where it fails."""
    done = subprocess.run([str(part) for part in command], check=False, **options)
    if done.returncode:
        print(f"failed with status {done.returncode}: {' '.join(map(str, command))}", file=sys.stderr)
        raise SystemExit(done.returncode)


def build_wheel(folder: Path) -> Path:
    """Build the package's wheel from this checkout."""
    pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--disable-pip-version-check")
    # With the locked build backend where it is installed, so that no network is needed for it.
    there = subprocess.run([sys.executable, "-c", "import hatchling"], capture_output=True, check=False).returncode == 0
    run(*pip, *(["--no-build-isolation"] if there else []), "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def new_session(folder: Path, jax: str) -> Path:
    """Make an environment with what a session brings and return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (python, "-m", "pip", "install", "-q", "--no-compile", "--disable-pip-version-check")
    run(*pip, f"jax=={jax}", f"jaxlib=={jax}", *BROUGHT)
    return python


def as_colab(notebook: Path, wheel: Path) -> str:
    """The notebook's text with the wheel in place of the repository's address."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    changed = 0
    for cell in content["cells"]:
        if "setup" in cell["metadata"].get("tags", ()):
            source, count = ADDRESS.subn(wheel.as_uri(), "".join(cell["source"]))
            cell["source"], changed = source, changed + count
    if changed != 1:
        raise ValueError(f"{notebook.name}: its set-up cell names the repository {changed} times, not once")
    return json.dumps(content)


def pretend_colab(folder: Path) -> None:
    """Write what makes `google.colab` an imported module of every Python that starts with this folder on its path."""
    (folder / "google" / "colab").mkdir(parents=True)
    (folder / "google" / "colab" / "__init__.py").write_text("")
    (folder / "sitecustomize.py").write_text("import google.colab\n")


def problems(measured: dict) -> list[str]:
    """What a session would have to complain about."""
    found = []
    if measured["before"] != measured["after"]:
        found.append(f"the set-up cell changed {measured['before']} to {measured['after']}")
    if measured["setup_seconds"] > MAX_SETUP:
        found.append(f"the set-up cell took {measured['setup_seconds']:.0f} s, allowed are {MAX_SETUP}")
    if "No GPU is attached" not in measured["setup_said"]:
        found.append(f"the set-up cell does not say that no GPU is attached: {measured['setup_said']!r}")
    return found


def run_chapter(notebook: Path, wheel: Path, folder: Path, session) -> list[str]:
    """Run one chapter in a session of its own and say what is wrong with it."""
    copy, out, driver = folder / notebook.name, folder / "measured.json", folder / "driver.py"
    copy.write_text(as_colab(notebook, wheel), encoding="utf-8")
    driver.write_text(DRIVER, encoding="utf-8")
    out.unlink(missing_ok=True)
    python = session(notebook.stem)
    # Nothing of this checkout on the path: the package comes from the wheel or not at all.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NTK_"))}
    environment["PYTHONPATH"] = str(folder / "colab")
    # An error in a cell is told by nbclient, with the cell.
    done = subprocess.run([str(python), str(driver), str(copy), str(out)], cwd=folder, env=environment, check=False)
    if done.returncode:
        return ["a cell failed; its error stands above"]
    measured = json.loads(out.read_text())
    print(f"  set-up cell {measured['setup_seconds']:.0f} s; {measured['after']}", flush=True)
    return problems(measured)


def main() -> int:
    """Run the chapters one after the other, each in an environment of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jax", default=JAX)
    parser.add_argument("--python", help="use this Python, as it is, for all chapters")
    parser.add_argument("chapters", nargs="*", help="numbers; all unless given")
    arguments = parser.parse_args()
    notebooks = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if arguments.chapters:
        notebooks = [path for path in notebooks if path.stem[:2] in {number.zfill(2) for number in arguments.chapters}]
    if not notebooks:
        print(f"no such chapter: {' '.join(arguments.chapters)}", file=sys.stderr)
        return 2
    failed = []
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        pretend_colab(folder / "colab")
        wheel = build_wheel(folder / "wheel")

        def session(name: str) -> Path:
            return Path(arguments.python) if arguments.python else new_session(folder / f"venv-{name}", arguments.jax)

        for notebook in notebooks:
            start = time.monotonic()
            print(f"{notebook.stem}", flush=True)
            found = run_chapter(notebook, wheel, folder, session)
            print("\n".join(f"  {line}" for line in found or ["  runs"]), flush=True)
            print(f"  {time.monotonic() - start:.0f} s in all", flush=True)
            failed += [notebook.stem] if found else []
    print(f"failed: {', '.join(failed)}" if failed else f"{len(notebooks)} chapters run as on Colab")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
