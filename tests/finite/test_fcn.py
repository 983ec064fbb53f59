import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import ntk_helpers as nh

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3)).astype(np.float32)

NUMPY = {
    "relu": lambda z: np.maximum(z, 0),
    "erf": scipy.special.erf,
    "tanh": np.tanh,
    "sin": np.sin,
    "abs": np.abs,
}


def by_numpy(params, x, activation, sigma_w, sigma_b, scale_input, standard):
    """The network written out, in float64."""
    z = np.asarray(x, dtype=float)
    for layer, (w, b) in enumerate(params):
        if layer > 0:
            z = NUMPY[activation](z)
        fan_in = 1 if layer == 0 and not scale_input else z.shape[1]
        w_scale, b_scale = (1, 1) if standard else (sigma_w[layer] / np.sqrt(fan_in), sigma_b[layer])
        z = w_scale * (z @ np.asarray(w, dtype=float).T)
        if b is not None:
            z = z + b_scale * np.asarray(b, dtype=float)
    return z


@pytest.mark.parametrize("activation", sorted(NUMPY))
@pytest.mark.parametrize(("standard", "scale_input"), [(False, True), (False, False), (True, False)])
def test_the_formula(activation, standard, scale_input):
    sigma_w, sigma_b = (1.2, 0.9, 1.5), (0.1, 0.0, 0.3)
    net = nh.fcn(
        d_in=3,
        width=(5, 7),
        depth=2,
        d_out=2,
        activation=activation,
        sigma_w=sigma_w,
        sigma_b=sigma_b,
        scale_input=scale_input,
        parameterization="standard" if standard else "ntk",
    )
    params = net.init(key=jax.random.key(0))
    assert [p.w.shape for p in params] == [(5, 3), (7, 5), (2, 7)]
    f = net.apply(params, jnp.array(X))
    assert f.dtype == jnp.float32
    expected = by_numpy(params, X, activation, sigma_w, sigma_b, scale_input, standard)
    # float32 rounding of three sums of at most 7 terms of size about 1
    np.testing.assert_allclose(f, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("initializer", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("seed", [0, 1])
def test_both_parameterizations_are_the_same_function_at_initialization(initializer, seed):
    ntk, standard = (
        nh.fcn(
            d_in=3,
            width=16,
            depth=3,
            activation="erf",
            sigma_w=1.4,
            sigma_b=0.2,
            initializer=initializer,
            parameterization=parameterization,
        )
        for parameterization in ("ntk", "standard")
    )
    key = jax.random.key(seed)
    params, scaled = ntk.init(key=key), standard.init(key=key)
    np.testing.assert_allclose(standard.apply(scaled, X), ntk.apply(params, X), rtol=0, atol=5e-6)
    for i, (p, s) in enumerate(zip(params, scaled, strict=True)):
        fan_in = [3, 16, 16, 16][i]
        np.testing.assert_allclose(s.w, 1.4 / np.sqrt(fan_in) * p.w, rtol=1e-6)
        np.testing.assert_allclose(s.b, 0.2 * p.b, rtol=1e-6)


def test_the_law_of_standard_weights():
    net = nh.fcn(d_in=4, width=200, depth=1, sigma_w=1.5, sigma_b=0.7, parameterization="standard", scale_input=False)
    hidden, readout = net.init(key=jax.random.key(0))
    # 4 sigma of a variance estimated from n normal numbers: 4 sqrt(2 / n)
    for values, variance in [(hidden.w, 1.5**2), (readout.w, 1.5**2 / 200), (hidden.b, 0.7**2)]:
        assert abs(np.var(values) / variance - 1) < 4 * np.sqrt(2 / values.size)


@pytest.mark.parametrize(
    ("biases", "sigma_b", "parameterization", "expected"),
    [
        ("all", 0.1, "ntk", [True, True, True]),
        ("first", 0.1, "ntk", [True, False, False]),
        ("none", 0.0, "ntk", [False, False, False]),
        ("all", 0.0, "ntk", [False, False, False]),
        ("all", (0.1, 0.0, 0.2), "ntk", [True, False, True]),
        ("all", 0.0, "standard", [True, True, True]),
        ("first", 0.0, "standard", [True, False, False]),
    ],
)
def test_which_layers_have_biases(biases, sigma_b, parameterization, expected):
    net = nh.fcn(d_in=2, width=3, depth=2, biases=biases, sigma_b=sigma_b, parameterization=parameterization)
    params = net.init(key=jax.random.key(0))
    assert [p.b is not None for p in params] == expected
    if parameterization == "standard":
        assert all(np.all(p.b == 0) for p in params if p.b is not None)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_variance_of_the_output_of_a_linear_network(seed):
    """Identity activation: Var f = sigma_w^2 (... (sigma_w^2 |x|^2 / d + sigma_b^2) ...) + sigma_b^2 at every width."""
    net = nh.fcn(d_in=3, width=5, depth=2, activation="identity", sigma_w=1.1, sigma_b=0.4)
    m = 10_000
    f = np.asarray(nh.sample_outputs(net, jnp.array(X), key=jax.random.key(seed), n_networks=m), dtype=float)[..., 0]
    variance = np.sum(X.astype(float) ** 2, axis=1) / 3
    for _ in range(3):
        variance = 1.1**2 * variance + 0.4**2
    z = (np.mean(f**2, 0) - variance) / (np.std(f**2, 0) / np.sqrt(m))
    assert np.abs(z).max() < 4
    assert np.abs(f.mean(0) / (f.std(0) / np.sqrt(m))).max() < 4


def test_orthogonal_square_layers_keep_lengths():
    """Identity, square, no bias: |z^l| = |x| in every layer, so |f| = |x| (sqrt(n) cancels the 1/sqrt(n))."""
    net = nh.fcn(d_in=6, width=6, depth=4, d_out=6, activation="identity", initializer="orthogonal")
    x = jax.random.normal(jax.random.key(0), (5, 6))
    f = net.apply(net.init(key=jax.random.key(1)), x)
    np.testing.assert_allclose(f @ f.T, x @ x.T, atol=2e-5)


def test_vmap_over_keys_equals_a_loop():
    net = nh.fcn(d_in=3, width=6, depth=2, sigma_b=0.1, initializer="orthogonal")
    keys = jax.random.split(jax.random.key(0), 4)
    many = jax.vmap(lambda k: net.init(key=k))(keys)
    for i, key in enumerate(keys):
        one = net.init(key=key)
        for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=0, atol=2e-6)


def test_custom_activation_and_initializer():
    def signs(*, key, shape, dtype):
        return jax.random.rademacher(key, shape, dtype)

    net = nh.fcn(d_in=2, width=4, depth=1, activation=lambda z: z**2, initializer=signs)
    params = net.init(key=jax.random.key(0))
    w1, w2 = (np.asarray(p.w) for p in params)
    assert set(np.unique(w1)) <= {-1.0, 1.0}
    expected = (X[:, :2] @ w1.T / np.sqrt(2)) ** 2 @ w2.T / 2
    np.testing.assert_allclose(net.apply(params, X[:, :2]), expected, atol=1e-6)


def test_dtypes(x64):
    net = nh.fcn(d_in=3, width=4, depth=1)
    key = jax.random.key(0)
    double, single = net.init(key=key), net.init(key=key, dtype=jnp.float32)
    assert double[0].w.dtype == jnp.float64
    assert single[0].w.dtype == jnp.float32
    x32, x64_ = jnp.array(X), jnp.array(X, dtype=jnp.float64)
    assert net.apply(double, x32).dtype == net.apply(single, x64_).dtype == net.apply(double, x64_).dtype == jnp.float64
    assert net.apply(single, x32).dtype == jnp.float32


def test_a_network_is_a_static_argument():
    net = nh.fcn(d_in=3, width=4, depth=1)
    assert hash(net) == hash(net)
    apply = jax.jit(lambda net, p, x: net.apply(p, x), static_argnums=0)
    params = net.init(key=jax.random.key(0))
    np.testing.assert_allclose(apply(net, params, X), net.apply(params, X), atol=1e-6)


def test_users_matmul_precision_is_respected():
    net = nh.fcn(d_in=3, width=4, depth=1)
    params = net.init(key=jax.random.key(0))
    assert "HIGHEST" in str(jax.make_jaxpr(net.apply)(params, jnp.array(X)))
    with jax.default_matmul_precision("bfloat16"):
        assert "HIGHEST" not in str(jax.make_jaxpr(net.apply)(params, jnp.array(X)))


GOOD = {"d_in": 3, "width": 4, "depth": 2}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"d_in": 0}, ValueError, "d_in"),
        ({"d_out": -1}, ValueError, "d_out"),
        ({"width": 2.5}, TypeError, "width"),
        ({"width": (4, 4, 4)}, ValueError, "width"),
        ({"width": (4, 0)}, ValueError, "width"),
        ({"depth": 0}, ValueError, "depth"),
        ({"depth": True}, TypeError, "depth"),
        ({"sigma_w": -1.0}, ValueError, "sigma_w"),
        ({"sigma_w": (1.0, 1.0)}, ValueError, "sigma_w"),
        ({"sigma_w": "big"}, TypeError, "sigma_w"),
        ({"sigma_b": float("nan")}, ValueError, "sigma_b"),
        ({"sigma_b": 0.1, "biases": "none"}, ValueError, "sigma_b"),
        ({"biases": "some"}, ValueError, "biases"),
        ({"parameterization": "mup"}, ValueError, "parameterization"),
        ({"activation": "swoosh"}, ValueError, "swoosh"),
        ({"activation": 3}, TypeError, "activation"),
        ({"initializer": "he"}, ValueError, "initializer"),
        ({"initializer": 3}, TypeError, "initializer"),
    ],
)
def test_bad_hyperparameters(change, error, message, without_hook):
    with pytest.raises(error, match=message):
        nh.fcn(**(GOOD | change))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (X[0], ValueError, "shape"),
        (X[:, :2], ValueError, "d_in = 3"),
        (X[:0], ValueError, "at least one row"),
        (np.where(X > 0, np.nan, X), ValueError, "finite"),
        (X.astype(int), TypeError, "int"),
        (X.astype(complex), TypeError, "complex"),
    ],
)
def test_bad_inputs(x, error, message, without_hook):
    net = nh.fcn(**GOOD)
    with pytest.raises(error, match=message):
        net.apply(net.init(key=jax.random.key(0)), x)


def test_wrong_number_of_layers(without_hook):
    net = nh.fcn(**GOOD)
    with pytest.raises(ValueError, match="3 layers, got 2"):
        net.apply(net.init(key=jax.random.key(0))[:2], jnp.array(X))
