r"""Spectra of rotation-invariant kernels on the sphere S^d in R^(d+1), to any degree, with an error for each degree.

The eigenfunctions of a kernel :math:`\kappa(\theta)` that depends on the angle alone are the spherical harmonics; those
of degree k share one eigenvalue (Funk and Hecke), here with respect to the *uniform probability* on the sphere:

.. math::
    \lambda_k = \frac{\Gamma(\frac{d+1}2)}{\sqrt\pi\,\Gamma(\frac d2)}
        \int_0^\pi \kappa(\theta) P_k(\cos\theta) \sin^{d-1}\theta\, d\theta, \qquad
    \kappa(\theta) = \sum_k \lambda_k N_k P_k(\cos\theta),

with the Gegenbauer polynomial normalized to :math:`P_k(1) = 1` and the multiplicity :math:`N_k`.

Two methods, because each fails where the other works. *Quadrature* in float64 has an absolute error near
:math:`10^{-16}`, so that a spectrum that falls like a high power of k drowns in it at degree 50 to 100. The *end-point
expansion* is exact as k grows: powers of :math:`\sin(\theta/2)` and :math:`\cos(\theta/2)` have closed eigenvalues, the
even powers none at all beyond their own degree, so that the odd Taylor coefficients of the kernel at both ends give an
asymptotic series. They come from values at complex angles (Cauchy's formula), without loss of digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln, gammasgn

from ntk_helpers import _checks

__all__ = ["SphereSpectrum", "harmonic_multiplicity", "sphere_spectrum"]

_PANEL = 32  # Gauss-Legendre nodes of a panel
_TERMS = 24  # odd powers in the expansion
_CIRCLE = 256  # points on each circle around an end
_RADII = (0.6, 0.5, 0.4, 0.3, 0.22, 0.16, 0.12, 0.08, 0.05, 0.03, 0.02, 0.01)
_CHECKED = 256  # degree up to which quadrature and expansion are compared


@dataclass(frozen=True)
class SphereSpectrum:
    """Eigenvalues of a kernel on S^d.

    Attributes:
        d: dimension of the sphere.
        degrees: degrees k, rising, (K,).
        eigenvalues: lambda_k, with respect to the uniform probability, (K,).
        multiplicities: number of independent harmonics of each degree, (K,); floats, they exceed integers.
        errors: estimated absolute error of each eigenvalue, (K,).
        trusted_degree: the last of ``degrees`` up to which every error is at most ``rtol`` times the size of the
            spectrum there: the eigenvalue or its neighbour, because whole parities may vanish; -1 where there is none.
    """

    d: int
    degrees: Int[np.ndarray, " K"]
    eigenvalues: Float[np.ndarray, " K"]
    multiplicities: Float[np.ndarray, " K"]
    errors: Float[np.ndarray, " K"]
    trusted_degree: int

    @property
    def shifted_degrees(self) -> Float[np.ndarray, " K"]:
        r"""The degrees plus (d-1)/2, (K,): there the leading power law has no correction of relative order 1/k."""
        return self.degrees + 0.5 * (self.d - 1)


def harmonic_multiplicity(degrees: Int[np.ndarray, " K"] | Sequence[int] | int, d: int) -> Float[np.ndarray, ...]:
    r"""Return the number of independent spherical harmonics of each degree on S^d.

    .. math::
        N_k = \binom{k+d}{d} - \binom{k+d-2}{d} = \frac{2k+d-1}{d-1} \binom{k+d-2}{d-2}, \qquad N_0 = 1.

    Args:
        degrees: degrees k >= 0.
        d: dimension of the sphere, at least 1.

    Returns:
        The multiplicities as floats, rounded to integers below 2^53.

    Raises:
        TypeError: if d or a degree is no integer.
        ValueError: if d is smaller than 1 or a degree negative.

    Example:
        >>> harmonic_multiplicity([0, 1, 2, 3], 2)
        array([1., 3., 5., 7.])
    """
    d, k = _checks.check_positive_int(d, "d"), _degrees(np.atleast_1d(degrees), rising=False)
    if d == 1:
        return np.where(k == 0, 1.0, 2.0).reshape(np.shape(degrees))
    product = np.ones(k.shape)
    for i in range(1, d - 1):  # the binomial, one exact factor at a time
        product = product * (k + i) / i
    value = np.where(k == 0, 1.0, (2 * k + d - 1) / (d - 1) * product)
    return np.where(value < 2.0**53, np.rint(value), value).reshape(np.shape(degrees))


def sphere_spectrum(
    kernel: Callable[[Any], Any],
    *,
    d: int,
    degrees: int | Sequence[int] | Int[np.ndarray, " K"],
    expand: bool = True,
    rtol: float = 1e-3,
) -> SphereSpectrum:
    """Return the eigenvalues of a rotation-invariant kernel on S^d, with an error estimate for each.

    Quadrature serves the low degrees, the end-point expansion the high ones; at each degree the one with the smaller
    error is taken. Quadrature is repeated with other nodes, which shows its rounding and its truncation; the expansion
    is cut at its smallest term, which is its error.

    Args:
        kernel: function from an array of angles in radians, in [0, pi], to real values of the same shape, for example
            ``zonal_kernel(depth=2)``. It must be smooth in the angle; a kink at angle 0 or pi is one only in the
            cosine, and welcome.
        d: dimension of the sphere, from 1, the circle, to 20.
        degrees: the largest degree, for all from 0 on; or a rising array of degrees.
        expand: the kernel also takes complex angles within 0.1 of 0 and of pi and is analytic there. False for a
            kernel that takes real ones only; then there is only quadrature.
        rtol: largest relative error that counts as trusted.

    Returns:
        The spectrum.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if d or a degree is out of range, if the kernel's values have a wrong shape or are not finite, or
            if it is not analytic near an end although ``expand`` is True.

    Example:
        The cosine itself is a harmonic of degree 1, with eigenvalue 1/(d + 1):

        >>> spectrum = sphere_spectrum(np.cos, d=2, degrees=4)
        >>> (spectrum.eigenvalues * spectrum.multiplicities).round(12) + 0.0
        array([0., 1., 0., 0., 0.])
    """
    d = _checks.check_positive_int(d, "d")
    if d > 20:
        raise ValueError(f"d must be at most 20, got {d}")
    k = np.arange(_checks.check_positive_int(degrees, "degrees") + 1) if np.ndim(degrees) == 0 else _degrees(degrees)
    if not 0 < rtol < 1:
        raise ValueError(f"rtol must be between 0 and 1, got {rtol}")
    _values(kernel, np.linspace(0.0, np.pi, 33))
    coefficients = [_odd_coefficients(kernel, opposite=opposite) for opposite in (False, True)] if expand else []
    expand = any(found.any() for found, _ in coefficients)  # a kernel smooth on the whole sphere has no such powers
    low = np.arange((_CHECKED if expand else int(k[-1])) + 1)
    value, error = _by_quadrature(kernel, d, low)
    size = _with_neighbours(np.abs(value), 1)
    at, known = np.minimum(k, low[-1]), k <= low[-1]
    if expand:
        series, series_error, series_size = _by_expansion(coefficients, d, k, value, error)
        value, error = value[at], np.where(known, error[at], np.inf)
        size = np.where(known & (k < _CHECKED // 2), size[at], series_size)  # quadrature has drowned by then
        value, error = np.where(series_error < error, series, value), np.minimum(series_error, error)
    else:
        value, error, size = value[at], error[at], size[at]
    wrong = np.flatnonzero(~(error <= rtol * size))
    good = k if wrong.size == 0 else k[: wrong[0]]
    return SphereSpectrum(d, k, value, harmonic_multiplicity(k, d), error, int(good[-1]) if good.size else -1)


def _with_neighbours(values, reach):
    """The largest of each value and the next ``reach`` on both sides."""
    padded = np.pad(values, reach, mode="edge")
    return np.max([padded[i : i + values.size] for i in range(2 * reach + 1)], axis=0)


def _by_quadrature(kernel, d, degrees):
    """Eigenvalues and errors by composite Gauss-Legendre in the angle, with three different sets of panels."""
    largest = int(degrees[-1])
    panels = 5 + (largest + d) // 12  # a panel of 32 nodes then sees two periods or so: exact but for rounding
    runs, rounding = [], 0.0
    for number in (panels, panels + 1, panels + 3):
        angle, weight = _panels(number)
        values = _values(kernel, angle)
        density = weight * values * np.sin(angle) ** (d - 1) * _sphere_constant(d)
        sums, squares = _gegenbauer_sums(np.cos(angle), density, d, degrees)
        runs.append(sums)
        rounding = np.maximum(rounding, np.finfo(float).eps * np.sqrt(squares))
    spread = np.max(runs, axis=0) - np.min(runs, axis=0)
    # One difference can be small by chance: take the largest among the nearest degrees, and a factor of safety.
    value = np.mean(runs, axis=0)
    rounding = 4 * rounding + 32 * np.finfo(float).eps * np.abs(value)
    return value, 2 * _with_neighbours(spread, 4) + rounding


def _panels(number):
    """Nodes and weights on [0, pi]."""
    node, weight = np.polynomial.legendre.leggauss(_PANEL)
    width = np.pi / number
    return ((np.arange(number)[:, None] + 0.5 * (node + 1)) * width).ravel(), np.tile(0.5 * width * weight, number)


def _gegenbauer_sums(cosine, density, d, degrees):
    """Sums over the nodes of density P_k, and of its square, for each of the degrees."""
    wanted = set(degrees.tolist())
    before, now = np.zeros_like(cosine), np.ones_like(cosine)
    sums, squares = [], []
    for k in range(int(degrees[-1]) + 1):
        if k in wanted:
            terms = density * now
            sums.append(terms.sum())
            squares.append(terms @ terms)
        # (k + d - 1) P_{k+1} = (2k + d - 1) t P_k - k P_{k-1}; on the circle P_1 = t has no such form at k = 0
        after = cosine if k == 0 else ((2 * k + d - 1) * cosine * now - k * before) / (k + d - 1)
        before, now = now, after
    return np.array(sums), np.array(squares)


def _sphere_constant(d):
    """Gamma((d+1)/2) / (sqrt(pi) Gamma(d/2)): makes the weight sin^(d-1) a probability."""
    return np.exp(gammaln(0.5 * (d + 1)) - gammaln(0.5 * d)) / np.sqrt(np.pi)


def _by_expansion(coefficients, d, degrees, quadrature, quadrature_error):
    """Eigenvalues, errors and sizes (without parities) from the odd powers at both ends, checked against quadrature.

    The series holds all powers of 1/k and nothing that decays exponentially, as singularities of the kernel off the
    interval leave it (a bias that is nearly 0 leaves one near the end pi). Relative to the series such a part falls
    with k. So what the two methods differ by at one degree bounds it at every later degree.
    """
    low = np.arange(quadrature.size)
    value, _, size = _series(coefficients, d, low)
    gap = _with_neighbours(np.abs(value - quadrature) + quadrature_error, 4)
    bound = np.full(size.shape, np.inf)
    bound[size > 0] = gap[size > 0] / size[size > 0]
    bound = np.minimum.accumulate(bound)[np.minimum(degrees, low[-1])]
    value, error, size = _series(coefficients, d, degrees)
    useful = (size > 0) & np.isfinite(bound)
    return value, np.where(useful, error + np.where(useful, bound, 0.0) * size, np.inf), size


def _series(coefficients, d, degrees):
    """The end-point series, cut before its smallest term, its error (that term, noise, rounding), its largest term."""
    (near, noise_near), (far, noise_far) = coefficients
    powers = np.arange(len(near)) + 0.5  # of sin^2(theta / 2) and cos^2(theta / 2)
    basis, rounding = _half_power_eigenvalues(powers[:, None], d, degrees[None, :].astype(float))
    sizes = (np.abs(near) + np.abs(far))[:, None] * np.abs(basis)
    # A vanishing coefficient (the first of the NNGP kernel) must not end the series: look at the largest term to come.
    to_come = np.maximum.accumulate(sizes[::-1], axis=0)[::-1]
    cut = np.argmin(to_come, axis=0)
    keep = np.arange(len(powers))[:, None] < cut
    sign = np.where(degrees % 2 == 0, 1.0, -1.0)
    value = ((near[:, None] + sign * far[:, None]) * basis * keep).sum(0)
    noise = ((noise_near + noise_far)[:, None] * np.abs(basis) * keep).sum(0)
    error = to_come[cut, np.arange(degrees.size)] + noise + (rounding * sizes * keep).sum(0)
    return value, error, (sizes * keep).max(0)


def _half_power_eigenvalues(a, d, degrees):
    r"""Eigenvalues of sin(theta/2)^(2a), a half an odd integer, and their relative rounding error.

    By the Rodrigues formula and k integrations by parts
    2^(d-1) Gamma((d+1)/2) Gamma(a + d/2) Gamma(k - a) / (sqrt(pi) Gamma(-a) Gamma(k + a + d)).
    Those of cos(theta/2)^(2a) are (-1)^k times as large.
    """
    ratio = _log_gamma_ratio(degrees - a, 2 * a + d)
    fixed = gammaln(0.5 * (d + 1)) + gammaln(a + 0.5 * d) - gammaln(-a) + (d - 1) * np.log(2.0) - 0.5 * np.log(np.pi)
    rounding = 4 * np.finfo(float).eps * (1 + np.abs(ratio) + np.abs(fixed))
    return gammasgn(degrees - a) * gammasgn(-a) * np.exp(fixed + ratio), rounding


def _log_gamma_ratio(x, m):
    """Return log |Gamma(x) / Gamma(x + m)|; at large x a difference of two logarithms would lose its digits."""
    big = np.maximum(x, 20.0)

    def tail(y):
        return (1 - (1 / 30 - (1 / 105 - 1 / (140 * y * y)) / (y * y)) / (y * y)) / (12 * y)

    stirling = m - (big - 0.5) * np.log1p(m / big) - m * np.log(big + m) + tail(big) - tail(big + m)
    return np.where(x > 20, stirling, gammaln(x) - gammaln(x + m))


def _odd_coefficients(kernel, *, opposite):
    """Coefficients of s, s^3, s^5, ... and their noise; s = sin(theta/2), or cos(theta/2) for the opposite end.

    Values on a circle around s = 0 give all coefficients at once. Where the circle holds a singularity, negative powers
    appear; the largest circle without them is used.
    """
    turn = np.exp(2j * np.pi * np.arange(_CIRCLE) / _CIRCLE)
    noise = np.inf
    for radius in _RADII:
        angle = 2 * np.arcsin(radius * turn)
        with np.errstate(all="ignore"):
            values = _values(kernel, np.pi - angle if opposite else angle, need_finite=False)
        if not np.isfinite(values).all():
            continue
        spectrum = np.fft.fft(values) / _CIRCLE
        noise = np.abs(spectrum[_CIRCLE // 2 :]).max()
        if noise <= 1e-13 * np.abs(spectrum).max():
            powers = 2 * np.arange(_TERMS) + 1
            noise = max(noise, np.finfo(float).eps * np.abs(spectrum).max())
            found = spectrum[powers].real
            scale = radius ** -powers.astype(float)
            # A coefficient below its noise is one that is not there: left in, the rounding of a first power that the
            # NNGP kernel lacks would overtake its third power at degree 10^7.
            there = np.abs(found) > 4 * noise
            return np.where(there, found, 0.0) * scale, np.where(there, noise, 0.0) * scale
    where = "pi" if opposite else "0"
    raise ValueError(
        f"kernel is not analytic in the angle near {where}, or does not take complex angles; use expand=False"
    )


def _values(kernel, angle, *, need_finite=True):
    """The kernel's values, checked."""
    values = np.asarray(kernel(angle))
    if values.shape != angle.shape:
        raise ValueError(f"kernel must return an array of the shape of its argument, {angle.shape}, got {values.shape}")
    if need_finite and not (np.isrealobj(values) and np.isfinite(values).all()):
        raise ValueError("kernel must be real and finite at all angles in [0, pi]")
    return values


def _degrees(degrees, *, rising=True):
    """Degrees as a float-safe integer array."""
    array = np.asarray(degrees)
    if array.ndim != 1 or array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"degrees must be an integer or a list of integers, got {degrees!r}")
    if array.min() < 0:
        raise ValueError(f"degrees must not be negative, got {array.min()}")
    if rising and (np.diff(array) <= 0).any():
        raise ValueError("degrees must be rising, without repetition")
    return array.astype(np.int64)
