r"""Ensembles: mean and variance of trained networks over their initializations, at infinite width.

A wide network starts at a sample of the Gaussian process with the NNGP kernel and then follows the NTK's gradient flow,
which is linear in f_0. So f_t is a Gaussian process at every time, with a mean and a covariance in closed form.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from ntk_helpers import _checks
from ntk_helpers.predict.flow import checked_steps, descent_filter, flow_filter
from ntk_helpers.predict.losses import loss_factor
from ntk_helpers.predict.regression import as_path, problem
from ntk_helpers.predict.solves import AnyFloat, HostFloat, KernelSpectrum, Numbers, kernel_spectrum, on_host

__all__ = ["EnsembleMoments", "ensemble_descent", "ensemble_flow", "sample_gp"]


class EnsembleMoments(NamedTuple):
    """Mean and covariance of f_t over initializations.

    Attributes:
        mean: ``(T, M)`` or ``(T, M, O)``; without T where one time was given.
        cov: covariance of one output between inputs, ``(T, M, M)``, or its diagonal, the variance, ``(T, M)``.
            Outputs are independent and share it.
    """

    mean: HostFloat
    cov: HostFloat


def ensemble_flow(
    ntk_xx: AnyFloat | KernelSpectrum,
    nngp_xx: AnyFloat,
    y: AnyFloat,
    *,
    times: Numbers,
    ntk_tx: AnyFloat | None = None,
    nngp_tx: AnyFloat | None = None,
    nngp_tt: AnyFloat | None = None,
    cov: Literal["full", "diagonal"] = "full",
    loss: str = "sum",
    half: bool = True,
) -> EnsembleMoments:
    r"""Mean and covariance over initializations of infinitely wide networks trained for a time t.

    With :math:`A_t = \Theta(x, X)\, \Theta^{-1} (I - e^{-c t \Theta})`, the flow is
    :math:`f_t(x) = f_0(x) + A_t (y - f_0(X))`, and :math:`f_0` has mean 0 and covariance :math:`\Sigma`:

    .. math::
        E f_t = A_t y, \qquad
        \mathrm{Cov}\, f_t = \Sigma(x, x') + A_t \Sigma(X, X) A_t'^\top - A_t \Sigma(X, x') - \Sigma(x, X) A_t'^\top

    (Lee et al. 2019). It is the posterior of no Gaussian process unless only the readout is trained. Mirrored networks
    have the same mean and no variance.

    Args:
        ntk_xx: NTK of the training inputs, ``(N, N)``, or its ``nh.kernel_spectrum``.
        nngp_xx: NNGP kernel of the training inputs, ``(N, N)``.
        y: targets, ``(N,)`` or ``(N, O)``.
        times: one or T of them, ``np.inf`` allowed; as in ``nh.gradient_flow``.
        ntk_tx: NTK of test with training inputs, ``(M, N)``. Without the three kernels of test inputs the moments are
            those at the training inputs.
        nngp_tx: NNGP kernel of test with training inputs, ``(M, N)``.
        nngp_tt: NNGP kernel of the test inputs, ``(M, M)``; with ``cov="diagonal"`` its diagonal ``(M,)`` is enough.
        cov: ``"full"`` or ``"diagonal"``.
        loss: as in ``nh.loss_factor``.
        half: as in ``nh.loss_factor``.

    Returns:
        ``EnsembleMoments(mean, cov)``, float64.

    Raises:
        ValueError: as ``nh.gradient_flow``, or if some but not all kernels of test inputs are given.
        TypeError: if something is not real, or a tracer.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> moments = nh.ensemble_flow(np.eye(1), np.eye(1), np.array([1.0]), times=[0.0, np.log(2), np.inf])
        >>> moments.mean.round(6).ravel().tolist(), moments.cov.round(6).ravel().tolist()
        ([0.0, 0.5, 1.0], [1.0, 0.25, 0.0])
    """
    path, single = as_path(times, "times", infinite=True)
    kernels = (ntk_xx, nngp_xx, y, ntk_tx, nngp_tx, nngp_tt)
    found = _moments(*kernels, cov, loss, half, lambda spectrum, factor: flow_filter(spectrum, factor * path))
    return EnsembleMoments(found.mean[0], found.cov[0]) if single else found


def ensemble_descent(
    ntk_xx: AnyFloat | KernelSpectrum,
    nngp_xx: AnyFloat,
    y: AnyFloat,
    *,
    learning_rate: float | int,
    steps: Numbers,
    ntk_tx: AnyFloat | None = None,
    nngp_tx: AnyFloat | None = None,
    nngp_tt: AnyFloat | None = None,
    cov: Literal["full", "diagonal"] = "full",
    loss: str = "sum",
    half: bool = True,
) -> EnsembleMoments:
    r"""Mean and covariance over initializations after k steps of gradient descent, at infinite width.

    As ``ensemble_flow``, with :math:`A_k = \Theta(x, X)\, \Theta^{-1} (I - (I - \eta c\, \Theta)^k)`: exact for steps
    that are not small.

    Args:
        ntk_xx: as in ``nh.ensemble_flow``.
        nngp_xx: as in ``nh.ensemble_flow``.
        y: as in ``nh.ensemble_flow``.
        learning_rate: eta > 0.
        steps: number k >= 0 of steps, one or T of them.
        ntk_tx: as in ``nh.ensemble_flow``.
        nngp_tx: as in ``nh.ensemble_flow``.
        nngp_tt: as in ``nh.ensemble_flow``.
        cov: ``"full"`` or ``"diagonal"``.
        loss: as in ``nh.loss_factor``.
        half: as in ``nh.loss_factor``.

    Returns:
        ``EnsembleMoments(mean, cov)``, float64.

    Raises:
        ValueError: as ``nh.ensemble_flow``, or if the learning rate is not positive or steps are not whole numbers.
        TypeError: if something is not real, or a tracer.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> moments = nh.ensemble_descent(np.eye(1), np.eye(1), np.array([1.0]), learning_rate=0.5, steps=[0, 1, 2])
        >>> moments.mean.ravel().tolist(), moments.cov.ravel().tolist()
        ([0.0, 0.5, 0.75], [1.0, 0.25, 0.0625])
    """
    rate, path, single = checked_steps(learning_rate, steps)
    kernels = (ntk_xx, nngp_xx, y, ntk_tx, nngp_tx, nngp_tt)
    found = _moments(*kernels, cov, loss, half, lambda spectrum, factor: descent_filter(spectrum, rate * factor, path))
    return EnsembleMoments(found.mean[0], found.cov[0]) if single else found


def _moments(
    ntk_xx: Any,
    nngp_xx: Any,
    y: Any,
    ntk_tx: Any,
    nngp_tx: Any,
    nngp_tt: Any,
    cov: str,
    loss: str,
    half: bool,
    filters: Callable[[KernelSpectrum, float], np.ndarray],
) -> EnsembleMoments:
    """Mean and covariance of f_0(x) + A (y - f_0(X)) for each row of the filters, (T, P)."""
    _checks.check_choice(cov, "cov", ("full", "diagonal"))
    given = [k is not None for k in (ntk_tx, nngp_tx, nngp_tt)]
    if any(given) and not all(given):
        raise ValueError("ntk_tx, nngp_tx and nngp_tt go together: give all three, or none for the training inputs")
    spectrum = kernel_spectrum(ntk_xx)
    if spectrum.outputs is not None:
        raise ValueError("ntk_xx must have shape (N, N): at infinite width all outputs share one kernel")
    task = problem(spectrum, y, ntk_tx)
    n = len(task.y)
    prior_xx = on_host(nngp_xx, "nngp_xx", (2,))
    if prior_xx.shape != (n, n):
        raise ValueError(f"nngp_xx must have shape ({n}, {n}) as ntk_xx, got {prior_xx.shape}")
    if task.cross is None:
        cross, prior_tx, prior_tt = (spectrum.vectors * spectrum.values) @ spectrum.vectors.T, prior_xx, prior_xx
    else:
        cross = task.cross
        prior_tx = on_host(nngp_tx, "nngp_tx", (2,))
        prior_tt = on_host(nngp_tt, "nngp_tt", (1, 2) if cov == "diagonal" else (2,))
        if prior_tx.shape != cross.shape:
            raise ValueError(f"nngp_tx must have the shape {cross.shape} of ntk_tx, got {prior_tx.shape}")
        if set(prior_tt.shape) != {len(cross)}:
            raise ValueError(
                f"nngp_tt must have {len(cross)} rows and columns, as ntk_tx has rows, got {prior_tt.shape}"
            )
    outputs = 1 if task.y.ndim == 1 else task.y.shape[1]
    factor = loss_factor(loss, n_samples=n, n_outputs=outputs, half=half)
    in_modes = cross @ spectrum.vectors
    means, covariances = [], []
    for filter_row in filters(spectrum, factor):
        a = (in_modes * filter_row) @ spectrum.vectors.T
        means.append(a @ task.y)
        if cov == "full":
            mixed = a @ prior_tx.T
            full = prior_tt + a @ prior_xx @ a.T - mixed - mixed.T
            covariances.append((full + full.T) / 2)
        else:
            start = prior_tt if prior_tt.ndim == 1 else np.diag(prior_tt)
            covariances.append(np.maximum(start + np.sum((a @ prior_xx - 2 * prior_tx) * a, axis=1), 0.0))
    return EnsembleMoments(np.stack(means), np.stack(covariances))


def sample_gp(
    kernel: AnyFloat, *, key: PRNGKeyArray, n_samples: int, rounding: float | int | None = None
) -> Float[np.ndarray, "n_samples N"]:
    """Draw functions from the centred Gaussian process with this kernel, at its inputs.

    To start a gradient flow at a sample, draw training and test inputs together, from the kernel of both.

    Args:
        kernel: covariance at N inputs, ``(N, N)``; it may be singular.
        key: a JAX random key.
        n_samples: number of draws.
        rounding: as in ``nh.kernel_spectrum``.

    Returns:
        Samples, ``(n_samples, N)``, float64.

    Raises:
        ValueError: if the kernel is not symmetric or not positive semi-definite, or ``n_samples`` is smaller than 1.
        TypeError: if something is of the wrong type.

    Example:
        >>> import jax, numpy as np, ntk_helpers as nh
        >>> nh.sample_gp(np.ones((3, 3)), key=jax.random.key(0), n_samples=5).shape
        (5, 3)
    """
    n_samples = _checks.check_positive_int(n_samples, "n_samples")
    if np.ndim(kernel) != 2:
        raise ValueError(f"kernel must have shape (N, N), got {np.shape(kernel)}")
    spectrum = kernel_spectrum(kernel, rounding=rounding, name="kernel")
    normal = np.asarray(jax.random.normal(key, (n_samples, len(spectrum.values))), dtype=np.float64)
    return (normal * np.sqrt(spectrum.values)) @ spectrum.vectors.T
