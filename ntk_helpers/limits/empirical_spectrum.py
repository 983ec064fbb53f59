"""Spectra of kernels on any domain, from samples (Nystroem), and power laws fitted to spectra.

The eigenvalues of K(X, X)/N estimate those of the kernel's integral operator with respect to the law of the samples.
The estimate has a bias, which grows with the index: small eigenvalues see the finite number of samples. It is
estimated here from halves of the sample, so that a fit can stop where the bias begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ntk_helpers import _checks

__all__ = ["EmpiricalSpectrum", "PowerLaw", "empirical_spectrum", "fit_power_law"]

_MIN_POINTS = 8


@dataclass(frozen=True)
class EmpiricalSpectrum:
    """Eigenvalues of K(X, X)/N.

    Attributes:
        eigenvalues: falling, (N,); the smallest may be slightly negative by rounding.
        eigenvectors: columns v_i of norm 1, (N, N).
        bias: estimated bias of the first N // 2 eigenvalues, (N // 2,).
        trusted: number of leading eigenvalues with a bias of at most ``rtol`` of them and well above rounding.
    """

    eigenvalues: Float[np.ndarray, " N"]
    eigenvectors: Float[np.ndarray, "N N"]
    bias: Float[np.ndarray, " half"]
    trusted: int


@dataclass(frozen=True)
class PowerLaw:
    """The fit y = prefactor x^exponent.

    Attributes:
        exponent: slope of log y against log x by least squares.
        prefactor: value of the fit at x = 1.
        interval: bootstrap interval of the exponent over samples; None where y was one sample.
        halves: exponents of the lower and the upper half of the window (in log x).
        window: smallest and largest x of the fit.
        points: number of x in the window.
    """

    exponent: float
    prefactor: float
    interval: tuple[float, float] | None
    halves: tuple[float, float]
    window: tuple[float, float]
    points: int

    @property
    def sensitivity(self) -> tuple[float, float]:
        """Smallest and largest exponent among the whole window and its two halves."""
        ends = (self.exponent, *self.halves)
        return min(ends), max(ends)


def empirical_spectrum(
    kernel_xx: Any, *, halves: str = "random", splits: int = 4, seed: int = 0, rtol: float = 0.1
) -> EmpiricalSpectrum:
    r"""Return the spectrum of a kernel matrix divided by its size, with the bias of each eigenvalue estimated.

    For independent samples the bias is b/N to leading order, so that an eigenvalue of half the sample has 2b/N, and
    the difference of the two is the bias of the whole. For a regular grid (``halves="alternate"``) it falls faster than
    1/N, and the difference is an upper bound.

    Args:
        kernel_xx: K(X, X), (N, N), symmetric, N at least 4. Computed with in float64.
        halves: ``"random"`` for independent samples; ``"alternate"`` takes every second point of a grid in order.
        splits: number of random splits, each of which gives two halves.
        seed: of the splits.
        rtol: largest relative bias that counts as trusted.

    Returns:
        The spectrum.

    Raises:
        TypeError: if ``kernel_xx`` is not a real array or ``splits`` no integer.
        ValueError: if ``kernel_xx`` is not square, symmetric and finite, or an argument has a wrong value.

    Example:
        >>> x = np.linspace(0.0, 1.0, 100)
        >>> found = empirical_spectrum(np.minimum(x[:, None], x[None, :]), halves="alternate")
        >>> float(found.eigenvalues[0].round(2))  # Brownian motion: 4 / pi^2
        0.41
    """
    matrix = symmetric(kernel_xx)
    _checks.check_choice(halves, "halves", ("random", "alternate"))
    splits = _checks.check_positive_int(splits, "splits")
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be between 0 and 1, got {rtol}")
    n = len(matrix)
    values, vectors = falling_spectrum(matrix)
    if halves == "alternate":
        parts = [np.arange(0, n, 2), np.arange(1, n, 2)]
    else:
        rng = np.random.default_rng(seed)
        orders = [rng.permutation(n) for _ in range(splits)]
        parts = [part for order in orders for part in (order[: n // 2], order[n // 2 :])]
    of_halves = [np.linalg.eigvalsh(matrix[np.ix_(part, part)] / len(part))[::-1][: n // 2] for part in parts]
    bias = np.mean(of_halves, axis=0) - values[: n // 2]
    good = (np.abs(bias) <= rtol * values[: n // 2]) & (values[: n // 2] > 100 * np.finfo(float).eps * values[0])
    trusted = int(np.argmin(good)) if not good.all() else n // 2
    return EmpiricalSpectrum(values, vectors, bias, trusted)


def fit_power_law(
    x: Any, y: Any, *, window: Sequence[float | int], n_bootstrap: int = 1000, level: float = 0.95, seed: int = 0
) -> PowerLaw:
    """Fit a power law over a stated window, with a bootstrap interval and its sensitivity to the window.

    Args:
        x: positive, rising, (K,).
        y: (K,), or (samples, K) with independent samples as rows, whose mean is fitted; positive in the window.
        window: smallest and largest x that count; at least 8 points must lie in it, and 4 in each half.
        n_bootstrap: number of resamplings of the rows.
        level: probability of the interval.
        seed: of the bootstrap.

    Returns:
        The fit.

    Raises:
        ValueError: if shapes do not fit, the window holds too few points, or a value there is not positive.

    Example:
        >>> k = np.arange(1.0, 101.0)
        >>> round(fit_power_law(k, 5 * k**-2.0, window=(10, 100)).exponent, 6)
        -2.0
    """
    xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if xs.ndim != 1 or ys.ndim not in (1, 2) or ys.shape[-1] != xs.size:
        raise ValueError(f"x (K,) and y (K,) or (samples, K) do not fit: got {xs.shape} and {ys.shape}")
    rows = np.atleast_2d(ys)
    inside, whole = _window(xs, window)
    log_x = np.log(xs[inside])
    log_y = _log(rows.mean(axis=0)[inside], xs[inside], "y")
    slope, intercept = np.polyfit(log_x, log_y, 1)
    lower, upper = (float(np.polyfit(log_x[part], log_y[part], 1)[0]) for part in _halves(log_x))
    interval = None
    if len(rows) > 1:
        means = resampled_means(rows[:, inside], n_bootstrap, seed)
        slopes = np.polyfit(log_x, _log(means, xs[inside], "y (resampled)").T, 1)[0]
        interval = percentile_interval(slopes, float(slope), level)
    return PowerLaw(float(slope), float(np.exp(intercept)), interval, (lower, upper), whole, int(inside.sum()))


def falling_spectrum(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of the matrix over its size, falling, and eigenvectors as columns."""
    values, vectors = np.linalg.eigh(matrix / len(matrix))
    return values[::-1], vectors[:, ::-1]


def resampled_means(rows: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Means over rows drawn with replacement, (n_bootstrap, K): as products with counts, which needs little memory."""
    n = len(rows)
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_bootstrap)
    return counts @ rows / n


def percentile_interval(values: np.ndarray, estimate: float, level: float) -> tuple[float, float]:
    """The middle ``level`` of the values, widened to hold the estimate."""
    lo, hi = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(min(lo, estimate)), float(max(hi, estimate))


def _window(xs, window):
    """Which points count, and the smallest and largest of them."""
    if len(window) != 2 or not 0 < window[0] < window[1]:
        raise ValueError(f"window must be (lo, hi) with 0 < lo < hi, got {window}")
    if not (np.isfinite(xs).all() and (xs > 0).all() and (np.diff(xs) > 0).all()):
        raise ValueError("x must be positive, finite and rising")
    inside = (xs >= window[0]) & (xs <= window[1])
    if inside.sum() < _MIN_POINTS:
        raise ValueError(f"window {window} holds {inside.sum()} of the points, a fit needs at least {_MIN_POINTS}")
    log_x = np.log(xs[inside])
    if min(part.sum() for part in _halves(log_x)) < _MIN_POINTS // 2:
        raise ValueError(f"window {window}: each half (in log x) must hold at least {_MIN_POINTS // 2} points")
    return inside, (float(xs[inside][0]), float(xs[inside][-1]))


def _halves(log_x):
    """Masks of the lower and the upper half of the window."""
    middle = 0.5 * (log_x[0] + log_x[-1])
    return log_x <= middle, log_x >= middle


def _log(values, xs, name):
    """Logarithm of values that must be positive."""
    if not (np.isfinite(values).all() and (values > 0).all()):
        where = xs[np.argwhere(~(values > 0))[0][-1]]
        raise ValueError(f"{name} must be positive in the window, it is not at x = {where:g}")
    return np.log(values)


def symmetric(kernel_xx: Any) -> np.ndarray:
    """The matrix in float64, checked."""
    matrix = np.asarray(kernel_xx)
    if not np.issubdtype(matrix.dtype, np.floating):
        raise TypeError(f"kernel_xx must be a real floating-point array, got dtype {matrix.dtype}")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 4:
        raise ValueError(f"kernel_xx must have shape (N, N) with N at least 4, got {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"kernel_xx must be finite, {np.sum(~np.isfinite(matrix))} entries are not")
    eps = np.finfo(matrix.dtype).eps
    matrix = matrix.astype(np.float64)
    gap = np.abs(matrix - matrix.T).max()
    if gap > 100 * eps * np.abs(matrix).max():
        raise ValueError(f"kernel_xx must be symmetric, entries differ from their mirror images by up to {gap:.3g}")
    return 0.5 * (matrix + matrix.T)
