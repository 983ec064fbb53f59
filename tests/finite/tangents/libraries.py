"""What the tests of models from libraries share."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from finite.tangents.reference import explicit_kernel

import ntk_helpers as nh

# Three small pictures, channels last.
IMAGES = np.random.default_rng(0).normal(size=(3, 6, 6, 2))


def check(f, params, x, ways):
    """The kernel is that of the explicit Jacobian, and every parameter leaf takes its way."""
    explanation = nh.explain(f, params, x)
    assert explanation.ways == ways, str(explanation)
    kernel = nh.empirical_ntk(f, params, x)
    exact = explicit_kernel(f, params, x, x)
    assert kernel.shape == exact.shape == (3, 3, 2, 2)
    assert kernel.dtype == jnp.float64
    # float64 sums of at most a few thousand terms
    np.testing.assert_allclose(kernel, exact, rtol=0, atol=1e-10 * float(jnp.abs(exact).max()))
    return kernel
