"""Installing the package leaves the JAX and NumPy that are there alone, and importing it stays light."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Heavy, or only for parts of the package that say so when they are used.
NOT_IMPORTED = ("matplotlib", "optax", "sklearn", "tensorflow", "neural_tangents", "pandas", "IPython")


def load_tool():
    spec = importlib.util.spec_from_file_location("oldest_jax", ROOT / "tools" / "oldest_jax.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tool():
    return load_tool()


@pytest.fixture(scope="module")
def oldest(tool):
    """Python of the environment with the oldest JAX, made with plain pip where it is not up to date."""
    return tool.make()


def in_python(python, code, **options):
    # The packages of that environment alone, whatever the path of this one is.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(python), "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tool_installs_the_oldest_jax_that_is_promised(tool):
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"jax>={tool.JAX}" in dependencies


def test_plain_pip_changes_neither_jax_nor_numpy(tool, oldest):
    before, after = map(ast.literal_eval, (tool.VENV / "versions").read_text().splitlines())
    assert before == after == tool.versions(oldest)
    assert before["jax"] == before["jaxlib"] == tool.JAX


def test_the_oldest_environment_is_complete(oldest):
    """``pip check`` finds nothing amiss, but for what neural-tangents asks for and does not need."""
    done = subprocess.run([str(oldest), "-m", "pip", "check"], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stdout.splitlines() if not line.startswith("No broken")]
    assert [line for line in complaints if not line.startswith("neural-tangents ")] == []
    assert any("tensorflow" in line.lower() or "tf2jax" in line.lower() for line in complaints)


IMPORT = f"""
import json, sys
import ntk_helpers
print(json.dumps([name for name in {NOT_IMPORTED} if name in sys.modules]))
"""


@pytest.mark.parametrize("which", ["this", "oldest"])
def test_import_is_light(which, request, tmp_path):
    python = sys.executable if which == "this" else request.getfixturevalue("oldest")
    # The checkout, not the wheel that is installed in the oldest environment.
    out = in_python(python, IMPORT, cwd=ROOT)
    assert json.loads(out) == []


def test_every_public_name_is_there_on_the_oldest_jax(oldest):
    code = "import ntk_helpers as nh; print(len([getattr(nh, name) for name in nh.__all__]))"
    assert int(in_python(oldest, code, cwd=ROOT)) > 20


def test_the_wheel_works_away_from_the_checkout(oldest, tmp_path):
    code = """
import jax, jax.numpy as jnp, ntk_helpers as nh
from ntk_helpers.nt import stax
assert "site-packages" in nh.__file__, nh.__file__
net = nh.fcn(d_in=2, width=8, depth=1)
print(nh.__version__, net.apply(net.init(key=jax.random.key(0)), jnp.eye(2)).shape)
"""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert in_python(oldest, code, cwd=tmp_path).strip() == f"{version} (2, 1)"


def test_a_failing_step_stops_the_tool(tool, capsys):
    with pytest.raises(SystemExit) as stop:
        tool.run(sys.executable, "-c", "raise SystemExit(3)")
    assert stop.value.code == 3
    assert "failed with status 3" in capsys.readouterr().err
