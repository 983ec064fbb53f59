import jax
import mpmath as mp
import numpy as np
import pytest
from limits.reference import exact

from ntk_helpers.limits._angle import acute_angle


@pytest.mark.optimized
def test_relative_error_of_angle_and_rise(dtype):
    gaps = np.concatenate([np.linspace(0, 1, 60)[1:], np.logspace(-20, -1, 40)]).astype(dtype)
    theta, rise = jax.jit(acute_angle)(gaps)
    eps = float(np.finfo(dtype).eps)
    for gap, angle, value in zip(gaps, np.asarray(theta), np.asarray(rise), strict=True):
        t = 2 * mp.asin(mp.sqrt(exact(gap) / 2))
        expected = (mp.pi / 2 - t) * (1 - mp.cos(t)) + t - mp.sin(t)
        # a square root, a Horner sum and a product: about 4 roundings; the subtraction in `rise` magnifies by 1 / 0.36
        assert abs(exact(angle) - t) <= 4 * eps * t
        assert abs(exact(value) - expected) <= 8 * eps * expected


def test_derivatives_are_finite_at_zero_and_right_elsewhere(x64):
    assert jax.grad(lambda g: acute_angle(g)[0])(0.0) == 0.0  # the true derivative is infinite; 0 by convention
    np.testing.assert_allclose(jax.grad(lambda g: acute_angle(g)[1])(0.0), np.pi / 2, rtol=1e-15)
    for gap in (1e-6, 0.3, 1.0):
        # d theta / d gap = 1 / sin(theta), and d rise / d gap = pi / 2 - theta
        theta = 2 * np.arcsin(np.sqrt(gap / 2))
        np.testing.assert_allclose(jax.grad(lambda g: acute_angle(g)[0])(gap), 1 / np.sin(theta), rtol=1e-9)
        np.testing.assert_allclose(jax.grad(lambda g: acute_angle(g)[1])(gap), np.pi / 2 - theta, rtol=1e-9, atol=1e-12)
