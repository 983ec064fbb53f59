r"""Float64 linear algebra of kernel matrices, on the host: spectra and solves that say how far they can be trusted.

JAX arrays come in, NumPy float64 arrays go out, whatever JAX's precision is set to. An entry of a kernel of this
package is known to a few roundings of its own type, relative to :math:`\sqrt{K(x,x) K(x',x')}`. So every eigenvalue is
known to ``ROUNDINGS`` times the machine precision times the trace, and no better: the spectral norm of an error E with
:math:`|E_{ij}| \le c \sqrt{K_{ii} K_{jj}}` is at most c times the trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Num

from ntk_helpers import _checks

__all__ = ["KernelSpectrum", "PSDSolution", "kernel_spectrum", "solve_psd"]

AnyFloat = Float[Array | np.ndarray, "..."]
HostFloat = Float[np.ndarray, "..."]
Numbers = float | int | Sequence[float | int] | Num[Array | np.ndarray, "..."]

# Roundings of its own precision to which an entry of a kernel matrix is known (the page on numerics has 24, for three
# layers; sums over the parameters of a finite network add a few).
ROUNDINGS = 32


def on_host(value: Any, name: str, ndims: tuple[int, ...]) -> np.ndarray:
    """Return a finite real array as NumPy float64, with one of the numbers of axes in ``ndims``."""
    if not _checks.is_concrete(value):
        raise TypeError(f"{name}: this computation runs in float64 on the host, not inside jit, vmap or grad")
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{name} must be a real array, got {type(value).__name__}")
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise TypeError(f"{name} must be a real array, got dtype {array.dtype}")
    array = array.astype(np.float64)
    if array.ndim not in ndims:
        raise ValueError(f"{name} must have {' or '.join(map(str, ndims))} axes, got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {np.sum(~np.isfinite(array))} entries that are NaN or infinite")
    return array


def unfold_outputs(kernel: np.ndarray) -> np.ndarray:
    """(N1, N2, O, O) as a matrix over pairs (sample, output), (N1 O, N2 O); (N1, N2) as it is."""
    if kernel.ndim == 2:
        return kernel
    n1, n2, o1, o2 = kernel.shape
    return kernel.transpose(0, 2, 1, 3).reshape(n1 * o1, n2 * o2)


@dataclass(frozen=True)
class KernelSpectrum:
    """Eigenvalues and eigenvectors of a kernel matrix, and what they can be trusted to.

    Attributes:
        values: eigenvalues, falling, none negative, shape ``(P,)``; P = N, or N O for a kernel with output axes.
        vectors: eigenvectors as columns, shape ``(P, P)``.
        outputs: number O of outputs for a kernel ``(N, N, O, O)``; None for ``(N, N)``, which all outputs share.
        rounding: error of an eigenvalue that rounding of the kernel's entries explains. Eigenvalues below it are noise.
    """

    values: Float[np.ndarray, " P"]
    vectors: Float[np.ndarray, "P P"] = field(repr=False)
    outputs: int | None
    rounding: float

    @property
    def condition(self) -> float:
        """Largest eigenvalue over the smallest; infinite where the smallest is below rounding."""
        smallest = self.values[-1]
        return float(self.values[0] / smallest) if smallest > self.rounding else float("inf")

    @property
    def rank(self) -> int:
        """Number of eigenvalues above rounding."""
        return int(np.sum(self.values > self.rounding))


def _symmetrized(kernel: Any, name: str, rounding: float | None) -> tuple[np.ndarray, int | None, float]:
    """Check a kernel matrix; return it exactly symmetric, its number of outputs, and the error of its eigenvalues."""
    source = np.dtype(getattr(kernel, "dtype", np.float64))
    matrix = on_host(kernel, name, (2, 4))
    outputs = matrix.shape[2] if matrix.ndim == 4 else None
    if matrix.shape[0] != matrix.shape[1] or (matrix.ndim == 4 and matrix.shape[2] != matrix.shape[3]):
        raise ValueError(
            f"{name} must be square, (N, N) or (N, N, O, O), got shape {matrix.shape}; "
            "it is the kernel of the training inputs with themselves"
        )
    matrix = unfold_outputs(matrix)
    diagonal = np.diag(matrix)
    epsilon = np.finfo(source).eps if source.kind == "f" else np.finfo(np.float64).eps
    scale = np.sqrt(np.maximum(diagonal, 0))
    difference = np.abs(matrix - matrix.T)
    allowed = 2 * ROUNDINGS * epsilon * np.outer(scale, scale)
    if rounding is not None:
        allowed = allowed + 2 * float(_checks.check_nonnegative(rounding, "rounding"))
    if (difference > allowed).any():
        i, j = np.unravel_index(np.argmax(difference - allowed), difference.shape)
        raise ValueError(
            f"{name} must be symmetric, got {matrix[i, j]:.6g} at ({i}, {j}) and {matrix[j, i]:.6g} at ({j}, {i}); "
            "rounding does not explain that"
        )
    if rounding is None:
        rounding = ROUNDINGS * float(epsilon) * float(np.maximum(diagonal, 0).sum())
    return (matrix + matrix.T) / 2, outputs, float(rounding)


def _not_psd(name: str, smallest: float, largest: float, rounding: float) -> ValueError:
    return ValueError(
        f"{name} must be positive semi-definite, got the eigenvalue {smallest:.4g} beside a largest of {largest:.4g}; "
        f"rounding of its entries explains {rounding:.2g}. If the entries are known less well (by sampling, say), give "
        "their error as rounding=, or add a ridge of that size"
    )


def kernel_spectrum(
    ntk_xx: AnyFloat | KernelSpectrum,
    *,
    rounding: float | int | None = None,
    name: str = "ntk_xx",
) -> KernelSpectrum:
    r"""Eigenvalues and eigenvectors of a kernel matrix, once, for all the paths and times that are computed from it.

    The matrix is made exactly symmetric. Eigenvalues between minus ``rounding`` and 0 become 0.

    Args:
        ntk_xx: kernel of the training inputs, ``(N, N)``, or ``(N, N, O, O)`` for one with output axes; a
            ``KernelSpectrum`` is returned as it is.
        rounding: largest error of an eigenvalue; by default 32 machine precisions of the matrix's own type times its
            trace.
        name: what error messages call the matrix.

    Returns:
        A ``KernelSpectrum``, float64.

    Raises:
        ValueError: if the matrix is not square, not finite, not symmetric or not positive semi-definite, beyond
            rounding.
        TypeError: if it is not real, or a tracer.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> nh.kernel_spectrum(np.array([[2.0, 1.0], [1.0, 2.0]])).values.round(6).tolist()
        [3.0, 1.0]
    """
    if isinstance(ntk_xx, KernelSpectrum):
        return ntk_xx
    matrix, outputs, rounding = _symmetrized(ntk_xx, name, rounding)
    values, vectors = scipy.linalg.eigh(matrix)
    if values[0] < -rounding:
        raise _not_psd(name, values[0], values[-1], rounding)
    return KernelSpectrum(np.maximum(values[::-1], 0.0), np.ascontiguousarray(vectors[:, ::-1]), outputs, rounding)


class PSDSolution(NamedTuple):
    """Solution of a linear system and what was done to get it.

    Attributes:
        x: the solution, float64, the shape of the right-hand side.
        jitter: what was added to the diagonal beyond the ridge asked for; 0 where nothing was needed.
        condition: condition number of the matrix that was solved, in the 1-norm (LAPACK's estimate).
        factor: lower Cholesky factor of that matrix.
    """

    x: HostFloat
    jitter: float
    condition: float
    factor: Float[np.ndarray, "P P"]


def solve_psd(
    kernel: AnyFloat,
    b: AnyFloat,
    *,
    ridge: float | int = 0.0,
    rounding: float | int | None = None,
    name: str = "kernel",
) -> PSDSolution:
    r"""Solve :math:`(K + \text{ridge}\, I)\, x = b` in float64, and report how.

    The matrix is made exactly symmetric. Where its Cholesky factorization fails or its condition number is beyond
    float64, a jitter is added to the diagonal: first the rounding of float64, then ten times as much, and so on up to
    twice the rounding of the matrix's own type. It is reported, and nothing is added where nothing is needed.

    Args:
        kernel: ``(N, N)``, or ``(N, N, O, O)``.
        b: right-hand side, first axis P = N (or N O).
        ridge: added to the diagonal, at least 0.
        rounding: largest error of an eigenvalue of ``kernel``; by default as in ``nh.kernel_spectrum``.
        name: what error messages call the matrix.

    Returns:
        ``PSDSolution(x, jitter, condition, factor)``.

    Raises:
        ValueError: if shapes do not fit, something is not finite, or the matrix is not symmetric or not positive
            semi-definite, beyond rounding.
        TypeError: if something is not real, or a tracer.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> solution = nh.solve_psd(np.ones((2, 2)), np.array([1.0, 1.0]))  # singular
        >>> solution.x.round(6).tolist(), 0 < solution.jitter < 1e-12
        ([0.5, 0.5], True)
    """
    matrix, _, rounding = _symmetrized(kernel, name, rounding)
    ridge = float(_checks.check_nonnegative(ridge, "ridge"))
    b = on_host(b, "b", (1, 2, 3))
    if b.shape[0] != len(matrix):
        raise ValueError(f"b must have {len(matrix)} rows like {name}, got shape {b.shape}")
    trace, epsilon = float(np.trace(matrix)), np.finfo(np.float64).eps
    step = ROUNDINGS * float(epsilon) * max(trace, ridge)
    jitter, limit = 0.0, 2 * max(rounding, step)
    if trace == 0 and ridge == 0:
        raise ValueError(f"{name} is zero on its diagonal and there is no ridge: nothing to solve")
    while True:
        shifted = matrix + (ridge + jitter) * np.eye(len(matrix))
        factor, info = scipy.linalg.lapack.dpotrf(shifted, lower=1, clean=1)
        if info == 0:
            inverse_condition, _ = scipy.linalg.lapack.dpocon(factor, np.abs(shifted).sum(0).max(), uplo="L")
            if inverse_condition > epsilon or jitter >= limit:
                break
        elif jitter >= limit:
            values = scipy.linalg.eigvalsh(matrix)
            raise _not_psd(name, values[0], values[-1], rounding)
        jitter = step if jitter == 0 else min(10 * jitter, limit)
    x = scipy.linalg.cho_solve((factor, True), b.reshape(len(matrix), -1)).reshape(b.shape)
    return PSDSolution(x, float(jitter), float(1 / inverse_condition), factor)
