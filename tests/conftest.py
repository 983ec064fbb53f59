"""Fixtures for all tests."""

import jax
import numpy as np
import pytest


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
