"""The squared loss with its constants, and what they do to the time of training.

Most puzzles of the kind "the network does not follow the theory" are a missing 1/2, N or O. So the constants have one
place, which the loss of real networks (``squared_loss``) and the theory (``gradient_flow``, ...) share.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.predict.solves import AnyFloat, KernelSpectrum, kernel_spectrum

__all__ = ["LOSSES", "critical_learning_rate", "loss_factor", "squared_loss"]

Loss = Literal["sum", "mean", "mean_outputs"]
LOSSES = ("sum", "mean", "mean_outputs")


def loss_factor(loss: str = "sum", *, n_samples: int, n_outputs: int = 1, half: bool = True) -> float:
    r"""The factor c in :math:`\dot f = -c\, \Theta\, (f - y)`, gradient flow of the squared loss in function space.

    =====================  =================================================  =============  ===================
    ``loss``               the loss with ``half=True``                        c              with ``half=False``
    =====================  =================================================  =============  ===================
    ``"sum"``              :math:`\tfrac12 \sum_i |f(x_i) - y_i|^2`           1              2
    ``"mean"``             :math:`\tfrac1{2N} \sum_i |f(x_i) - y_i|^2`        1 / N          2 / N
    ``"mean_outputs"``     :math:`\tfrac1{2NO} \sum_i |f(x_i) - y_i|^2`       1 / (N O)      2 / (N O)
    =====================  =================================================  =============  ===================

    ``jnp.mean((f - y)**2)`` is ``"mean_outputs"`` with ``half=False``; neural-tangents' theory is ``"mean_outputs"``
    with ``half=True``. Equal values of c t are equal points of the path.

    Args:
        loss: ``"sum"`` over samples and outputs, ``"mean"`` over samples (sum over outputs), or ``"mean_outputs"``
            over both.
        n_samples: N.
        n_outputs: O.
        half: whether the loss has the factor 1/2.

    Returns:
        c.

    Raises:
        ValueError: if ``loss`` is not known or a count is smaller than 1.
        TypeError: if a count is not an integer.

    Example:
        >>> loss_factor("mean_outputs", n_samples=10, n_outputs=5, half=False)
        0.04
    """
    _checks.check_choice(loss, "loss", LOSSES)
    n = _checks.check_positive_int(n_samples, "n_samples")
    o = _checks.check_positive_int(n_outputs, "n_outputs")
    return (1.0 if half else 2.0) / {"sum": 1, "mean": n, "mean_outputs": n * o}[loss]


def squared_loss(f: AnyFloat, y: AnyFloat, loss: str = "sum", *, half: bool = True) -> Float[Array, ""]:
    """The squared loss of outputs f against targets y, with the constants of ``loss_factor``.

    Args:
        f: outputs, ``(N,)`` or ``(N, O)``.
        y: targets of the same shape. Shapes are not broadcast: (N, 1) against (N,) would be an N x N matrix.
        loss: as in ``nh.loss_factor``.
        half: as in ``nh.loss_factor``.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: if shapes differ or ``loss`` is not known.

    Example:
        >>> import jax.numpy as jnp
        >>> print(squared_loss(jnp.array([1.0, 3.0]), jnp.array([0.0, 1.0]), "sum"))
        2.5
    """
    if f.shape != y.shape or f.ndim not in (1, 2):
        raise ValueError(f"f and y must have the same shape, (N,) or (N, O), got {f.shape} and {y.shape}")
    outputs = 1 if f.ndim == 1 else f.shape[1]
    return 0.5 * loss_factor(loss, n_samples=f.shape[0], n_outputs=outputs, half=half) * jnp.sum((f - y) ** 2)


def critical_learning_rate(
    ntk_xx: AnyFloat | KernelSpectrum,
    *,
    loss: str = "sum",
    n_outputs: int | None = None,
    half: bool = True,
) -> float:
    r"""The learning rate :math:`2 / (c \lambda_{\max})` beyond which gradient descent with a fixed kernel diverges.

    A step multiplies the error in eigenvector i by :math:`1 - \eta c \lambda_i`; its size passes 1 first for the
    largest eigenvalue.

    Args:
        ntk_xx: kernel of the training inputs or its spectrum, as in ``nh.kernel_ridge``.
        loss: as in ``nh.loss_factor``.
        n_outputs: O, needed for ``"mean_outputs"`` with a kernel ``(N, N)``.
        half: as in ``nh.loss_factor``.

    Returns:
        The learning rate.

    Raises:
        ValueError: as ``nh.kernel_spectrum`` and ``nh.loss_factor``, or if ``n_outputs`` is missing.

    Example:
        >>> import numpy as np
        >>> critical_learning_rate(np.diag([4.0, 1.0]), loss="mean")
        1.0
    """
    spectrum = kernel_spectrum(ntk_xx)
    if loss == "mean_outputs" and n_outputs is None and spectrum.outputs is None:
        raise ValueError('loss="mean_outputs" needs n_outputs, since a kernel (N, N) does not say how many there are')
    outputs = n_outputs or spectrum.outputs or 1
    samples = len(spectrum.values) // (spectrum.outputs or 1)
    if spectrum.values[0] == 0:
        raise ValueError("ntk_xx is zero: no learning rate is critical")
    factor = loss_factor(loss, n_samples=samples, n_outputs=outputs, half=half)
    return float(2.0 / (factor * spectrum.values[0]))
