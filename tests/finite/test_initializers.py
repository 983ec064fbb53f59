import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from ntk_helpers.finite.initializers import delta_orthogonal, gaussian, orthogonal, resolve_initializer

SHAPES = [(6, 6), (3, 7), (7, 3), (1, 5), (5, 1), (1, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_orthogonal_is_an_isometry(shape, seed):
    w = np.asarray(orthogonal(key=jax.random.key(seed), shape=shape), dtype=float)
    n_out, n_in = shape
    # float32 rounding of products of length <= 7 with entries of size sqrt(7)
    if n_out <= n_in:
        np.testing.assert_allclose(w @ w.T, n_in * np.eye(n_out), atol=2e-5)
    if n_out >= n_in:
        np.testing.assert_allclose(w.T @ w, n_out * np.eye(n_in), atol=2e-5)


def test_orthogonal_in_float64(x64):
    w = np.asarray(orthogonal(key=jax.random.key(0), shape=(40, 40), dtype=jnp.float64))
    assert w.dtype == np.float64
    np.testing.assert_allclose(w @ w.T, 40 * np.eye(40), atol=1e-12)


def haar_statistics(w):
    """Functions of a sample of orthogonal matrices (m, n, n) that tell Haar from QR without the sign fix."""
    entries = np.concatenate([w[:, 0, 0, None], w[:, 1, 1, None], w[:, 0, 1, None]], axis=1)
    return np.concatenate(
        [
            entries,
            entries**2,
            entries**4,
            (w[:, 0, 0] * w[:, 1, 1])[:, None],
            (w[:, 0, 0] ** 2 * w[:, 1, 1] ** 2)[:, None],
            np.trace(w, axis1=1, axis2=2)[:, None] ** 2,
            np.linalg.det(w)[:, None],
        ],
        axis=1,
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_orthogonal_has_the_moments_of_scipys_ortho_group(seed):
    n, m = 4, 10_000
    keys = jax.random.split(jax.random.key(seed), m)
    ours = haar_statistics(np.asarray(jax.vmap(lambda k: orthogonal(key=k, shape=(n, n)))(keys)) / np.sqrt(n))
    theirs = haar_statistics(scipy.stats.ortho_group.rvs(n, size=m, random_state=seed))
    z = (ours.mean(0) - theirs.mean(0)) / np.sqrt((ours.var(0) + theirs.var(0)) / m)
    assert np.abs(z).max() < 4, z


@pytest.mark.parametrize(("initializer", "shape"), [(gaussian, (3, 5)), (orthogonal, (3, 5)), (orthogonal, (5, 3))])
def test_entries_have_mean_zero_and_variance_one(initializer, shape):
    m = 4000
    keys = jax.random.split(jax.random.key(3), m)
    w = np.asarray(jax.vmap(lambda k: initializer(key=k, shape=shape))(keys), dtype=float)
    assert np.abs(w.mean(0) / (w.std(0) / np.sqrt(m))).max() < 4
    z = (np.mean(w**2, 0) - 1) / (np.std(w**2, 0) / np.sqrt(m))
    assert np.abs(z).max() < 4


def test_gaussian_entries_pass_kolmogorov_smirnov():
    w = np.asarray(gaussian(key=jax.random.key(0), shape=(200, 50)))
    assert scipy.stats.kstest(w.ravel(), "norm").pvalue > 1e-4


@pytest.mark.parametrize("initializer", [gaussian, orthogonal])
@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 3, 4)])
def test_bad_shape(initializer, shape, without_hook):
    with pytest.raises(ValueError, match="shape must be two positive integers"):
        initializer(key=jax.random.key(0), shape=shape)


def test_resolve():
    assert resolve_initializer("orthogonal") is orthogonal
    assert resolve_initializer(gaussian) is gaussian
    with pytest.raises(ValueError, match="unknown name 'he'"):
        resolve_initializer("he")


def test_resolve_wrong_type(without_hook):
    with pytest.raises(TypeError, match="name or a callable"):
        resolve_initializer(3.0)


@pytest.mark.parametrize("shape", [(4, 4, 3, 3), (6, 2, 3), (2, 6, 1, 5)])
def test_delta_orthogonal_is_one_scaled_isometry_in_the_centre(shape):
    w = np.asarray(delta_orthogonal(key=jax.random.key(0), shape=shape), dtype=float)
    n_out, n_in, *window = shape
    centre = (slice(None), slice(None), *(k // 2 for k in window))
    taps = int(np.prod(window))
    q = w[centre] / np.sqrt(taps * max(n_out, n_in))
    np.testing.assert_allclose(q @ q.T if n_out <= n_in else q.T @ q, np.eye(min(n_out, n_in)), atol=2e-6)
    w[centre] = 0
    assert np.all(w == 0)


def test_the_centre_of_delta_orthogonal_is_haar():
    keys = jax.random.split(jax.random.key(5), 4000)
    w = np.asarray(jax.vmap(lambda k: delta_orthogonal(key=k, shape=(3, 3, 3)))(keys)) / 3
    theirs = haar_statistics(scipy.stats.ortho_group.rvs(3, size=4000, random_state=0))
    ours = haar_statistics(w[..., 1])
    z = (ours.mean(0) - theirs.mean(0)) / np.sqrt((ours.var(0) + theirs.var(0)) / 4000)
    assert np.abs(z).max() < 4, z


@pytest.mark.parametrize("shape", [(3, 3), (3, 3, 2), (3, 0, 3), (3, 3, 3, 4)])
def test_delta_orthogonal_needs_a_window_with_a_centre(shape, without_hook):
    with pytest.raises(ValueError, match=r"shape must be positive integers|odd lengths"):
        delta_orthogonal(key=jax.random.key(0), shape=shape)


def test_many_large_orthogonal_matrices_at_once():
    """In a process of its own, with a limit: a batched QR decomposition has been seen to wait without end."""
    code = (
        "import jax, numpy as np\n"
        "from ntk_helpers.finite.initializers import orthogonal\n"
        "keys = jax.random.split(jax.random.key(0), 10)\n"
        "draw = lambda key: orthogonal(key=key, shape=(230, 230), dtype=np.float32)\n"
        "many = np.asarray(jax.jit(jax.vmap(draw))(keys))\n"
        "np.testing.assert_allclose(many[3], draw(keys[3]), atol=2e-4)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
