"""Create .venv and node_modules from the locks; a repeated call does nothing.

Runs on the system's Python before anything is installed, so it uses the standard library alone.

python3 tools/set_up.py                 Python environment and node modules
python3 tools/set_up.py --python-only   the Python environment alone
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "set_up.json"
NODE = ROOT / "node_modules"
NODE_STAMP = NODE / "set_up.json"
START = time.monotonic()


def say(text: str) -> None:
    """Print a progress line with the time since the start."""
    print(f"[{time.monotonic() - START:5.0f} s] {text}", flush=True)


def digest(*paths: Path) -> str:
    """Return a key of the files' contents."""
    joined = b"".join(path.name.encode() + path.read_bytes() for path in paths)
    return hashlib.sha256(joined).hexdigest()


def run(*command: str | Path) -> None:
    """Run a command quietly; where it fails show what it said and stop."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
        sys.exit(f"failed: {' '.join(map(str, command))}")


def read(stamp: Path) -> dict[str, str]:
    """Return what a stamp file recorded; nothing where it's absent or damaged."""
    try:
        return json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def python_environment() -> None:
    """Install requirements.txt, requirements-nt.txt and the package itself, each where its content changed."""
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wanted = {
        "python": ".".join(map(str, sys.version_info[:2])),
        "requirements.txt": digest(ROOT / "requirements.txt"),
        "requirements-nt.txt": digest(ROOT / "requirements-nt.txt"),
        "pyproject.toml": digest(ROOT / "pyproject.toml"),
    }
    done = read(STAMP)
    if done == wanted and PYTHON.exists():
        return
    if not PYTHON.exists() or done.get("python", wanted["python"]) != wanted["python"]:
        say(f"creating .venv with Python {wanted['python']}")
        venv.create(VENV, with_pip=True, clear=VENV.exists())
        done = {}
    done["python"] = wanted["python"]
    steps = {
        "requirements.txt": (
            "installing the lock, requirements.txt (about 1 GB on disk; a minute or two the first time)",
            [*pip, "install", "--prefer-binary", "--no-compile", "-r", "requirements.txt"],
        ),
        "requirements-nt.txt": (
            "installing neural-tangents without its dependencies, requirements-nt.txt",
            [*pip, "install", "--no-compile", "--no-deps", "-r", "requirements-nt.txt"],
        ),
        "pyproject.toml": (
            "installing ntk_helpers in editable form",
            [*pip, "install", "--no-compile", "--no-deps", "--no-build-isolation", "-e", "."],
        ),
    }
    for name, (text, command) in steps.items():
        # The lock may move what the second file pins, so a new lock repeats the steps after it.
        if done.get(name) != wanted[name]:
            say(text)
            run(*command)
            done[name] = wanted[name]
            if name == "requirements.txt":
                done = {key: done[key] for key in ("python", "requirements.txt")}
            STAMP.write_text(json.dumps(done), encoding="utf-8")


def node_modules() -> None:
    """Install MathJax and axe-core from package-lock.json."""
    wanted = {"lock": digest(ROOT / "package.json", ROOT / "package-lock.json")}
    if read(NODE_STAMP) == wanted:
        return
    say("installing MathJax and axe-core, package-lock.json")
    run(shutil.which("npm"), "ci", "--silent", "--ignore-scripts")
    NODE_STAMP.write_text(json.dumps(wanted), encoding="utf-8")


def main() -> None:
    """Bring both environments up to date; say what is missing before the minutes that pip takes."""
    python_only = "--python-only" in sys.argv
    if not python_only and shutil.which("npm") is None:
        sys.exit("npm is missing: install Node.js 18 or newer (Debian: apt-get install nodejs npm; others: nodejs.org)")
    python_environment()
    if not python_only:
        node_modules()


if __name__ == "__main__":
    main()
