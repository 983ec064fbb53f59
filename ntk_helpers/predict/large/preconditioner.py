r"""Preconditioners from features: a kernel that is known approximately as an inner product is easy to invert.

With features Z (n, m) and :math:`K \approx Z Z^\top`, Woodbury's identity

.. math:: (Z Z^\top + \rho I)^{-1} r = \tfrac1\rho \bigl(r - Z (Z^\top Z + \rho I_m)^{-1} Z^\top r\bigr)

needs one m by m Cholesky factor and two products with Z. If the eigenvalues of :math:`K - Z Z^\top` lie between -a and
b, a below rho, those of the preconditioned matrix lie between :math:`1 - a / \rho` and :math:`1 + b / \rho`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from ntk_helpers.predict.large.tiles import Kernel, check_kernel, host_points
from ntk_helpers.predict.solves import ROUNDINGS

__all__ = ["Woodbury", "feature_matrix", "nystroem_features"]

AnyFloat = Float[Array | np.ndarray, "..."]
Features = Callable[[Any], Any]


def feature_matrix(features: Features, x: np.ndarray, block: int) -> np.ndarray:
    """Features of all points, (n, m), float64 on the host, computed a block of points at a time."""
    parts = []
    for start in range(0, len(x), block):
        some = x[start : start + block]
        part = np.asarray(features(some))
        if part.ndim != 2 or len(part) != len(some) or part.dtype.kind != "f":
            raise ValueError(
                f"features must map points {some.shape} to real features ({len(some)}, m), got shape {part.shape}, "
                f"dtype {part.dtype}"
            )
        if not np.isfinite(part).all():
            raise ValueError(f"features returned NaN or infinite entries for points {start} to {start + len(some) - 1}")
        parts.append(part.astype(np.float64))
    return np.concatenate(parts)


class Woodbury:
    """The inverse of Z Z^T + ridge I."""

    def __init__(self, z: np.ndarray, ridge: float):
        self._z, self._ridge = z, ridge
        small = z.T @ z
        small[np.diag_indices_from(small)] += ridge
        try:
            self._factor = scipy.linalg.cho_factor(small, lower=True, overwrite_a=True)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                f"features: their Gram matrix plus ridge = {ridge:.4g} is singular in float64; use a larger ridge or "
                "smaller features"
            ) from error

    def __call__(self, r: np.ndarray) -> np.ndarray:
        """Apply it to the columns of r."""
        inner = scipy.linalg.cho_solve(self._factor, self._z.T @ r, check_finite=False)
        return (r - self._z @ inner) / self._ridge


def nystroem_features(kernel: Kernel, landmarks: AnyFloat) -> Callable[[AnyFloat], Float[Array, "N m"]]:
    r"""Nyström's features of a kernel: their inner products are the kernel's best guess from m landmarks.

    .. math:: z(x) = L^{-1} K(X_m, x), \quad L L^\top = K(X_m, X_m), \quad
        z(x)^\top z(x') = K(x, X_m) K(X_m, X_m)^{-1} K(X_m, x').

    The guess is never above the kernel: :math:`K - Z Z^\top` is a Schur complement of a positive semi-definite matrix
    and has no negative eigenvalues. So the preconditioned eigenvalues are at least 1.
    ``features=nh.nystroem_features(kernel, x[:500])`` of ``nh.large_ridge`` uses it.

    Args:
        kernel: ``kernel(x1, x2) -> (n1, n2)``.
        landmarks: m points, for example a random choice of the training points.

    Returns:
        A function from points (N, ...) to features (N, m).

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if the landmarks are not finite, or the kernel's matrix there is not positive semi-definite beyond
            rounding.

    Example:
        >>> import jax.numpy as jnp, ntk_helpers as nh
        >>> z = nh.nystroem_features(lambda a, b: a @ b.T, 2.0 * jnp.eye(2))(jnp.array([[3.0, 4.0]]))
        >>> round(float((z @ z.T)[0, 0]), 3)
        25.0
    """
    landmarks = host_points(landmarks, "landmarks")
    dtype = check_kernel(kernel, landmarks.shape[1:], landmarks.dtype)
    inner = np.array(kernel(landmarks, landmarks), np.float64)
    if not np.isfinite(inner).all():
        raise ValueError("kernel returned NaN or infinite entries at the landmarks")
    # Equal or near landmarks make the matrix singular. What is added lowers the guess, and never lifts it above K.
    jitter = ROUNDINGS * float(np.finfo(dtype).eps) * float(np.trace(inner))
    inner[np.diag_indices_from(inner)] += jitter
    try:
        factor = scipy.linalg.cholesky(inner, lower=True)
    except np.linalg.LinAlgError as error:
        raise ValueError("kernel is not positive semi-definite at the landmarks, beyond rounding") from error
    # Its inverse, once: features are then one product, which every device is fast at.
    inverse = scipy.linalg.solve_triangular(factor, np.eye(len(factor)), lower=True).astype(dtype)

    def features(x: AnyFloat) -> Float[Array, "N m"]:
        return jnp.matmul(
            kernel(jnp.asarray(x), jnp.asarray(landmarks)), inverse.T, precision=jax.lax.Precision.HIGHEST
        )

    return features
