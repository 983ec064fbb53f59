"""The contracts of pyproject.toml on the directions of imports: each of them can fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from _notebooks import ROOT

CONTRACTS = ROOT / "pyproject.toml"
BROKEN = [
    ("limits/fcn.py", "import ntk_helpers.predict.flow", "limits and finite know nothing of each other BROKEN"),
    ("finite/sampling.py", "from ntk_helpers.limits import fcn", "limits and finite know nothing of each other BROKEN"),
    ("_checks.py", "from ntk_helpers import activations", "limits and finite know nothing of each other BROKEN"),
    (
        "predict/flow.py",
        "from ntk_helpers.limits.fcn import fcn_kernel",
        "only what stands for one kernel by name needs limits BROKEN",
    ),
    ("predict/flow.py", "import ntk_helpers.bookkit.claims", "no other module imports it BROKEN"),
    ("bookkit/claims.py", "from ntk_helpers.limits import fcn", "nothing of kernels BROKEN"),
    ("finite/tangents/api.py", "from ntk_helpers.finite.networks.fcn import fcn", "no network and no equation BROKEN"),
    ("limits/fcn.py", "import neural_tangents", "nt alone imports neural_tangents, and nothing imports nt BROKEN"),
    ("finite/sampling.py", "from ntk_helpers import nt", "nothing imports nt BROKEN"),
]


def contracts(folder):
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", str(CONTRACTS)]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONUTF8": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package that may be spoilt."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT / "ntk_helpers", folder / "ntk_helpers", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_the_package_keeps_its_contracts(package):
    found = contracts(package)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "0 broken" in found.stdout


@pytest.mark.parametrize(("file", "line", "said"), BROKEN)
def test_an_import_in_the_wrong_direction_is_found(file, line, said, package):
    path = package / "ntk_helpers" / file
    source = path.read_text(encoding="utf-8")
    # at the end, where neither the docstring nor the imports from __future__ are disturbed
    path.write_text(f"{source}\n{line}\n", encoding="utf-8")
    try:
        found = contracts(package)
    finally:
        path.write_text(source, encoding="utf-8")
    assert found.returncode == 1, found.stdout + found.stderr
    assert said in found.stdout
