"""Every model of the list: the kernel against the explicit Jacobian, and the way each leaf takes."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from finite.tangents.cases import CASES, Draw
from finite.tangents.reference import explicit_kernel

import ntk_helpers as nh


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_kernel_and_ways(case, x64):
    f, params, x = case.build(Draw())
    explanation = nh.explain(f, params, x)
    expected = {
        name: "direct" if name in case.direct else "jacobian" if name in case.jacobian else "structured"
        for name in explanation.ways
    }
    assert explanation.ways == expected, str(explanation)
    kernel = nh.empirical_ntk(f, params, x, method="structured")
    exact = explicit_kernel(f, params, x, x)
    assert kernel.shape == exact.shape
    # Rounding of sums of about a hundred float64 terms is 1e-14; a float32 leaf makes its own Jacobian coarser.
    tolerance = 1e-6 if case.name == "cast" else 1e-10
    np.testing.assert_allclose(kernel, exact, rtol=0, atol=tolerance * float(jnp.abs(exact).max()))
