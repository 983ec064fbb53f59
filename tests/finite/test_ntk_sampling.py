"""Kernels drawn by law against kernels of explicit networks, and the size-biased law against the plain one."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh
from ntk_helpers.finite.ntk_sampling import _factor

X = jnp.array([[1.0, 0.0, 0.5], [0.6, 0.8, 0.0], [-1.0, 0.3, 0.2]])
DRAWS = 6000


def moments_differ(a, b):
    """Largest difference of means and of second moments of two samples, in standard errors."""
    worst = 0.0
    for power in (1, 2):
        pa, pb = np.asarray(a, float) ** power, np.asarray(b, float) ** power
        error = np.sqrt(pa.var(axis=0) / len(pa) + pb.var(axis=0) / len(pb))
        worst = max(worst, np.max(np.abs(pa.mean(axis=0) - pb.mean(axis=0)) / error))
    return worst


@pytest.mark.parametrize(
    "settings",
    [
        {"activation": "relu", "sigma_w": 1.4, "parameterization": "standard"},
        {"activation": "tanh", "sigma_w": 1.2, "sigma_b": 0.4, "parameterization": "ntk"},
        {
            "activation": "tanh",
            "sigma_w": 1.2,
            "sigma_b": 0.4,
            "biases": "first",
            "scale_input": False,
            "parameterization": "standard",
        },
    ],
)
def test_law_is_that_of_explicit_networks(settings):
    net = nh.fcn(d_in=3, width=6, depth=3, **settings)
    keys = jax.random.split(jax.random.key(0), DRAWS)

    def kernel(k):
        return nh.empirical_ntk(net.apply, net.init(key=k), X, output="trace")

    explicit = np.asarray(jax.jit(jax.vmap(kernel))(keys))
    parts = nh.sample_ntk_law(X, key=jax.random.key(1), n_networks=DRAWS, width=6, depth=3, **settings)
    assert parts.weights.shape == parts.biases.shape == (DRAWS, 4, 3, 3)
    by_law = np.asarray((parts.weights + parts.biases).sum(axis=1))
    # the largest of 12 different numbers (6 entries, 2 moments): 4.5 standard errors
    assert moments_differ(explicit, by_law) < 4.5
    # a product of two entries sees their joint law
    assert moments_differ(explicit[:, 0, 0] * explicit[:, 0, 1], by_law[:, 0, 0] * by_law[:, 0, 1]) < 4.5


def test_parts_by_layer_are_those_of_explicit_networks():
    net = nh.fcn(d_in=3, width=6, depth=2, parameterization="standard", sigma_w=1.4)

    def parts(key):
        gradient = jax.grad(lambda p: net.apply(p, X[:1])[0, 0])(net.init(key=key))
        return jnp.array([[jnp.sum(layer.w**2), jnp.sum(layer.b**2)] for layer in gradient])

    explicit = np.asarray(jax.jit(jax.vmap(parts))(jax.random.split(jax.random.key(2), DRAWS)))
    drawn = nh.sample_ntk_law(
        X[:1], key=jax.random.key(3), n_networks=DRAWS, width=6, depth=2, parameterization="standard", sigma_w=1.4
    )
    by_law = np.stack([drawn.weights[:, :, 0, 0], drawn.biases[:, :, 0, 0]], axis=2)
    np.testing.assert_array_equal(by_law[:, 2, 1], 1.0)  # the readout's bias
    assert moments_differ(explicit.reshape(DRAWS, -1)[:, :5], by_law.reshape(DRAWS, -1)[:, :5]) < 4.5


def test_repeated_inputs_and_dead_networks():
    x = jnp.concatenate([X, X[:1], 2 * X[1:2]])
    kernels = nh.sample_ntk_law(x, key=jax.random.key(0), n_networks=300, width=2, depth=4, sigma_w=1.4).weights.sum(1)
    assert bool(jnp.isfinite(kernels).all())
    assert bool((kernels[:, 0, 0] == 0).any())  # both units of a layer are off
    scale = jnp.abs(kernels).max()
    np.testing.assert_allclose(kernels[:, 3], kernels[:, 0], atol=1e-5 * scale)
    np.testing.assert_allclose(kernels[:, 4, 0], 2 * kernels[:, 1, 0], atol=1e-5 * scale)  # homogeneous, no bias


def test_one_run_serves_every_sigma_w():
    one, other = (
        nh.sample_ntk_law(
            X[:2], key=jax.random.key(4), n_networks=5, width=8, depth=3, sigma_w=s, parameterization="standard"
        )
        for s in (1.0, 1.5)
    )
    a, layers = 1.5**2, np.arange(1, 5)
    np.testing.assert_allclose(other.weights, a**3 * one.weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(other.biases, (a ** (4 - layers))[:, None, None] * one.biases, rtol=1e-4, atol=1e-6)


def test_factor():
    h = jax.random.normal(jax.random.key(0), (9, 4)).at[:, 2].set(0.0)
    h = h.at[:, 3].set(h[:, 0] - 2 * h[:, 1])
    q, r = _factor(h)
    np.testing.assert_allclose(q @ r, h, atol=1e-6)
    np.testing.assert_allclose(q.T @ q, np.diag([1.0, 1.0, 0.0, 0.0]), atol=1e-6)


def test_batch_size_and_key_kinds_change_nothing():
    def draw(key, size):
        return nh.sample_ntk_law(X, key=key, n_networks=6, width=5, depth=2, batch_size=size).weights

    for impl in ("threefry2x32", "rbg"):
        key = jax.random.key(1, impl=impl)
        np.testing.assert_allclose(draw(key, 1), draw(key, None), atol=1e-6)


@pytest.mark.parametrize(
    ("depth", "sigma_w", "d_in", "biases"),
    [(1, 1.0, 4, True), (5, 2**0.5, 3, True), (5, 1.2, 10, True), (4, 1.0, 8, False)],
)
def test_size_biased_mean_is_the_second_moment(depth, sigma_w, d_in, biases):
    """Mean under the biased law of g(Theta) is E[Theta g(Theta)] / E[Theta] for g = 1/Theta, 1 and Theta."""
    settings = {"width": 8, "depth": depth, "sigma_w": sigma_w}
    theta = nh.sample_size_biased_relu_ntk(
        key=jax.random.key(0), n_networks=20000, d_in=d_in, biases=biases, **settings
    )
    moments = nh.relu_ntk_moments(d_in=d_in, biases=biases, **settings)
    relative = np.asarray(theta, float) / moments.mean
    plain = nh.sample_ntk_law(
        jnp.eye(1, d_in), key=jax.random.key(1), n_networks=20000, parameterization="standard", **settings
    )
    kernels = np.asarray((plain.weights + biases * plain.biases).sum(axis=1)[:, 0, 0], float) / moments.mean
    alive = np.mean(kernels > 0)
    for of, expected, spread in (
        (relative, moments.dispersion, 0.0),
        (1 / relative, alive, math.sqrt(alive * (1 - alive) / len(kernels))),
        (np.sqrt(relative), np.mean(kernels**1.5), np.std(kernels**1.5) / math.sqrt(len(kernels))),
    ):
        error = math.hypot(of.std() / math.sqrt(of.size), spread)
        assert abs(of.mean() - expected) < 4 * error


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nh.sample_ntk_law(jnp.ones((40, 2)), key=jax.random.key(0), n_networks=1, width=2, depth=1),
            ValueError,
            "32",
        ),
        (lambda: nh.sample_ntk_law(X, key=jax.random.key(0), n_networks=1, width=[2, 2], depth=2), TypeError, "width"),
        (lambda: nh.sample_ntk_law(X, key=jax.random.key(0), n_networks=0, width=2, depth=2), ValueError, "n_networks"),
        (
            lambda: nh.sample_size_biased_relu_ntk(key=jax.random.key(0), n_networks=1, width=2, depth=1, sigma_w=0.0),
            ValueError,
            "sigma_w",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
