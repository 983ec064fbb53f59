import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import ntk_helpers as nh
from ntk_helpers.finite import sampling

X = np.array([[1.0, 0.0, 0.5], [0.6, 0.8, 0.0], [1.0, 0.0, 0.5], [-1.0, 0.3, 0.2], [0.2, 0.1, 0.9]], dtype=np.float32)


def test_one_network_a_key():
    net = nh.fcn(d_in=3, width=8, depth=2, d_out=2, sigma_b=0.3)
    f = nh.sample_outputs(net, jnp.array(X), key=jax.random.key(0), n_networks=7)
    keys = jax.random.split(jax.random.key(0), 7)
    loop = np.stack([net.apply(net.init(key=k), jnp.array(X)) for k in keys])
    # float32 rounding of the same sums in another order
    np.testing.assert_allclose(f, loop, rtol=0, atol=2e-6)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("by_law", [False, True])
def test_draws_do_not_depend_on_the_batch_size(impl, by_law):
    key = jax.random.key(4, impl=impl)
    net = nh.fcn(d_in=3, width=16, depth=1, sigma_b=0.1)
    x = jnp.array(np.delete(X, 2, axis=0))  # a repeated input would leave the choice of a factor to rounding

    def sample(batch_size):
        if by_law:
            return nh.sample_fcn_law(x, key=key, n_networks=8, width=16, depth=1, sigma_b=0.1, batch_size=batch_size)
        return nh.sample_outputs(net, x, key=key, n_networks=8, batch_size=batch_size)

    whole = np.asarray(sample(None))
    assert whole.shape == (8, 4, 1)
    assert len(np.unique(whole[:, 0, 0])) == 8
    np.testing.assert_allclose(sample(1), whole, rtol=0, atol=2e-6)


def test_legacy_keys_and_other_networks():
    net = nh.mirrored(nh.fcn(d_in=3, width=8, depth=1))
    f = nh.sample_outputs(net, jnp.array(X), key=jax.random.PRNGKey(0), n_networks=3)
    np.testing.assert_array_equal(f, 0.0)


def test_batches_respect_the_memory_and_are_even():
    assert (
        sampling._batch_sizes(100, None, sampling.BATCH_BYTES // 30) == 25
    )  # 4 batches of 25, not 3 of 30 and 1 of 10
    assert sampling._batch_sizes(100, None, 10 * sampling.BATCH_BYTES) == 1
    assert sampling._batch_sizes(100, 64, 1) == 50


def test_progress_bar_appears_for_long_runs_only(capsys, monkeypatch):
    net = nh.fcn(d_in=3, width=4, depth=1)
    monkeypatch.setattr(sampling, "PROGRESS_AFTER", 600.0)
    nh.sample_outputs(net, jnp.array(X), key=jax.random.key(0), n_networks=3)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sampling, "PROGRESS_AFTER", 0.0)
    nh.sample_outputs(net, jnp.array(X), key=jax.random.key(0), n_networks=3, batch_size=1)
    assert "networks:" in capsys.readouterr().err


CASES = [
    # width, depth, sigma_w, sigma_b, biases, scale_input, activation
    (4, 1, 1.4, 0.3, "all", True, "relu"),  # narrower than the number of inputs: the weights themselves are drawn
    (12, 2, 1.5, 0.5, "first", False, "erf"),
    ((8, 3, 20), 3, (1.0, 1.4, 1.2, 0.7), (0.1, 0.2, 0.0, 0.4), "all", True, "tanh"),
]


def moments(f):
    """Mean, covariance and the fourth moments of outputs f (m, N), one row a network."""
    pairs = f[:, :, None] * f[:, None, :]
    return np.concatenate([f, pairs.reshape(len(f), -1), (pairs**2).reshape(len(f), -1)], axis=1)


@pytest.mark.parametrize(("width", "depth", "sigma_w", "sigma_b", "biases", "scale_input", "activation"), CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_law_is_that_of_networks(width, depth, sigma_w, sigma_b, biases, scale_input, activation, seed):
    m = 20_000
    options = {
        "width": width,
        "depth": depth,
        "sigma_w": sigma_w,
        "sigma_b": sigma_b,
        "biases": biases,
        "scale_input": scale_input,
        "activation": activation,
        "d_out": 2,
    }
    key_a, key_b = jax.random.split(jax.random.key(seed))
    networks = nh.sample_outputs(nh.fcn(d_in=3, **options), jnp.array(X), key=key_a, n_networks=m)
    law = nh.sample_fcn_law(jnp.array(X), key=key_b, n_networks=m, **options)
    assert law.shape == networks.shape == (m, 5, 2)
    networks, law = np.asarray(networks, dtype=float), np.asarray(law, dtype=float)
    for a, b in [(moments(networks[:, :, 0]), moments(law[:, :, 0])), (moments(networks[:, 0]), moments(law[:, 0]))]:
        z = (a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / m)
        assert np.abs(z).max() < 4.5, np.abs(z).max()  # 80 correlated statistics, 6 times: 4.5 sigma for one in 300
    # Whole distributions, of one output and of a difference of two.
    assert scipy.stats.ks_2samp(networks[:, 0, 0], law[:, 0, 0]).pvalue > 1e-4
    difference = [f[:, 3, 0] - f[:, 4, 0] for f in (networks, law)]
    assert scipy.stats.ks_2samp(*difference).pvalue > 1e-4


@pytest.mark.optimized
def test_the_law_keeps_equal_inputs_equal():
    f = nh.sample_fcn_law(jnp.array(X), key=jax.random.key(0), n_networks=50, width=64, depth=3, sigma_w=1.4)
    assert np.abs(f[:, 0]).max() > 0.1
    # Rows 0 and 2 are the same input. A factor of the squared matrix would leave sqrt(eps) = 3e-4.
    np.testing.assert_allclose(f[:, 0], f[:, 2], rtol=0, atol=1e-5)


def test_the_law_is_exact_for_one_hidden_unit(x64):
    """Width 1, one input, identity: the output is a product of two normals, whose kurtosis is 9."""
    f = nh.sample_fcn_law(
        jnp.ones((1, 1)), key=jax.random.key(1), n_networks=200_000, width=1, depth=1, activation="identity"
    )
    assert f.dtype == jnp.float64
    product = np.asarray(f).ravel()
    rng = np.random.default_rng(0)
    assert scipy.stats.ks_2samp(product, rng.normal(size=200_000) * rng.normal(size=200_000)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": X[0]}, ValueError, "shape"),
        ({"x": X[:0]}, ValueError, "at least one row"),
        ({"x": X * np.nan}, ValueError, "finite"),
        ({"x": X.astype(int)}, TypeError, "int"),
        ({"n_networks": 0}, ValueError, "n_networks"),
        ({"n_networks": 2.5}, TypeError, "n_networks"),
        ({"batch_size": -1}, ValueError, "batch_size"),
    ],
)
@pytest.mark.parametrize("by_law", [False, True])
def test_bad_input(change, error, message, by_law, without_hook):
    options = {"x": jnp.array(X), "key": jax.random.key(0), "n_networks": 3} | change
    if by_law:
        options |= {"width": 4, "depth": 1}
    else:
        options |= {"net": nh.fcn(d_in=3, width=4, depth=1)}
    with pytest.raises(error, match=message):
        (nh.sample_fcn_law if by_law else nh.sample_outputs)(**options)


def test_not_a_network(without_hook):
    with pytest.raises(TypeError, match="net must be a Network"):
        nh.sample_outputs(lambda x: x, jnp.array(X), key=jax.random.key(0), n_networks=3)
