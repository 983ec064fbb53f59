r"""Training in function space: gradient flow and gradient descent of the squared loss with a fixed kernel.

With the loss factor c (``nh.loss_factor``), a step of gradient descent on the parameters moves the outputs of a
linearized network by :math:`-\eta c\, \Theta(x, X)\,(f(X) - y)`. So gradient flow at time t is what small steps reach
after k of them, with

.. math:: t = \eta k \quad (\text{learning rate} \times \text{steps}), \qquad
          f_t(x) = f_0(x) + \Theta(x, X)\, \Theta^{-1} (I - e^{-c t \Theta}) (y - f_0(X)).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk_helpers.predict.losses import critical_learning_rate, loss_factor
from ntk_helpers.predict.regression import Prediction, as_path, problem, shaped
from ntk_helpers.predict.solves import AnyFloat, KernelSpectrum, Numbers

__all__ = ["gradient_descent", "gradient_flow"]


def flow_filter(spectrum: KernelSpectrum, times: np.ndarray) -> np.ndarray:
    """(1 - exp(-t lambda)) / lambda for times that hold the loss factor already, (T, P); t where lambda is 0."""
    values = spectrum.values
    finite = np.where(np.isinf(times), 0.0, times)[:, None]
    slow = np.repeat(finite, len(values), axis=1)
    np.divide(-np.expm1(-finite * values), values, out=slow, where=values > 0)
    # the limit of infinite time does not move what the kernel does not reach
    known = values > spectrum.rounding
    limit = np.divide(1.0, values, out=np.zeros_like(values), where=known)
    return np.where(np.isinf(times)[:, None], limit, slow)


def descent_filter(spectrum: KernelSpectrum, step: float, path: np.ndarray) -> np.ndarray:
    """(1 - (1 - step lambda)^k) / lambda for the steps k of the path, (T, P); step k where lambda is 0."""
    values = spectrum.values
    shrink = 1 - step * values
    # without cancellation where step lambda is small
    one_minus = np.where(
        shrink > 0.5,
        -np.expm1(path[:, None] * np.log1p(-np.minimum(step * values, 0.5))),
        1 - shrink ** path[:, None],
    )
    return np.divide(one_minus, values, out=step * path[:, None] * np.ones_like(values), where=values > 0)


def checked_steps(learning_rate: Any, steps: Any) -> tuple[float, np.ndarray, bool]:
    """A positive learning rate, whole numbers of steps, and whether it was one number."""
    path, single = as_path(steps, "steps")
    if (path != np.floor(path)).any():
        raise ValueError(f"steps must be whole numbers, got {path[path != np.floor(path)][0]}")
    rate, one = as_path(learning_rate, "learning_rate")
    if not one or rate[0] == 0:
        raise ValueError(f"learning_rate must be one positive number, got {learning_rate}")
    return float(rate[0]), path, single


def gradient_flow(
    ntk_xx: AnyFloat | KernelSpectrum,
    y: AnyFloat,
    *,
    times: Numbers,
    ntk_tx: AnyFloat | None = None,
    f0_train: AnyFloat | None = None,
    f0_test: AnyFloat | None = None,
    loss: str = "sum",
    half: bool = True,
) -> Prediction:
    r"""Gradient flow of the squared loss with the fixed kernel, from any f_0, at any times, in closed form.

    .. math:: f_t(x) = f_0(x) + \Theta(x, X)\, \Theta^{-1} (I - e^{-c t \Theta}) (y - f_0(X))

    (Jacot et al. 2018, Lee et al. 2019), c from ``nh.loss_factor``. Time is learning rate times steps of small steps.

    Args:
        ntk_xx: kernel of the training inputs, ``(N, N)`` or ``(N, N, O, O)``, or its ``nh.kernel_spectrum``.
        y: targets, ``(N,)`` or ``(N, O)``.
        times: t >= 0, one or T of them; ``np.inf`` is the end of training, where directions in which the kernel is zero
            up to rounding stay at f_0.
        ntk_tx: kernel of test with training inputs, ``(M, N)`` or ``(M, N, O, O)``.
        f0_train: f_0 on the training inputs, shape of y: zero (None, as for a mirrored network), the outputs of a
            network, or a sample of ``nh.sample_gp``.
        f0_test: f_0 on the test inputs, of the same function.
        loss: ``"sum"``, ``"mean"`` or ``"mean_outputs"``, see ``nh.loss_factor``.
        half: whether the loss has the factor 1/2.

    Returns:
        ``Prediction(train, test)``, float64, T first where a sequence was given.

    Raises:
        ValueError: if shapes do not fit, a time is negative, something is not finite, or the kernel is not symmetric or
            not positive semi-definite, beyond rounding.
        TypeError: if something is not real, or a tracer.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> k = np.array([[1.0]])
        >>> flow = nh.gradient_flow(k, np.array([1.0]), times=[0.0, np.log(2), np.inf], f0_train=np.array([3.0]))
        >>> flow.train.round(6).ravel().tolist()
        [3.0, 2.0, 1.0]
    """
    path, single = as_path(times, "times", infinite=True)
    task = problem(ntk_xx, y, ntk_tx, f0_train, f0_test)
    outputs = 1 if task.y.ndim == 1 else task.y.shape[1]
    factor = loss_factor(loss, n_samples=len(task.y), n_outputs=outputs, half=half)
    return shaped(task.predict(flow_filter(task.spectrum, factor * path)), single)


def gradient_descent(
    ntk_xx: AnyFloat | KernelSpectrum,
    y: AnyFloat,
    *,
    learning_rate: float | int,
    steps: Numbers,
    ntk_tx: AnyFloat | None = None,
    f0_train: AnyFloat | None = None,
    f0_test: AnyFloat | None = None,
    loss: str = "sum",
    half: bool = True,
) -> Prediction:
    r"""Gradient descent with the fixed kernel, exactly: what k steps of this learning rate do to a linearized network.

    .. math:: f_k(x) = f_0(x) + \Theta(x, X)\, \Theta^{-1} \left(I - (I - \eta c\, \Theta)^k\right) (y - f_0(X)).

    It differs from ``gradient_flow`` at t = eta k by terms of the order eta. Above ``nh.critical_learning_rate`` it
    grows without bound, as a linearized network does and a real one need not.

    Args:
        ntk_xx: kernel of the training inputs, ``(N, N)`` or ``(N, N, O, O)``, or its ``nh.kernel_spectrum``.
        y: targets, ``(N,)`` or ``(N, O)``.
        learning_rate: eta > 0.
        steps: number k >= 0 of steps, one or T of them.
        ntk_tx: kernel of test with training inputs.
        f0_train: f_0 on the training inputs, shape of y; 0 unless given.
        f0_test: f_0 on the test inputs.
        loss: as in ``nh.loss_factor``.
        half: as in ``nh.loss_factor``.

    Returns:
        ``Prediction(train, test)``, float64, T first where a sequence was given.

    Raises:
        ValueError: as ``gradient_flow``; also if ``learning_rate`` is not positive, ``steps`` are not whole numbers, or
            the iterates leave the range of float64.
        TypeError: if something is not real, or a tracer.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> k = np.array([[1.0]])
        >>> nh.gradient_descent(k, np.array([1.0]), learning_rate=0.5, steps=[0, 1, 2]).train.ravel().tolist()
        [0.0, 0.5, 0.75]
    """
    task = problem(ntk_xx, y, ntk_tx, f0_train, f0_test)
    outputs = 1 if task.y.ndim == 1 else task.y.shape[1]
    rate, path, single = checked_steps(learning_rate, steps)
    factor = loss_factor(loss, n_samples=len(task.y), n_outputs=outputs, half=half)
    with np.errstate(over="ignore", invalid="ignore"):
        found = task.predict(descent_filter(task.spectrum, rate * factor, path))
    for part in found:
        if part is not None and not np.isfinite(part).all():
            row = np.argmin(np.isfinite(part).reshape(len(path), -1).all(axis=1))
            critical = critical_learning_rate(task.spectrum, loss=loss, n_outputs=outputs, half=half)
            raise ValueError(
                f"learning_rate = {rate:.4g} diverges: after {int(path[row])} steps the outputs leave the range of "
                f"float64; it must be below {critical:.4g} (nh.critical_learning_rate) to converge"
            )
    return shaped(found, single)
