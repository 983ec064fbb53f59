from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from limits.reference import pair_at_angle, true_angle

from ntk_helpers.limits._gram import cosine_and_gap, row_norms

# Angles and their bars, as the compiler leaves them to users.
pytestmark = pytest.mark.optimized


@partial(jax.jit, static_argnames="offset")
def compiled(x1, x2, offset=None):
    """Cosine and gap of the rows."""
    return cosine_and_gap(row_norms(x1)[1], row_norms(x2)[1], offset)


ANGLES = [1e-9, 1e-7, 1e-5, 1e-3, 0.02, 0.1, 0.2, 0.4, 0.5, 1.0, 1.5, 2.0, 3.0, np.pi - 1e-3, np.pi - 1e-6]


@pytest.mark.parametrize("d", [2, 20, 784])
def test_angle_error_is_a_few_eps_at_every_angle(dtype, d):
    rng = np.random.default_rng(0)
    x1, x2 = map(np.array, zip(*(pair_at_angle(rng, d, a, 1.3, 1.7, dtype) for a in ANGLES), strict=True))
    cosine, gap = compiled(x1, x2)
    cosine, gap = np.diag(cosine).astype(float), np.diag(gap).astype(float)
    acute = 2 * np.arcsin(np.sqrt(gap / 2))
    angle = np.where(cosine < 0, np.pi - acute, acute)
    expected = np.array([true_angle(a, b) for a, b in zip(x1, x2, strict=True)])
    # The bound of book/numerics.md: normalizing moves a direction by at most eps / 2 * sqrt(2); above the angle 0.45
    # the plain product adds eps * sqrt(d) / 2 / sin(angle) at worst, in practice less than 4 eps at d = 784.
    assert np.max(np.abs(angle - expected)) <= 6 * np.finfo(dtype).eps


def test_equal_and_opposite_rows_are_exact(dtype):
    x = np.random.default_rng(1).normal(size=(40, 7)).astype(dtype)
    cosine, gap = map(np.asarray, compiled(x, np.concatenate([x, -x, 4 * x])))
    for start, sign in ((0, 1), (40, -1), (80, 1)):
        np.testing.assert_array_equal(np.diag(gap[:, start : start + 40]), 0.0)
        np.testing.assert_array_equal(np.diag(cosine[:, start : start + 40]), sign)


def test_known_equal_rows_from_an_offset_on(dtype):
    x = np.random.default_rng(2).normal(size=(9, 5)).astype(dtype)
    _, whole = map(np.asarray, compiled(x, x, 0))
    _, part = map(np.asarray, compiled(x[3:7], x, 3))
    np.testing.assert_array_equal(np.diag(whole), 0.0)
    np.testing.assert_allclose(part, whole[3:7], rtol=0, atol=4 * np.finfo(dtype).eps)


def test_norms_neither_overflow_nor_underflow():
    x = jnp.array([[3e-25, 4e-25], [3e25, 4e25], [0.0, 0.0]], jnp.float32)
    norm, direction = row_norms(x)
    np.testing.assert_allclose(norm, [5e-25, 5e25, 0.0], rtol=1e-6)
    np.testing.assert_allclose(direction, [[0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-6)


def test_derivative_is_that_of_the_cosine(x64):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 3))
    x[1] = x[0]
    x[2] = [1.0, 0.0, 0.0]
    x[3] = [0.0, 1.0, 0.0]  # orthogonal to x[2]: the derivative of abs must not be 0 there

    def cosine(x, known):
        u = row_norms(x)[1]
        return cosine_and_gap(u, u, 0 if known else None)[0]

    def plain(x):
        u = x / jnp.linalg.norm(x, axis=1, keepdims=True)
        return u @ u.T

    weights = rng.normal(size=(4, 4))
    expected = jax.grad(lambda x: (plain(x) * weights).sum())(jnp.asarray(x))
    for known in (True, False):
        got = jax.jit(jax.grad(lambda x, known=known: (cosine(x, known) * weights).sum()))(jnp.asarray(x))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)
