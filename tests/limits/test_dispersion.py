"""The moments of the relu NTK against exact enumeration, explicit networks and limits taken another way."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

import ntk_helpers as nh


def enumerated(depth, n, d, sigma_w, biases):
    """E[Theta], E[Theta^2] with fair coins for relu's slopes: a sum over coins, exact quadrature over the weights.

    Theta is of degree 2 in each weight, so three Gauss-Hermite nodes are exact for Theta^2.
    """
    sizes = [d, *[n] * depth, 1]
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    count = sum(o * i for o, i in shapes)
    nodes, weights = np.array([-math.sqrt(3), 0.0, math.sqrt(3)]), np.array([1, 4, 1]) / 6
    index = np.indices((3,) * count).reshape(count, -1)
    probability = np.prod(weights[index], axis=0)
    entries, matrices = nodes[index], []
    for o, i in shapes:
        matrices.append(sigma_w / math.sqrt(i) * entries[: o * i].reshape(o, i, -1))
        entries = entries[o * i :]
    moments = np.zeros(2)
    for coins in itertools.product((0.0, 1.0), repeat=depth * n):
        on = np.reshape(coins, (depth, n, 1))
        x = np.zeros((d, index.shape[1]))
        x[0] = 1.0
        forward = [np.sum(x**2, axis=0)]
        for w, mask in zip(matrices, on, strict=False):
            x = mask * np.einsum("oip,ip->op", w, x)
            forward.append(np.sum(x**2, axis=0))
        c, theta = np.ones((1, index.shape[1])), forward[-1] + biases
        for i in reversed(range(depth)):
            c = on[i] * np.einsum("oip,op->ip", matrices[i + 1], c)
            theta = theta + np.sum(c**2, axis=0) * (forward[i] + biases)
        moments += [probability @ theta, probability @ theta**2]
    return moments / 2 ** (depth * n)


@pytest.mark.parametrize(
    ("depth", "n", "d", "sigma_w", "biases"),
    [(1, 2, 3, 1.3, True), (2, 2, 1, 1.0, True), (2, 2, 1, 1.9, False), (5, 1, 1, 1.2, True)],
)
def test_moments_equal_an_exact_enumeration(depth, n, d, sigma_w, biases):
    first, second = enumerated(depth, n, d, sigma_w, biases)
    moments = nh.relu_ntk_moments(depth=depth, width=n, d_in=d, sigma_w=sigma_w, biases=biases)
    np.testing.assert_allclose(moments.mean, first, rtol=1e-10)
    np.testing.assert_allclose(moments.dispersion, second / first**2, rtol=1e-10)


def test_moments_of_explicit_relu_networks():
    """No coins: networks with all their weights, relu's own slopes, the kernel from its Jacobian."""
    depth, n, d, sigma_w = 4, 12, 5, 1.3
    net = nh.fcn(d_in=d, width=n, depth=depth, sigma_w=sigma_w, parameterization="standard")
    x = jnp.array([[0.6, 0.0, -0.8, 0.0, 0.0]])

    def kernel(key):
        jacobian = jax.grad(lambda p: net.apply(p, x)[0, 0])(net.init(key=key))
        return sum(jnp.sum(g**2) for g in jax.tree.leaves(jacobian))

    theta = np.asarray(jax.jit(jax.vmap(kernel))(jax.random.split(jax.random.key(0), 20000)), float)
    moments = nh.relu_ntk_moments(depth=depth, width=n, d_in=d, sigma_w=sigma_w)
    relative = theta / moments.mean
    # 4 standard errors of each mean over independent networks
    assert abs(relative.mean() - 1) < 4 * relative.std() / math.sqrt(theta.size)
    assert abs(np.mean(relative**2) - moments.dispersion) < 4 * np.std(relative**2) / math.sqrt(theta.size)


def test_crossing_factor_is_a_power_of_the_transfer_matrix():
    step = np.eye(2) + np.array([[1, 4], [2, 3]]) / 7
    powers = [np.linalg.matrix_power(step, j)[0, 0] for j in range(12)]
    np.testing.assert_allclose(nh.crossing_factor(np.arange(12), width=7), powers, rtol=1e-12)


def test_crossing_factor_of_explicit_matrices():
    """Lines through the same Gaussian matrices and coins: E |C x|^2 |C^T y|^2 over its value without correlations."""
    n, layers, draws = 20, 5, 50000
    rng = np.random.default_rng(0)
    on = rng.integers(0, 2, (layers, draws, n))
    w = [rng.normal(size=(draws, n, n)) * np.sqrt(2 / n) for _ in range(layers - 1)]
    # The matrix below the first coins and the one above the last are met by one line only.
    x = on[0] * rng.normal(size=(draws, n)) * np.sqrt(2 / n)
    c = on[-1] * rng.normal(size=(draws, n)) * np.sqrt(2 / n)
    for i in range(layers - 1):
        x = on[i + 1] * np.einsum("soi,si->so", w[i], x)
    for i in reversed(range(layers - 1)):
        c = on[i] * np.einsum("soi,so->si", w[i], c)
    product = np.sum(x**2, axis=1) * np.sum(c**2, axis=1)
    error = product.std() / math.sqrt(draws)
    assert error < 0.04
    assert abs(product.mean() - nh.crossing_factor(layers, width=n)) < 4 * error
    # what layers would give if they were independent lies outside
    assert product.mean() - (1 + 1 / n + 4 / n**2) ** layers > 4 * error


@pytest.mark.parametrize("r", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("lam", [0.2, 0.6])
def test_limit_is_what_finite_sums_tend_to(lam, r):
    """The sums approach the limits as 1/n: twice the value at 2n minus the value at n is off by order 1/L^2."""
    for phase, sigma_w, biases in (("critical", 2**0.5, True), ("chaotic", 1.6, False), ("ordered", 1.0, True)):
        values = [
            nh.relu_ntk_moments(
                depth=int(lam * n), width=n, d_in=round(n / r), sigma_w=sigma_w, biases=biases
            ).dispersion
            for n in (600, 1200)
        ]
        limit = nh.relu_ntk_dispersion_limit(lam, phase=phase, width_over_d_in=r, biases=biases)
        assert abs(2 * values[1] - values[0] - limit) < 3e-4 * limit


def test_limits_by_another_quadrature():
    lam, r = 0.8, 0.5

    def crossing(t):
        return (math.exp(5 * t) + 2 * math.exp(-t)) / 3

    def integrand(u, v):
        return math.exp(5 * lam * (1 - v)) * (
            r**2 * math.exp(5 * lam * u) * crossing(lam * (v - u)) + r * (1 + crossing(lam * (v - u))) + 1
        )

    critical = 2 / (1 + r) ** 2 * integrate.dblquad(integrand, 0, 1, 0, lambda v: v)[0]
    assert nh.relu_ntk_dispersion_limit(lam, phase="critical", width_over_d_in=r) == pytest.approx(critical, rel=1e-8)
    closed = math.exp(5 * lam) / 3 * (1 + 2 / (3 * lam) * (1 - (1 - math.exp(-6 * lam)) / (6 * lam)))
    for phase, biases in (("chaotic", True), ("chaotic", False), ("critical", False), ("ordered", False)):
        assert nh.relu_ntk_dispersion_limit(lam, phase=phase, biases=biases) == pytest.approx(closed, rel=1e-10)
    assert nh.relu_ntk_dispersion_limit(0.0, phase="critical") == 1.0


def test_deep_networks_do_not_overflow():
    assert nh.relu_ntk_moments(depth=900, width=10**6, sigma_w=4.0).dispersion == pytest.approx(1.0033, abs=1e-4)
    assert nh.relu_ntk_moments(depth=900, width=10**6, sigma_w=0.1).dispersion == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nh.relu_ntk_moments(depth=0, width=4, sigma_w=1.0), ValueError, "depth"),
        (lambda: nh.relu_ntk_moments(depth=2, width=4.0, sigma_w=1.0), TypeError, "width"),
        (lambda: nh.relu_ntk_moments(depth=2, width=4, sigma_w=0.0), ValueError, "sigma_w must be positive"),
        (lambda: nh.relu_ntk_moments(depth=900, width=2, sigma_w=1.0), ValueError, "overflows"),
        (lambda: nh.relu_ntk_dispersion_limit(-1.0, phase="critical"), ValueError, "depth_over_width"),
        (lambda: nh.relu_ntk_dispersion_limit(500.0, phase="chaotic"), ValueError, "overflows"),
        (lambda: nh.relu_ntk_dispersion_limit(1.0, phase="edge"), ValueError, "phase"),
        (lambda: nh.crossing_factor(-1, width=3), ValueError, "layers"),
        (lambda: nh.crossing_factor(1.5, width=3), TypeError, "layers"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
