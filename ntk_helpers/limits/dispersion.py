r"""How far the tangent kernel of a random relu network scatters when depth is comparable to width.

One unit input x in R^d, L hidden layers of width n, one output, weights of variance sigma_w^2 / fan-in, biases that
start at 0 (standard parameterization). With the mean square gains :math:`F_l = |x^{l-1}|^2` of the forward pass and
:math:`B_l = |\partial f / \partial z^l|^2` of the backward pass the kernel is

.. math:: \hat\Theta(x, x) = \sum_{l=1}^{L+1} B_l\,(F_l + 1),

F from the weights, 1 from the biases. Its first two moments are finite sums of products of three numbers. With
:math:`a = \sigma_w^2 / 2`, two forward or two backward lines gain :math:`a^2 (1 + 5/n)` in a layer, one line gains a,
and a forward and a backward line that run through j layers together gain

.. math:: a^{2j} X_j, \qquad X_j = \tfrac13 (1 + 5/n)^j + \tfrac23 (1 - 1/n)^j .

Chapter 9 derives all three. X_j is not a product of independent layers: the two lines meet in every weight matrix, and
what they leave there is seen by the next one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ntk_helpers import _checks

__all__ = ["NTKMoments", "crossing_factor", "relu_ntk_dispersion_limit", "relu_ntk_moments"]

PHASES = ("ordered", "critical", "chaotic")


class NTKMoments(NamedTuple):
    """Moments of the tangent kernel at one input over initializations.

    Attributes:
        mean: E[Theta].
        dispersion: E[Theta^2] / E[Theta]^2, at least 1; the relative variance is this minus 1.
    """

    mean: float
    dispersion: float


def crossing_factor(layers: int | np.ndarray, *, width: int) -> float | np.ndarray:
    r"""Gain of a forward and a backward line that run through the same hidden layers, over the product of their means.

    .. math:: X_j = e_0^\top A^j e_0 = \tfrac13 (1 + 5/n)^j + \tfrac23 (1 - 1/n)^j, \qquad
              A = I + \tfrac1n \begin{pmatrix} 1 & 4 \\ 2 & 3 \end{pmatrix} .

    Args:
        layers: j, integers of at least 0, any shape.
        width: n.

    Returns:
        X_j, in the shape of ``layers``.

    Raises:
        TypeError: if ``layers`` or ``width`` is no integer.
        ValueError: if ``layers`` is negative or ``width`` smaller than 1.

    Example:
        >>> round(crossing_factor(10, width=20), 3)
        3.504
    """
    n = _checks.check_positive_int(width, "width")
    j = np.asarray(layers)
    if not np.issubdtype(j.dtype, np.integer):
        raise TypeError(f"layers must be integers, got dtype {j.dtype}")
    if (j < 0).any():
        raise ValueError(f"layers must be at least 0, got {j.min()}")
    with np.errstate(over="ignore"):  # infinite where it overflows
        factor = ((1 + 5 / n) ** j.astype(float) + 2 * (1 - 1 / n) ** j.astype(float)) / 3
    return factor if j.ndim else float(factor)


def relu_ntk_moments(
    *,
    depth: int,
    width: int,
    sigma_w: float,
    d_in: int | None = None,
    biases: bool = True,
) -> NTKMoments:
    r"""Exact mean and dispersion of a finite relu network's tangent kernel at one unit input.

    Standard parameterization, biases of variance 0 at the start, whose gradients count unless ``biases=False``, one
    output. Without biases and with ``d_in = width`` the dispersion is that of the NTK parameterization too.

    .. math:: E\,\hat\Theta^2 = \sum_{l, m} E[B_l B_m (F_l F_m + F_l + F_m + 1)]

    with the factors of the module, (L + 1)^2 terms.

    Args:
        depth: number L of hidden layers.
        width: n, of all hidden layers.
        sigma_w: standard deviation of a weight times the root of its fan-in; 2^0.5 is critical.
        d_in: input dimension; by default ``width``.
        biases: whether the gradients with respect to the biases are part of the kernel.

    Returns:
        ``NTKMoments(mean, dispersion)``.

    Raises:
        TypeError: if a size is no integer, or ``sigma_w`` no number.
        ValueError: if a size is smaller than 1, ``sigma_w`` is not positive, or the moments overflow.

    Example:
        >>> moments = relu_ntk_moments(depth=15, width=50, sigma_w=2**0.5)
        >>> round(moments.mean, 6), round(moments.dispersion, 3)
        (32.0, 2.101)
    """
    depth = _checks.check_positive_int(depth, "depth")
    n = _checks.check_positive_int(width, "width")
    d = n if d_in is None else _checks.check_positive_int(d_in, "d_in")
    a = _checks.check_nonnegative(sigma_w, "sigma_w") ** 2 / 2
    if a == 0:
        raise ValueError(f"sigma_w must be positive, got {sigma_w}")

    layer = np.arange(1, depth + 2)
    first, last = np.minimum.outer(layer, layer), np.maximum.outer(layer, layer)
    after = depth + 1 - last  # hidden layers that both backward lines pass
    shared = crossing_factor(last - first, width=n)
    square = 1 + 5 / n
    r = np.where(layer == 1, 1.0, n / d)  # |x|^2 = 1, but |x^l|^2 has the mean n/d a^l
    # All means are divided by a^L where they grow, so that deep networks do not overflow: logarithms of powers of a.
    scale = depth * max(math.log(a), 0.0)
    forward, backward = (layer - 1) * math.log(a), (depth + 1 - layer) * math.log(a)
    weights = r * np.exp(forward + backward - scale)  # E[F_l B_l]
    bias = np.exp(backward - scale) * biases  # E[B_l]

    with np.errstate(over="ignore", invalid="ignore"):
        both = np.outer(weights, weights) * square ** (first - 1.0 + after) * shared
        # F_m and B_l cross where m > l; for m <= l they meet in no layer.
        crossed = np.where(layer[None, :] > layer[:, None], shared, 1.0)
        mixed = np.outer(bias, weights) * crossed * square ** (after * 1.0)
        second = np.sum(both + 2 * mixed + np.outer(bias, bias) * square ** (after * 1.0))
    mean = np.sum(weights + bias)
    if not np.isfinite(second):
        raise ValueError(f"the second moment overflows at depth {depth} and width {n}")
    with np.errstate(over="ignore"):
        return NTKMoments(float(mean * np.exp(scale)), float(second / mean**2))


def relu_ntk_dispersion_limit(
    depth_over_width: float,
    *,
    phase: str,
    width_over_d_in: float = 1.0,
    biases: bool = True,
) -> float:
    r"""Limit of the dispersion of ``relu_ntk_moments`` as depth and width grow with :math:`L/n \to \lambda`.

    With :math:`P(t) = \tfrac13 e^{5t} + \tfrac23 e^{-t}`, the limit of the crossing factor, the kernel of the weights,
    and in the chaotic phase (sigma_w^2 > 2) the whole kernel, has the dispersion

    .. math:: \tfrac13 e^{5\lambda} \Big[1 + \tfrac{2}{3\lambda}\Big(1 - \tfrac{1 - e^{-6\lambda}}{6\lambda}\Big)\Big] ,

    in the ordered phase (sigma_w^2 < 2) the whole kernel has 1, and at sigma_w^2 = 2, with r = n/d,

    .. math:: \tfrac{2}{(1+r)^2} \iint_{0<u<v<1} e^{5\lambda(1-v)} \big[r^2 e^{5\lambda u} P(\lambda(v-u))
              + r (1 + P(\lambda(v-u))) + 1\big]\, du\, dv .

    Args:
        depth_over_width: lambda, at least 0.
        phase: ``"ordered"``, ``"critical"`` or ``"chaotic"``.
        width_over_d_in: r, the limit of n/d; matters in the critical phase only.
        biases: whether the kernel has the biases' part; without it all phases are alike.

    Returns:
        The limit, at least 1.

    Raises:
        TypeError: if a number is none.
        ValueError: if a number is negative or not finite, the phase is not known, or the limit overflows.

    Example:
        >>> for phase in ("ordered", "critical", "chaotic"):
        ...     print(phase, round(relu_ntk_dispersion_limit(0.5, phase=phase), 3))
        ordered 1.0
        critical 4.253
        chaotic 7.76
    """
    lam = float(_checks.check_nonnegative(depth_over_width, "depth_over_width"))
    r = float(_checks.check_nonnegative(width_over_d_in, "width_over_d_in"))
    _checks.check_choice(phase, "phase", PHASES)
    if lam > 100:
        raise ValueError(f"depth_over_width: the limit grows as exp(5 lambda) and overflows at {lam:g}")
    if lam == 0 or (phase == "ordered" and biases):
        return 1.0
    nodes, w = np.polynomial.legendre.leggauss(200)
    t, w = (nodes + 1) / 2, w / 2
    two_lines = np.exp(5 * lam * (1 - t))
    crossing = (np.exp(5 * lam * t) + 2 * np.exp(-lam * t)) / 3
    weights = w @ ((1 - t) * two_lines * crossing)
    if phase == "chaotic" or not biases:
        return float(2 * weights)
    # The inner integral over u < v of the crossing factor.
    inner = (np.expm1(5 * lam * t) / 5 - 2 * np.expm1(-lam * t)) / (3 * lam)
    return float(2 / (1 + r) ** 2 * (r**2 * weights + w @ (two_lines * ((1 + r) * t + r * inner))))
