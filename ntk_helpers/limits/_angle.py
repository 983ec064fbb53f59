r"""The angle from :math:`1 - \cos\theta`, without the loss of digits of arccos.

arccos(c) near c = 1 turns a rounding error of c into its square root. Here the angle comes from the gap
:math:`g = 1 - \cos\theta`, through the half angle: :math:`u = g/2 = \sin^2(\theta/2)`. Polynomials in :math:`u`
replace the library functions, because XLA vectorizes polynomials on CPU and does not vectorize arccos.
"""

from __future__ import annotations

import math
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

# Degrees at which the polynomials are as accurate as the precision; tests/limits/test_angle.py measures it.
_DEGREE = {np.dtype("float32"): 9, np.dtype("float64"): 21}


@lru_cache
def _coefficients(degree: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    r"""Coefficients, lowest first, of A and B on 0 <= u = s^2 <= 1/2, where s = sin(theta / 2).

    A(u) = theta / s and B(u) = [theta (1 - cos(theta)) - (theta - sin(theta))] / s^3. Their power series follow from
    theta = 2 asin(s), sin(theta) = 2 s sqrt(1 - s^2) and those of asin(s) and sqrt(1 - u); they are summed at Chebyshev
    points, where they converge like 2^-k, and interpolated: the error falls like 5.8^-degree, because the singularity
    nearest to the interval is at u = 1.
    """
    nodes = 0.25 * (1 + np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)))
    angle, excess = np.zeros_like(nodes), np.zeros_like(nodes)  # A, and (theta - sin(theta)) / s^3
    central, half = 1.0, 1.0  # binom(2k, k) / 4^k and (-1)^k binom(1/2, k)
    for k in range(70):
        angle += 2 * central / (2 * k + 1) * nodes**k
        if k > 0:
            excess += 2 * (central / (2 * k + 1) - half) * nodes ** (k - 1)
        central *= (2 * k + 1) / (2 * k + 2)
        half *= (2 * k - 1) / (2 * k + 2)
    chebyshev = np.polynomial.Chebyshev
    fits = (chebyshev.fit(nodes, values, degree, domain=(0.0, 0.5)) for values in (angle, 2 * angle - excess))
    return tuple(tuple(map(float, f.convert(kind=np.polynomial.Polynomial, domain=(-1, 1)).coef)) for f in fits)


def _polynomial(coefficients: tuple[float, ...], u: jax.Array) -> jax.Array:
    total = jnp.full_like(u, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * u + coefficient
    return total


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root with derivative 0, not infinity, at 0; negative rounding errors count as 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def floored(x: jax.Array) -> jax.Array:
    """Value max(x, 0) with the derivative of x: below 0 there is only rounding, and 0 is no kink of the kernel."""
    return x + jax.lax.stop_gradient(jnp.maximum(-x, 0.0))


@jax.custom_jvp
def _root_and_square(u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sqrt(u), and u from it again.

    All that follows then depends on the root alone, which is what XLA stores between layers; from u itself it would
    compute the polynomials of the earlier layers again for each result. The derivative of the root at 0 counts as 0.
    """
    s = jnp.sqrt(u)
    return s, s * s


@_root_and_square.defjvp
def _root_and_square_jvp(primals, tangents):
    s, square = _root_and_square(*primals)
    (du,) = tangents
    positive = s > 0
    return (s, square), (jnp.where(positive, 0.5 * du / jnp.where(positive, s, 1.0), 0.0), du)


def acute_angle(gap: jax.Array) -> tuple[jax.Array, jax.Array]:
    r"""Return :math:`\theta` and :math:`(\frac\pi2 - \theta)(1 - \cos\theta) + \theta - \sin\theta`.

    Needs 0 <= gap = 1 - cos(theta) <= 1, that is, angles up to pi/2. Both have a small *relative* error: the second is
    :math:`\pi u - u^{3/2} B(u)`, where the difference is at least 0.36 of the first term.
    """
    s, u = _root_and_square(0.5 * gap)
    a, b = _coefficients(_DEGREE[np.dtype(gap.dtype)])
    return s * _polynomial(a, u), u * (math.pi - s * _polynomial(b, u))
