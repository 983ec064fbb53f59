"""Kernels of linear differential operators: against mpmath, integrals over one neuron, finite networks."""

import re

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import ntk_helpers as nh

pytestmark = pytest.mark.usefixtures("x64")


def second(d):
    return d.u_xx


def transport(d):
    """With coordinates, a mixed derivative, u itself and a source."""
    return d.u_tx - (1 + d.x) * d.u_xx + 0.5 * d.u - jnp.sin(d.t)


POINTS = np.array([[0.0], [0.3], [-1.0], [1.7]])


def polynomials_of_tanh(k):
    """The k-th derivative of tanh as a polynomial of tanh."""
    p = np.poly1d([1, 0])
    for _ in range(k):
        p = p.deriv() * np.poly1d([-1, 0, 1])
    return p


DERIVATIVES = {
    "tanh": [lambda z, k=k: polynomials_of_tanh(k)(np.tanh(z)) for k in range(4)],
    "erf": [
        lambda z: np.vectorize(mp.erf, otypes=[float])(z) if np.size(z) < 9 else np.asarray(jax.lax.erf(z)),
        lambda z: 2 / np.sqrt(np.pi) * np.exp(-z * z),
        lambda z: -4 / np.sqrt(np.pi) * z * np.exp(-z * z),
        lambda z: 4 / np.sqrt(np.pi) * (2 * z * z - 1) * np.exp(-z * z),
    ],
    "sin": [np.sin, np.cos, lambda z: -np.sin(z), lambda z: -np.cos(z)],
}


def one_neuron(activation, x, y, sigma_w, sigma_b):
    """The kernel of u_xx for one hidden layer: the integral over one neuron (w, b), by the trapezoidal rule."""
    z = np.arange(-9.5, 9.55, 0.05)
    w, b = np.meshgrid(z, z, indexing="ij")
    density = np.exp(-(w**2 + b**2) / 2) * 0.05**2 / (2 * np.pi)
    _, _, f2, f3 = DERIVATIVES[activation]
    s, total = sigma_w, 0.0
    hx, hy = s * w * x + sigma_b * b, s * w * y + sigma_b * b
    # u = sigma_w / sqrt(n) sum a phi(s w x + sigma_b b): the derivatives of u_xx by a, by w and by b
    total = (s * w) ** 4 * f2(hx) * f2(hy)
    by_w = [2 * s**2 * w * f2(h) + s**3 * w**2 * p * f3(h) for h, p in ((hx, x), (hy, y))]
    by_b = [sigma_b * (s * w) ** 2 * f3(h) for h in (hx, hy)]
    return s**2 * np.sum(density * (total + by_w[0] * by_w[1] + by_b[0] * by_b[1]))


@pytest.mark.parametrize("activation", ["tanh", "erf", "sin"])
def test_one_hidden_layer_is_the_integral_over_one_neuron(activation):
    """All pairs, coincident points among them. 1e-7: the series is cut where 1e-6 is promised; closed forms 1e-12."""
    settings = {"depth": 1, "activation": activation, "sigma_w": 1.1, "sigma_b": 0.8, "variables": "x"}
    found = nh.fcn_pde_kernel(POINTS, equation1=second, equation2=second, **settings)
    wanted = [[one_neuron(activation, float(x), float(y), 1.1, 0.8) for y in POINTS[:, 0]] for x in POINTS[:, 0]]
    np.testing.assert_allclose(found, wanted, rtol=1e-6 if activation == "tanh" else 1e-10)


@pytest.mark.parametrize("activation", ["erf", "sin", "cos", "gelu", "tanh", "softplus"])
def test_without_equations_it_is_the_kernel_itself(activation):
    settings = {
        "depth": 2,
        "activation": activation,
        "sigma_w": 1.3,
        "sigma_b": 0.4,
        "scale_input": False,
        "biases": "first",
    }
    x, y = 0.5 * np.random.default_rng(0).standard_normal((2, 4, 2))
    found = nh.fcn_pde_kernel(x, y, get="both", **settings)
    wanted = nh.fcn_kernel(x, y, **settings)
    # rounding, and for tanh and softplus the 160 nodes of fcn_kernel
    np.testing.assert_allclose(found.ntk, wanted.ntk, rtol=1e-8)
    np.testing.assert_allclose(found.nngp, wanted.nngp, rtol=1e-8)


def erf_ntk(x, y, depth, sigma_w, sigma_b):
    """The NTK of erf networks in mpmath, with the arcsin formula."""
    w, b = mp.mpf(sigma_w) ** 2, mp.mpf(sigma_b) ** 2

    def affine(v):
        return w * v + b

    qx, qy, s = (affine(sum(p * q for p, q in zip(u, v, strict=True)) / len(u)) for u, v in ((x, x), (y, y), (x, y)))
    t = s
    for _ in range(depth):
        root = mp.sqrt((1 + 2 * qx) * (1 + 2 * qy))
        slope = 4 / mp.pi / mp.sqrt(root**2 - 4 * s * s)
        s = affine(2 / mp.pi * mp.asin(2 * s / root))
        qx, qy = (affine(2 / mp.pi * mp.asin(2 * q / (1 + 2 * q))) for q in (qx, qy))
        t = s + w * t * slope
    return t


@pytest.mark.optimized  # four derivatives of three layers: seven times as slow when compiled quickly
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("same", [True, False], ids=["coincident", "apart"])
def test_erf_against_finite_differences_in_high_precision(depth, same):
    """60 digits, step 1e-8: central differences err by 1e-16 of the next derivatives; float64 loses a few digits."""
    x = [0.3, -0.5]
    y = x if same else [1.1, 0.4]
    with mp.workdps(60):
        h = mp.mpf(10) ** -8

        def operator(f, p):
            """Transport without its source."""
            at = lambda i, j: f([p[0] + i * h, p[1] + j * h])  # noqa: E731
            u_tx = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * h * h)
            u_xx = (at(0, 1) - 2 * at(0, 0) + at(0, -1)) / (h * h)
            return u_tx - (1 + p[1]) * u_xx + at(0, 0) / 2

        point, other = ([mp.mpf(v) for v in p] for p in (x, y))
        inner = lambda p: operator(lambda q: erf_ntk(p, q, depth, 1.2, 0.7), other)  # noqa: E731
        wanted = float(operator(inner, point)), float(inner(point))
    settings = {"depth": depth, "activation": "erf", "sigma_w": 1.2, "sigma_b": 0.7}
    x, y = np.array([x]), np.array([y])
    both = nh.fcn_pde_kernel(x, y, equation1=transport, equation2=transport, **settings)[0, 0]
    one = nh.fcn_pde_kernel(x, y, equation2=transport, **settings)[0, 0]
    np.testing.assert_allclose((both, one), wanted, rtol=1e-9)


def test_quadrature_at_depth_two_agrees_with_the_closed_form():
    """erf as a callable goes by Mehler's series and Price's rule, erf by name by arcsin and automatic derivatives."""
    settings = {"depth": 2, "sigma_w": 1.2, "sigma_b": 0.5, "variables": "x"}
    first = lambda d: d.u_x + d.u  # noqa: E731
    settings |= {"equation1": second, "equation2": first}
    found, wanted = (nh.fcn_pde_kernel(POINTS, activation=phi, **settings) for phi in (lambda z: jax.lax.erf(z), "erf"))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("activation", "depth", "networks"), [("erf", 1, 200), ("erf", 2, 60)])
def test_mean_over_finite_networks(activation, depth, networks):
    """4 standard errors for one hidden layer, whose mean is exact; 1/n more for two (n = 256, a few per cent)."""
    settings = {"depth": depth, "activation": activation, "sigma_w": 1.0, "sigma_b": 1.0}
    points = np.array([[0.0, 0.0], [0.4, -0.6], [1.0, 0.5]])
    wave = lambda d: d.u_tt - d.u_xx  # noqa: E731
    system = nh.PDESystem("tx", (nh.Rows("residual", wave, points), nh.Rows("start", lambda d: d.u, points)))
    net = nh.fcn(d_in=2, width=256, **settings)
    names = system.names if depth == 1 else ("residual",)
    one = jax.jit(lambda key: nh.pde_kernel(system, net.apply, net.init(key=key), names=names).matrix())
    sample = np.stack([one(key) for key in jax.random.split(jax.random.key(1), networks)])
    equations = [wave, None][: len(names)]
    blocks = [[nh.fcn_pde_kernel(points, equation1=a, equation2=b, **settings) for b in equations] for a in equations]
    wanted = np.block([[np.asarray(b) for b in row] for row in blocks])
    gap = np.abs(sample.mean(axis=0) - wanted)
    error = 4 * sample.std(axis=0, ddof=1) / np.sqrt(networks)
    slack = 0.0 if depth == 1 else 0.03 * np.sqrt(np.outer(np.diag(wanted), np.diag(wanted)))
    assert np.all(gap <= error + slack + 1e-9 * np.abs(wanted))
    # the test can fail: a kernel that is 30 % larger is outside
    assert np.any(np.abs(sample.mean(axis=0) - 1.3 * wanted) > error + slack)


def test_variance_of_the_residual_at_initialization():
    """NNGP: var u_xx over many networks with one layer of 512 erf units; 4 standard errors of a variance."""
    settings = {"depth": 1, "activation": "erf", "sigma_w": 1.0, "sigma_b": 1.0}
    x = np.array([[0.2]])
    wanted = nh.fcn_pde_kernel(x, equation1=second, equation2=second, variables="x", get="nngp", **settings)[0, 0]
    net = nh.fcn(d_in=1, width=512, **settings)
    residual = nh.pde_residual(net.apply, second, "x")
    draw = jax.jit(jax.vmap(lambda key: residual(net.init(key=key), x)[0]))
    values = np.asarray(draw(jax.random.split(jax.random.key(2), 2000)))
    squares = values**2
    assert abs(squares.mean() - float(wanted)) <= 4 * squares.std(ddof=1) / np.sqrt(len(squares))


def test_embedding_and_its_chain_rule():
    """With z = (x - 1/2) / s every derivative brings 1 / s."""
    settings = {
        "depth": 1,
        "activation": "sin",
        "sigma_b": 0.5,
        "variables": "x",
        "equation1": second,
        "equation2": second,
    }
    s = 0.25
    inside = nh.fcn_pde_kernel(POINTS, embed=lambda x: (x - 0.5) / s, **settings)
    outside = nh.fcn_pde_kernel((POINTS - 0.5) / s, **settings) / s**4
    np.testing.assert_allclose(inside, outside, rtol=1e-11)


def test_blocks_of_rows_give_the_same(monkeypatch):
    from ntk_helpers.limits import pde

    x = np.linspace(-1, 1, 11)[:, None]
    settings = {"depth": 1, "activation": "erf", "sigma_b": 0.5, "variables": "x", "equation1": second}
    whole = nh.fcn_pde_kernel(x, **settings)
    monkeypatch.setattr(pde, "_PAIRS_AT_ONCE", 44)
    pde._compiled.cache_clear()
    np.testing.assert_allclose(nh.fcn_pde_kernel(x, **settings), whole, rtol=1e-12)
    pde._compiled.cache_clear()


def test_single_precision():
    x = np.array([[0.0], [0.5]])
    settings = {
        "depth": 1,
        "activation": "erf",
        "sigma_b": 1.0,
        "variables": "x",
        "equation1": second,
        "equation2": second,
    }
    found = nh.fcn_pde_kernel(x.astype(np.float32), **settings)
    assert found.dtype == jnp.float32
    # four derivatives of a function of order one, each losing a little of 24 bits
    np.testing.assert_allclose(found, nh.fcn_pde_kernel(x, **settings), rtol=1e-4)


GOOD = {"depth": 1, "activation": "tanh", "sigma_b": 1.0, "variables": "x"}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"activation": "relu"}, ValueError, "kink"),
        ({"activation": lambda z: jnp.maximum(z, 0)}, ValueError, "not smooth enough"),
        ({"activation": jax.nn.elu}, ValueError, "not smooth enough"),
        ({"sigma_w": 20.0}, ValueError, "varies too fast"),
        ({"equation1": lambda d: d.u * d.u_x}, ValueError, "linear"),
        ({"equation1": lambda d: jnp.sin(d.x)}, ValueError, "no derivative of u"),
        ({"equation1": lambda d: jnp.stack([d.u, d.u_x])}, ValueError, "one number"),
        ({"equation1": "u_xx"}, TypeError, "function of the derivatives"),
        ({"equation1": lambda d: d.u_yy}, AttributeError, "u_yy"),
        ({"variables": "tx"}, ValueError, "column"),
        ({"embed": 3}, TypeError, "embed"),
        ({"get": "all"}, ValueError, "get"),
        ({"biases": "none"}, ValueError, "sigma_b"),
        ({"activation": "erf", "embed": lambda x: jnp.log(x)}, ValueError, "not finite"),
    ],
)
def test_refusals(without_hook, change, error, words):
    settings = {"equation1": second, "equation2": second} | GOOD | change
    with pytest.raises(error, match=re.escape(words)):
        nh.fcn_pde_kernel(POINTS, **settings)


def test_derivatives_of_the_result():
    """Closed forms can be differentiated, in sigma_w too; the series refuses and does not give zeros."""

    def total(sigma_w, activation):
        return nh.fcn_pde_kernel(
            POINTS, equation1=second, **GOOD | {"activation": activation, "sigma_w": sigma_w}
        ).sum()

    slope = jax.grad(total)(1.1, "erf")
    difference = (total(1.1 + 1e-5, "erf") - total(1.1 - 1e-5, "erf")) / 2e-5
    np.testing.assert_allclose(slope, difference, rtol=1e-7)
    with pytest.raises(NotImplementedError, match="closed form"):
        jax.grad(total)(1.1, "tanh")
