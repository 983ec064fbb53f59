r"""Training with the truncated neural tangent hierarchy: the kernel moves, by a law that is cut off at order p.

Gradient flow gives f a chain of equations, each driven by the residuals r and the next kernel (Huang and Yau 2020).
Cut off at p, K_p stays what it was. Then the chain can be integrated from its end: K_{p-1} is linear in the integral of
the residuals, K_{p-2} in a double integral, and so on. With the iterated integrals

.. math::
    \dot S_1^{a} = c\, r_a, \qquad \dot S_k^{a_1 \dots a_k} = c\, r_{a_1} S_{k-1}^{a_2 \dots a_k},

.. math::
    f(x) = f_0(x) + \sum_{k=1}^{p-1} (-1)^k \sum_{a_1 \dots a_k} K_{k+1}(x, x_{a_1}, \dots, x_{a_k})\,
           S_k^{a_1 \dots a_k} .

So the differential equation is one for the integrals on the training set; test points and the kernel at time t follow
from them by products. p = 2 is training with a fixed kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.integrate import solve_ivp

from ntk_helpers import _checks
from ntk_helpers.predict.losses import loss_factor
from ntk_helpers.predict.regression import Prediction, as_path
from ntk_helpers.predict.solves import AnyFloat, Numbers, on_host

__all__ = ["HierarchyDiverged", "hierarchy_flow", "hierarchy_integrals", "hierarchy_kernel"]


class HierarchyDiverged(ArithmeticError):
    """The truncated hierarchy ran off before the last time, as it does for narrow networks and late times."""


def hierarchy_integrals(
    kernels: Sequence[AnyFloat | None],
    y: AnyFloat,
    *,
    times: Numbers,
    f0: AnyFloat | None = None,
    loss: str = "sum",
    half: bool = True,
    rtol: float = 1e-8,
    atol: float = 1e-10,
) -> list[list[np.ndarray]]:
    r"""The iterated integrals S_1, ..., S_{p-1} of the residuals under the hierarchy cut off at p.

    :math:`\dot S_1 = c r`, :math:`\dot S_k = c\, r \otimes S_{k-1}`, with the residuals r of the truncated prediction.

    Args:
        kernels: K_2, ..., K_p on the training rows, shapes ``(N, N)``, ``(N, N, N)``, ...; one or more of them.
        y: targets, ``(N,)``, one for each row.
        times: t >= 0, one or T of them, finite.
        f0: outputs at time 0, ``(N,)``; 0 if None.
        loss: as in ``nh.loss_factor``, one output.
        half: whether the loss has the factor 1/2.
        rtol: relative tolerance of the integrator, scipy's DOP853.
        atol: its absolute tolerance.

    Returns:
        A list over the times of lists S_1, S_2, ..., shapes ``(N,)``, ``(N, N)``, ...

    Raises:
        ValueError: if shapes do not fit, a time is negative or infinite, or something is not finite.
        HierarchyDiverged: if the truncated solution runs off before the last time.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> s = nh.hierarchy_integrals([np.array([[1.0]])], np.array([1.0]), times=[np.log(2)])
        >>> s[0][0].round(6).tolist()
        [-0.5]
    """
    tensors = _square_kernels(kernels)
    n = len(tensors[0])
    target = _vector(y, "y", n)
    start = np.zeros(n) if f0 is None else _vector(f0, "f0", n)
    path, _ = as_path(times, "times")
    factor = loss_factor(loss, n_samples=n, half=half)
    flat = [(-1) ** (k + 1) * tensor.reshape(n, -1) for k, tensor in enumerate(tensors)]
    ends = np.cumsum([n ** (k + 1) for k in range(len(flat))]).tolist()

    def rate(_: float, state: np.ndarray) -> np.ndarray:
        parts = np.split(state, ends[:-1])
        move = factor * (start - target + sum(k @ s for k, s in zip(flat, parts, strict=True)))
        return np.concatenate([move, *(np.multiply.outer(move, s).ravel() for s in parts[:-1])])

    every = np.unique(path)
    states = np.zeros((ends[-1], len(every)))
    if every[-1] > 0:
        states = _integrate(rate, ends[-1], every, rtol, atol)
    found = []
    for t in path:
        parts = np.split(states[:, np.searchsorted(every, t)], ends[:-1])
        found.append([part.reshape((n,) * (k + 1)) for k, part in enumerate(parts)])
    return found


def _integrate(rate: Any, size: int, times: np.ndarray, rtol: float, atol: float) -> np.ndarray:
    """The states (size, T) at these times, from 0 at time 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = solve_ivp(rate, (0.0, times[-1]), np.zeros(size), t_eval=times, method="DOP853", rtol=rtol, atol=atol)
    if not found.success or not np.isfinite(found.y).all():
        reached = found.t[-1] if len(found.t) else 0.0
        raise HierarchyDiverged(
            f"the truncated hierarchy runs off between t = {reached:.4g} and t = {times[-1]:.4g}; the network is too "
            "narrow or the time too late for this order: take order=2, a wider network or earlier times"
        )
    return found.y


def hierarchy_flow(
    kernels: Sequence[AnyFloat | None],
    y: AnyFloat,
    *,
    times: Numbers,
    order: int | None = None,
    kernels_test: Sequence[AnyFloat | None] | None = None,
    f0_train: AnyFloat | None = None,
    f0_test: AnyFloat | None = None,
    loss: str = "sum",
    half: bool = True,
    rtol: float = 1e-8,
    atol: float = 1e-10,
) -> Prediction:
    r"""Gradient flow by the neural tangent hierarchy cut off at p: outputs of a network whose kernel moves.

    :math:`\dot f = -c K_2 r`, :math:`\dot K_2 = -c K_3 r`, ..., and :math:`\dot K_p = 0` (Huang and Yau 2020). p = 2 is
    ``nh.gradient_flow``. With 1/width as the small number, p = 2 and p = 3 leave an error of the first order, p = 4
    one of the second.

    Args:
        kernels: K_2, ..., K_p on the training rows, as from ``nh.tangent_hierarchy``, shapes ``(N, N)``,
            ``(N, N, N)``, ...; entries that are None are left out.
        y: targets, ``(N,)``.
        times: t >= 0, one or T of them, finite; learning rate times steps of small steps.
        order: p, at most one more than the number of kernels; all of them if None.
        kernels_test: the same kernels with M test rows as the first axis, ``(M, N)``, ``(M, N, N)``, ...
        f0_train: outputs at time 0, ``(N,)``; 0 if None.
        f0_test: the same on the test rows, ``(M,)``.
        loss: as in ``nh.loss_factor``, one output.
        half: whether the loss has the factor 1/2.
        rtol: relative tolerance of the integrator, scipy's DOP853.
        atol: its absolute tolerance.

    Returns:
        ``Prediction(train, test)``, float64, T first where a sequence of times was given.

    Raises:
        ValueError: if shapes do not fit, ``order`` is not in 2, ..., p, a time is negative or infinite, or something
            is not finite.
        HierarchyDiverged: if the truncated solution runs off before the last time.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> k2, k3 = np.array([[1.0]]), np.array([[[0.5]]])
        >>> flow = nh.hierarchy_flow([k2], np.array([1.0]), times=np.log(2))
        >>> flow.train.round(6).tolist()
        [0.5]
        >>> flow = nh.hierarchy_flow([k2, k3], np.array([1.0]), times=np.log(2))  # the kernel grows as f does
        >>> bool(flow.train[0] > 0.5)
        True
    """
    tensors = _square_kernels(kernels)[: _terms(order, len([k for k in kernels if k is not None]))]
    n, p = len(tensors[0]), len(tensors)
    options = {"loss": loss, "half": half, "rtol": rtol, "atol": atol}
    integrals = hierarchy_integrals(tensors, y, times=times, f0=f0_train, **options)
    train = np.stack([_outputs(tensors, s) for s in integrals])
    train += np.zeros(n) if f0_train is None else _vector(f0_train, "f0_train", n)
    test = None
    if kernels_test is not None:
        tests = _test_kernels(kernels_test, n, p)
        test = np.stack([_outputs(tests, s) for s in integrals])
        test += np.zeros(test.shape[1]) if f0_test is None else _vector(f0_test, "f0_test", test.shape[1])
    elif f0_test is not None:
        raise ValueError("f0_test needs kernels_test")
    if as_path(times, "times")[1]:
        return Prediction(train[0], None if test is None else test[0])
    return Prediction(train, test)


def hierarchy_kernel(
    kernels: Sequence[AnyFloat | None], integrals: Sequence[np.ndarray]
) -> Float[np.ndarray, "rows n"]:
    r"""The tangent kernel at time t under the hierarchy cut off at p.

    .. math:: K_2(t) = K_2 + \sum_{k=1}^{p-2} (-1)^k K_{k+2}\, S_k(t)

    Args:
        kernels: K_2, ..., K_p with any rows as the first axis, ``(M, N)``, ``(M, N, N)``, ...
        integrals: S_1, ... at one time, from ``nh.hierarchy_integrals``.

    Returns:
        K_2 at that time, ``(M, N)``.

    Raises:
        ValueError: if shapes do not fit.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> kernels = [np.array([[1.0]]), np.array([[[0.5]]])]
        >>> s = nh.hierarchy_integrals(kernels, np.array([1.0]), times=[0.0, 50.0])
        >>> [nh.hierarchy_kernel(kernels, at).round(3).item() for at in s]
        [1.0, 1.414]
    """
    n = len(integrals[0])
    tensors = _test_kernels(kernels, n, min(len(integrals), len([k for k in kernels if k is not None])))
    moved = tensors[0].copy()
    for k, tensor in enumerate(tensors[1:], start=1):
        moved += (-1) ** k * np.tensordot(tensor, integrals[k - 1], axes=k)
    return moved


def _outputs(kernels: Sequence[np.ndarray], integrals: Sequence[np.ndarray]) -> np.ndarray:
    """The change of f from the kernels with any rows first and the integrals at one time."""
    terms = zip(kernels, integrals, strict=True)
    return sum((-1) ** k * np.tensordot(kernel, s, axes=k) for k, (kernel, s) in enumerate(terms, start=1))


def _terms(order: int | None, available: int) -> int:
    """How many kernels an order needs."""
    if order is None:
        return available
    if _checks.check_positive_int(order, "order") not in range(2, available + 2):
        raise ValueError(f"order must be from 2 to {available + 1} with {available} kernels, got {order}")
    return order - 1


def _square_kernels(kernels: Sequence[AnyFloat | None]) -> list[np.ndarray]:
    """K_2, K_3, ... in float64 with equal sides."""
    given = [k for k in kernels if k is not None]
    if not given:
        raise ValueError("kernels must hold K_2 at least, got none")
    shape = np.shape(given[0])
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ValueError(f"kernels[0] must be square, (N, N), got shape {shape}")
    return _test_kernels(given, shape[0], len(given))


def _test_kernels(kernels: Sequence[AnyFloat | None], n: int, terms: int) -> list[np.ndarray]:
    """The first so many kernels in float64, shapes (M, N), (M, N, N), ..."""
    given = [k for k in kernels if k is not None][:terms]
    if len(given) < terms:
        raise ValueError(f"kernels must hold K_2 to K_{terms + 1}, got {len(given)} of them")
    tensors = [on_host(k, f"kernels[{i}]", (i + 2,)) for i, k in enumerate(given)]
    rows = len(tensors[0])
    for i, tensor in enumerate(tensors):
        wanted = (rows,) + (n,) * (i + 1)
        if tensor.shape != wanted:
            raise ValueError(f"kernels[{i}] must be K_{i + 2} of shape {wanted}, got shape {tensor.shape}")
    return tensors


def _vector(value: Any, name: str, n: int) -> np.ndarray:
    """A float64 vector with one number for each row."""
    array = on_host(value, name, (1,))
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), one number for each row of the kernels, got {array.shape}")
    return array
