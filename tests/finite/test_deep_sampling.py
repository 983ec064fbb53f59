import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import polygamma, psi
from scipy.stats import binom, ks_2samp

import ntk_helpers as nh

M, N, WIDTH, DEPTH = 4000, 3, 6, 4  # one shape for the cases, so that they share what is compiled


def start(seed=0, m=M):
    x = np.array([[1.0, 0.2], [0.3, -1.0], [1.0, 0.2]], np.float32)
    w = jax.random.normal(jax.random.key(seed), (m, 2, WIDTH))
    return jnp.einsum("id,mdn->min", x, w)


def by_matrices(z, skip, branch, phi, balanced, seed):
    """The recursion with its matrices and, for balanced networks, signs, by NumPy."""
    rng = np.random.default_rng(seed)
    z = np.asarray(z, float)
    for _ in range(DEPTH):
        w = rng.standard_normal((len(z), WIDTH, WIDTH))
        signs = rng.choice([-1.0, 1.0], size=(len(z), 1, WIDTH)) if balanced else 1.0
        z = skip * z + branch / np.sqrt(WIDTH) * np.einsum("mij,mnj->mni", w, phi(signs * z))
    return z


CASES = [
    (0.0, 2**0.5, "relu", False),
    (1.0, 0.5, "relu", False),
    (0.7, 1.0, "relu", True),
    (0.9, 0.8, "tanh", False),
]
PHI = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}


@pytest.mark.parametrize(("skip", "branch", "name", "balanced"), CASES)
def test_the_law_is_that_of_matrices(skip, branch, name, balanced):
    options = {"depth": DEPTH, "skip": skip, "branch": branch, "activation": name, "balanced": balanced}
    draws = nh.sample_deep_law(start(), key=jax.random.key(1), **options)
    z = by_matrices(start(2), skip, branch, PHI[name], balanced, seed=3)
    gram = np.einsum("min,mjn->mij", z, z) / WIDTH
    ours = np.asarray(draws.gram[:, 0])
    pairs = [(ours[:, 0, 0], gram[:, 0, 0]), (ours[:, 0, 1], gram[:, 0, 1])]
    pairs += [(np.asarray(draws.energy[:, 0, 1]), np.mean(PHI[name](z[:, 1]) ** 2, axis=-1))]
    for a, b in pairs:
        assert ks_2samp(a, b).pvalue > 1e-4
    active = np.asarray(draws.active[:, 0, 0]), np.mean(z[:, 0] > 0, axis=-1)
    se = np.sqrt(np.var(active[0]) / M + np.var(active[1]) / M)
    assert abs(active[0].mean() - active[1].mean()) < 4 * se


@pytest.mark.optimized
def test_equal_inputs_stay_equal():
    draws = nh.sample_deep_law(start(m=50), key=jax.random.key(1), depth=DEPTH, skip=1.0, branch=0.5)
    gram = np.asarray(draws.gram[:, 0])
    np.testing.assert_allclose(gram[:, 0], gram[:, 2], rtol=0, atol=1e-5 * gram.max())


def test_plain_relu_at_one_input_is_a_product_of_independent_factors():
    """log |z^L|^2 is a sum of L logs of (2/n) chi^2 with a binomial number of degrees, whose moments scipy knows."""
    n, depth, m = 24, 10, 20_000
    z = jax.random.normal(jax.random.key(6), (m, 1, n))
    draws = nh.sample_deep_law(z, key=jax.random.key(7), depth=depth, skip=0.0, branch=2**0.5, layers=[1, depth])
    logs = np.log(np.asarray(draws.energy[:, :, 0], float))
    r = np.arange(1, n + 1)
    weight = binom.pmf(r, n, 0.5)
    mean = weight @ (psi(r / 2) + np.log(2)) - np.log(n) + np.log(2)
    second = weight @ (polygamma(1, r / 2) + (psi(r / 2) + np.log(2) - np.log(n) + np.log(2)) ** 2)
    variance = second - mean**2
    steps = logs[:, 1] - logs[:, 0]
    assert abs(steps.mean() - (depth - 1) * mean) < 4 * np.sqrt((depth - 1) * variance / m)
    assert steps.var() == pytest.approx((depth - 1) * variance, rel=0.05)  # 1 % of sampling, 4 times


def test_layers_batches_and_order():
    options = {"depth": 5, "skip": 0.5, "branch": 1.0}
    z = start(m=7)
    draws = nh.sample_deep_law(z, key=jax.random.key(0), layers=(0, 2, 5), **options)
    assert draws.gram.shape == (7, 3, 3, 3)
    assert draws.active.shape == draws.energy.shape == (7, 3, 3)
    np.testing.assert_allclose(draws.gram[:, 0], jnp.einsum("min,mjn->mij", z, z) / WIDTH, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(draws.energy[:, 0], np.mean(np.maximum(z, 0) ** 2, axis=-1), rtol=1e-5)
    last = nh.sample_deep_law(z, key=jax.random.key(0), **options)
    np.testing.assert_allclose(last.gram[:, 0], draws.gram[:, 2], rtol=1e-5, atol=1e-6)
    small = nh.sample_deep_law(z, key=jax.random.key(0), layers=(0, 5), batch_size=2, **options)
    assert small.gram.shape == (7, 2, 3, 3)
    np.testing.assert_allclose(small.gram[:, 0], draws.gram[:, 0], rtol=1e-6)
    assert len(np.unique(np.asarray(small.gram[:, 1, 0, 0]))) == 7  # no network twice


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"start": np.ones((3, 4), np.float32)}, ValueError, "shape"),
        ({"start": np.ones((3, 17, 4), np.float32)}, ValueError, "16 inputs"),
        ({"start": np.full((3, 1, 4), np.nan, np.float32)}, ValueError, "finite"),
        ({"start": np.ones((3, 1, 4), int)}, TypeError, "int"),
        ({"depth": 0}, ValueError, "depth"),
        ({"skip": np.nan}, ValueError, "skip"),
        ({"branch": np.ones(2)}, ValueError, "branch"),
        ({"layers": (2, 1)}, ValueError, "layers"),
        ({"layers": (1, 9)}, ValueError, "layers"),
        ({"layers": (0.5,)}, ValueError, "layers"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_bad_input(change, error, message, without_hook):
    options = {
        "start": np.ones((3, 1, 4), np.float32),
        "key": jax.random.key(0),
        "depth": 3,
        "skip": 0.0,
        "branch": 1.0,
    }
    with pytest.raises(error, match=message):
        nh.sample_deep_law(**(options | change))
