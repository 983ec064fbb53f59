import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def network(parameterization="ntk", **options):
    return nh.fcn(
        d_in=3,
        depth=3,
        d_out=2,
        sigma_w=1.4,
        sigma_b=0.2,
        parameterization=parameterization,
        **{"width": 37, "activation": "relu"} | options,
    )


def explicit_kernel(apply, params, x):
    """K[i, a, j, b] from the Jacobian, in float64."""
    jacobian = jax.jit(jax.jacrev(apply))(params, x)
    rows = np.concatenate(
        [np.asarray(leaf, dtype=float).reshape(len(x), 2, -1) for leaf in jax.tree.leaves(jacobian)], axis=-1
    )
    return np.einsum("iap,jbp->iajb", rows, rows)


@pytest.mark.optimized
@pytest.mark.parametrize(("parameterization", "activation"), [("ntk", "relu"), ("ntk", "tanh"), ("standard", "erf")])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_mirrored_network_starts_at_exactly_zero(parameterization, activation, seed):
    net = nh.mirrored(network(parameterization, activation=activation))
    params = net.init(key=jax.random.key(seed))
    for apply in (net.apply, jax.jit(net.apply)):
        np.testing.assert_array_equal(apply(params, jnp.array(X)), 0.0)
    keys = jax.random.split(jax.random.key(seed), 5)
    many = jax.vmap(lambda k: net.init(key=k))(keys)
    np.testing.assert_array_equal(jax.jit(jax.vmap(net.apply, (0, None)))(many, jnp.array(X)), 0.0)


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_mirrored_network_has_the_same_tangent_kernel(parameterization, seed):
    net = network(parameterization)
    twin = nh.mirrored(net)
    key = jax.random.key(seed)
    kernel = explicit_kernel(net.apply, net.init(key=key), jnp.array(X))
    mirrored_kernel = explicit_kernel(twin.apply, twin.init(key=key), jnp.array(X))
    # The two halves round differently from the whole in float32: sums of 3e3 products, relative to the largest entry.
    np.testing.assert_allclose(mirrored_kernel, kernel, rtol=0, atol=1e-5 * np.abs(kernel).max())


def test_the_mirrored_network_away_from_initialization():
    net = network()
    p1, p2 = net.init(key=jax.random.key(0)), net.init(key=jax.random.key(1))
    f = nh.mirrored(net).apply((p1, p2), jnp.array(X))
    expected = (np.asarray(net.apply(p1, X), dtype=float) - np.asarray(net.apply(p2, X), dtype=float)) / np.sqrt(2)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(f, expected, atol=1e-5)


def test_mirrored_passes_the_dtype_on(x64):
    net = nh.mirrored(network())
    assert net.init(key=jax.random.key(0), dtype=jnp.float32)[0][0].w.dtype == jnp.float32
    assert net.apply(net.init(key=jax.random.key(0)), jnp.array(X)).dtype == jnp.float64


def test_mirrored_can_be_differentiated_in_x_twice():
    net = nh.mirrored(network(activation="tanh", width=8))
    params = net.init(key=jax.random.key(0))
    hessian = jax.jit(jax.hessian(lambda row: net.apply(params, row[None])[0, 0]))(jnp.array(X[0]))
    np.testing.assert_allclose(hessian, 0.0, atol=1e-6)


def test_not_a_network(without_hook):
    with pytest.raises(TypeError, match="net must be a Network"):
        nh.mirrored(lambda x: x)
