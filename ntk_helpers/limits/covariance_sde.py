r"""Correlation of two inputs in shaped relu networks whose depth is comparable to their width."""

from __future__ import annotations

import math

import numpy as np

from ntk_helpers.limits.diffusion import LineLaw, diffusion_law

__all__ = ["shaped_relu_correlation"]

REACH = 8.0  # standard deviations of the noise that the grid reaches beyond the start


def shaped_relu_correlation(
    correlation: float, *, time: float, c_plus: float, c_minus: float, cells: int = 1500, steps: int = 200
) -> LineLaw:
    r"""Law of the correlation after depth ``time * width``, in the limit of large width, for the shaped relu.

    The network is fully connected, bias-free and normalized, with
    :math:`\phi(z) = (1 + c_+/\sqrt n) \max(z, 0) + (1 + c_-/\sqrt n) \min(z, 0)`. With t = layers / n the correlation
    :math:`\rho` of the pre-activations at two inputs tends to the diffusion (Li, Nica and Roy
    2022; derived in Chapter 10)

    .. math::
        d\rho = \Bigl[\nu(\rho) - \tfrac12 \rho (1 - \rho^2)\Bigr] dt + (1 - \rho^2)\, dB, \qquad
        \nu = \tfrac{(c_+ - c_-)^2}{2\pi} \bigl(\sqrt{1 - \rho^2} - \rho \arccos\rho\bigr).

    Fisher's :math:`y = \mathrm{artanh}\,\rho` makes the noise constant: with :math:`\rho = \cos\theta`,

    .. math:: dy = \Bigl[\tfrac{(c_+ - c_-)^2}{2\pi}\, \tfrac{\sin\theta - \theta\cos\theta}{\sin^2\theta}
              + \tfrac12 \tanh y\Bigr] dt + dB,

    whose law ``nh.diffusion_law`` computes.

    Args:
        correlation: :math:`\rho_0`, strictly between -1 and 1.
        time: depth over width, positive.
        c_plus: :math:`c_+`.
        c_minus: :math:`c_-`; only the difference matters in the limit.
        cells: of the grid.
        steps: in time.

    Returns:
        LineLaw of the correlation.

    Raises:
        ValueError: if a number is out of range.
        TypeError: if a count is not an integer.

    Example:
        >>> law = shaped_relu_correlation(0.3, time=1.0, c_plus=0.0, c_minus=-1.0)
        >>> mean, sd = law.moments()
        >>> round(mean, 2), round(sd, 2)
        (0.34, 0.59)
    """
    if not -1 < correlation < 1:
        raise ValueError(f"correlation must lie strictly between -1 and 1, got {correlation}")
    if not (math.isfinite(time) and time > 0):
        raise ValueError(f"time must be positive and finite, got {time}")
    strength = (c_plus - c_minus) ** 2 / (2 * math.pi)
    if not math.isfinite(strength):
        raise ValueError(f"c_plus and c_minus must be finite, got {c_plus} and {c_minus}")

    def drift(y: np.ndarray) -> np.ndarray:
        theta = 2 * np.arctan(np.exp(-y))  # cos(theta) = tanh(y)
        sine = np.where(theta > 1e-4, np.sin(theta), 1.0)
        shaping = np.where(theta > 1e-4, (sine - theta * np.tanh(y)) / sine**2, theta / 3)
        return strength * shaping + 0.5 * np.tanh(y)

    start, reach = math.atanh(correlation), REACH * math.sqrt(time)
    # For y > 0 the drift is at most strength e^-y + 1/2: without noise e^y stays below (e^y_0 + strength t) e^(t/2).
    high = math.log(math.exp(max(start, 0.0)) + strength * time) + time / 2 + reach
    low = min(start, 0.0) - reach
    law = diffusion_law(drift, start, time, lower=low, upper=high, cells=cells, steps=steps)
    return LineLaw(np.tanh(law.points), law.cdf)
