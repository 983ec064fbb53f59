r"""Training in function space with a fixed kernel: gradient flow and descent of the squared loss, cross-entropy flow.

With the loss factor c (``nh.loss_factor``), a step of gradient descent on the parameters moves the outputs of a
linearized network by :math:`-\eta c\, \Theta(x, X)\,(f(X) - y)`. So gradient flow at time t is what small steps reach
after k of them, with

.. math:: t = \eta k \quad (\text{learning rate} \times \text{steps}), \qquad
          f_t(x) = f_0(x) + \Theta(x, X)\, \Theta^{-1} (I - e^{-c t \Theta}) (y - f_0(X)).

The flow of the cross-entropy has no closed form. It is integrated in the logarithm of time, since with hard labels the
outputs grow like ln t and never arrive.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.integrate
from scipy.special import expit, softmax

from ntk_helpers import _checks
from ntk_helpers.predict.losses import critical_learning_rate, loss_factor
from ntk_helpers.predict.regression import Prediction, as_path, problem, shaped
from ntk_helpers.predict.solves import AnyFloat, KernelSpectrum, Numbers

__all__ = ["cross_entropy_flow", "gradient_descent", "gradient_flow"]

# Accuracy asked of the integration of cross_entropy_flow, in the weights of the kernel functions.
TOLERANCES = {"rtol": 1e-8, "atol": 1e-10}


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


def cross_entropy_flow(
    ntk_xx: AnyFloat | KernelSpectrum,
    y: AnyFloat,
    *,
    times: Numbers,
    ntk_tx: AnyFloat | None = None,
    f0_train: AnyFloat | None = None,
    f0_test: AnyFloat | None = None,
    loss: str = "sum",
    temperature: float | int = 1.0,
) -> Prediction:
    r"""Gradient flow of the cross-entropy with the fixed kernel: kernel logistic regression in time.

    .. math:: f_t(x) = f_0(x) + \Theta(x, X)\, a_t, \qquad \dot a = \tfrac{c}{T} (y - p), \qquad a_0 = 0,

    with :math:`p = \sigma(f_t(X) / T)` for labels of shape (N,), which is the loss
    :math:`\sum_i \ln(1 + e^{-(2 y_i - 1) f(x_i) / T})` of Yu, Tian and Chen (2025) at T = 1, and p = softmax(f / T) for
    rows of probabilities (N, O). Separable hard labels have no end: f grows like T ln t.

    The weights a are integrated by scipy's LSODA over ln(1 + t), so that times of 1e10 and far beyond cost little.
    The largest error is about 1e-6 of the largest output.

    Args:
        ntk_xx: kernel of the training inputs, ``(N, N)`` or ``(N, N, O, O)``, or its ``nh.kernel_spectrum``.
        y: ``(N,)`` probabilities of class 1: labels 0 and 1, or smoothed ones such as 0.1 and 0.9; or ``(N, O)`` rows
            of probabilities of O classes, each of sum 1.
        times: t >= 0, one or T of them, finite, in any order.
        ntk_tx: kernel of test with training inputs.
        f0_train: f_0 on the training inputs, shape of y; 0 unless given.
        f0_test: f_0 on the test inputs.
        loss: ``"sum"`` over the samples, or ``"mean"``, whose time runs N times slower.
        temperature: T > 0; the loss sees f / T.

    Returns:
        ``Prediction(train, test)``, float64, T first where a sequence was given: outputs (logits), no probabilities.

    Raises:
        ValueError: if shapes do not fit, y holds no probabilities, a number is out of range, something is not finite,
            or the kernel is not symmetric or not positive semi-definite, beyond rounding.
        TypeError: if something is not real, or a tracer.
        RuntimeError: if the integration fails.

    Example:
        One point, kernel 1, label 1: :math:`f + e^f = 1 + t`.

        >>> import numpy as np, ntk_helpers as nh
        >>> f = nh.cross_entropy_flow(np.array([[1.0]]), np.array([1.0]), times=[0.0, np.e, 1e3]).train[:, 0]
        >>> (f + np.exp(f)).round(2).tolist()
        [1.0, 3.72, 1001.0]
    """
    path, single = as_path(times, "times")
    task = problem(ntk_xx, y, ntk_tx, f0_train, f0_test)
    _checks.check_choice(loss, "loss", ("sum", "mean"))
    temperature = float(_checks.check_nonnegative(temperature, "temperature"))
    if temperature == 0:
        raise ValueError("temperature must be positive, got 0")
    _check_probabilities(task.y)
    factor = 1.0 if loss == "sum" else 1.0 / len(task.y)
    kernel = (task.spectrum.vectors * task.spectrum.values) @ task.spectrum.vectors.T
    shared = task.y.ndim == 2 and len(kernel) == len(task.y)  # one kernel for all outputs

    def moved(weights: np.ndarray, gram: np.ndarray) -> np.ndarray:
        return gram @ (weights.reshape(len(task.y), -1) if shared else weights)

    def velocity(log_time: float, weights: np.ndarray) -> np.ndarray:
        f = task.f0_train + moved(weights, kernel).reshape(task.y.shape)
        return np.exp(log_time) * factor / temperature * _surprise(f / temperature, task.y).ravel()

    def jacobian(log_time: float, weights: np.ndarray) -> np.ndarray:
        f = task.f0_train + moved(weights, kernel).reshape(task.y.shape)
        slope = np.exp(log_time) * factor / temperature**2 * _curvature(f / temperature)
        if f.ndim == 1:
            return -slope[:, None] * kernel
        outputs = f.shape[1]
        full = np.kron(kernel, np.eye(outputs)) if shared else kernel
        return -np.einsum("nop,npq->noq", slope, full.reshape(len(f), outputs, -1)).reshape(f.size, f.size)

    ends, where = np.unique(np.log1p(path), return_inverse=True)
    weights = np.zeros((len(ends), task.y.size))
    if ends[-1] > 0:
        solution = scipy.integrate.solve_ivp(
            velocity, (0.0, ends[-1]), weights[0], method="LSODA", t_eval=ends, jac=jacobian, **TOLERANCES
        )
        if not solution.success:
            raise RuntimeError(f"the integration stopped at t = {np.expm1(solution.t[-1]):.3g}: {solution.message}")
        weights = solution.y.T
    weights = weights[where]
    train = np.stack([task.f0_train + moved(w, kernel).reshape(task.y.shape) for w in weights])
    test = None
    if task.cross is not None:
        test = np.stack([task.f0_test + moved(w, task.cross).reshape(task.f0_test.shape) for w in weights])
    return shaped(Prediction(train, test), single)


def _check_probabilities(y: np.ndarray) -> None:
    """Probabilities of class 1, (N,), or rows of probabilities, (N, O)."""
    if (y < 0).any() or (y > 1).any():
        hint = "; labels -1 and 1 are (y + 1) / 2" if (y == -1).any() else ""
        raise ValueError(f"y must hold probabilities between 0 and 1, got {y.min():.3g} to {y.max():.3g}{hint}")
    if y.ndim == 2:
        if y.shape[1] == 1:
            raise ValueError("y must have two or more columns, or shape (N,) for two classes; got shape (N, 1)")
        if (np.abs(y.sum(axis=1) - 1) > 1e-6).any():
            sums = y.sum(axis=1)
            raise ValueError(f"the rows of y must have sum 1, got {sums.min():.3g} to {sums.max():.3g}")


def _surprise(f: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The difference y - p without cancellation: for hard labels it gets far smaller than the rounding of p."""
    if y.ndim == 1:
        return y * expit(-f) - (1 - y) * expit(f)
    p = softmax(f, axis=1)  # y_o = y_o sum p and p_o = p_o sum y; where the two are the same class, they cancel
    return np.sum(y[:, :, None] * p[:, None, :] - p[:, :, None] * y[:, None, :], axis=2)


def _curvature(f: np.ndarray) -> np.ndarray:
    """Derivative of p by f, (N,) or (N, O, O)."""
    if f.ndim == 1:
        return expit(f) * expit(-f)
    p = softmax(f, axis=1)
    return p[:, :, None] * np.eye(p.shape[1]) - p[:, :, None] * p[:, None, :]
