import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import ntk_helpers as nh

RNG = np.random.default_rng(11)
X1, X2 = RNG.standard_normal((3, 2)), RNG.standard_normal((2, 2))


def explicit(f, params, x1, x2):
    """K_2, K_3, K_4 from the tensors of all first, second and third derivatives, no jvp of a kernel."""
    flat, rebuild = ravel_pytree(params)

    def tensors(x):
        def rows(p):
            return f(rebuild(p), x).reshape(-1)

        first = jax.jacrev(rows)
        return [np.asarray(d(flat)) for d in (first, jax.jacfwd(first), jax.jacfwd(jax.jacfwd(first)))]

    (g, h, t), (u, v, w) = tensors(x1), tensors(x2)
    k2 = np.einsum("ai,bi->ab", g, u)
    k3 = np.einsum("aij,bi,cj->abc", h, u, u) + np.einsum("ai,bij,cj->abc", g, v, u)
    # d/dx4 of each factor: first of H_a g_b g_c, then of g_a H_b g_c
    k4 = (
        np.einsum("aijk,bi,cj,dk->abcd", t, u, u, u)
        + np.einsum("aij,bik,cj,dk->abcd", h, v, u, u)
        + np.einsum("aij,bi,cjk,dk->abcd", h, u, v, u)
        + np.einsum("aik,bij,cj,dk->abcd", h, v, u, u)
        + np.einsum("ai,bijk,cj,dk->abcd", g, w, u, u)
        + np.einsum("ai,bij,cjk,dk->abcd", g, v, v, u)
    )
    return k2, k3, k4


@pytest.mark.parametrize("d_out", [1, 2])
def test_kernels_are_those_of_the_explicit_derivatives(x64, d_out):
    net = nh.fcn(d_in=2, width=3, depth=2, d_out=d_out, activation="tanh", sigma_b=0.3)
    params = net.init(key=jax.random.key(1), dtype=jnp.float64)
    found = nh.tangent_hierarchy(net.apply, params, X1, X2)
    for got, want in zip(found, explicit(net.apply, params, X1, X2), strict=True):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)  # rounding of float64 sums


def test_closed_form_of_one_hidden_layer(x64):
    """K_3 with one hidden layer, f = a . tanh(W x) / sqrt(m), written out by hand."""
    m, x = 5, X1
    a, w = RNG.standard_normal(m), RNG.standard_normal((m, 2))

    def f(p, x):
        return jnp.tanh(x @ p[1].T) @ p[0] / jnp.sqrt(m)

    z = x @ w.T
    s, p = np.tanh(z), 1 / np.cosh(z) ** 2
    q, dots = -2 * s * p, x @ x.T
    want = 2 * np.einsum("i,xi,yi,zi,xy->xyz", a, p, p, s, dots)
    want += np.einsum("i,zi,xi,yi,xz->xyz", a, p, p, s, dots) + np.einsum("i,zi,xi,yi,yz->xyz", a, p, s, p, dots)
    want += np.einsum("i,zi,xy,xi,yi,xz->xyz", a**3, p, dots, q, p, dots)
    want += np.einsum("i,zi,xy,xi,yi,yz->xyz", a**3, p, dots, p, q, dots)
    found = nh.tangent_hierarchy(f, (jnp.array(a), jnp.array(w)), x, order=3)
    np.testing.assert_allclose(found.k3, want / m**1.5, rtol=1e-10, atol=1e-12)
    assert found.k4 is None


def test_kernels_move_as_the_hierarchy_says(x64):
    """K_3 and K_4 are the slopes of K_2 and K_3 along a gradient: central differences, error of order step^2."""
    net = nh.fcn(d_in=2, width=4, depth=1, activation="erf")
    params, x = net.init(key=jax.random.key(2), dtype=jnp.float64), X2
    here = nh.tangent_hierarchy(net.apply, params, x)
    for b in range(2):
        slope = jax.grad(lambda p, b=b: net.apply(p, x)[b, 0])(params)

        def step(e, slope=slope):
            return jax.tree.map(lambda p, g: p + e * g, params, slope)

        up, down = (nh.tangent_hierarchy(net.apply, step(e), x, order=3) for e in (1e-4, -1e-4))
        np.testing.assert_allclose(here.k3[..., b], (up.k2 - down.k2) / 2e-4, atol=1e-6)
        np.testing.assert_allclose(here.k4[..., b], (up.k3 - down.k3) / 2e-4, atol=1e-6)


def test_mirrored_networks_have_no_third_kernel(x64):
    """The copies enter odd kernels with opposite signs; K_4 halves."""
    net = nh.fcn(d_in=2, width=4, depth=2, activation="tanh")
    params = net.init(key=jax.random.key(3), dtype=jnp.float64)
    one = nh.tangent_hierarchy(net.apply, params, X2)
    two = nh.tangent_hierarchy(nh.mirrored(net).apply, (params, params), X2)
    assert np.abs(one.k3).max() > 0.01
    np.testing.assert_allclose(two.k2, one.k2, rtol=1e-12)
    np.testing.assert_allclose(two.k3, 0, atol=1e-14)
    np.testing.assert_allclose(two.k4, np.asarray(one.k4) / 2, rtol=1e-10, atol=1e-14)


def test_fixed_leaves_and_flat_outputs(x64):
    """Integers among the parameters stay put; outputs without an axis of their own are fine."""

    def f(p, x):
        return jnp.sin(x @ p["w"]) * p["times"]

    params = {"w": jnp.array([0.3, -0.2]), "times": 2}
    found = nh.tangent_hierarchy(f, params, X2)
    for got, want in zip(found, explicit(lambda w, x: f({"w": w, "times": 2}, x), params["w"], X2, X2), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_jit_and_vmap(x64):
    net = nh.fcn(d_in=2, width=3, depth=1, activation="tanh")
    keys = jax.random.split(jax.random.key(4), 2)
    many = jax.jit(jax.vmap(lambda key: nh.tangent_hierarchy(net.apply, net.init(key=key), X2)))(keys)
    for i, key in enumerate(keys):
        for got, want in zip(many, nh.tangent_hierarchy(net.apply, net.init(key=key), X2), strict=True):
            np.testing.assert_allclose(got[i], want, rtol=1e-4, atol=1e-6)


def test_bad_input(without_hook):
    f, params = (lambda p, x: x @ p), jnp.ones(2)
    x = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="order must be one of 2, 3, 4, got 5"):
        nh.tangent_hierarchy(f, params, x, order=5)
    with pytest.raises(ValueError, match="x2 must be a batch"):
        nh.tangent_hierarchy(f, params, x, np.ones((0, 2), np.float32))
    with pytest.raises(ValueError, match="x1 must be finite"):
        nh.tangent_hierarchy(f, params, x * np.nan)
    with pytest.raises(TypeError, match="at least one floating-point array"):
        nh.tangent_hierarchy(f, jnp.ones(2, int), x)
