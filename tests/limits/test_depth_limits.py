import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp

import ntk_helpers as nh

X = np.array([[1.0, 0.5, -0.3], [0.2, 1.0, 0.4], [-1.0, 0.3, 0.7], [1.0, 0.5, -0.3]])


def kappa1(c):
    theta = np.arccos(np.clip(c, -1, 1))
    return (np.sin(theta) + (np.pi - theta) * c) / np.pi


@pytest.mark.parametrize("time", [1.0, 3.0])
def test_relu_against_an_adaptive_solver(time, x64):
    """dq(a, b)/dt = sqrt(q_a q_b) kappa_1(c) / 2 with q_a = q_a(0) exp(t / 2), written out and solved by scipy."""
    kernel = nh.deep_resnet_kernel(X, time=time)
    q0 = X @ X.T / 3
    for i in range(4):
        for j in range(4):
            size = np.sqrt(q0[i, i] * q0[j, j])

            def rate(t, q, size=size):
                return size * np.exp(t / 2) * kappa1(q / (size * np.exp(t / 2))) / 2

            end = solve_ivp(rate, (0, time), [q0[i, j]], rtol=1e-11, atol=1e-12, method="DOP853").y[0, -1]
            # the step 3/64 in a scheme of fourth order, with a kink of order 3/2 at equal inputs
            assert abs(kernel[i, j] - end) < 1e-6
    np.testing.assert_allclose(kernel[0, 0], q0[0, 0] * np.exp(time / 2), rtol=1e-8)
    np.testing.assert_allclose(kernel[0], kernel[3], rtol=1e-7)


def test_tanh_against_quadrature_of_the_variance(x64):
    def variance_rate(t, q):
        return [quad(lambda g: np.tanh(np.sqrt(q[0]) * g) ** 2 * np.exp(-(g**2) / 2), -9, 9)[0] / np.sqrt(2 * np.pi)]

    end = solve_ivp(variance_rate, (0, 1), [1.0], rtol=1e-8, atol=1e-10).y[0, -1]
    kernel = nh.deep_resnet_kernel(np.ones((1, 2)), activation="tanh")
    np.testing.assert_allclose(kernel[0, 0], end, rtol=1e-7)


def test_finite_depth_is_the_recursion_and_tends_to_the_limit(x64):
    x = X[:1]
    for depth in (1, 7, 100):
        kernel = nh.deep_resnet_kernel(x, depth=depth)
        np.testing.assert_allclose(kernel[0, 0], (x @ x.T)[0, 0] / 3 * (1 + 0.5 / depth) ** depth, rtol=1e-12)
    limit = np.asarray(nh.deep_resnet_kernel(X))
    distance = [np.abs(np.asarray(nh.deep_resnet_kernel(X, depth=d)) - limit).max() for d in (100, 200)]
    assert distance[0] / distance[1] == pytest.approx(2, rel=0.05)  # of first order in 1/depth


def test_against_wide_and_deep_networks():
    """One network of width 20 000 and depth 200, drawn by law: 4 sigma of (4.7 / n)^(1/2) are 6 %."""
    rng = np.random.default_rng(0)
    n, depth, x = 20_000, 200, X[:3]
    z = x @ rng.standard_normal((3, n)) / np.sqrt(3)
    for _ in range(depth):
        h = np.maximum(z, 0)
        z = z + np.linalg.cholesky(h @ h.T / (n * depth)) @ rng.standard_normal((3, n))
    np.testing.assert_allclose(z @ z.T / n, nh.deep_resnet_kernel(x.astype(np.float32)), atol=0.06 * 1.1)


def test_two_sets_precision_and_bad_input(without_hook):
    x = X.astype(np.float32)
    kernel = nh.deep_resnet_kernel(x[:2], x[2:])
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(kernel, nh.deep_resnet_kernel(x)[:2, 2:], rtol=1e-6)
    for change, error, message in [
        ({"x1": x[0]}, ValueError, "shape"),
        ({"x1": x, "x2": x[:, :2]}, ValueError, "columns"),
        ({"x1": x, "time": -1.0}, ValueError, "time"),
        ({"x1": x, "depth": 0}, ValueError, "depth"),
        ({"x1": x, "steps": 1.5}, TypeError, "steps"),
    ]:
        with pytest.raises(error, match=message):
            nh.deep_resnet_kernel(**change)
