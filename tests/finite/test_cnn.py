import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 5, 4, 2)).astype(np.float32)


def draw(net, seed=0):
    return jax.jit(net.init)(key=jax.random.key(seed))


def by_numpy(params, x, window, padding, readout, sigma_w, sigma_b, standard):
    """The network written out pixel by pixel, tanh, float64."""
    h = np.asarray(x, float)
    for layer, (w, b) in enumerate(params):
        w, b = np.asarray(w, float), 0.0 if b is None else np.asarray(b, float)
        scale, b_scale = (1, 1) if standard else (sigma_w[layer] / np.sqrt(w[0].size), sigma_b[layer])
        if w.ndim == 2:
            h = h.reshape(len(h), -1) if readout == "flatten" else h.mean(axis=(1, 2))
            return scale * h @ w.T + b_scale * b
        rows, columns = h.shape[1:3]
        reach = [(k - 1) // 2 for k in window] if padding != "VALID" else [0, 0]
        size = (rows, columns) if padding != "VALID" else (rows - window[0] + 1, columns - window[1] + 1)
        z = np.zeros((len(h), *size, w.shape[0]))
        for i, j, s, t in itertools.product(*map(range, (*size, *window))):
            p, q = i + s - reach[0], j + t - reach[1]
            if padding == "CIRCULAR":
                p, q = p % rows, q % columns
            if 0 <= p < rows and 0 <= q < columns:
                z[:, i, j] += h[:, p, q] @ w[:, :, s, t].T
        h = np.tanh(scale * z + b_scale * b)
    raise AssertionError("no readout")


@pytest.mark.parametrize(
    ("padding", "readout", "standard"),
    [("SAME", "flatten", False), ("CIRCULAR", "pool", False), ("VALID", "flatten", True), ("SAME", "pool", True)],
)
def test_the_formula(padding, readout, standard):
    """A window of even and odd length, channels that differ, two layers."""
    scales = {"sigma_w": (1.2, 0.9, 1.5), "sigma_b": (0.1, 0.2, 0.3)}
    net = nh.cnn(
        input_shape=(5, 4, 2),
        width=(3, 6),
        depth=2,
        d_out=2,
        window=(3, 2),
        padding=padding,
        readout=readout,
        activation="tanh",
        parameterization="standard" if standard else "ntk",
        **scales,
    )
    params = draw(net)
    expected = by_numpy(params, X, (3, 2), padding, readout, standard=standard, **scales)
    # float32 rounding of three sums of at most 60 terms of size about 1
    np.testing.assert_allclose(jax.jit(net.apply)(params, X), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("initializer", ["gaussian", "orthogonal"])
def test_both_parameterizations_are_the_same_function_at_initialization(initializer):
    options = {"width": 4, "depth": 2, "sigma_w": 1.3, "sigma_b": 0.2, "initializer": initializer}
    ntk, standard = (
        nh.cnn(input_shape=(5, 4, 2), parameterization=p, taps="center", **options) for p in ("ntk", "standard")
    )
    outputs = [
        jax.jit(lambda key, net=net: net.apply(net.init(key=key), X))(jax.random.key(1)) for net in (ntk, standard)
    ]
    np.testing.assert_allclose(*outputs, rtol=0, atol=5e-6)


SHARES = np.array([0.5, 0.2, 0.3])


@pytest.mark.parametrize("initializer", ["gaussian", "orthogonal"])
def test_variances_of_the_taps(initializer):
    net = nh.cnn(input_shape=(5, 1), width=40, depth=2, initializer=initializer, taps=SHARES)
    w = np.asarray(draw(net)[1].w)
    variances = np.mean(w**2, axis=(0, 1))
    # Gaussian: 4 sigma of a variance over 1600 numbers; a Haar matrix has the mean square 1 exactly
    tolerance = 4 * np.sqrt(2 / 1600) if initializer == "gaussian" else 1e-5
    np.testing.assert_allclose(variances, 3 * SHARES, rtol=tolerance)
    if initializer == "orthogonal":
        products = np.einsum("oit,ojs->tsij", w, w) / 40
        for t, s in itertools.product(range(3), repeat=2):
            if t == s:
                np.testing.assert_allclose(products[t, t], 3 * SHARES[t] * np.eye(40), atol=2e-5)
            else:  # independent: far from a multiple of the identity
                assert np.abs(products[t, s] - np.diag(np.diag(products[t, s]))).max() > 0.1


@pytest.mark.parametrize("padding", ["CIRCULAR", "SAME"])
def test_a_delta_orthogonal_network_keeps_norms_and_angles(padding):
    """Identity, as many channels out as in, no bias: features of any layer have the products of the inputs.

    The centre tap never sees the padding, so that zeros around the image do no harm.
    """
    net = nh.cnn(
        input_shape=(5, 4, 6),
        width=6,
        depth=3,
        d_out=120,
        activation="identity",
        padding=padding,
        taps="center",
        initializer="orthogonal",
    )
    x = jax.random.normal(jax.random.key(0), (4, 5, 4, 6))
    f = jax.jit(net.apply)(draw(net, 1), x)
    flat = np.asarray(x).reshape(4, -1)
    np.testing.assert_allclose(f @ f.T, flat @ flat.T, rtol=0, atol=1e-3)  # entries of 120, float32, four layers


@pytest.mark.parametrize("seed", [0, 1])
def test_a_haar_matrix_for_each_tap_does_not_keep_norms(seed):
    net = nh.cnn(
        input_shape=(8, 8),
        width=8,
        depth=1,
        d_out=64,
        activation="identity",
        padding="CIRCULAR",
        initializer="orthogonal",
    )
    x = jax.random.normal(jax.random.key(seed), (4, 8, 8))
    f = jax.jit(net.apply)(draw(net, 2), x)
    assert np.abs(np.sum(f**2, 1) / np.sum(x**2, (1, 2)) - 1).max() > 1e-3


def test_the_empirical_kernel_of_a_cnn_is_that_of_its_jacobian():
    net = nh.cnn(
        input_shape=(5, 4, 2), width=4, depth=2, activation="erf", padding="CIRCULAR", sigma_b=0.1, taps="center"
    )
    params = draw(net)
    rows = jax.tree.leaves(jax.jit(jax.jacobian(net.apply))(params, X))
    jacobian = np.concatenate([np.asarray(r, float).reshape(3, -1) for r in rows], axis=1)
    kernel = nh.empirical_ntk(net.apply, params, X, output="trace")
    np.testing.assert_allclose(kernel, jacobian @ jacobian.T, rtol=2e-5, atol=1e-5)


def test_dtypes(x64):
    net = nh.cnn(input_shape=(5, 4, 2), width=2, depth=1, initializer="orthogonal")
    key = jax.random.key(0)
    double, single = (jax.eval_shape(lambda d=d: net.init(key=key, dtype=d)) for d in (float, jnp.float32))
    assert double[0].w.dtype == jnp.float64
    assert single[0].w.dtype == jnp.float32
    assert jax.eval_shape(net.apply, double, X).dtype == jnp.float64
    assert jax.eval_shape(net.apply, single, X).dtype == jnp.float32


GOOD = {"input_shape": (5, 4, 2), "width": 4, "depth": 2}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"input_shape": (5,)}, ValueError, r"input_shape must be \(\*pixels, channels\)"),
        ({"input_shape": (5, 0, 2)}, ValueError, r"input_shape\[1\] must be a positive integer"),
        ({"width": (4, 4, 4)}, ValueError, "width must be one integer or one for each of the 2 convolutions"),
        ({"width": 2.5}, TypeError, r"width\[0\]"),
        ({"depth": 0}, ValueError, "depth"),
        ({"window": 3, "padding": "VALID"}, ValueError, "too large for 2 VALID"),
        ({"padding": "same"}, ValueError, "padding must be one of"),
        ({"readout": "last"}, ValueError, "readout must be one of"),
        ({"taps": (0.5, 0.5)}, ValueError, "taps must have the window's shape"),
        ({"taps": np.full((3, 3), "a")}, TypeError, "taps must be 'uniform', 'center' or an array"),
        ({"sigma_w": (1.0, 1.0)}, ValueError, "sigma_w"),
        ({"parameterization": "mup"}, ValueError, "parameterization"),
        ({"initializer": "he"}, ValueError, "initializer"),
    ],
)
def test_bad_hyperparameters(change, error, message, without_hook):
    with pytest.raises(error, match=message):
        nh.cnn(**(GOOD | change))


def test_bad_inputs(without_hook):
    net = nh.cnn(**GOOD)
    params = draw(net)
    with pytest.raises(ValueError, match=r"input_shape \(5, 4, 2\), got shape \(3, 5, 4, 1\)"):
        net.apply(params, X[..., :1])
    with pytest.raises(ValueError, match="3 layers, got 2"):
        net.apply(params[:2], X)
    with pytest.raises(TypeError, match="int"):
        net.apply(params, X.astype(int))
