r"""Gaussian expectations of smooth activations as functions of covariances, to be differentiated several times.

The forms of ``_closed_forms`` work with angles, because kinks such as relu's see them; at equal inputs the angle is a
square root of zero, and a derivative of it is lost. A smooth activation has no need of angles. Here each dual
activation is a pair of functions ``value(q11, q22, q12)`` and ``slope(q11, q22, q12)``, :math:`E[\phi(u) \phi(v)]` and
:math:`E[\phi'(u) \phi'(v)]`, that are smooth at :math:`q_{11} = q_{22} = q_{12}` too. The three covariances broadcast;
for all pairs of N1 and N2 inputs they are (N1, 1), (1, N2) and (N1, N2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.jet import jet

from ntk_helpers.activations import Activation
from ntk_helpers.limits._angle import safe_sqrt
from ntk_helpers.limits._closed_forms import safe_ratio

Dual = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]

# Activations of the table with a kink: their second derivative is no function.
KINKED = ("relu", "leaky_relu", "abs")
# Quadrature points: equally spaced, as far out as float64 sees the Gaussian density.
_STEP, _REACH = 0.04, 13.0
# A kink makes the two sides of Stein's identity differ by 0.1 and more; tanh, sigmoid and softplus stay below 1e-12.
STEIN_ERROR = 1e-3
# With a share of 1e-5 of the highest derivative beyond the last terms, kernels of second derivatives of tanh networks
# are right to 1e-6 relative at equal points, where it is worst (tests/limits/test_pde.py).
TAIL_SHARE = 1e-5


class SmoothDual(NamedTuple):
    """E[phi(u) phi(v)] and E[phi'(u) phi'(v)] of three covariances, and E[phi(u)^2] of a variance.

    ``used_order`` is the highest derivative of phi that enters, None for a closed form.
    """

    value: Dual
    slope: Dual
    variance: Callable[[jax.Array], jax.Array]
    used_order: int | None


def smooth_dual(act: Activation, terms: int, orders: tuple[int, int]) -> SmoothDual:
    """Return the expectations of an activation: closed forms of identity, erf, sin, cos, gelu; quadrature otherwise.

    By quadrature they have derivatives up to ``orders`` in the first and in the second input only; q11 must not depend
    on the second input, nor q22 on the first.
    """
    forms = {"identity": _identity, "erf": _erf, "sin": _sine, "cos": _cosine, "gelu": _gelu}
    if act.name in forms:
        value, slope = forms[act.name](act)
        return SmoothDual(value, slope, lambda q: value(q, q, q), None)
    value, slope = (partial(_expectation, act, terms, first, *orders, sum(orders)) for first in (0, 1))
    alone = partial(_expectation, act, terms, 0, *(max(orders),) * 3)
    return SmoothDual(value, slope, lambda q: alone(q, q, q), 1 + max(orders) + sum(orders))


def _identity(act: Activation) -> tuple[Dual, Dual]:
    return lambda q11, q22, q12: q12, lambda q11, q22, q12: jnp.ones_like(q12)


def _erf(act: Activation) -> tuple[Dual, Dual]:
    r"""Williams (1997), eq. (11): :math:`\tfrac2\pi \arcsin\rho`, where :math:`|\rho| < 1` at equal inputs too."""
    t = 2.0 * act["scale"] ** 2

    def cosine_part(q11, q22, q12):  # (1 + t q11) (1 + t q22) (1 - rho^2), at least 1
        return 1.0 + t * (q11 + q22) + t * t * (q11 * q22 - q12 * q12)

    def value(q11, q22, q12):
        return (2 / math.pi) * jnp.arctan2(t * q12, jnp.sqrt(cosine_part(q11, q22, q12)))

    def slope(q11, q22, q12):
        return (2 * t / math.pi) * jax.lax.rsqrt(cosine_part(q11, q22, q12))

    return value, slope


def _exponentials(act: Activation, q11, q22, q12):
    """exp(-E(bu - bv)^2 / 2) / 2 and exp(-E(bu + bv)^2 / 2) / 2: neither overflows."""
    b2 = act["scale"] ** 2
    mean = 0.5 * (q11 + q22)
    return 0.5 * jnp.exp(b2 * (q12 - mean)), 0.5 * jnp.exp(-b2 * (q12 + mean))


def _sine(act: Activation) -> tuple[Dual, Dual]:
    def value(*q):
        near, far = _exponentials(act, *q)
        return near - far

    def slope(*q):
        near, far = _exponentials(act, *q)
        return act["scale"] ** 2 * (near + far)

    return value, slope


def _cosine(act: Activation) -> tuple[Dual, Dual]:
    def value(*q):
        near, far = _exponentials(act, *q)
        return near + far

    def slope(*q):
        near, far = _exponentials(act, *q)
        return act["scale"] ** 2 * (near - far)

    return value, slope


def _gelu(act: Activation) -> tuple[Dual, Dual]:
    """The formulas of ``_closed_forms.gelu`` in covariances."""

    def parts(q11, q22, q12):
        d = 1.0 + q11 + q22 + (q11 * q22 - q12 * q12)
        probability = 0.25 + jnp.arctan2(q12, jnp.sqrt(d)) / (2 * math.pi)
        return d, probability, jax.lax.rsqrt(d) / (2 * math.pi), 1.0 / (1.0 + q11) + 1.0 / (1.0 + q22)

    def value(q11, q22, q12):
        _, probability, root, w = parts(q11, q22, q12)
        return q12 * probability + root * (q11 * q22 - q12 * q12 + q12 * q12 * w)

    def slope(q11, q22, q12):
        d, probability, root, w = parts(q11, q22, q12)
        return probability + q12 * root * (w + 1.0 / d)

    return value, slope


def _expectation(act, terms, first, order1, order2, total, q11, q22, q12):
    r"""E[phi^(a)(u) phi^(a)(v)], a = ``first``, by Mehler's sum, with the derivatives asked for.

    Gaussian integration by parts gives Price's rule (1958)

    .. math::
        dE[f(u) g(v)] = \tfrac12 E[f'' g]\, dq_{11} + \tfrac12 E[f g'']\, dq_{22} + E[f' g']\, dq_{12},

    so a derivative of any order is again such an expectation. What is returned is the Taylor polynomial around the
    given covariances with these numbers as coefficients: powers up to ``order1`` of dq11, up to ``order2`` of dq22, up
    to ``total`` of all. Automatic differentiation sees the polynomial only, and no square root of a variance.
    """
    fixed11, fixed22, fixed12 = jax.lax.stop_gradient((q11, q22, q12))
    moments = _moments(
        _all_coefficients(act, first + 2 * order1 + (total - order1), safe_sqrt(fixed11), terms)[first:],
        _all_coefficients(act, first + 2 * order2 + (total - order2), safe_sqrt(fixed22), terms)[first:],
        safe_ratio(safe_ratio(fixed12, safe_sqrt(fixed11)), safe_sqrt(fixed22)),
    )
    d11, d22, d12 = 0.5 * (q11 - fixed11), 0.5 * (q22 - fixed22), q12 - fixed12

    def polynomial(variable, highest, coefficient):
        """Horner's scheme for sum_n coefficient(n) variable^n / n!."""
        result = coefficient(highest)
        for n in range(highest, 0, -1):
            result = coefficient(n - 1) + variable / n * result
        return result

    def in_12(i, j):
        return polynomial(d12, total - i - j, lambda n: moments[2 * i + n, 2 * j + n])

    def in_22(i):
        return polynomial(d22, min(order2, total - i), lambda j: in_12(i, j))

    return polynomial(d11, min(order1, total), in_22)


@lru_cache
def _rule(terms: int) -> tuple[np.ndarray, np.ndarray]:
    """Equally spaced z_j (J,) and step * density(z_j) h_k(z_j) (J, terms), h_k the orthonormal Hermite polynomials.

    For functions that are analytic near the real line the trapezoidal rule beats Gauss-Hermite: its error falls like
    exp(-2 pi a / step), a the distance of the nearest pole, and the number of terms may be chosen on its own.
    """
    z = np.arange(-_REACH, _REACH + 0.5 * _STEP, _STEP)
    h = np.zeros((len(z), terms))
    h[:, 0] = _STEP * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    h[:, 1] = z * h[:, 0]
    for k in range(2, terms):
        h[:, k] = (z * h[:, k - 1] - math.sqrt(k - 1) * h[:, k - 2]) / math.sqrt(k)
    return z, h


def _all_coefficients(act, highest, s, terms):
    """Hermite coefficients of phi, phi', ... up to the derivative ``highest``: (highest + 1, *s.shape, terms)."""
    z, matrix = _rule(terms)
    values = jnp.stack(_derivatives(act, s[..., None] * jnp.asarray(z, s.dtype), highest))
    return jnp.matmul(values, jnp.asarray(matrix, s.dtype), precision=jax.lax.Precision.HIGHEST)


def _derivatives(act, z, highest):
    """phi(z) and its derivatives up to ``highest``: Taylor mode where it is sure to be right, else nested."""
    if act.name in ("tanh", "sigmoid") and highest > 1:
        value, series = jet(act.fn, (z,), [[jnp.ones_like(z), *[jnp.zeros_like(z)] * (highest - 1)]])
        return (value, *series)

    def with_next(every):
        def more(z):
            values, slopes = jax.jvp(every, (z,), (jnp.ones_like(z),))
            return (*values, slopes[-1])

        return more

    every = lambda z: (act.fn(z),)  # noqa: E731
    for _ in range(highest):
        every = with_next(every)
    return every(z)


def _moments(a1, a2, cosine):
    """sum_k a1[a, k] a2[b, k] cosine^k for all a and b, by Horner's scheme: (a, b, *cosine.shape)."""
    shape = (a1.shape[0], a2.shape[0], *cosine.shape)
    terms = jnp.moveaxis(a1, -1, 0)[::-1], jnp.moveaxis(a2, -1, 0)[::-1]

    def step(total, term):
        return total * cosine + term[0][:, None] * term[1][None, :], None

    return jax.lax.scan(step, jnp.zeros(shape, cosine.dtype), terms)[0]


def series_error(act: Activation, order: int, s: jax.Array, terms: int) -> tuple[float, float]:
    r"""Return two signs that the expectations of derivatives up to ``order`` cannot be trusted, each for the worst s.

    The first is the share of the last quarter of the coefficients in :math:`E[(\phi^{(k)}(s z))^2]` for the highest
    derivative k. The second is the largest relative failure of :math:`E[z\, \phi^{(k)}(s z)] = s\,
    E[\phi^{(k+1)}(s z)]`, and of the same with the next Hermite polynomials, which a parity may need: integration by
    parts holds for smooth functions, and fails where automatic differentiation has missed a kink.
    """
    a = _all_coefficients(act, order, s, terms)  # (derivatives, variances, terms)
    squares = a[-1] ** 2
    share = safe_ratio(jnp.sum(squares[:, 3 * terms // 4 :], axis=1), jnp.sum(squares, axis=1))
    low, high = a[:-1], a[1:]
    size = jnp.sqrt(jnp.sum(low**2, axis=-1)) + s * jnp.sqrt(jnp.sum(high**2, axis=-1))
    gaps = [jnp.abs(safe_ratio(math.sqrt(n + 1) * low[..., n + 1] - s * high[..., n], size)) for n in range(4)]
    return float(jnp.max(share)), max((float(jnp.max(gap)) for gap in gaps if gap.size), default=0.0)
