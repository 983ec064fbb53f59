r"""Learning curves from spectra: the expected test error of kernel ridge and of kernel gradient flow, without data.

The inputs enter through the eigenvalues :math:`\lambda_i` of the kernel's integral operator alone. For features whose
directions are as good as independent, the random resolvent of n samples acts like that of the population with an
effective ridge :math:`\kappa` (the deterministic equivalent; Bordelon, Canatar and Pehlevan 2020, Simon et al. 2023):

.. math:: s\,(\hat C + s)^{-1} \approx \kappa\,(\Lambda + \kappa)^{-1}, \qquad
          s = \kappa \Bigl(1 - \tfrac1n \sum_i m_i \frac{\lambda_i}{\lambda_i + \kappa}\Bigr),

and two of them around :math:`\Lambda` like the product of the two equivalents over :math:`1 - \gamma`, with
:math:`\gamma = \tfrac1n \sum_i m_i \lambda_i^2 / ((\lambda_i + \kappa)(\lambda_i + \kappa'))`. Ridge regression is
:math:`s = \text{ridge}/n`. Gradient flow is a contour integral of resolvents:

.. math:: e^{-\tau \hat C} = \frac1{2 \pi i} \int e^{s \tau} (\hat C + s)^{-1} ds,

around the negative half-line, with complex s and :math:`\kappa(s)`; 28 nodes on a parabola (Weideman and Trefethen
2007) give it to ten digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Num

from ntk_helpers import _checks
from ntk_helpers.predict.losses import loss_factor
from ntk_helpers.predict.regression import as_path
from ntk_helpers.predict.solves import HostFloat, Numbers, on_host

__all__ = ["RiskCurve", "flow_risk", "ridge_risk"]

_NODES = 28
_SUBSTEPS = 4


class RiskCurve(NamedTuple):
    """Expected squared error against the target without noise, over inputs and training sets.

    Attributes:
        risk: bias + variance; first axis over n, second over ridges or times, where sequences were given.
        bias: the part of the target.
        variance: the part of the noise in the labels.
    """

    risk: HostFloat
    bias: HostFloat
    variance: HostFloat


@dataclass(frozen=True)
class _Spectrum:
    """Distinct eigenvalues, their multiplicities, the target's energy in each eigenspace."""

    values: np.ndarray
    mult: np.ndarray
    energy: np.ndarray


def _checked(eigenvalues: Any, target_energy: Any, multiplicities: Any) -> _Spectrum:
    values = on_host(eigenvalues, "eigenvalues", (1,))
    energy = on_host(target_energy, "target_energy", (1,))
    mult = np.ones_like(values) if multiplicities is None else on_host(multiplicities, "multiplicities", (1,))
    for name, array in (("target_energy", energy), ("multiplicities", mult)):
        if array.shape != values.shape:
            raise ValueError(f"{name} must have the shape {values.shape} of eigenvalues, got {array.shape}")
    for name, array in (("eigenvalues", values), ("target_energy", energy)):
        if (array < 0).any():
            raise ValueError(f"{name} must not be negative, got {array.min():.4g} at index {array.argmin()}")
    if (mult <= 0).any():
        raise ValueError(f"multiplicities must be positive, got {mult.min():.4g} at index {mult.argmin()}")
    return _Spectrum(values, mult, energy)


def _effective_ridge(spectrum: _Spectrum, n: float, s: float) -> float:
    """The positive solution kappa of s = kappa (1 - sum(m lambda / (lambda + kappa)) / n), for real s >= 0."""
    values, mult = spectrum.values, spectrum.mult
    total = float(mult @ values)
    if s == 0 and mult[values > 0].sum() <= n:
        raise ValueError(
            f"ridgeless regression (or infinite time) with n = {n:g} samples needs more than n eigenvalues, got "
            f"{mult[values > 0].sum():g} with multiplicities: the spectrum is cut off too early"
        )

    def excess(log_kappa: float) -> float:
        kappa = np.exp(log_kappa)
        return float(mult @ (values / (values + kappa))) / n + s / kappa - 1

    high = np.log(total / n + s) + 1e-9
    low = high - 1
    while excess(low) <= 0:
        low -= 2 * (high - low)
    return float(np.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-14, rtol=1e-14)))


def ridge_risk(
    eigenvalues: Float[Array | np.ndarray, " I"],
    target_energy: Float[Array | np.ndarray, " I"],
    *,
    n: Numbers,
    ridge: Numbers,
    noise_variance: float | int = 0.0,
    multiplicities: Num[Array | np.ndarray, " I"] | None = None,
) -> RiskCurve:
    r"""Expected test error of kernel ridge regression from the kernel's spectrum.

    With :math:`L_i = \lambda_i / (\lambda_i + \kappa)`, :math:`n = \sum_i m_i L_i + \text{ridge} / \kappa` and
    :math:`E = n / (n - \sum_i m_i L_i^2)` (Simon et al. 2023),

    .. math:: \text{bias} = E \sum_i c_i^2 (1 - L_i)^2, \qquad \text{variance} = (E - 1)\, \sigma^2 .

    Args:
        eigenvalues: distinct eigenvalues of the integral operator with respect to the law of the inputs, shape
            ``(I,)``, any order. What is cut off counts as zero.
        target_energy: :math:`c_i^2`, squared norm of the target's part in each eigenspace (summed over it). For a
            random target its expectation: for a Gaussian process with eigenvalues mu_i it is m_i mu_i. The bias is
            linear in it, so energy on some of the eigenspaces gives their share.
        n: number of samples, one or several.
        ridge: of :math:`(K + \text{ridge}\, I)^{-1}`, K the kernel matrix as it is (not over n), one or several.
        noise_variance: of the labels.
        multiplicities: dimension m_i of each eigenspace; 1 unless given.

    Returns:
        ``RiskCurve(risk, bias, variance)``; axes (n, ridge), without those of single numbers.

    Raises:
        ValueError: if shapes differ, something is negative or not finite, or ridge is 0 and there are not more than n
            eigenvalues.
        TypeError: if something is not real, or a tracer.

    Example:
        >>> import numpy as np
        >>> k = np.arange(1.0, 1e4)
        >>> curve = ridge_risk(k**-2, k**-4, n=[100, 1000], ridge=0.01)
        >>> bool(curve.risk[1] < curve.risk[0])
        True
    """
    spectrum = _checked(eigenvalues, target_energy, multiplicities)
    noise = float(_checks.check_nonnegative(noise_variance, "noise_variance"))
    samples, ridges, shape = _grid(n, ridge, "ridge", infinite=False)
    bias, variance = np.empty((2, len(samples), len(ridges)))
    for a, count in enumerate(samples):
        for b, rho in enumerate(ridges):
            kappa = _effective_ridge(spectrum, count, rho / count)
            learned = spectrum.values / (spectrum.values + kappa)
            squares = float(spectrum.mult @ learned**2)
            bias[a, b] = count / (count - squares) * float(spectrum.energy @ (1 - learned) ** 2)
            variance[a, b] = squares / (count - squares) * noise
    return RiskCurve((bias + variance).reshape(shape), bias.reshape(shape), variance.reshape(shape))


def flow_risk(
    eigenvalues: Float[Array | np.ndarray, " I"],
    target_energy: Float[Array | np.ndarray, " I"],
    *,
    n: Numbers,
    times: Numbers,
    noise_variance: float | int = 0.0,
    multiplicities: Num[Array | np.ndarray, " I"] | None = None,
    loss: str = "sum",
    half: bool = True,
) -> RiskCurve:
    r"""Expected test error of kernel gradient flow stopped at a time, from the kernel's spectrum.

    With :math:`\tau = c n t` (c: ``nh.loss_factor``) and :math:`\hat C` the empirical covariance of the features,

    .. math:: \text{bias} = \theta_*^\top e^{-\tau \hat C} \Lambda e^{-\tau \hat C} \theta_*, \qquad
              \text{variance} = \tfrac{\sigma^2}{n}\,
              \mathrm{tr}\bigl[\Lambda \hat C^{-1} (1 - e^{-\tau \hat C})^2\bigr],

    each with the resolvents in its contour integral replaced by their deterministic equivalents. The variance becomes
    :math:`\sigma^2 (2 V(\tau) - V(2 \tau))` with V the inverse Laplace transform of :math:`(\kappa(s) - s) / s^2`.
    The flow starts at 0; starting at a random f_0 is the same as the target :math:`f^* - f_0`, whose expected energy is
    the sum of both.

    Args:
        eigenvalues: as in ``nh.ridge_risk``.
        target_energy: as in ``nh.ridge_risk``.
        n: number of samples, one or several.
        times: t > 0 (or 0, or ``np.inf``: ridgeless regression), one or several.
        noise_variance: of the labels.
        multiplicities: as in ``nh.ridge_risk``.
        loss: as in ``nh.loss_factor``.
        half: as in ``nh.loss_factor``.

    Returns:
        ``RiskCurve(risk, bias, variance)``; axes (n, time), without those of single numbers.

    Raises:
        ValueError: as ``nh.ridge_risk``.
        TypeError: as ``nh.ridge_risk``.
        RuntimeError: if an effective ridge could not be found.

    Example:
        >>> import numpy as np
        >>> k = np.arange(1.0, 1e4)
        >>> curve = flow_risk(k**-2, k**-4, n=200, times=[0.0, 1.0, 100.0], noise_variance=0.1)
        >>> bool(curve.risk[0] == curve.bias[0]), bool(curve.risk[1] < curve.risk[0])
        (True, True)
    """
    spectrum = _checked(eigenvalues, target_energy, multiplicities)
    noise = float(_checks.check_nonnegative(noise_variance, "noise_variance"))
    samples, path, shape = _grid(n, times, "times", infinite=True)
    bias, variance = np.empty((2, len(samples), len(path)))
    for a, count in enumerate(samples):
        factor = loss_factor(loss, n_samples=max(1, round(count)), half=half)
        for b, time in enumerate(path):
            if time == 0:
                bias[a, b], variance[a, b] = spectrum.energy.sum(), 0.0
            elif np.isinf(time):
                end = ridge_risk(spectrum.values, spectrum.energy, n=count, ridge=0.0, noise_variance=noise,
                                 multiplicities=spectrum.mult)  # fmt: skip
                bias[a, b], variance[a, b] = end.bias, end.variance
            else:
                tau = factor * count * time
                bias[a, b], variance[a, b] = _bias(spectrum, count, tau), 0.0
                if noise:
                    parts = _noise_part(spectrum, count, tau), _noise_part(spectrum, count, 2 * tau)
                    variance[a, b] = noise * (2 * parts[0] - parts[1])
    return RiskCurve((bias + variance).reshape(shape), bias.reshape(shape), variance.reshape(shape))


def _grid(n: Any, other: Any, name: str, *, infinite: bool) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    samples, one_n = as_path(n, "n")
    if (samples < 1).any():
        raise ValueError(f"n must be at least 1, got {samples.min():g}")
    path, one = as_path(other, name, infinite=infinite)
    return samples, path, (() if one_n else (len(samples),)) + (() if one else (len(path),))


def _contour(spectrum: _Spectrum, n: float, tau: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, nodes s and kappa(s) on the upper half of the contour; the lower half is its conjugate."""
    theta = np.pi * np.arange(1, _NODES, 2) / _NODES
    s = _NODES / tau * (0.1309 - 0.1194 * theta**2 + 0.25j * theta)
    slope = _NODES / tau * (-0.2388 * theta + 0.25j)
    return np.exp(s * tau) * slope / (1j * _NODES), s, _complex_ridges(spectrum, n, s)


def _bias(spectrum: _Spectrum, n: float, tau: float) -> float:
    weights, s, kappa = (np.concatenate([part, part.conj()]) for part in _contour(spectrum, n, tau))
    inverse = 1 / (spectrum.values[:, None] + kappa)
    pairs = (inverse * spectrum.energy[:, None]).T @ inverse
    gamma = (inverse * (spectrum.mult * spectrum.values**2)[:, None]).T @ inverse / n
    scaled = weights * kappa / s
    return float(np.real(scaled @ (pairs / (1 - gamma)) @ scaled))


def _noise_part(spectrum: _Spectrum, n: float, tau: float) -> float:
    """V(tau), the inverse Laplace transform of (kappa(s) - s) / s^2."""
    weights, s, kappa = _contour(spectrum, n, tau)
    return 2 * float(np.real(weights @ ((kappa - s) / s**2)))


def _complex_ridges(spectrum: _Spectrum, n: float, s: np.ndarray) -> np.ndarray:
    """kappa(s) along the contour: Newton's method, each node starting from the last; from real s, which is certain."""
    values, weighted = spectrum.values, spectrum.mult * spectrum.values / n

    def newton(kappa: complex, at: complex) -> complex:
        for _ in range(50):
            inverse = 1 / (values + kappa)
            residual = kappa - kappa * (weighted @ inverse) - at
            step = residual / (1 - weighted @ (values * inverse**2))
            kappa = kappa - step
            if abs(step) <= 1e-14 * abs(kappa):
                return kappa
        return kappa if abs(residual) < 1e-10 * abs(at) else np.nan

    place, kappa, found = complex(s[0].real), complex(_effective_ridge(spectrum, n, s[0].real)), []
    for goal in s:
        for share in np.arange(1, _SUBSTEPS + 1) / _SUBSTEPS:
            kappa = newton(kappa, place + share * (goal - place))
        place = goal
        # The right branch keeps the half-plane: kappa(s) is minus the inverse of a Stieltjes transform.
        if not (np.isfinite(kappa) and kappa.imag > 0):
            raise RuntimeError(f"no effective ridge found at s = {goal:.4g} for n = {n:g}: please report the spectrum")
        found.append(kappa)
    return np.array(found)
