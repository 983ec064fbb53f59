"""Residuals, Jacobian and kernel of a one-hidden-layer network against formulas written out by hand in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

N = 7
INSIDE = np.random.default_rng(0).uniform(-1, 1, size=(5, 2))
START = np.random.default_rng(1).uniform(-1, 1, size=(3, 2)) * [0, 1]


def network(params, x):
    a, w, b = params
    return jnp.tanh(x @ w.T + b) @ a


def equation(d):
    return d.u_tt - d.u_xx + jnp.sin(d.u) + d.x * d.u_x


def velocity(d):
    return d.u_t


@pytest.fixture
def problem(x64):
    rng = np.random.default_rng(2)
    params = (rng.normal(size=N), rng.normal(size=(N, 2)), rng.normal(size=N))
    rows = (nh.Rows("inside", equation, INSIDE), nh.Rows("start", velocity, START, np.arange(3.0)))
    return nh.PDESystem("tx", rows), jax.tree.map(jnp.array, params)


def tanh_derivatives(z):
    """tanh and its first three derivatives."""
    s = np.tanh(z)
    return s, 1 - s**2, -2 * s * (1 - s**2), (1 - s**2) * (6 * s**2 - 2)


def by_hand(params, points, coefficients):
    """Value and gradient of c0 u + c1 u_t + c2 u_tt + c3 u_x + c4 u_xx, linear in u, at each point."""
    a, w, b = (np.asarray(p) for p in params)
    p, q = w.T
    c0, c1, c2, c3, c4 = (np.broadcast_to(c, len(points))[:, None] for c in coefficients)
    s0, s1, s2, s3 = tanh_derivatives(points @ w.T + b)
    first, second = c1 * p + c3 * q, c2 * p**2 + c4 * q**2
    per_a = c0 * s0 + first * s1 + second * s2
    per_z = c0 * s1 + first * s2 + second * s3
    per_p = per_z * points[:, :1] + c1 * s1 + 2 * c2 * p * s2
    per_q = per_z * points[:, 1:] + c3 * s1 + 2 * c4 * q * s2
    w_part = np.stack([a * per_p, a * per_q], axis=2).reshape(len(points), -1)
    return per_a @ a, np.concatenate([per_a, w_part, a * per_z], axis=1)


def expected(params):
    u, _ = by_hand(params, INSIDE, (1, 0, 0, 0, 0))
    linear, jacobian = by_hand(params, INSIDE, (np.cos(u), 0, 1, INSIDE[:, 1], -1))
    u_t, start = by_hand(params, START, (0, 1, 0, 0, 0))
    inside = linear - np.cos(u) * u + np.sin(u)
    return np.concatenate([inside, u_t - np.arange(3.0)]), np.concatenate([jacobian, start])


def test_residuals_and_loss(problem):
    system, params = problem
    values, _ = expected(params)
    np.testing.assert_allclose(system.vector(network, params), values, rtol=0, atol=1e-12)
    loss = system.loss(network, params, {"start": 3.0})
    np.testing.assert_allclose(loss, 0.5 * np.sum(values[:5] ** 2) + 1.5 * np.sum(values[5:] ** 2), rtol=1e-12)


def test_jacobian(problem):
    system, params = problem
    values, jacobian = expected(params)
    np.testing.assert_allclose(nh.pde_jacobian(system, network, params), jacobian, rtol=0, atol=1e-11)
    np.testing.assert_allclose(nh.pde_linearize(system, network, params)[0], values, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["structured", "jacobian"])
def test_kernel_blocks_traces_and_spectra(problem, method):
    system, params = problem
    jacobian = expected(params)[1]
    matrix = jacobian @ jacobian.T
    kernel = jax.jit(lambda p: nh.pde_kernel(system, network, p, method=method))(params)
    # a hundred float64 products of numbers up to ten
    tight = {"rtol": 0, "atol": 1e-12 * np.abs(matrix).max()}
    np.testing.assert_allclose(kernel.matrix(), matrix, **tight)
    np.testing.assert_allclose(kernel["inside", "start"], matrix[:5, 5:], **tight)
    np.testing.assert_allclose(kernel["start", "inside"], matrix[5:, :5], **tight)
    np.testing.assert_allclose(kernel.traces()["start"], np.trace(matrix[5:, 5:]), **tight)
    np.testing.assert_allclose(kernel.spectra()["inside"], np.linalg.eigvalsh(matrix[:5, :5])[::-1], **tight)


def test_kernels_of_many_networks_at_once(problem):
    system, params = problem
    many = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), params)
    kernels = jax.vmap(lambda p: nh.pde_kernel(system, network, p, names=["start"]))(many)
    jacobians = [expected(jax.tree.map(lambda p, i=i: p[i], many))[1][5:] for i in range(2)]
    np.testing.assert_allclose(kernels.matrix(), [j @ j.T for j in jacobians], rtol=1e-10)
    assert kernels.traces()["start"].shape == (2,)
    assert kernels.spectra()["start"].shape == (2, 3)


def test_components_of_one_point_stand_together(x64):
    """Two outputs and two equations: the kernel's order is that of the vector of residuals."""

    def pair(params, x):
        return jnp.tanh(x @ params["w"])

    rows = (
        nh.Rows("both", lambda d: (d.u_x[0] + d.u[1] ** 2, d.u_t[1]), INSIDE),
        nh.Rows("values", lambda d: d.u, START, np.zeros((3, 2))),
    )
    system = nh.PDESystem("tx", rows)
    params = {"w": jnp.array([[0.3, -0.7], [1.1, 0.4]])}
    assert system.residuals(pair, params)["both"].shape == (5, 2)
    dense = jax.jacobian(lambda w: system.vector(pair, {"w": w}))(params["w"]).reshape(16, -1)
    residuals, jacobian = nh.pde_linearize(system, pair, params)
    np.testing.assert_allclose(residuals, system.vector(pair, params), atol=1e-14)
    np.testing.assert_allclose(jacobian, dense, atol=1e-13)
    np.testing.assert_allclose(nh.pde_kernel(system, pair, params).matrix(), dense @ dense.T, atol=1e-12)


def test_equal_residuals_are_found_again():
    one, two = (nh.pde_residual(network, equation, "tx") for _ in range(2))
    assert one == two
    assert hash(one) == hash(two)


def test_what_is_wrong_is_said(problem, without_hook):
    system, params = problem
    with pytest.raises(AttributeError, match="got 'u_y'"):
        nh.pde_residual(network, lambda d: d.u_y, "tx")(params, jnp.array(INSIDE))
    with pytest.raises(TypeError, match="equation must be a function"):
        nh.pde_residual(network, 3)
    with pytest.raises(ValueError, match="a column for each"):
        nh.pde_residual(network, equation, "x")(params, jnp.array(INSIDE))
    with pytest.raises(ValueError, match="different names"):
        nh.PDESystem("tx", (system.rows[0], system.rows[0]))
    with pytest.raises(ValueError, match="must be a number or have 5 rows"):
        nh.PDESystem("tx", (nh.Rows("inside", equation, INSIDE, np.zeros(4)),))
    wide = nh.PDESystem("tx", (nh.Rows("inside", equation, INSIDE, np.zeros((5, 1))),))
    with pytest.raises(ValueError, match="must have shape"):
        wide.vector(network, params)
    with pytest.raises(ValueError, match="weights names"):
        system.loss(network, params, {"end": 1.0})
    with pytest.raises(ValueError, match="names must be some of"):
        nh.pde_kernel(system, network, params, names=["end"])
    with pytest.raises(TypeError, match="system must be a PDESystem"):
        nh.pde_kernel("heat", network, params)
    with pytest.raises(KeyError, match="no rows named 'end'"):
        system["end"]
    with pytest.raises(ValueError, match=r"must have shape \(N,\) or \(N, O\)"):
        nh.pde_residual(lambda p, x: x[0, 0], equation)(params, jnp.array(INSIDE))
