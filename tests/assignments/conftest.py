"""A course folder with all sets, made once."""

import os
import sys
from pathlib import Path

import jax
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

import build_course

# Kernels that nbgrader starts share what they compile with the tests in this process (tests/conftest.py).
os.environ["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """The folder that `make assignments` makes."""
    folder = tmp_path_factory.mktemp("course")
    build_course.write_course(folder, build_course.slugs())
    faults = build_course.generate(folder, build_course.slugs())
    assert not faults, "\n".join(faults)
    return folder
