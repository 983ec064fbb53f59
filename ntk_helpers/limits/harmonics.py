r"""How much of a function on the circle or the sphere lies in each degree of harmonics.

With respect to the uniform probability, :math:`f = \sum_{k,j} a_{kj} Y_{kj}` with orthonormal harmonics, and the energy
of degree k is :math:`E_k = \sum_j a_{kj}^2`. For a Gaussian process with spectrum mu, :math:`E[E_k] = N_k \mu_k`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import roots_legendre

from ntk_helpers import _checks

__all__ = ["harmonic_energy", "sphere_grid"]


def sphere_grid(n: int) -> Float[np.ndarray, "n n2 3"]:
    r"""Return points on S^2 at which ``harmonic_energy`` takes a function: n Gauss-Legendre latitudes, 2 n longitudes.

    Args:
        n: number of latitudes, at least 2.

    Returns:
        Unit vectors, (n, 2 n, 3). Functions of degree below n are resolved exactly.

    Raises:
        TypeError: if n is no integer.
        ValueError: if n is smaller than 2.

    Example:
        >>> sphere_grid(3).shape
        (3, 6, 3)
    """
    if _checks.check_positive_int(n, "n") < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    height = roots_legendre(n)[0][:, None]
    longitude = np.arange(2 * n)[None, :] * (np.pi / n)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(longitude), radius * np.sin(longitude), height + 0 * longitude], axis=-1)


def harmonic_energy(values: Any, *, d: int, max_degree: int) -> Float[np.ndarray, ...]:
    """Return the energy of a function in each degree, by Fourier transform (d = 1) or with Legendre functions (d = 2).

    Parts of f above the degree that the points resolve are folded into lower ones: use points enough that these parts
    are small.

    Args:
        values: f at ``circle(n)``, (..., n), for d = 1; at ``sphere_grid(n)``, (..., n, 2 n), for d = 2. The leading
            axes are independent functions.
        d: 1 or 2.
        max_degree: largest degree; below n/2 for d = 1, below n for d = 2.

    Returns:
        Energies of degree 0 to ``max_degree``, (..., max_degree + 1).

    Raises:
        TypeError: if ``max_degree`` is no integer or the values are not real.
        ValueError: if d, a shape or ``max_degree`` is wrong, or a value is not finite.

    Example:
        The first coordinate, of mean square 1/3 on S^2, is a harmonic of degree 1:

        >>> harmonic_energy(sphere_grid(4)[..., 0], d=2, max_degree=2).round(6) + 0.0
        array([0.      , 0.333333, 0.      ])
    """
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.floating):
        raise TypeError(f"values must be real and floating-point, got dtype {values.dtype}")
    largest = _checks.check_positive_int(max_degree, "max_degree")
    if d not in (1, 2):
        raise ValueError(f"d must be 1 or 2, got {d}")
    if values.ndim < d or (d == 2 and values.shape[-1] != 2 * values.shape[-2]):
        raise ValueError(f"values must have shape {'(..., n)' if d == 1 else '(..., n, 2 n)'}, got {values.shape}")
    resolved = (values.shape[-1] - 1) // 2 if d == 1 else values.shape[-2] - 1
    if largest > resolved:
        raise ValueError(f"max_degree must be at most {resolved} with these points, got {largest}")
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite, {np.sum(~np.isfinite(values))} are not")
    waves = np.fft.rfft(values.astype(np.float64), axis=-1)[..., : largest + 1] / values.shape[-1]
    twice = np.where(np.arange(largest + 1) == 0, 1.0, 2.0)  # the wave and its mirror image
    if d == 1:
        return twice * np.abs(waves) ** 2
    height, weight = roots_legendre(values.shape[-2])
    energy = np.zeros((*values.shape[:-2], largest + 1))
    for m in range(largest + 1):
        functions = _legendre(height, m, largest)  # degrees m to largest
        coefficients = np.einsum("ki,...i->...k", functions * (0.5 * weight), waves[..., m])
        energy[..., m:] += twice[m] * np.abs(coefficients) ** 2
    return energy


def _legendre(t, m, largest):
    """Associated Legendre functions of order m and degrees m to ``largest``, of mean square 1 over t in [-1, 1]."""
    first = np.ones_like(t)
    for i in range(1, m + 1):
        first = first * np.sqrt((2 * i + 1) / (2 * i) * (1 - t * t))
    found = [first]
    before = np.zeros_like(t)
    for k in range(m + 1, largest + 1):
        new = t * found[-1] - np.sqrt(((k - 1) ** 2 - m * m) / (4 * (k - 1) ** 2 - 1)) * before
        before = found[-1]
        found.append(np.sqrt((4 * k * k - 1) / (k * k - m * m)) * new)
    return np.array(found)
