r"""The neural tangent hierarchy: the kernels that say how the tangent kernel moves.

Under gradient flow of a squared loss, with residuals r and loss factor c,

.. math::
    \dot f(x_1) = -c \sum_b K_2(x_1, x_b)\, r_b, \qquad
    \dot K_p(x_1, \dots, x_p) = -c \sum_b K_{p+1}(x_1, \dots, x_p; x_b)\, r_b,

    K_{p+1}(x_1, \dots, x_p; x_b) = \big\langle \nabla_\theta K_p(x_1, \dots, x_p), \nabla_\theta f(x_b) \big\rangle

(Huang and Yau 2020). K_2 is the empirical NTK. Each further kernel is a derivative of the one before in the direction
of a gradient, so forward mode gives it without any array of the size (parameters x parameters).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.finite.tangents import empirical_ntk

__all__ = ["TangentHierarchy", "tangent_hierarchy"]

ORDERS = (2, 3, 4)


class TangentHierarchy(NamedTuple):
    """K_2, K_3 and K_4 at one set of parameters; ``None`` above the order that was asked for.

    The first axis runs over the rows of x1, all others over those of x2. A row is a sample; with O outputs there are O
    rows for each sample.
    """

    k2: Float[Array, "rows1 rows2"]
    k3: Float[Array, "rows1 rows2 rows2"] | None = None
    k4: Float[Array, "rows1 rows2 rows2 rows2"] | None = None


def tangent_hierarchy(
    f: Callable[[Any, Any], Any],
    params: Any,
    x1: Float[Array | np.ndarray, "n1 ..."],
    x2: Float[Array | np.ndarray, "n2 ..."] | None = None,
    *,
    order: int = 4,
) -> TangentHierarchy:
    r"""K_2, K_3 and K_4 of the neural tangent hierarchy, for any function of parameters and a batch.

    .. math::
        K_3(x_1, x_2; x_3) = \frac{d}{d\epsilon} K_2(x_1, x_2)\big|_{\theta + \epsilon \nabla f(x_3)}, \qquad
        K_4(x_1, x_2; x_3; x_4) = \frac{d}{d\epsilon} K_3(x_1, x_2; x_3)\big|_{\theta + \epsilon \nabla f(x_4)}

    (Huang and Yau 2020, ICML). K_2 comes from ``nh.empirical_ntk``, the derivatives from forward mode through it. The
    kernels are symmetric in their first two arguments only. With N2 rows in x2 the work of K_4 is that of N2^2 kernels,
    and its memory N1 N2^3 numbers.

    Derivatives are those of the program: where an activation has a kink (relu), what happens to a unit that crosses it
    is not in K_3 and K_4.

    The function can be used inside ``jax.jit`` and ``jax.vmap``, say over parameters.

    Args:
        f: f(params, x) maps a batch x to an array whose first axis is the samples of x, as for ``nh.empirical_ntk``.
        params: pytree of parameters. Leaves that are no floating-point arrays are held fixed.
        x1: inputs of the first argument, an array (N1, ...).
        x2: inputs of all other arguments, an array (N2, ...); x1 if None. To predict a test point take training and
            test inputs for x1 and the training inputs for x2.
        order: the last kernel wanted, 2, 3 or 4.

    Returns:
        ``TangentHierarchy(k2, k3, k4)``, shapes ``(N1, N2)``, ``(N1, N2, N2)``, ``(N1, N2, N2, N2)``, with N1 O and
        N2 O in place of N1 and N2 for O outputs: the outputs of the first sample first.

    Raises:
        ValueError: if ``order`` is not 2, 3 or 4, x1 or x2 is no batch or is not finite; and as ``nh.empirical_ntk``.
        TypeError: if no parameter is a floating-point array; and as ``nh.empirical_ntk``.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=3, width=32, depth=1, activation="tanh")
        >>> params = net.init(key=jax.random.key(0))
        >>> found = nh.tangent_hierarchy(net.apply, params, jnp.eye(3), order=3)
        >>> found.k3.shape, found.k4
        ((3, 3, 3), None)
    """
    if isinstance(order, bool) or order not in ORDERS:
        raise ValueError(f"order must be one of 2, 3, 4, got {order!r}")
    first = _batch(x1, "x1")
    second = first if x2 is None else _batch(x2, "x2")
    leaves, rebuild = _trainable(params)

    def kernel(theta: list[Any]) -> Array:
        found = empirical_ntk(f, rebuild(theta), first, second)
        outputs = math.prod(found.shape[2 : 2 + (found.ndim - 2) // 2])
        found = found.reshape(len(first), len(second), outputs, outputs)
        return jnp.swapaxes(found, 1, 2).reshape(len(first) * outputs, len(second) * outputs)

    k2 = kernel(leaves)
    if order == 2:
        return TangentHierarchy(k2)
    outputs = k2.shape[1] // len(second)

    def gradient(theta: list[Any], row: Array) -> list[Any]:
        """Gradient of one row of f on x2: the direction of the next derivative. It depends on theta itself."""
        sample = jax.lax.dynamic_index_in_dim(second, row // outputs, keepdims=True)
        return jax.grad(lambda t: f(rebuild(t), sample).reshape(-1)[row % outputs])(theta)

    def third(theta: list[Any], b: Array) -> Array:
        return jax.jvp(kernel, (theta,), (gradient(theta, b),))[1]

    def fourth(b: Array, c: Array) -> Array:
        return jax.jvp(lambda theta: third(theta, b), (leaves,), (gradient(leaves, c),))[1]

    rows = jnp.arange(k2.shape[1])
    k3 = jnp.moveaxis(jax.vmap(lambda b: third(leaves, b))(rows), 0, -1)
    if order == 3:
        return TangentHierarchy(k2, k3)
    # One direction c at a time bounds the memory; all b together keep the processor busy. Axes (c, b, x1, x2).
    k4 = jax.lax.map(lambda c: jax.vmap(lambda b: fourth(b, c))(rows), rows)
    return TangentHierarchy(k2, k3, jnp.transpose(k4, (2, 3, 1, 0)))


def _batch(x: Any, name: str) -> Array:
    """A batch of samples, shape (N, ...)."""
    batch = _checks.as_real(x, name)
    if batch.ndim == 0 or 0 in batch.shape:
        raise ValueError(f"{name} must be a batch, shape (N, ...) with N at least 1, got shape {batch.shape}")
    return batch


def _trainable(params: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The floating-point leaves, and the function that puts them back among the others."""
    leaves, tree = jax.tree.flatten(params)
    moves = [jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves]
    if not any(moves):
        raise TypeError("params must hold at least one floating-point array, got none")

    def rebuild(theta: list[Any]) -> Any:
        moving = iter(theta)
        return jax.tree.unflatten(
            tree, [next(moving) if moved else leaf for moved, leaf in zip(moves, leaves, strict=True)]
        )

    return [jnp.asarray(leaf) for moved, leaf in zip(moves, leaves, strict=True) if moved], rebuild
