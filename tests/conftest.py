"""Fixtures for all tests, and a cache of what they compile."""

import hashlib
import platform
from pathlib import Path

import jax
import jaxtyping
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent


def _machine() -> str:
    """A name for this kind of processor: what is compiled for one may not run on another."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else platform.platform() + platform.processor()
    flags = [line for line in text.splitlines() if line.startswith(("model name", "flags", "Features"))]
    return hashlib.sha256("\n".join(sorted(set(flags)) or [text]).encode()).hexdigest()[:12]


# Compiling takes most of the tests' time. JAX's key of an entry has the program, the options and JAX's version.
jax.config.update("jax_compilation_cache_dir", str(ROOT / "_build" / "jax-cache" / _machine()))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture
def x64():
    """Double precision for one test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Run the test in both precisions."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param == "float64")
    yield np.dtype(request.param)
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def without_hook():
    """Switch the shape hook off, so that the package's own message is what a bad input meets."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
