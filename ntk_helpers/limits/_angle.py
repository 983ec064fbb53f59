r"""The angle and its sine from :math:`1 - \cos\theta`, without the loss of digits of arccos.

arccos(c) near c = 1 turns a rounding error of c into its square root. Here the angle comes from the gap
:math:`g = 1 - \cos\theta`, through the half angle: :math:`u = g/2 = \sin^2(\theta/2)`. A polynomial in :math:`u`
replaces the library function, because XLA vectorizes polynomials on CPU and does not vectorize arccos.
"""

from __future__ import annotations

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

# Degrees at which the polynomial is as accurate as the precision; tests/limits/test_angle.py measures it.
_DEGREE = {np.dtype("float32"): 9, np.dtype("float64"): 21}


@lru_cache
def _excess_coefficients(degree: int) -> tuple[float, ...]:
    r"""Coefficients, lowest first, of :math:`Q(u) = (\theta - \sin\theta) / \sin^3(\theta/2)` on 0 <= u <= 1/2.

    Its power series follows from those of asin(s) and s sqrt(1 - s^2), with s = sqrt(u); the coefficient of
    u^(k-1), k >= 1, is :math:`2 [\binom{2k}{k} 4^{-k} / (2k+1) - (-1)^k \binom{1/2}{k}]`. It is summed at Chebyshev
    points of [0, 1/2], where it converges like 2^-k, and interpolated: the error falls like 5.8^-degree, because the
    singularity nearest to the interval is at u = 1.
    """
    nodes = 0.25 * (1 + np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)))
    values = np.zeros_like(nodes)
    power = np.ones_like(nodes)
    central, half = 1.0, 1.0  # binom(2k, k) / 4^k and (-1)^k binom(1/2, k)
    for k in range(1, 70):
        central *= (2 * k - 1) / (2 * k)
        half *= (2 * k - 3) / (2 * k)
        values += 2 * (central / (2 * k + 1) - half) * power
        power *= nodes
    fit = np.polynomial.Chebyshev.fit(nodes, values, degree, domain=(0.0, 0.5))
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial, domain=(-1, 1)).coef)


def safe_sqrt(x: jax.Array) -> jax.Array:
    """Square root with derivative 0, not infinity, at 0; negative rounding errors count as 0."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def acute_angle(gap: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    r"""Return :math:`\theta`, :math:`\sin\theta` and :math:`\theta - \sin\theta` for :math:`g = 1 - \cos\theta`.

    Needs 0 <= gap <= 1, that is, angles up to pi/2. All three have a small *relative* error.
    """
    u = 0.5 * gap
    excess = 0.0
    for coefficient in reversed(_excess_coefficients(_DEGREE[np.dtype(gap.dtype)])):
        excess = excess * u + coefficient
    s = safe_sqrt(u)
    excess = s * u * excess
    sine = 2.0 * s * jnp.sqrt(1.0 - u)
    return sine + excess, sine, excess
