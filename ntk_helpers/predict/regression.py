"""Kernel regression on the host in float64: ridge paths, the ridgeless limit, and Gaussian process posteriors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.linalg

from ntk_helpers import _checks
from ntk_helpers.predict.solves import (
    AnyFloat,
    HostFloat,
    KernelSpectrum,
    Numbers,
    kernel_spectrum,
    on_host,
    solve_psd,
    unfold_outputs,
)

__all__ = ["GPPosterior", "Prediction", "gp_posterior", "kernel_ridge"]


class Prediction(NamedTuple):
    """Predictions along a path of T times, steps or ridges.

    Attributes:
        train: on the training inputs, ``(T, N)`` or ``(T, N, O)`` as y; without T where one number was given.
        test: on the test inputs, ``(T, M)`` or ``(T, M, O)``; None where none were given.
    """

    train: HostFloat
    test: HostFloat | None


@dataclass(frozen=True)
class Problem:
    """Checked training data of a kernel method: what ridge, flow and descent have in common.

    Every one of them predicts ``f_0(x) + K(x, X) V g(lambda) V^T (y - f_0(X))`` with its own filter g.
    """

    spectrum: KernelSpectrum
    residual: np.ndarray  # V^T (y - f_0(X)), (P, columns)
    y: np.ndarray
    f0_train: np.ndarray
    cross: np.ndarray | None  # K(x, X), (M or M O, P)
    f0_test: np.ndarray | None

    def predict(self, filters: np.ndarray) -> Prediction:
        """Apply filters, shape (T, P), to the residual."""
        v = self.spectrum.vectors
        modes = filters[:, :, None] * self.residual  # (T, P, columns)
        moved = np.einsum("ij,tjc->tic", v, self.spectrum.values[:, None] * modes, optimize=True)
        train = self.f0_train + moved.reshape(len(filters), *self.y.shape)
        if self.cross is None:
            return Prediction(train, None)
        moved = np.einsum("mj,tjc->tmc", self.cross @ v, modes, optimize=True)
        return Prediction(train, self.f0_test + moved.reshape(len(filters), *self.f0_test.shape))


def _like(value: Any, name: str, shape: tuple[int, ...], what: str) -> np.ndarray:
    """An array of exactly this shape; zeros for None."""
    if value is None:
        return np.zeros(shape)
    array = on_host(value, name, (1, 2))
    if array.shape != shape:
        hint = ""
        if array.size == np.prod(shape):
            hint = f"; {name}.reshape({', '.join(map(str, shape))}) has it (shapes are never broadcast here)"
        raise ValueError(f"{name} must have the shape {shape} of {what}, got {array.shape}{hint}")
    return array


def problem(ntk_xx: Any, y: Any, ntk_tx: Any = None, f0_train: Any = None, f0_test: Any = None) -> Problem:
    """Check the arguments that ``kernel_ridge``, ``gradient_flow`` and ``gradient_descent`` share."""
    spectrum = kernel_spectrum(ntk_xx)
    y = on_host(y, "y", (1, 2))
    outputs = spectrum.outputs
    if outputs is not None and (y.ndim != 2 or y.shape[1] != outputs):
        raise ValueError(f"y must have shape (N, {outputs}) for a kernel with {outputs} outputs, got {y.shape}")
    n = len(spectrum.values) // (outputs or 1)
    if len(y) != n:
        raise ValueError(f"y must have one row for each of the {n} training inputs, got shape {y.shape}")
    f0_train = _like(f0_train, "f0_train", y.shape, "y")
    cross = None
    if ntk_tx is not None:
        cross = on_host(ntk_tx, "ntk_tx", (2, 4))
        wanted = (n,) if outputs is None else (n, outputs, outputs)
        if cross.shape[1:] != wanted:
            raise ValueError(
                f"ntk_tx must have shape (M, {', '.join(map(str, wanted))}), test inputs first, got {cross.shape}"
            )
        f0_test = _like(f0_test, "f0_test", (len(cross), *y.shape[1:]), "the predictions")
        cross = unfold_outputs(cross)
    elif f0_test is not None:
        raise ValueError("f0_test is given without ntk_tx: the kernel of test inputs with training inputs is needed")
    columns = (y - f0_train).reshape(len(spectrum.values), -1)
    return Problem(spectrum, spectrum.vectors.T @ columns, y, f0_train, cross, f0_test)


def as_path(value: Any, name: str, *, infinite: bool = False) -> tuple[np.ndarray, bool]:
    """One number or a sequence of them, none negative, as an array; and whether it was one number."""
    if np.ndim(value) > 1:
        raise ValueError(f"{name} must be one number or a sequence of them, got shape {np.shape(value)}")
    path = np.atleast_1d(np.asarray(value, dtype=np.float64))
    allowed = (path >= 0) & (np.isfinite(path) | infinite)
    if path.size == 0 or not allowed.all():
        bad = path[~allowed][0] if path.size else "an empty sequence"
        raise ValueError(f"{name} must be {'' if infinite else 'finite and '}not negative, got {bad}")
    return path, np.ndim(value) == 0


def shaped(prediction: Prediction, single: bool) -> Prediction:
    """Without the axis of the path where one number was asked for."""
    if not single:
        return prediction
    return Prediction(prediction.train[0], None if prediction.test is None else prediction.test[0])


def kernel_ridge(
    ntk_xx: AnyFloat | KernelSpectrum,
    y: AnyFloat,
    *,
    ridge: Numbers,
    ntk_tx: AnyFloat | None = None,
    f0_train: AnyFloat | None = None,
    f0_test: AnyFloat | None = None,
) -> Prediction:
    r"""Kernel ridge regression for a whole path of ridges from one eigendecomposition.

    .. math:: f(x) = f_0(x) + K(x, X)\,(K(X, X) + \rho I)^{-1} (y - f_0(X)),

    the minimizer of :math:`\sum_i (f(x_i) - y_i)^2 + \rho \lVert f - f_0 \rVert^2_{\mathcal H}`. With :math:`\rho = 0`
    it is the ridgeless limit :math:`\rho \to 0`: eigenvalues below the rounding of the kernel count as zero, and equal
    inputs are fitted by the mean of their labels.

    Args:
        ntk_xx: kernel of the training inputs, ``(N, N)`` or ``(N, N, O, O)``, or its ``nh.kernel_spectrum``.
        y: targets, ``(N,)`` or ``(N, O)``.
        ridge: :math:`\rho \ge 0`, one or T of them.
        ntk_tx: kernel of test with training inputs, ``(M, N)`` or ``(M, N, O, O)``.
        f0_train: where the regression starts, shape of y; 0 unless given.
        f0_test: the same at the test inputs.

    Returns:
        ``Prediction(train, test)``, float64, T first where a sequence was given.

    Raises:
        ValueError: if shapes do not fit, a ridge is negative, something is not finite, or the kernel is not symmetric
            or not positive semi-definite, beyond rounding.
        TypeError: if something is not real, or a tracer.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> k = np.array([[2.0, 0.0], [0.0, 1.0]])
        >>> nh.kernel_ridge(k, np.array([1.0, 1.0]), ridge=[0.0, 1.0]).train.round(6).tolist()
        [[1.0, 1.0], [0.666667, 0.5]]
    """
    path, single = as_path(ridge, "ridge")
    task = problem(ntk_xx, y, ntk_tx, f0_train, f0_test)
    shifted = task.spectrum.values + path[:, None]
    used = (path[:, None] > 0) | (task.spectrum.values > task.spectrum.rounding)
    filters = np.divide(1.0, shifted, out=np.zeros_like(shifted), where=used)
    return shaped(task.predict(filters), single)


class GPPosterior(NamedTuple):
    """Posterior of a Gaussian process at test inputs.

    Attributes:
        mean: ``(M,)`` or ``(M, O)`` as y.
        cov: covariance ``(M, M)``, or its diagonal ``(M,)``; the same for every output.
        jitter: what was added to the diagonal beyond the noise, see ``nh.solve_psd``.
        condition: condition number of the matrix that was solved.
    """

    mean: HostFloat
    cov: HostFloat
    jitter: float
    condition: float


def gp_posterior(
    nngp_xx: AnyFloat,
    y: AnyFloat,
    *,
    nngp_tx: AnyFloat,
    nngp_tt: AnyFloat,
    noise_variance: float | int = 0.0,
    cov: Literal["full", "diagonal"] = "full",
) -> GPPosterior:
    r"""Posterior of a Gaussian process given targets with noise; with the NNGP kernel, Bayes at infinite width.

    .. math::
        m(x) = \Sigma(x, X)\,(\Sigma + \sigma^2 I)^{-1} y, \qquad
        C(x, x') = \Sigma(x, x') - \Sigma(x, X)\,(\Sigma + \sigma^2 I)^{-1} \Sigma(X, x').

    The covariance is that of f, without the noise of a new observation.

    Args:
        nngp_xx: prior covariance of the training inputs, ``(N, N)``.
        y: targets, ``(N,)`` or ``(N, O)``, outputs independent under the prior.
        nngp_tx: prior covariance of test with training inputs, ``(M, N)``.
        nngp_tt: of the test inputs, ``(M, M)``, or its diagonal ``(M,)`` with ``cov="diagonal"``.
        noise_variance: :math:`\sigma^2 \ge 0` of the noise in y.
        cov: ``"full"`` or ``"diagonal"``.

    Returns:
        ``GPPosterior(mean, cov, jitter, condition)``, float64.

    Raises:
        ValueError: if shapes do not fit, something is not finite, or ``nngp_xx`` is not positive semi-definite.
        TypeError: if something is not real, or a tracer.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> k = np.array([[1.0]])
        >>> posterior = nh.gp_posterior(k, np.array([1.0]), nngp_tx=k, nngp_tt=k, noise_variance=1.0)
        >>> posterior.mean.round(6).tolist(), posterior.cov.round(6).tolist()
        ([0.5], [[0.5]])
    """
    _checks.check_choice(cov, "cov", ("full", "diagonal"))
    y, cross = on_host(y, "y", (1, 2)), on_host(nngp_tx, "nngp_tx", (2,))
    if cross.shape[1] != len(y):
        raise ValueError(f"nngp_tx must have shape (M, N) with N = {len(y)} as y, got {cross.shape}")
    prior = on_host(nngp_tt, "nngp_tt", (1, 2) if cov == "diagonal" else (2,))
    if prior.shape[0] != len(cross) or prior.shape[-1] != len(cross):
        raise ValueError(f"nngp_tt must have {len(cross)} rows and columns as nngp_tx has rows, got {prior.shape}")
    noise = _checks.check_nonnegative(noise_variance, "noise_variance")
    solution = solve_psd(nngp_xx, y, ridge=float(noise), name="nngp_xx")
    half = scipy.linalg.solve_triangular(solution.factor, cross.T, lower=True)
    if cov == "full":
        posterior = (prior + prior.T) / 2 - half.T @ half
    else:
        posterior = np.maximum((prior if prior.ndim == 1 else np.diag(prior)) - np.sum(half**2, axis=0), 0.0)
    return GPPosterior(cross @ solution.x, posterior, solution.jitter, solution.condition)
