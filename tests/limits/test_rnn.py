import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import roots_hermite

import ntk_helpers as nh

RNG = np.random.default_rng(4)
X1, X2 = RNG.normal(size=(3, 6, 2)), RNG.normal(size=(2, 5, 2))
LENGTHS1, LENGTHS2 = np.array([6, 4, 2]), np.array([5, 3])
SIGMAS = {"sigma_w": 1.3, "sigma_u": 0.8, "sigma_b": 0.3, "sigma_v": 1.1}


def relu_duals(a, b, c):
    """E[phi phi] and E[phi' phi'] by arccos."""
    root = np.sqrt(a * b)
    r = np.clip(c / root, -1, 1)
    angle = np.arccos(r)
    return root * (np.sqrt(1 - r * r) + r * (np.pi - angle)) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def erf_duals(a, b, c):
    determinant = (1 + 2 * a) * (1 + 2 * b)
    return 2 / np.pi * np.arcsin(2 * c / np.sqrt(determinant)), 4 / np.pi / np.sqrt(determinant - 4 * c * c)


def tanh_duals(a, b, c):
    """By quadrature over the plane: u and v from two independent normal numbers."""
    z, weight = roots_hermite(90)
    u = np.sqrt(2 * a) * z[:, None]
    v = np.sqrt(2.0) * (c / np.sqrt(a) * z[:, None] + np.sqrt(max(b - c * c / a, 0)) * z[None, :])
    mean = lambda values: (weight[:, None] * weight * values).sum() / np.pi  # noqa: E731
    return mean(np.tanh(u) * np.tanh(v)), mean(1 / (np.cosh(u) * np.cosh(v)) ** 2)


DUALS = {"relu": relu_duals, "erf": erf_duals, "tanh": tanh_duals}


def one_pair(x, y, *, duals, depth, pooling, same=False, sigma_w, sigma_u, sigma_b, sigma_v, sigma_h=0.0):
    """Covariance and tangent kernel of two sequences: all pairs of times and layers, from the definition."""
    w, u, b, h = sigma_w**2, sigma_u**2, sigma_b**2, sigma_h**2

    def own(z):
        d = np.zeros((depth, len(z)))
        for t in range(len(z)):
            below = z[t] @ z[t] / len(z[t])
            for i in range(depth):
                before = duals(*[d[i, t - 1]] * 3)[0] if t else h
                d[i, t] = w * before + u * below + b
                below = duals(*[d[i, t]] * 3)[0]
        return d

    d, e = own(x), own(y)
    s, r = np.zeros((2, depth, len(x), len(y)))
    value, slope = np.zeros((2, depth, len(x), len(y)))
    for t in range(len(x)):
        for q in range(len(y)):
            below, below_r = x[t] @ y[q] / len(x[t]), 0.0
            for i in range(depth):
                memory = value[i, t - 1, q - 1] if t and q else h * (same and t == q)
                memory_r = slope[i, t - 1, q - 1] * r[i, t - 1, q - 1] if t and q else 0.0
                s[i, t, q] = w * memory + u * below + b
                r[i, t, q] = s[i, t, q] + w * memory_r + u * below_r
                value[i, t, q], slope[i, t, q] = duals(d[i, t], e[i, q], s[i, t, q])
                below, below_r = value[i, t, q], slope[i, t, q] * r[i, t, q]
    nngp, ntk = sigma_v**2 * value[-1], sigma_v**2 * (value[-1] + slope[-1] * r[-1])
    if pooling == "last":
        return nngp[-1, -1], ntk[-1, -1]
    if pooling == "steps":
        return tuple(np.trace(k) / np.sqrt(len(x) * len(y)) for k in (nngp, ntk))
    return nngp.mean(), ntk.mean()


def all_pairs(x1, x2, lengths1, lengths2, *, ways=1, same=False, **settings):
    """Both kernels, pair by pair."""
    cut = lambda x, lengths: [row[:n] for row, n in zip(x, lengths, strict=True)]  # noqa: E731
    pairs = lambda way: [  # noqa: E731
        [one_pair(x[::way], y[::way], same=same and i == j, **settings) for j, y in enumerate(cut(x2, lengths2))]
        for i, x in enumerate(cut(x1, lengths1))
    ]
    return np.moveaxis(sum(np.array(pairs(way)) for way in (1, -1)[:ways]), -1, 0)


@pytest.mark.parametrize(
    ("activation", "depth", "pooling", "both_ways"),
    [
        ("relu", 1, "last", False),
        ("relu", 2, "last", True),
        ("relu", 1, "steps", True),
        ("relu", 1, "shared", True),
        ("erf", 2, "steps", False),
        ("tanh", 1, "last", False),
    ],
)
def test_pair_by_pair(activation, depth, pooling, both_ways, x64):
    """The recursion over all pairs of times in NumPy; the sequences have unequal lengths on both sides."""
    settings = dict(depth=depth, pooling=pooling, **SIGMAS)
    found = nh.rnn_kernel(X1, X2, activation=activation, lengths1=LENGTHS1, lengths2=LENGTHS2,
                          bidirectional=both_ways, **settings)  # fmt: skip
    reference = all_pairs(X1, X2, LENGTHS1, LENGTHS2, duals=DUALS[activation], ways=1 + both_ways, **settings)
    rtol = 2e-6 if activation == "tanh" else 1e-11  # the 90 nodes of the reference; rounding
    np.testing.assert_allclose(found.nngp, reference[0], rtol=rtol)
    np.testing.assert_allclose(found.ntk, reference[1], rtol=rtol)


@pytest.mark.parametrize("pooling", ["last", "shared"])
def test_one_set_with_drawn_initial_states(pooling, x64):
    """x2=None: the diagonal pairs share the draw of their initial state. arccos of 1 - eps costs half the digits."""
    settings = dict(depth=1, pooling=pooling, sigma_h=0.7, **SIGMAS)
    found = nh.rnn_kernel(X1, lengths1=LENGTHS1, **settings)
    reference = all_pairs(X1, X1, LENGTHS1, LENGTHS1, duals=relu_duals, same=True, **settings)
    np.testing.assert_allclose(found.nngp, reference[0], rtol=1e-7)
    np.testing.assert_allclose(found.ntk, reference[1], rtol=1e-6)
    np.testing.assert_array_equal(nh.rnn_kernel(X1, lengths1=LENGTHS1, get="nngp", **settings), found.nngp)


def test_one_step_is_a_fully_connected_network(x64):
    depth = 3
    found = nh.rnn_kernel(X1[:, :1], X2[:, :1], depth=depth, **SIGMAS)
    fcn = nh.fcn_kernel(X1[:, 0], X2[:, 0], depth=depth, sigma_w=[0.8] * depth + [1.1], sigma_b=[0.3] * depth + [0.0])
    np.testing.assert_allclose(found.nngp, fcn.nngp, rtol=1e-13)
    np.testing.assert_allclose(found.ntk, fcn.ntk, rtol=1e-13)


def test_float32_keeps_small_angles(x64):
    """Sequences that differ by 1e-4: from covariances alone the angle would be off by the root of the rounding."""
    x = np.repeat(X1[:1], 4, axis=0) + 1e-4 * RNG.normal(size=(4, 6, 2))
    x = x.astype(np.float32)
    exact = nh.rnn_kernel(x.astype(float), depth=2, get="ntk", **SIGMAS)
    np.testing.assert_allclose(nh.rnn_kernel(x, depth=2, get="ntk", **SIGMAS), exact, rtol=3e-6)


def test_blocks_of_rows():
    """More pairs than one block holds, against a part of them."""
    x = RNG.normal(size=(300, 4, 1)).astype(np.float32)
    every = nh.rnn_kernel(x, sigma_w=1.3, get="ntk")
    np.testing.assert_allclose(every[290:, :5], nh.rnn_kernel(x[290:], x[:5], sigma_w=1.3, get="ntk"), rtol=3e-6)


def test_derivative():
    """Of the kernel with respect to an input, against differences."""
    x = jnp.asarray(X1[:2], jnp.float32)
    f = lambda t: nh.rnn_kernel(x[:1].at[0, 1, 0].add(t), x[1:], sigma_w=1.3, get="ntk")[0, 0]  # noqa: E731
    difference = (f(0.01) - f(-0.01)) / 0.02
    np.testing.assert_allclose(jax.grad(f)(0.0), difference, rtol=2e-3)


@pytest.mark.parametrize(("pooling", "depth", "activation"), [("last", 2, "relu"), ("shared", 1, "erf")])
def test_random_networks(pooling, depth, activation):
    """Mean tangent kernel and mean product of outputs over networks: 4 standard errors and 3 % for the width."""
    x, lengths = X1.astype(np.float32), jnp.asarray(LENGTHS1, "int32")
    settings = dict(depth=depth, activation=activation, pooling=pooling, **SIGMAS)
    net = nh.rnn(d_in=2, width=128, d_out=8, **settings)

    def one(key):
        params = net.init(key=key, dtype=jnp.float32)
        f = net.apply(params, x, lengths)
        return f @ f.T / 8, nh.empirical_ntk(lambda p, z: net.apply(p, *z), params, (x, lengths), output="trace")

    drawn = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(0), 100))
    for values, limit in zip(drawn, nh.rnn_kernel(x, lengths1=lengths, **settings), strict=True):
        error = 4 * values.std(axis=0, ddof=1) / 10
        assert (np.abs(values.mean(axis=0) - limit) < error + 0.03 * np.abs(limit).max()).all()
        assert (error < 0.35 * np.abs(limit).max()).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"pooling": "mean"}, "pooling"),
        ({"get": "ntks"}, "get"),
        ({"sigma_u": -1.0}, "sigma_u"),
        ({"depth": 0}, "depth"),
        ({"lengths1": [6, 6, 7]}, "lengths1"),
        ({"lengths1": [6, 6]}, "lengths1"),
        ({"lengths2": [6, 6, 6]}, "lengths2"),
        ({"x2": X2[:, :, :1]}, "same number m"),
        ({"x1": X1[0]}, r"x1 must have shape \(N, T, m\)"),
    ],
)
def test_bad_arguments_are_named(change, word, without_hook):
    with pytest.raises(ValueError, match=word):
        nh.rnn_kernel(**{"x1": X1, **change})


def test_a_kernel_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="out of the range of float32"):
        nh.rnn_kernel(np.ones((2, 300, 1), np.float32), sigma_w=2.0)
    with pytest.raises(TypeError, match="integers"):
        nh.rnn_kernel(X1, lengths1=np.ones(3))
