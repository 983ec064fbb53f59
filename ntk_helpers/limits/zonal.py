r"""Kernels of relu networks on the sphere, as functions of the angle between two unit inputs.

On the unit sphere the NNGP kernel and the NTK of a fully connected network depend on the angle alone. ``fcn_kernel``
evaluates them at given inputs in the precision of JAX. The spectrum needs more: values in float64 whatever JAX's
precision is, and at *complex* angles around 0 and pi, from which the kernel's expansion there is read off. Hence this
second, small form of the recursion, in NumPy; tests compare the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ntk_helpers import _checks

__all__ = ["arc_cosine", "zonal_kernel", "zonal_resnet_kernel"]


def arc_cosine(angle: Any, power: int) -> Any:
    r"""Return E[phi(u) phi(v)] / E[phi(u)^2] for phi(z) = max(z, 0)^m and standard normal u, v at this angle.

    With :math:`J_0 = \pi - \theta`, :math:`J_1 = \sin\theta + (\pi - \theta) \cos\theta` and (Gaussian integration by
    parts) :math:`J_{m+1} = (2m+1) \cos\theta\, J_m + m^2 \sin^2\theta\, J_{m-1}`, the result is
    :math:`J_m(\theta) / J_m(0)`, the arc-cosine kernel of order m (Cho and Saul 2009).

    Args:
        angle: angles, any shape, in radians; complex ones give the analytic continuation.
        power: m, at least 0; 0 is the step function.

    Returns:
        The normalized kernel, in the shape of ``angle``.

    Raises:
        TypeError: if ``power`` is no integer.
        ValueError: if ``power`` is negative.

    Example:
        >>> float(arc_cosine(np.array(np.pi / 2), 0))
        0.5
    """
    power = _power(power, 0)
    cosine, sine = np.cos(angle), np.sin(angle)
    before, now = np.pi - angle, sine + (np.pi - angle) * cosine
    if power == 0:
        return before / np.pi
    for m in range(1, power):
        before, now = now, (2 * m + 1) * cosine * now + m * m * sine * sine * before
    return now / (np.pi * math.prod(range(1, 2 * power, 2)))


def zonal_kernel(
    *,
    depth: int,
    power: int = 1,
    sigma_w: float | int | Sequence[float | int] = 2**0.5,
    sigma_b: float | int | Sequence[float | int] = 0.0,
    biases: str = "all",
    get: str = "ntk",
) -> Callable[[Any], Any]:
    r"""Return the NNGP kernel or the NTK of a network with activation max(z, 0)^m, as a function of the angle.

    The network is that of ``fcn_kernel`` with ``scale_input=False``, at inputs of norm 1. With q the variance of a
    layer, c its correlation, and :math:`\mu_m = E[\max(z, 0)^{2m}] = (2m-1)!!/2`,

    .. math::
        E[\phi\phi] = q^m \mu_m\, \kappa_m(c), \qquad E[\phi'\phi'] = m^2 q^{m-1} \mu_{m-1}\, \kappa_{m-1}(c).

    The function returned is analytic in the angle on [0, pi], both ends included, and may be evaluated at complex
    angles near them; as a function of the cosine it has branch points there.

    Args:
        depth: number L of hidden layers, at least 1.
        power: m, at least 1; 1 is relu.
        sigma_w: standard deviation of the weights, one number or one for each of the depth + 1 layers.
        sigma_b: standard deviation of the biases, likewise.
        biases: ``"all"``, ``"first"`` (in the first layer only) or ``"none"``.
        get: ``"ntk"`` or ``"nngp"``.

    Returns:
        A function from an array of angles in radians to the kernel's values.

    Raises:
        TypeError: if ``depth`` or ``power`` is no integer, or a sigma is no number.
        ValueError: if an argument has a wrong value; the message names it.

    Example:
        >>> kernel = zonal_kernel(depth=3)
        >>> float(kernel(np.array(0.0)).round(12))  # depth + 1 times the variance 2 of the output
        8.0
    """
    depth = _checks.check_positive_int(depth, "depth")
    power = _power(power, 1)
    _checks.check_choice(get, "get", ("ntk", "nngp"))
    _checks.check_choice(biases, "biases", ("all", "first", "none"))
    weights = [float(s) ** 2 for s in _checks.per_layer(sigma_w, "sigma_w", depth + 1)]
    offsets = [float(s) ** 2 for s in _checks.per_layer(sigma_b, "sigma_b", depth + 1)]
    if biases == "none" and any(offsets):
        raise ValueError(f'biases="none" needs sigma_b=0, got sigma_b={sigma_b}')
    if biases == "first":
        offsets[1:] = [0.0] * depth
    if weights[0] == 0.0:
        raise ValueError("sigma_w of the first layer must be positive: without it the kernel is constant")
    layers = list(zip(weights[1:], offsets[1:], strict=True))

    def kernel(angle: Any) -> Any:
        angle = np.asarray(angle)
        if not np.issubdtype(angle.dtype, np.inexact):
            angle = angle.astype(float)
        variance = weights[0] + offsets[0]
        nngp = tangent = weights[0] * np.cos(angle) + offsets[0]
        if offsets[0] > 0:  # else the angle stays what it is, and 2 arcsin would cut the complex plane at pi
            angle = _shrunk(angle, weights[0] / variance * np.sin(angle / 2) ** 2)
        for weight, offset in layers:
            rate = weight * power**2 * variance ** (power - 1) * _half_moment(power - 1)
            scale = weight * variance**power * _half_moment(power)
            nngp = scale * arc_cosine(angle, power) + offset
            tangent = nngp + rate * tangent * arc_cosine(angle, power - 1)
            variance = scale + offset
            angle = _shrunk(angle, scale / variance * _half_gap(angle, power))
        return tangent if get == "ntk" else nngp

    return kernel


def zonal_resnet_kernel(*, depth: int, alpha: float | int = 1.0, get: str = "ntk") -> Callable[[Any], Any]:
    r"""Return a kernel of the residual network of Belfer et al. (2024) on the unit sphere, as a function of the angle.

    The kernel of ``resnet_kernel(variant="belfer2024")``, divided by its value at angle 0: for the NTK
    :math:`2 L \alpha^2 (1 + \alpha^2)^{L-1}`, for the NNGP kernel :math:`(1 + \alpha^2)^L`. With the correlation
    :math:`c_0 = \cos\theta` and :math:`w = \alpha^2 / (1 + \alpha^2)`,

    .. math::
        c_l = (1 - w) c_{l-1} + w\, \kappa_1(c_{l-1}), \qquad
        t_l = [1 - w + w\, \kappa_0(c_{l-1})]\, t_{l-1} + \tfrac{1}{2L}
        [\kappa_1(c_{l-1}) + c_{l-1} \kappa_0(c_{l-1})], \quad t_0 = 0,

    and the NTK is :math:`t_L`. Dividing by the growth of the diagonal keeps every number below 1 at any depth.

    Args:
        depth: number L of blocks, at least 1.
        alpha: weight of a block, positive.
        get: ``"ntk"`` or ``"nngp"``.

    Returns:
        A function from an array of angles in radians, real or complex, to the kernel's values. It is analytic like that
        of ``zonal_kernel``.

    Raises:
        TypeError: if ``depth`` is no integer or ``alpha`` no number.
        ValueError: if an argument has a wrong value; the message names it.

    Example:
        >>> kernel = zonal_resnet_kernel(depth=3, alpha=0.5)
        >>> kernel(np.array([0.0, np.pi / 2])).round(4)
        array([1.   , 0.176])
    """
    depth = _checks.check_positive_int(depth, "depth")
    _checks.check_choice(get, "get", ("ntk", "nngp"))
    squared = float(_checks.check_nonnegative(alpha, "alpha")) ** 2
    if squared == 0.0:
        raise ValueError(f"alpha must be positive: without blocks nothing is trained; got {alpha}")
    share = squared / (1.0 + squared)

    def kernel(angle: Any) -> Any:
        angle = np.asarray(angle)
        if not np.issubdtype(angle.dtype, np.inexact):
            angle = angle.astype(float)
        tangent = np.zeros_like(angle)
        for _ in range(depth):
            slope, cosine = arc_cosine(angle, 0), np.cos(angle)
            branch = arc_cosine(angle, 1) + cosine * slope
            tangent = (1.0 - share + share * slope) * tangent + branch / (2 * depth)
            angle = _shrunk(angle, (1.0 - share) * np.sin(angle / 2) ** 2 + share * _half_gap(angle, 1))
        return tangent if get == "ntk" else np.cos(angle)

    return kernel


def _half_moment(m: int) -> float:
    """E[max(z, 0)^(2m)]: half of (2m - 1)!!."""
    return 0.5 * math.prod(range(1, 2 * m, 2))


def _half_gap(angle: Any, power: int) -> Any:
    """(1 - kappa_m) / 2, for relu without cancellation: a kernel with kinks sees the square root of it."""
    if power == 1:
        rise = 2 * (np.pi - angle) * np.sin(angle / 2) ** 2 + (angle - np.sin(angle))
        return rise / (2 * np.pi)
    return 0.5 * (1 - arc_cosine(angle, power))


def _shrunk(angle: Any, square: Any) -> Any:
    """The angle whose sin(angle / 2)^2 is ``square``; of the two roots, the one near the old half angle."""
    before = np.sin(angle / 2)
    nonzero = before != 0
    ratio = np.where(nonzero, square / np.where(nonzero, before * before, 1.0), 0.0)
    half = before * np.sqrt(ratio)  # the principal root has a positive real part
    return 2 * np.arcsin(half if np.iscomplexobj(half) else np.minimum(half, 1.0))


def _power(power: int, least: int) -> int:
    """Check the exponent of max(z, 0)^m."""
    if power == 0 and least == 0 and not isinstance(power, bool):
        return 0
    return _checks.check_positive_int(power, "power")
