r"""Order and chaos: what depth does to variances, correlations and gradients at infinite width.

In the limit the pre-activations of layer l have one variance :math:`q_l`, and

.. math::
    q_{l+1} = \sigma_w^2\, E[\phi(u)^2] + \sigma_b^2, \qquad
    \chi_l = \sigma_w^2\, E[\phi'(u)^2], \qquad u \sim N(0, q_l).

:math:`\chi_l` is the mean factor by which layer l multiplies the squared length of a gradient, and the factor by which
it multiplies a small distance :math:`1 - c` of two inputs' correlation c from 1. At the fixed point of the first map,
:math:`\chi < 1` is the ordered phase, :math:`\chi > 1` the chaotic one, and :math:`\chi = 1` the edge of chaos.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from scipy import optimize

from ntk_helpers import _checks
from ntk_helpers.activations import Activation
from ntk_helpers.limits.duals import DualActivation, dual_activation

__all__ = ["OrderChaos", "edge_of_chaos", "order_chaos"]

AnyActivation = str | Activation | DualActivation | Callable[[jax.Array], jax.Array]

# phi(c z) = c phi(z) for c > 0: variances are proportional, and everything below is in closed form.
HOMOGENEOUS = ("identity", "relu", "leaky_relu", "abs")
# |chi - 1| below which a network counts as critical: its depth scale is then above 1 / tolerance = 1000 layers.
CRITICAL = 1e-3
# Variances among which a fixed point is looked for. Beyond them the variance counts as vanishing or diverging.
_GRID = np.geomspace(1e-8, 1e6, 257)
# Equally spaced normal numbers: for analytic functions the sum converges exponentially, also at variances for which the
# Gauss-Hermite nodes of the duals lie too far apart (sigmoid's edge is at a variance of 46).
_NORMALS = np.linspace(-9.0, 9.0, 3601)
_DENSITY = np.exp(-(_NORMALS**2) / 2) * (_NORMALS[1] - _NORMALS[0]) / math.sqrt(2 * math.pi)


class OrderChaos(NamedTuple):
    r"""Where a choice of sigmas lies.

    Attributes:
        phase: ``"ordered"``, ``"critical"`` or ``"chaotic"``: :math:`\chi` below, at (to 0.001) or above 1.
        variance: limit of :math:`q_l` for many layers, 0 and infinity included.
        chi: :math:`\chi` there.
        depth_scale: :math:`1/|\ln\chi|`, the layers in which gradients change by a factor e; infinite if critical.
    """

    phase: Literal["ordered", "critical", "chaotic"]
    variance: float
    chi: float
    depth_scale: float


@partial(jax.jit, static_argnums=0)
def moments(dual: DualActivation, q: jax.Array, q12: jax.Array) -> tuple[jax.Array, ...]:
    """E[phi(u)^2], E[phi'(u)^2], E[phi(u) phi(v)], E[phi'(u) phi'(v)]: two variances q with the covariance q12."""
    return dual.variance(q), dual.derivative(q, q, q), dual.value(q, q, q12), dual.derivative(q, q, q12)


@partial(jax.jit, static_argnums=0)
def _squared(phi: Callable[[jax.Array], jax.Array], u: jax.Array) -> tuple[jax.Array, jax.Array]:
    """phi(u)^2 and phi'(u)^2, entry by entry."""
    value, slope = jax.jvp(phi, (u,), (jnp.ones_like(u),))
    return value**2, slope**2


def _squares(dual: DualActivation, q: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """E[phi(u)^2] and E[phi'(u)^2] for variances q."""
    if dual.nodes is None:
        value, slope, *_ = moments(dual, jnp.asarray(q, float), jnp.asarray(q, float))
    else:
        u = jnp.asarray(np.sqrt(np.asarray(q, float))[..., None] * _NORMALS, float)
        value, slope = (np.asarray(s, float) @ _DENSITY for s in _squared(dual.activation.fn, u))
    return np.asarray(value, float), np.asarray(slope, float)


def resolve_dual(activation: AnyActivation) -> DualActivation:
    """The Gaussian expectations of whatever may be given as activation."""
    return activation if isinstance(activation, DualActivation) else dual_activation(activation)


def is_homogeneous(dual: DualActivation) -> bool:
    """Whether phi(c z) = c phi(z) for positive c."""
    return dual.activation.name in HOMOGENEOUS


def order_chaos(
    activation: AnyActivation, *, sigma_w: float, sigma_b: float = 0.0, mean_square: float = 1.0
) -> OrderChaos:
    r"""Return the phase of a fully connected network, from its dual activations.

    The variance starts at :math:`q_1 = \sigma_w^2 |x|^2 / d + \sigma_b^2` and follows
    :math:`V(q) = \sigma_w^2 E[\phi(u)^2] + \sigma_b^2` to a fixed point; since V grows with q, that is the next one in
    the direction of :math:`V(q_1) - q_1`. There :math:`\chi = \sigma_w^2 E[\phi'(u)^2]` decides
    (Poole et al. 2016, Schoenholz et al. 2017). For relu :math:`\chi = \sigma_w^2 / 2` at every variance: the chaotic
    phase is one of exploding variances and gradients, in which the correlations of inputs still tend to 1.

    Args:
        activation: as in ``nh.fcn_kernel``.
        sigma_w: standard deviation of the weights.
        sigma_b: standard deviation of the biases.
        mean_square: :math:`|x|^2 / d` of the inputs, where the variance starts.

    Returns:
        An ``OrderChaos``.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if a sigma is negative, ``mean_square`` or ``sigma_w`` is 0, or V falls with q somewhere (cos): then
            the variances need not tend to a fixed point.

    Example:
        >>> order_chaos("relu", sigma_w=1.0, sigma_b=0.5)[:3]
        ('ordered', 0.5, 0.5)
        >>> order_chaos("tanh", sigma_w=1.5, sigma_b=0.1).phase
        'chaotic'
    """
    dual = resolve_dual(activation)
    weight, bias = _positive(sigma_w, "sigma_w") ** 2, float(_checks.check_nonnegative(sigma_b, "sigma_b")) ** 2
    start = weight * _positive(mean_square, "mean_square") + bias
    if is_homogeneous(dual):
        chi = weight * float(dual.variance(jnp.asarray(1.0)))
        if abs(chi - 1) < 1e-6:
            variance = start if bias == 0 else math.inf
        else:
            variance = bias / (1 - chi) if chi < 1 else math.inf
    else:
        variance = _fixed_point(dual, weight, bias, start)
        chi = weight * float(_squares(dual, min(variance, _GRID[-1]))[1])
    phase = "critical" if abs(chi - 1) <= CRITICAL else "ordered" if chi < 1 else "chaotic"
    return OrderChaos(phase, variance, chi, math.inf if phase == "critical" else 1 / abs(math.log(chi)))


def _fixed_point(dual: DualActivation, weight: float, bias: float, start: float) -> float:
    """Where the variance ends that starts at ``start``, for a V that grows with q."""
    squares = _squares(dual, _GRID)[0]
    if (np.diff(squares) < -1e-5 * np.abs(squares).max()).any():
        name = dual.activation.name
        raise ValueError(f"activation: the variance of {name} falls where its input's grows, so no phase is defined")

    def excess(q: float) -> float:
        return weight * float(_squares(dual, q)[0]) + bias - q

    grows = excess(start) > 0
    values = weight * squares + bias - _GRID
    on_the_way = np.flatnonzero(start < _GRID) if grows else np.flatnonzero(start > _GRID)[::-1]
    beyond, there = _GRID[on_the_way], values[on_the_way]
    turned = np.flatnonzero(there < 0 if grows else there > 0)
    if not turned.size:
        return math.inf if grows else 0.0
    stop = beyond[turned[0]]
    before = beyond[turned[0] - 1] if turned[0] else start
    root = float(optimize.brentq(excess, *sorted((before, stop)), rtol=1e-6, xtol=1e-12))
    return root if root > 1e-6 * start else 0.0  # smaller ones are rounding


def _positive(value: float, name: str) -> float:
    number = float(_checks.check_nonnegative(value, name))
    if number == 0:
        raise ValueError(f"{name} must be positive, got 0")
    return number


def edge_of_chaos(activation: AnyActivation, *, sigma_b: float = 0.0) -> float:
    r"""Return the sigma_w at which :math:`\chi = 1`, for a given sigma_b.

    For tanh and erf without biases it is :math:`1/\phi'(0)`, and it grows with ``sigma_b``; for sigmoid, whose slope is
    at most 1/4, it is above 4. For relu it is :math:`\sqrt2` whatever ``sigma_b`` is, but only at ``sigma_b=0`` does
    the variance stay bounded there: the edge that keeps signals and gradients is the one point (2, 0).

    Args:
        activation: as in ``nh.fcn_kernel``.
        sigma_b: standard deviation of the biases.

    Returns:
        sigma_w (not its square).

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if there is no edge for sigma_w between 0.05 and 50, or as in ``order_chaos``.

    Example:
        >>> round(edge_of_chaos("relu") ** 2, 4), round(edge_of_chaos("tanh") ** 2, 3)
        (2.0, 1.0)
    """
    dual = resolve_dual(activation)
    _checks.check_nonnegative(sigma_b, "sigma_b")
    if is_homogeneous(dual):
        return float(dual.variance(jnp.asarray(1.0))) ** -0.5

    def gap(log_w: float) -> float:
        return math.log(order_chaos(dual, sigma_w=math.exp(log_w), sigma_b=sigma_b).chi)

    # From below, in steps: far beyond the edge the variance is large, and quadrature loses what happens near 0.
    tried = np.log(np.geomspace(0.05, 50.0, 70))
    above = next((i for i, log_w in enumerate(tried) if gap(log_w) > 0), 0)
    if above == 0:
        raise ValueError(f"activation: {dual.activation.name} has no edge of chaos with sigma_w between 0.05 and 50")
    return math.exp(optimize.brentq(gap, tried[above - 1], tried[above], xtol=1e-7))
