r"""The angle from :math:`1 - \cos\theta`, without the loss of digits of arccos.

arccos(c) near c = 1 turns a rounding error of c into its square root. Here the angle comes from the gap
:math:`g = 1 - \cos\theta`, through the half angle: :math:`u = g/2 = \sin^2(\theta/2)`. Polynomials in :math:`u`
replace the library functions, because XLA vectorizes polynomials on CPU and does not vectorize arccos.
"""

from __future__ import annotations

import math
from fractions import Fraction
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
    theta = 2 asin(s), sin(theta) = 2 s sqrt(1 - s^2) and those of asin(s) and sqrt(1 - u); their terms fall like 2^-k.
    The Chebyshev series of their sums is cut at ``degree``: the error falls like 5.8^-degree, because the singularity
    nearest to the interval is at u = 1. In fractions, because in floating point the large coefficients that cancel
    would leave several eps, and other ones on another machine.
    """
    angle, excess = [], []  # A, and (theta - sin(theta)) / s^3
    central, half = Fraction(1), Fraction(1)  # binom(2k, k) / 4^k and (-1)^k binom(1/2, k)
    for k in range(70):
        angle.append(2 * central / (2 * k + 1))
        if k > 0:
            excess.append(2 * (central / (2 * k + 1) - half))
        central *= Fraction(2 * k + 1, 2 * k + 2)
        half *= Fraction(2 * k - 1, 2 * k + 2)
    rest = [2 * a - e for a, e in zip(angle, excess, strict=False)]
    return tuple(tuple(map(float, _economized(series, degree))) for series in (angle, rest))


def _economized(series: list[Fraction], degree: int) -> list[Fraction]:
    """A polynomial on [0, 1/2], by its coefficients, with its Chebyshev series cut at ``degree``."""
    # u = cos(p / 2)^2 / 2, cos(p / 2)^2k = 4^-k sum_j binom(2k, k - j) cos(j p) over j of both signs, T_j = cos(j p)
    result = [Fraction(0)] * (degree + 1)
    before, now = [1], [-1, 4]  # T_0 and T_1 in u; T_(j+1) = 2 (4 u - 1) T_j - T_(j-1)
    for j in range(degree + 1):
        weight = sum(c * math.comb(2 * k, k - j) / Fraction(8) ** k for k, c in enumerate(series) if k >= j)
        for power, coefficient in enumerate(before):
            result[power] += (2 if j else 1) * weight * coefficient
        after = [8 * high - 2 * c - low for high, c, low in zip([0, *now], [*now, 0], [*before, 0, 0], strict=True)]
        before, now = now, after
    return result


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
