r"""Interpolation spaces of a kernel: norms, the critical smoothness of a random function, the smoothness of labels.

For eigenvalues :math:`\lambda_i` and orthonormal eigenfunctions :math:`e_i` of a kernel,
:math:`[\mathcal H]^s = \{\sum_i a_i \lambda_i^{s/2} e_i : \sum_i a_i^2 < \infty\}`: a function with coefficients
:math:`c_i` belongs to it where :math:`\sum_i c_i^2 / \lambda_i^s` is finite. s = 0 is L2, s = 1 the kernel's own
space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ntk_helpers.limits.empirical_spectrum import (
    falling_spectrum,
    fit_power_law,
    percentile_interval,
    resampled_means,
    symmetric,
)

__all__ = ["CriticalSmoothness", "LabelSmoothness", "critical_smoothness", "interpolation_sums", "label_smoothness"]


@dataclass(frozen=True)
class CriticalSmoothness:
    r"""Where the sums of :math:`E_k / \lambda_k^s` stop converging.

    Attributes:
        s: the critical smoothness.
        interval: bootstrap interval over samples of the energies; None where there was one sample.
        sensitivity: smallest and largest s among the whole window and its two halves (in log x).
        energy_exponent: of the energies against x.
        eigenvalue_exponent: of the eigenvalues against x.
    """

    s: float
    interval: tuple[float, float] | None
    sensitivity: tuple[float, float]
    energy_exponent: float
    eigenvalue_exponent: float


@dataclass(frozen=True)
class LabelSmoothness:
    """Smoothness of labels relative to a kernel.

    Attributes:
        s: largest smoothness that the tail sums allow.
        sensitivity: smallest and largest s among the whole window and its two halves (in log i).
        tails: sum of the squared coefficients from index i on, over N, (N,).
        eigenvalues: of the kernel matrix over N, falling, (N,).
    """

    s: float
    sensitivity: tuple[float, float]
    tails: Float[np.ndarray, " N"]
    eigenvalues: Float[np.ndarray, " N"]


def interpolation_sums(energies: Any, eigenvalues: Any, s: float | int) -> Float[np.ndarray, ...]:
    r"""Return the partial sums of the squared norm in :math:`[\mathcal H]^s`.

    .. math::
        S_K = \sum_{k \le K} E_k / \lambda_k^s

    The last is the squared norm of what the coefficients hold; whether the function itself has a finite norm shows in
    the growth of the sums.

    Args:
        energies: sum of the squared coefficients that share an eigenvalue, (K,) or (samples, K), not negative. For
            the expectation over a Gaussian process with spectrum mu and multiplicities N on the sphere: N mu.
        eigenvalues: of the kernel, (K,), positive. Leave out what it does not see: no function with such a part has a
            finite norm.
        s: smoothness, any real number.

    Returns:
        The partial sums, in the shape of ``energies``.

    Raises:
        ValueError: if shapes do not fit or a value is out of range.

    Example:
        >>> interpolation_sums([1.0, 0.5], [1.0, 0.25], s=1.0)
        array([1., 3.])
    """
    energies, eigenvalues = _pair(energies, eigenvalues)
    if not np.isfinite(s):
        raise ValueError(f"s must be finite, got {s}")
    # in logarithms: where lambda^s leaves the range of floats, no energy still gives nothing
    with np.errstate(divide="ignore"):
        return np.cumsum(np.exp(np.log(energies) - s * np.log(eigenvalues)), axis=-1)


def critical_smoothness(
    x: Any,
    energies: Any,
    eigenvalues: Any,
    *,
    window: Sequence[float | int],
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> CriticalSmoothness:
    r"""Return the s at which the partial sums of ``interpolation_sums`` turn from convergence to divergence.

    With energies falling like :math:`x^p` and eigenvalues like :math:`x^{-b}` the terms go like :math:`x^{p + s b}`,
    and their sum converges for exponents below -1. At s = (-1 - p)/b each doubling of x adds the same amount. p and b
    are least-squares slopes over the window.

    Args:
        x: what the sums run over: shifted degrees on the sphere, or the index; positive, rising, (K,). One value for
            each integer: if every second degree is missing, the exponents stay what they are.
        energies: (K,) or (samples, K), positive in the window; the mean over samples is fitted.
        eigenvalues: (K,), positive.
        window: smallest and largest x of the fit.
        n_bootstrap: number of resamplings of the samples.
        level: probability of the interval.
        seed: of the bootstrap.

    Returns:
        The critical smoothness.

    Raises:
        ValueError: if shapes do not fit, the window holds fewer than 8 points, a value there is not positive, or the
            eigenvalues do not fall.

    Example:
        >>> k = np.arange(1.0, 201.0)
        >>> round(critical_smoothness(k, k**-4, k**-2, window=(20, 200)).s, 6)
        1.5
    """
    energies, eigenvalues = _pair(energies, eigenvalues)
    xs = np.asarray(x, dtype=float)
    law = fit_power_law(xs, eigenvalues, window=window)
    mean = fit_power_law(xs, np.atleast_2d(energies).mean(axis=0), window=window)
    if law.exponent >= 0:
        raise ValueError(f"eigenvalues must fall in the window, their exponent is {law.exponent:.3g}")

    def critical(energy_exponent, eigenvalue_exponent):
        return (1 + energy_exponent) / eigenvalue_exponent

    values = [critical(mean.exponent, law.exponent), *map(critical, mean.halves, law.halves)]
    interval = None
    if energies.ndim == 2 and len(energies) > 1:
        inside = (xs >= window[0]) & (xs <= window[1])
        means = resampled_means(energies[:, inside], n_bootstrap, seed)
        slopes = np.polyfit(np.log(xs[inside]), np.log(means).T, 1)[0]
        interval = percentile_interval(critical(slopes, law.exponent), values[0], level)
    sensitivity = (float(min(values)), float(max(values)))
    return CriticalSmoothness(float(values[0]), interval, sensitivity, mean.exponent, law.exponent)


def label_smoothness(
    kernel_xx: Any, labels: Any, *, window: Sequence[float | int], decay: float | int | None = None
) -> LabelSmoothness:
    r"""Estimate the smoothness of labels from the tail sums of their coefficients.

    With eigenvectors v_j of K(X, X)/N and :math:`p_j = \langle v_j, y \rangle / \sqrt N`, tails
    :math:`\sum_{j \ge i} p_j^2 \sim i^{-r}` and eigenvalues :math:`\sim i^{-\beta}`, the labels belong to
    :math:`[\mathcal H]^s` for :math:`s < r/\beta`.

    Args:
        kernel_xx: K(X, X), (N, N).
        labels: (N,), or (N, C) whose energies are added.
        window: smallest and largest index i (from 1) of the fit.
        decay: the exponent beta, where theory gives it; fitted over the same window where None.

    Returns:
        The smoothness.

    Raises:
        ValueError: if shapes do not fit, a value is not finite, ``decay`` is not positive, or the window holds too few
            points.

    Example:
        >>> x = np.linspace(0.0, 1.0, 200)
        >>> y = np.where(x < 0.5, -1.0, 1.0)  # a jump: r = 1, and min(x, x') has beta = 2
        >>> found = label_smoothness(np.minimum(x[:, None], x[None, :]), y, window=(4, 40), decay=2.0)
        >>> 0.4 < found.s < 0.6
        True
    """
    y = np.asarray(labels, dtype=float)
    if y.ndim not in (1, 2) or len(y) != len(kernel_xx):
        raise ValueError(f"labels must have shape (N,) or (N, C) with N = {len(kernel_xx)}, got {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError(f"labels must be finite, {np.sum(~np.isfinite(y))} are not")
    if decay is not None and not (np.isfinite(decay) and decay > 0):
        raise ValueError(f"decay must be positive, got {decay}")
    eigenvalues, eigenvectors = falling_spectrum(symmetric(kernel_xx))
    n = len(y)
    coefficients = (eigenvectors.T @ y.reshape(n, -1)) / np.sqrt(n)
    tails = np.cumsum((coefficients**2).sum(axis=1)[::-1])[::-1]
    index = np.arange(1.0, n + 1)
    tail = fit_power_law(index, tails, window=window)
    beta = -fit_power_law(index, eigenvalues, window=window).exponent if decay is None else decay
    ends = sorted(-end / beta for end in tail.sensitivity)
    return LabelSmoothness(-tail.exponent / beta, (ends[0], ends[1]), tails, eigenvalues)


def _pair(energies, eigenvalues):
    """Energies and eigenvalues as arrays, checked."""
    energies, eigenvalues = np.asarray(energies, dtype=float), np.asarray(eigenvalues, dtype=float)
    if eigenvalues.ndim != 1 or energies.ndim not in (1, 2) or energies.shape[-1] != eigenvalues.size:
        raise ValueError(
            "energies (K,) or (samples, K) and eigenvalues (K,) do not fit: "
            f"got {energies.shape} and {eigenvalues.shape}"
        )
    if not (np.isfinite(energies).all() and (energies >= 0).all()):
        raise ValueError("energies must be finite and not negative")
    if not (np.isfinite(eigenvalues).all() and (eigenvalues > 0).all()):
        raise ValueError(f"eigenvalues must be finite and positive, the smallest is {eigenvalues.min():.3g}")
    return energies, eigenvalues
