import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

RNG = np.random.default_rng(0)
X1, X2 = RNG.normal(size=(3, 5, 4, 2)), RNG.normal(size=(2, 5, 4, 2))
X1[0, 0, 0] = 0  # a pixel that is zero in all channels
SIGMAS = {"sigma_w": (1.3, 1.1, 0.9), "sigma_b": (0.2, 0.3, 0.1)}


def by_neural_tangents(x1, x2, padding, readout, phi, depth, sigma_w, sigma_b):
    from ntk_helpers.nt import stax

    layers = []
    for w, b in zip(sigma_w[:depth], sigma_b[:depth], strict=True):
        layers += [stax.Conv(1, (3, 3), padding=padding, W_std=w, b_std=b), phi(stax)]
    layers += [stax.Flatten() if readout == "flatten" else stax.GlobalAvgPool()]
    kernel_fn = stax.serial(*layers, stax.Dense(1, W_std=sigma_w[depth], b_std=sigma_b[depth]))[2]
    return jax.jit(lambda a, b: tuple(kernel_fn(a, b, ("nngp", "ntk"))))(x1, x2)


@pytest.mark.parametrize(
    ("padding", "readout", "activation", "depth"),
    [
        ("SAME", "flatten", "erf", 2),
        ("SAME", "pool", "erf", 2),
        ("SAME", "pool", "relu", 2),
        ("CIRCULAR", "flatten", "relu", 2),
        ("CIRCULAR", "pool", "erf", 2),
        ("VALID", "flatten", "erf", 1),
        ("VALID", "pool", "relu", 1),
    ],
)
def test_equals_neural_tangents(padding, readout, activation, depth, x64):
    phi = {"erf": lambda stax: stax.Erf(), "relu": lambda stax: stax.Relu()}[activation]
    expected = by_neural_tangents(X1, X2, padding, readout, phi, depth, **SIGMAS)
    sigmas = {name: (*values[:depth], values[depth]) for name, values in SIGMAS.items()}
    got = nh.cnn_kernel(X1, X2, depth=depth, padding=padding, readout=readout, activation=activation, **sigmas)
    # rounding of neural-tangents' arccos and arcsin; the kernels are of size 0.1 to 1
    np.testing.assert_allclose(got.nngp, expected[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(got.ntk, expected[1], rtol=0, atol=1e-14)


def explicit(x1, x2, depth, window, padding, readout, rho, sigma_w, sigma_b):
    """The recursion of the docstring for erf, over all pairs of pixels, as loops."""
    h, w = x1.shape[:2]
    grid = list(itertools.product(range(h), range(w)))
    reach = [(k - 1) // 2 for k in window]
    taps = list(itertools.product(*map(range, window)))

    def neighbour(p, tap):
        """The pixel that a tap sees; None in the padding."""
        q = tuple(a + t - r for a, t, r in zip(p, tap, reach, strict=True))
        if padding == "CIRCULAR":
            return q[0] % h, q[1] % w
        return q if q in grid_set else None

    grid_set = set(grid)
    images = {"a": x1, "b": x2}
    sides = [("a", "a"), ("b", "b"), ("a", "b")]

    def convolve(v, t, layer):
        out_s, out_t = {}, {}
        for s, p, q in itertools.product(sides, grid, grid):
            sums = [0.0, 0.0, 0.0]
            for tap in taps:
                i, j = neighbour(p, tap), neighbour(q, tap)
                if i is not None and j is not None:
                    sums[0] += rho[tap] * v[s, i, j]
                    sums[1] += v[s, i, j] / len(taps)
                    sums[2] += rho[tap] * t[s, i, j]
            out_s[s, p, q] = sigma_w[layer] ** 2 * sums[0] + sigma_b[layer] ** 2
            out_t[s, p, q] = sigma_w[layer] ** 2 * (sums[1] + sums[2]) + sigma_b[layer] ** 2
        return out_s, out_t

    v = {(s, p, q): images[s[0]][p] @ images[s[1]][q] / x1.shape[-1] for s in sides for p in grid for q in grid}
    t = dict.fromkeys(v, 0.0)
    for layer in range(depth):
        s_, t_ = convolve(v, t, layer)
        v, t = {}, {}
        for s, p, q in s_:
            q11, q22 = 1 + 2 * s_[(s[0],) * 2, p, p], 1 + 2 * s_[(s[1],) * 2, q, q]
            v[s, p, q] = 2 / np.pi * np.arcsin(2 * s_[s, p, q] / np.sqrt(q11 * q22))
            t[s, p, q] = t_[s, p, q] * 4 / np.pi / np.sqrt(q11 * q22 - 4 * s_[s, p, q] ** 2)
    pairs = [(p, p) for p in grid] if readout == "flatten" else list(itertools.product(grid, grid))
    nngp = sigma_w[-1] ** 2 * np.mean([v[("a", "b"), p, q] for p, q in pairs])
    nngp += sigma_b[-1] ** 2
    return nngp, nngp + sigma_w[-1] ** 2 * np.mean([t[("a", "b"), p, q] for p, q in pairs])


PROFILE = np.arange(6.0).reshape(2, 3) / 15


@pytest.mark.parametrize("padding", ["SAME", "CIRCULAR"])
@pytest.mark.parametrize("readout", ["flatten", "pool"])
def test_any_profile_equals_the_recursion_over_all_pairs_of_pixels(padding, readout, x64):
    """Three layers, so that the loop over layers runs; a window of an even length, which has no centre."""
    sigmas = {"sigma_w": (1.3, 1.1, 1.2, 0.9), "sigma_b": (0.2, 0.0, 0.3, 0.1)}
    a, b = X1[1, :3, :3], X2[0, :3, :3]
    got = nh.cnn_kernel(
        a[None],
        b[None],
        depth=3,
        window=(2, 3),
        padding=padding,
        readout=readout,
        taps=PROFILE,
        activation="erf",
        **sigmas,
    )
    nngp, ntk = explicit(a, b, 3, (2, 3), padding, readout, PROFILE, **sigmas)
    np.testing.assert_allclose(got.nngp[0, 0], nngp, rtol=1e-12)
    np.testing.assert_allclose(got.ntk[0, 0], ntk, rtol=1e-12)


@pytest.mark.parametrize(
    ("padding", "readout", "taps", "initializer", "activation"),
    [
        ("SAME", "flatten", "uniform", "gaussian", "erf"),
        ("SAME", "pool", (0.5, 0.2, 0.3), "gaussian", "relu"),
        ("CIRCULAR", "flatten", "center", "orthogonal", "erf"),
        ("VALID", "pool", "uniform", "orthogonal", "erf"),
    ],
)
def test_finite_networks_scatter_around_the_limit(padding, readout, taps, initializer, activation):
    """Images with one axis of pixels: mean kernels of networks, tangent kernels by the package's empirical NTK."""
    x = jnp.asarray(X1[:, :, 0], jnp.float32)
    shared = {"depth": 2, "padding": padding, "readout": readout, "taps": taps, "activation": activation}
    net = nh.cnn(input_shape=(5, 2), width=64, initializer=initializer, **shared, **SIGMAS)
    limit = nh.cnn_kernel(x, **shared, **SIGMAS)
    keys = jax.random.split(jax.random.key(1, impl="rbg"), 200)

    @jax.jit
    def sample(keys):
        params = jax.vmap(lambda key: net.init(key=key))(keys)
        return jax.lax.map(lambda p: (net.apply(p, x)[:, 0], nh.empirical_ntk(net.apply, p, x, output="trace")), params)

    f, ntk = (np.asarray(v, float) for v in sample(keys))
    products = f[:, :, None] * f[:, None, :]
    for samples, expected in ((products, limit.nngp), (ntk, limit.ntk)):
        # 4 standard errors, and a shift of the mean of the order of depth / width = 3 % of the diagonal
        error = 4 * samples.std(0) / np.sqrt(len(keys)) + 0.03 * float(np.diag(expected).max())
        assert np.all(np.abs(samples.mean(0) - expected) < error)


def test_center_taps_without_padding_are_a_dense_network_at_each_pixel(x64):
    """Only T mixes pixels: its own-gradient terms. NNGP of flatten: the mean over pixels of fcn kernels."""
    x = X1[:2]
    got = nh.cnn_kernel(x, depth=2, taps="center", padding="CIRCULAR", activation="erf", get="nngp", **SIGMAS)
    dense = [
        nh.fcn_kernel(x[:, i, j], depth=2, activation="erf", get="nngp", **SIGMAS) for i in range(5) for j in range(4)
    ]
    np.testing.assert_allclose(got, np.mean(dense, axis=0), rtol=1e-13)


def test_one_pixel_is_a_dense_network(dtype):
    x = X1[:, :1, 0].astype(dtype)
    cnn = nh.cnn_kernel(x, depth=2, window=1, **SIGMAS)
    for got, expected in zip(cnn, nh.fcn_kernel(x[:, 0], depth=2, **SIGMAS), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=30 * np.finfo(dtype).eps)


def test_linear_network_in_closed_form(x64):
    """Identity, no biases, one convolution, periodic, pooled: (1/P^2) <sum_p x_p, sum_q x'_q> / C, T twice that."""
    nngp, ntk = nh.cnn_kernel(X1, X2, depth=1, padding="CIRCULAR", readout="pool", activation="identity")
    sums = [x.sum(axis=(1, 2)) / 20 for x in (X1, X2)]
    np.testing.assert_allclose(nngp, sums[0] @ sums[1].T / 2, rtol=0, atol=1e-14)
    np.testing.assert_allclose(ntk, sums[0] @ sums[1].T, rtol=0, atol=1e-14)


def test_quadrature_and_get(x64):
    options = {"depth": 1, "padding": "CIRCULAR", **{k: v[:2] for k, v in SIGMAS.items()}}
    both = nh.cnn_kernel(X1, activation="erf", **options)
    other = nh.cnn_kernel(X1, activation=scipy_like_erf, **options)
    np.testing.assert_allclose(other.ntk, both.ntk, rtol=0, atol=1e-9)  # quadrature, see tests/limits/test_duals.py
    np.testing.assert_allclose(nh.cnn_kernel(X1, activation="erf", get="nngp", **options), both.nngp, rtol=1e-13)
    np.testing.assert_allclose(
        nh.cnn_kernel(X1, X1.copy(), activation="erf", get="ntk", **options), both.ntk, rtol=1e-13
    )


def scipy_like_erf(z):
    return jax.scipy.special.erf(z)


def test_memory_does_not_grow_with_pairs_of_pixels():
    """Pooling 12 x 12 images: all pairs of pixels would take 20736 results, here it is a few hundred."""
    n = 4
    x = jnp.asarray(RNG.normal(size=(n, 12, 12, 1)), jnp.float32)
    kernel = partial(nh.cnn_kernel, depth=2, readout="pool", padding="CIRCULAR")
    memory = jax.jit(lambda x: tuple(kernel(x))).lower(x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 25 * 144 * n * n * 4


GOOD = np.ones((2, 4, 4, 1), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x1": GOOD[0, :, :, 0]}, ValueError, r"x1 must have shape \(N, \*pixels, C\).*x\[..., None\]"),
        ({"x1": GOOD[:0]}, ValueError, "x1 must have no axis of length 0"),
        ({"x1": GOOD.astype(int)}, TypeError, "x1 must be a real floating-point array"),
        ({"x1": np.where(GOOD > 0, np.nan, 0)}, ValueError, r"x1 must be finite.*\[0, 0, 0, 0\]"),
        ({"x2": np.ones((2, 4, 3, 1))}, ValueError, "x1 and x2 must hold images of one size"),
        ({"depth": 0}, ValueError, "depth must be a positive integer"),
        ({"window": (3, 3, 3)}, ValueError, "window must be one integer or one for each of the 2 axes"),
        ({"window": 0}, ValueError, r"window\[0\] must be a positive integer"),
        ({"window": 3, "padding": "VALID"}, ValueError, "too large for 2 VALID convolutions"),
        ({"window": 5, "padding": "CIRCULAR"}, ValueError, "too large for 2 CIRCULAR convolutions"),
        ({"padding": "FULL"}, ValueError, "padding must be one of 'SAME', 'VALID', 'CIRCULAR', got 'FULL'"),
        ({"readout": "max"}, ValueError, "readout must be one of"),
        ({"taps": "edge"}, ValueError, "taps must be one of 'uniform', 'center'"),
        ({"taps": "center", "window": 2}, ValueError, "odd lengths"),
        ({"taps": np.ones((3, 3))}, ValueError, "of sum 1"),
        ({"taps": np.ones(9) / 9}, ValueError, r"window's shape \(3, 3\), got \(9,\)"),
        ({"sigma_w": -1.0}, ValueError, "sigma_w must be finite and not negative"),
        ({"get": "kernel"}, ValueError, "get must be one of"),
    ],
)
def test_bad_input(change, error, message, without_hook):
    # VALID windows of 3 shrink 4 pixels to 0 in two layers
    arguments = {"x1": GOOD, "x2": None, "depth": 2} | change
    with pytest.raises(error, match=message):
        nh.cnn_kernel(arguments.pop("x1"), arguments.pop("x2"), **arguments)
