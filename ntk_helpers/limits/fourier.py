r"""Fourier features: their stationary kernels, the kernels of networks on top of them, and the spectra of both.

The map :math:`\gamma(v) = [a_j \sin 2\pi b_j \cdot v,\; a_j \cos 2\pi b_j \cdot v]_j` (Tancik et al. 2020) has
the kernel

.. math:: \langle\gamma(v), \gamma(v')\rangle = h(v - v'), \qquad h(\tau) = \sum_j a_j^2 \cos(2\pi b_j \cdot \tau),

a function of the difference alone. With :math:`\sum_j a_j^2 = 1` all features have length one, and a network without
further inputs sees the angle :math:`\arccos h(\tau)`: its kernels are ``zonal_kernel`` of that angle, stationary too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers import _checks

__all__ = [
    "FourierFeatures",
    "basic_features",
    "composed_kernel",
    "fourier_features",
    "gaussian_features",
    "positional_features",
    "power_features",
    "stationary_spectrum",
]


@dataclass(frozen=True, eq=False)
class FourierFeatures:
    """A map from coordinates to sines and cosines; made by ``fourier_features`` and its special cases.

    Attributes:
        frequencies: b_j as rows, in periods per unit of the coordinates, (m, d), float64.
        amplitudes: a_j, with squares that sum to one, (m,), float64.
    """

    frequencies: Float[np.ndarray, "m d"]
    amplitudes: Float[np.ndarray, " m"]

    @property
    def n_features(self) -> int:
        """Number of features, 2 m."""
        return 2 * len(self.amplitudes)

    @property
    def rms_frequency(self) -> float:
        r"""Root of :math:`\sum_j a_j^2 |b_j|^2 / d`: the standard deviation, per axis, of the signed frequencies."""
        square = np.sum(self.amplitudes**2 * np.sum(self.frequencies**2, axis=1))
        return float(np.sqrt(square / self.frequencies.shape[1]))

    def __call__(self, x: ArrayLike) -> Float[Array, "N m2"]:
        r"""Return the features :math:`[a_j \sin 2\pi b_j \cdot x]` and then :math:`[a_j \cos 2\pi b_j \cdot x]`.

        Args:
            x: N points as rows, (N, d), float32 or float64. The result has that precision.

        Returns:
            The features, (N, 2 m), rows of length one.

        Raises:
            TypeError: if x is not float32 or float64.
            ValueError: if x has a wrong shape or is not finite.

        Example:
            >>> basic_features(1)(jnp.array([[0.25]])).round(6).tolist()
            [[1.0, -0.0]]
        """
        x = _checks.as_samples(x, "x")
        if x.shape[1] != self.frequencies.shape[1]:
            raise ValueError(f"x must have d = {self.frequencies.shape[1]} columns, got shape {tuple(x.shape)}")
        frequencies, a = jnp.asarray(self.frequencies, x.dtype), jnp.asarray(self.amplitudes, x.dtype)
        periods = jnp.matmul(x, frequencies.T, precision="highest")
        phase = 2 * np.pi * (periods - jnp.round(periods))  # small, so that sine and cosine keep their digits
        return jnp.concatenate([a * jnp.sin(phase), a * jnp.cos(phase)], axis=1)

    def kernel(self, lag: Any) -> Float[np.ndarray, ...]:
        r"""Return :math:`h(\tau) = \sum_j a_j^2 \cos(2\pi b_j \cdot \tau)`, in float64.

        Args:
            lag: differences of two points, (..., d).

        Returns:
            The kernel of the features, (...,); 1 at lag 0.

        Raises:
            TypeError: if ``lag`` is not a real array.
            ValueError: if ``lag`` has a wrong last axis or is not finite.

        Example:
            >>> float(basic_features(1).kernel([0.5]))  # cos pi
            -1.0
        """
        return np.asarray(1 - 2 * self._half_gap(lag))

    def _half_gap(self, lag: Any) -> Float[np.ndarray, ...]:
        """(1 - h) / 2 as a sum of squares, which has all its digits at small lags."""
        lag = np.asarray(lag)
        if not (np.issubdtype(lag.dtype, np.floating) or np.issubdtype(lag.dtype, np.integer)):
            raise TypeError(f"lag must be a real array, got dtype {lag.dtype}")
        if lag.ndim == 0 or lag.shape[-1] != self.frequencies.shape[1]:
            raise ValueError(f"lag must have shape (..., {self.frequencies.shape[1]}), got {lag.shape}")
        if not np.isfinite(lag).all():
            raise ValueError(f"lag must be finite, {np.sum(~np.isfinite(lag))} entries are not")
        periods = lag.astype(float) @ self.frequencies.T
        return np.asarray(np.sin(np.pi * (periods - np.round(periods))) ** 2 @ self.amplitudes**2)


def fourier_features(frequencies: Any, amplitudes: Any = None) -> FourierFeatures:
    r"""Return the map :math:`[a_j \sin 2\pi b_j \cdot v,\; a_j \cos 2\pi b_j \cdot v]_j`, with a divided by its norm.

    Args:
        frequencies: b_j as rows, (m, d), in periods per unit.
        amplitudes: a_j, (m,); equal ones unless given.

    Returns:
        The map.

    Raises:
        TypeError: if an array is not real.
        ValueError: if a shape is wrong, an entry is not finite, or all amplitudes are zero.

    Example:
        >>> features = fourier_features([[1.0], [3.0]], amplitudes=[2.0, 1.0])
        >>> features.amplitudes.round(3).tolist()
        [0.894, 0.447]
    """
    b = _real(frequencies, "frequencies")
    if b.ndim != 2 or 0 in b.shape:
        raise ValueError(f"frequencies must have shape (m, d), one b_j a row, got {b.shape}")
    a = np.ones(len(b)) if amplitudes is None else _real(amplitudes, "amplitudes")
    if a.shape != (len(b),):
        raise ValueError(f"amplitudes must be one number for each of the {len(b)} frequencies, got shape {a.shape}")
    largest = np.abs(a).max()
    if largest == 0:
        raise ValueError("amplitudes must not all be zero")
    a = a / largest  # so that squares neither overflow nor vanish
    return FourierFeatures(b, a / np.linalg.norm(a))


def basic_features(d: int) -> FourierFeatures:
    r"""Return the basic map :math:`[\sin 2\pi v,\; \cos 2\pi v]`: frequency one along each axis.

    Args:
        d: number of coordinates.

    Returns:
        The map, 2 d features.

    Raises:
        TypeError: if d is no integer.
        ValueError: if d is smaller than 1.

    Example:
        >>> basic_features(2).n_features
        4
    """
    return fourier_features(np.eye(_checks.check_positive_int(d, "d")))


def positional_features(d: int, per_axis: int, octaves: float) -> FourierFeatures:
    r"""Return the positional encoding: on each axis the frequencies :math:`2^{s j/(m-1)} - 1`, j = 0, ..., m - 1.

    Frequencies stand evenly on a logarithmic scale and on the axes only. The -1 is that of the code of Tancik et al.
    (2020), by which the first feature is constant.

    Args:
        d: number of coordinates.
        per_axis: number m of frequencies on each axis, at least 2.
        octaves: s > 0; the largest frequency is 2^s - 1.

    Returns:
        The map, 2 d m features.

    Raises:
        TypeError: if d or ``per_axis`` is no integer, or ``octaves`` no number.
        ValueError: if one of them is too small or not finite.

    Example:
        >>> positional_features(1, 3, 2.0).frequencies.ravel().tolist()
        [0.0, 1.0, 3.0]
    """
    d, m = _checks.check_positive_int(d, "d"), _checks.check_positive_int(per_axis, "per_axis")
    if m < 2:
        raise ValueError("per_axis must be at least 2, got 1")
    octaves = float(_checks.check_nonnegative(octaves, "octaves"))
    if not 0 < octaves < 1000:
        raise ValueError(f"octaves must be positive and below 1000, got {octaves}")
    ladder = 2.0 ** np.linspace(0, octaves, m) - 1
    return fourier_features(np.kron(np.eye(d), ladder[:, None]))


def gaussian_features(d: int, n: int, sigma: float, *, key: PRNGKeyArray) -> FourierFeatures:
    r"""Return n frequencies drawn from :math:`N(0, \sigma^2 I)`, with equal amplitudes.

    As n grows the kernel tends to :math:`e^{-2\pi^2\sigma^2|\tau|^2}`.

    Args:
        d: number of coordinates.
        n: number of frequencies.
        sigma: standard deviation, in periods per unit.
        key: of the random numbers.

    Returns:
        The map, 2 n features.

    Raises:
        TypeError: if d or n is no integer, or ``sigma`` no number.
        ValueError: if d or n is smaller than 1, or ``sigma`` is negative or not finite.

    Example:
        >>> gaussian_features(2, 64, 3.0, key=jax.random.key(0)).frequencies.shape
        (64, 2)
    """
    shape = _checks.check_positive_int(n, "n"), _checks.check_positive_int(d, "d")
    sigma = float(_checks.check_nonnegative(sigma, "sigma"))
    return fourier_features(sigma * np.asarray(jax.random.normal(key, shape), dtype=float))


def power_features(n: int, p: float) -> FourierFeatures:
    r"""Return frequencies 1, ..., n in one dimension with the amplitudes :math:`j^{-p}`, normalized.

    The larger p, the more weight on low frequencies; p = inf leaves the first alone (the basic map).

    Args:
        n: number of frequencies.
        p: at least 0; ``np.inf`` is allowed.

    Returns:
        The map, 2 n features.

    Raises:
        TypeError: if n is no integer or p no number.
        ValueError: if n is smaller than 1, or p is negative or NaN.

    Example:
        >>> power_features(3, np.inf).amplitudes.tolist()
        [1.0, 0.0, 0.0]
    """
    j = np.arange(1, _checks.check_positive_int(n, "n") + 1)
    if not isinstance(p, (int, float, np.floating, np.integer)) or isinstance(p, bool):
        raise TypeError(f"p must be a number, got {p!r}")
    if not p >= 0:
        raise ValueError(f"p must not be negative, got {p}")
    return fourier_features(j[:, None].astype(float), (j == 1) if np.isinf(p) else np.exp(-p * np.log(j)))


def composed_kernel(
    features: FourierFeatures, kernel_of_angle: Callable[[Any], Any]
) -> Callable[[Any], Float[np.ndarray, ...]]:
    r"""Return the kernel of a network on Fourier features, as a function of the difference of two points.

    .. math:: \Theta(v, v') = \kappa(\arccos h(v - v'))

    with :math:`\kappa` the kernel of the network as a function of the angle between two inputs of length one (Tancik et
    al. 2020). ``fcn_kernel(features(x1), features(x2), ..., scale_input=False)`` is the same at given points; this
    form works in float64 on the host, and small lags keep their digits.

    Args:
        features: the map.
        kernel_of_angle: for example ``zonal_kernel(depth=3)``, from angles in radians to the kernel.

    Returns:
        A function from lags (..., d) to the kernel (...,).

    Raises:
        TypeError: if ``features`` is not ``FourierFeatures`` or the kernel is not callable.

    Example:
        >>> from ntk_helpers.limits.zonal import zonal_kernel
        >>> ntk = composed_kernel(power_features(16, 1.0), zonal_kernel(depth=3))
        >>> float(ntk([0.0]).round(9))  # (depth + 1) times the variance 2 of the output
        8.0
    """
    if not isinstance(features, FourierFeatures):
        raise TypeError(f"features must be FourierFeatures (see fourier_features), got {type(features).__name__}")
    if not callable(kernel_of_angle):
        raise TypeError(f"kernel_of_angle must be a function of the angle, got {type(kernel_of_angle).__name__}")

    def kernel(lag: Any) -> np.ndarray:
        half_sine = np.sqrt(np.clip(features._half_gap(lag), 0.0, 1.0))
        return np.asarray(kernel_of_angle(2 * np.arcsin(half_sine)))

    return kernel


def stationary_spectrum(
    kernel: Callable[[Any], Any], n: int, *, d: int = 1, rtol: float = 1e-9
) -> Float[np.ndarray, ...]:
    r"""Return the eigenvalues of K(X, X)/N for a stationary kernel on the periodic grid with n points per axis.

    On the grid X = (0, 1/n, ..., 1 - 1/n)^d, N = n^d, the matrix is circulant. Its eigenvectors are the waves
    :math:`e^{2\pi i k \cdot x}`, and its eigenvalues the discrete Fourier transform of the kernel's values,

    .. math:: \lambda_k = \frac1N \sum_{\tau\in X} K(\tau)\, e^{-2\pi i k\cdot\tau}.

    As n grows they tend to those of the integral operator on the torus with the uniform probability; on the grid,
    frequencies k + n, k + 2n, ... are folded onto k. Points that are not on a periodic grid: ``empirical_spectrum``.

    Args:
        kernel: from lags (..., d) to values (...,), even and of period one along each axis.
        n: points per axis, at least 2.
        d: number of coordinates.
        rtol: largest deviation from the period, relative to K(0), that counts as rounding.

    Returns:
        Eigenvalues, (n,) * d; the wave number k stands at index k, as in ``numpy.fft.fftfreq(n, 1 / n)``.

    Raises:
        TypeError: if n or d is no integer or the kernel is not callable.
        ValueError: if n is smaller than 2, or the kernel returns a wrong shape, is not finite, or has not period one.

    Example:
        >>> stationary_spectrum(power_features(2, 0.0).kernel, 8)[:4].round(6) + 0.0  # cosines of frequency 1 and 2
        array([0.  , 0.25, 0.25, 0.  ])
    """
    n, d = _checks.check_positive_int(n, "n"), _checks.check_positive_int(d, "d")
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    if not callable(kernel):
        raise TypeError(f"kernel must be a function of the lag, got {type(kernel).__name__}")
    lags = np.stack(np.meshgrid(*[np.arange(n) / n] * d, indexing="ij"), axis=-1)
    values = np.asarray(kernel(lags), dtype=float)
    if values.shape != (n,) * d:
        raise ValueError(f"kernel must map lags (..., {d}) to values (...,), got {values.shape} for {lags.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"kernel must be finite, {np.sum(~np.isfinite(values))} values are not")
    scale = abs(float(values.flat[0]))
    gap = max(np.abs(np.asarray(kernel(lags - axis)) - values).max() for axis in np.eye(d))
    if not gap <= rtol * scale:
        raise ValueError(
            f"kernel must have period one along each axis (whole frequencies): shifted by a period it differs by "
            f"{gap:.3g}, and K(0) is {scale:.3g}; for other kernels take empirical_spectrum"
        )
    mirror = values[np.ix_(*[-np.arange(n) % n] * d)]
    gap = np.abs(mirror - values).max()
    if not gap <= rtol * scale:
        raise ValueError(f"kernel must be even, K(-lag) differs from K(lag) by {gap:.3g}, and K(0) is {scale:.3g}")
    return np.fft.fftn(0.5 * (values + mirror)).real / n**d


def _real(value: Any, name: str) -> np.ndarray:
    """A real, finite array in float64."""
    array = np.asarray(value)
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer) or array.dtype == bool):
        raise TypeError(f"{name} must be a real array, got dtype {array.dtype}")
    array = array.astype(float)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, {np.sum(~np.isfinite(array))} entries are not")
    return array
