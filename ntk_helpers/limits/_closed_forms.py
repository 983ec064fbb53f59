r"""Closed forms of Gaussian expectations of activations, in the variables that lose no digits.

Each form is a pair of functions. ``variance(q)`` is :math:`E[\phi(u)^2]` for :math:`u \sim N(0, q)`.
``pair(s1, s2, cosine, gap, derivative)`` takes the standard deviations of u and v, their correlation and
``gap = 1 - abs(cosine)``, and returns the correlation of phi(u) and phi(v) (the mean is not subtracted), its gap, and
:math:`E[\phi'(u) \phi'(v)]`, or None when ``derivative`` is False. ``s1`` and ``s2`` broadcast against ``cosine``.

Below, "far" stands for 1 - abs(cosine'), which has an absolute error eps and will do for large angles, and "near" for
:math:`[E(\phi(u) \mp \phi(v))^2 - (\sqrt{v_1} - \sqrt{v_2})^2] / (2 \sqrt{v_1 v_2})`, which has an absolute error
eps in the *square root* when the expectation of the square is written without cancellation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ntk_helpers.limits._angle import acute_angle, floored, safe_sqrt

Pair = tuple[jax.Array, jax.Array, jax.Array | None]


class ClosedForm(NamedTuple):
    """The two functions described on top of this module."""

    variance: Callable[[jax.Array], jax.Array]
    pair: Callable[[jax.Array, jax.Array, jax.Array, jax.Array, bool], Pair]


def safe_ratio(a: ArrayLike, b: ArrayLike) -> jax.Array:
    """Return a / b, and 0 where b is 0, with finite derivatives."""
    nonzero = b != 0
    return jnp.where(nonzero, a / jnp.where(nonzero, b, 1.0), 0.0)


def normalized(value: jax.Array, v1: jax.Array, v2: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Correlation and "far" gap from an expectation and the two variances."""
    cosine = safe_ratio(safe_ratio(value, safe_sqrt(v1)), safe_sqrt(v2))
    sign = jnp.where(cosine < 0, -1.0, 1.0)
    return cosine, 1.0 - sign * cosine


def choose_gap(
    far: jax.Array, squared_distance: jax.Array, v1: jax.Array, v2: jax.Array, cosine: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Take the "near" gap where the directions are close and the norms comparable; return cosine and gap."""
    r1, r2 = safe_sqrt(v1), safe_sqrt(v2)
    near = safe_ratio(safe_ratio(0.5 * (squared_distance - (r1 - r2) ** 2), r1), r2)
    comparable = (far < 0.1) & (r1 < 2.0 * r2) & (r2 < 2.0 * r1)
    gap = floored(jnp.where(comparable, near, far))
    return jnp.where(cosine < 0, gap - 1.0, 1.0 - gap), gap


def piecewise_linear(negative_slope: float) -> ClosedForm:
    r"""Return the form of :math:`\phi(z) = z` for z > 0 and :math:`a z` for z < 0: identity, relu, leaky relu and abs.

    With :math:`\phi(z) = \alpha z + \beta |z|`, :math:`\alpha = (1+a)/2`, :math:`\beta = (1-a)/2`, the cross terms
    vanish and, with the angle theta between u and v (Cho and Saul 2009, eqs. (3) to (6) for relu),

    .. math::
        E[\phi\phi] = \sqrt{q_{11} q_{22}} (\alpha^2 \cos\theta + \beta^2 h), \quad
        h = \tfrac{2}{\pi} (\sin\theta + (\tfrac{\pi}{2} - \theta) \cos\theta), \quad
        E[\phi'\phi'] = \alpha^2 + \beta^2 (1 - 2 \theta / \pi).

    Here h is even and 1 - 2 theta / pi odd under theta to pi - theta, so the acute angle serves for both signs.
    There is no cancellation in
    :math:`1 - h = \tfrac{2}{\pi} [(\tfrac{\pi}{2} - \theta)(1 - \cos\theta) + (\theta - \sin\theta)]`.
    """
    alpha2, beta2 = (0.5 + 0.5 * negative_slope) ** 2, (0.5 - 0.5 * negative_slope) ** 2
    total = alpha2 + beta2

    def variance(q):
        return total * q

    def pair(s1, s2, cosine, gap, derivative):
        if beta2 == 0.0:  # linear
            return cosine, gap, jnp.full_like(cosine, alpha2) if derivative else None
        theta, rise = acute_angle(gap)
        acute = cosine >= 0
        one_minus_h = (2 / math.pi) * rise
        one_minus = alpha2 / total * jnp.where(acute, gap, 2.0 - gap) + beta2 / total * one_minus_h
        if beta2 >= alpha2:  # then the correlation is never negative
            cosine_out, gap_out = 1.0 - one_minus, one_minus
        else:
            one_plus = alpha2 / total * jnp.where(acute, 2.0 - gap, gap) + beta2 / total * (2.0 - one_minus_h)
            cosine_out = jnp.where(one_minus <= 1.0, 1.0 - one_minus, one_plus - 1.0)
            gap_out = jnp.minimum(one_minus, one_plus)
        if not derivative:
            return cosine_out, gap_out, None
        linear = 1.0 - (2 / math.pi) * theta
        return cosine_out, gap_out, alpha2 + beta2 * jnp.where(acute, linear, -linear)

    return ClosedForm(variance, pair)


def erf(scale: float) -> ClosedForm:
    r"""Return the form of :math:`\phi(z) = \mathrm{erf}(b z)` (Williams 1997, eq. (11)).

    With t = 2 b^2,

    .. math::
        E[\phi\phi] = \tfrac{2}{\pi} \arcsin\rho_{12}, \quad
        \rho_{ij} = t q_{ij} / \sqrt{(1 + t q_{ii})(1 + t q_{jj})}, \quad
        E[\phi'\phi'] = \tfrac{2 t}{\pi} [(1 + t q_{11})(1 + t q_{22}) - t^2 q_{12}^2]^{-1/2}.

    ``_augmented`` computes the sine rho and the cosine kappa of each arc without cancellation or overflow.
    """
    t = 2.0 * scale * scale
    if t == 0.0:
        raise ValueError("activation: scale of 'erf' must not be 0, the function would vanish")

    def own_arc(q):
        w, r = _augmented(t * q)
        return r, jnp.sqrt(w * (1.0 + r))

    def variance(q):
        return (2 / math.pi) * jnp.arctan2(*own_arc(q))

    def pair(s1, s2, cosine, gap, derivative):
        q1, q2 = s1 * s1, s2 * s2
        w1, _ = _augmented(t * q1)
        w2, _ = _augmented(t * q2)
        (r1, kappa1), (r2, kappa2) = own_arc(q1), own_arc(q2)
        v1, v2 = variance(q1), variance(q2)
        root1, root2 = safe_sqrt(r1), safe_sqrt(r2)
        rho, kappa = _cross_arc(w1, w2, r1, r2, gap)
        value = (2 / math.pi) * jnp.arctan2(rho, kappa)
        # The two arcs A11 - A12 and A22 - A12 by their sines, and the arc of their sum: E(phi(u) -+ phi(v))^2 * pi / 2
        # (numerator and denominator over the root they share: the derivative of a ratio of squares would overflow).
        along1, along2 = root1 * (1.0 - gap), root2 * (1.0 - gap)
        ratio1 = safe_ratio(root1 + along2, root1 * kappa + along2 * kappa1)
        ratio2 = safe_ratio(root2 + along1, root2 * kappa + along1 * kappa2)
        sine1 = root1 * ((root1 - root2) + gap * root2) * ratio1
        sine2 = root2 * ((root2 - root1) + gap * root1) * ratio2
        cosine1, cosine2 = kappa1 * kappa + r1 * rho, kappa2 * kappa + r2 * rho
        distance = (2 / math.pi) * jnp.arctan2(sine1 * cosine2 + cosine1 * sine2, cosine1 * cosine2 - sine1 * sine2)
        far_cosine, far = normalized(value, v1, v2)
        cosine_out, gap_out = choose_gap(far, distance, v1, v2, jnp.where(cosine < 0, -far_cosine, far_cosine))
        if not derivative:
            return cosine_out, gap_out, None
        return cosine_out, gap_out, (2.0 * t / math.pi) * jnp.sqrt(w1) * jnp.sqrt(w2) / kappa

    return ClosedForm(variance, pair)


def _augmented(tq: jax.Array) -> tuple[jax.Array, jax.Array]:
    """1 / (1 + t q) and t q / (1 + t q): the shares of the constant and of the input."""
    w = 1.0 / (1.0 + tq)
    return w, tq * w


def _cross_arc(
    w1: jax.Array, w2: jax.Array, r1: jax.Array, r2: jax.Array, gap: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """abs(rho12) and kappa = sqrt(1 - rho12^2), which is a sum of positive terms."""
    kappa = jnp.sqrt(w1 + r1 * w2 + (r1 * r2) * (gap * (2.0 - gap)))
    return safe_sqrt(r1) * safe_sqrt(r2) * (1.0 - gap), kappa


def sine_or_cosine(scale: float, *, odd: bool) -> ClosedForm:
    r"""Return the form of sin(b z) (``odd=True``) or cos(b z).

    From the product-to-sum formulas, with b = 1,

    .. math::
        E[\sin u \sin v] = e^{-(q_{11} + q_{22})/2} \sinh q_{12}, \quad
        E[\cos u \cos v] = e^{-(q_{11} + q_{22})/2} \cosh q_{12}.

    With :math:`\delta = (\sqrt{q_{11}} - \sqrt{q_{22}})^2 / 2 + \sqrt{q_{11} q_{22}}\, \mathrm{gap}` the larger of the
    two exponentials is :math:`e^{-\delta}`, so nothing overflows.
    """
    b = abs(scale)
    if b == 0.0 and odd:
        raise ValueError("activation: scale of 'sin' must not be 0, the function would vanish")

    def variance(q):
        q = b * b * q
        return -0.5 * jnp.expm1(-2.0 * q) if odd else 0.5 * (1.0 + jnp.exp(-2.0 * q))

    def pair(s1, s2, cosine, gap, derivative):
        sign = jnp.where(cosine < 0, -1.0, 1.0)
        v1, v2 = variance(s1 * s1), variance(s2 * s2)
        a1, a2 = b * s1, b * s2
        delta = 0.5 * (a1 - a2) ** 2 + a1 * a2 * gap
        z = 2.0 * a1 * a2 * floored(1.0 - gap)  # orthogonal inputs may have a gap just above 1, and norms of 1e15
        sines, cosines = -0.5 * jnp.exp(-delta) * jnp.expm1(-z), 0.5 * jnp.exp(-delta) * (1.0 + jnp.exp(-z))
        # E(phi(u) -+ phi(v))^2 = (1 - e^-delta) +- e^-(q11 + q22) (e^delta - cosh(q11 - q22)); the bounds, which
        # "near" pairs never exceed, keep the far ones finite.
        small = jnp.minimum(delta, 1.0)
        half = jnp.clip(0.5 * (a1 - a2) * (a1 + a2), -15.0, 15.0)
        rest = jnp.exp(-(a1 * a1 + a2 * a2)) * (jnp.expm1(small) - 2.0 * jnp.sinh(half) ** 2)
        distance = -jnp.expm1(-small) + (rest if odd else -rest)
        far_cosine, far = normalized(sines if odd else cosines, v1, v2)
        cosine_out, gap_out = choose_gap(far, distance, v1, v2, sign * far_cosine if odd else far_cosine)
        if not derivative:
            return cosine_out, gap_out, None
        return cosine_out, gap_out, b * b * (cosines if odd else sign * sines)

    return ClosedForm(variance, pair)


def gelu() -> ClosedForm:
    r"""Return the form of :math:`\phi(z) = z \Phi(z)`, Phi the standard normal distribution function.

    Twice Gaussian integration by parts, with :math:`\Delta = q_{11} q_{22} - q_{12}^2`,
    :math:`D = (1 + q_{11})(1 + q_{22}) - q_{12}^2`, :math:`w_i = 1 / (1 + q_{ii})` and
    :math:`P = \tfrac14 + \tfrac{1}{2\pi} \arcsin(q_{12} \sqrt{w_1 w_2})`, gives

    .. math::
        E[\phi\phi] = q_{12} P + \frac{\Delta + q_{12}^2 (w_1 + w_2)}{2 \pi \sqrt{D}}, \quad
        E[\phi'\phi'] = P + \frac{q_{12} (w_1 + w_2 + 1/D)}{2 \pi \sqrt{D}}.

    Only the "far" gap is offered: the function is smooth, so that the kernel depends smoothly on the gap.
    """

    def parts(s1, s2, cosine, gap):
        """E[phi phi] / (s1 s2) and E[phi' phi']."""
        (w1, r1), (w2, r2) = _augmented(s1 * s1), _augmented(s2 * s2)
        rho, kappa = _cross_arc(w1, w2, r1, r2, gap)
        rho = jnp.where(cosine < 0, -rho, rho)
        probability = 0.25 + jnp.arctan2(rho, kappa) / (2 * math.pi)
        roots = safe_sqrt(r1) * safe_sqrt(r2) / (2 * math.pi * kappa)
        value = cosine * probability + roots * (gap * (2.0 - gap) + cosine * cosine * (w1 + w2))
        slope = probability + cosine * roots * (w1 + w2 + (w1 / kappa) * (w2 / kappa))
        return value, slope

    def variance(q):
        s = safe_sqrt(q)
        return q * parts(s, s, jnp.ones_like(q), jnp.zeros_like(q))[0]

    def pair(s1, s2, cosine, gap, derivative):
        value, slope = parts(s1, s2, cosine, gap)
        v1, v2 = variance(s1 * s1), variance(s2 * s2)
        cosine_out = value * safe_ratio(s1, safe_sqrt(v1)) * safe_ratio(s2, safe_sqrt(v2))
        # The clip takes rounding errors only, so that it must not stop the derivative.
        cosine_out = cosine_out + jax.lax.stop_gradient(jnp.clip(cosine_out, -1.0, 1.0) - cosine_out)
        gap_out = 1.0 - jnp.where(cosine_out < 0, -cosine_out, cosine_out)
        return cosine_out, gap_out, slope if derivative else None

    return ClosedForm(variance, pair)
