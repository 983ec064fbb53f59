r"""Kernels of residual networks that are infinitely wide and infinitely deep."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.activations import Activation
from ntk_helpers.limits.duals import DualActivation, check_quadrature, dual_activation

__all__ = ["deep_resnet_kernel"]


def deep_resnet_kernel(
    x1: Float[Array | np.ndarray, "N1 d"],
    x2: Float[Array | np.ndarray, "N2 d"] | None = None,
    *,
    activation: str | Activation | Callable[[Array], Array] = "relu",
    time: float = 1.0,
    depth: int | None = None,
    steps: int = 64,
) -> Float[Array, "N1 N2"]:
    r"""Covariance of the pre-activations of a residual network whose branches are scaled by 1/sqrt(depth).

    The network is :math:`z^0 = W^0 x / \sqrt d`, :math:`z^{l+1} = z^l + \sqrt{\tau / (L n)}\, W^{l+1} \phi(z^l)` with
    L layers and standard normal weights. At infinite width its covariance q obeys

    .. math:: q^{l+1} = q^l + \tfrac{\tau}{L}\, E_{(u, v) \sim N(0, q^l)}[\phi(u) \phi(v)],

    and as L grows, :math:`dq/dt = E[\phi(u) \phi(v)]` on the interval from 0 to :math:`\tau`. Hayou and Yang (2023)
    show that the limit is the same however width and depth grow.

    Args:
        x1: inputs, one a row, shape (N1, d).
        x2: further inputs, shape (N2, d); by default ``x1``.
        activation: as in ``nh.fcn_kernel``.
        time: :math:`\tau`, not negative.
        depth: L, for the infinitely wide network of this depth; None for infinite depth.
        steps: Runge-Kutta steps of fourth order for infinite depth; the relative error for relu falls as ``steps**-4``
            and is below float32's rounding at 64 steps for ``time`` up to about 4.

    Returns:
        The kernel, shape (N1, N2).

    Raises:
        ValueError: if an input has the wrong shape or is not finite, ``time`` is negative, or a count is below 1.
        TypeError: if an input is not floating point, or a count is not an integer.

    Example:
        >>> x = jnp.array([[1.0, 1.0], [1.0, -1.0]])
        >>> kernel = deep_resnet_kernel(x)
        >>> round(float(kernel[0, 0]), 3), round(float(kernel[0, 1]), 3)  # the first is sqrt(e)
        (1.649, 0.233)
    """
    x1 = _checks.as_samples(x1, "x1")
    x2 = x1 if x2 is None else _checks.as_samples(x2, "x2")
    _checks.same_features(x1, x2)
    dual = dual_activation(activation)
    time = _checks.check_nonnegative(time, "time")
    infinite = depth is None
    count = _checks.check_positive_int(steps, "steps") if infinite else _checks.check_positive_int(depth, "depth")
    kernel, variances = _flow(dual, infinite, x1, x2, time, count)
    check_quadrature(dual, variances)
    return kernel


@partial(jax.jit, static_argnums=(0, 1))
def _flow(
    dual: DualActivation, infinite: bool, x1: Array, x2: Array, time: ArrayLike, count: ArrayLike
) -> tuple[Array, Array]:
    """The kernel at the end, and the variances there."""
    d = x1.shape[1]
    q12 = jnp.matmul(x1, x2.T, precision="highest") / d
    state = (jnp.sum(x1 * x1, axis=1) / d, jnp.sum(x2 * x2, axis=1) / d, q12)
    h = jnp.asarray(time, x1.dtype) / count

    def rate(q: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        q1, q2, q12 = q
        return dual.variance(q1), dual.variance(q2), dual.value(q1[:, None], q2[None, :], q12)

    def moved(q, k, by):
        return jax.tree.map(lambda a, b: a + by * b, q, k)

    def step(_, q):
        k1 = rate(q)
        if not infinite:
            return moved(q, k1, h)
        k2 = rate(moved(q, k1, h / 2))
        k3 = rate(moved(q, k2, h / 2))
        k4 = rate(moved(q, k3, h))
        mean = jax.tree.map(lambda a, b, c, e: (a + 2 * b + 2 * c + e) / 6, k1, k2, k3, k4)
        return moved(q, mean, h)

    q1, q2, q12 = jax.lax.fori_loop(0, count, step, state)
    return q12, jnp.concatenate([q1, q2])
