"""What a network is here, a pair of functions, and the mirrored network whose output starts at zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

__all__ = ["Network", "mirrored"]


class Network(NamedTuple):
    """A network as two pure functions. It can be a static argument of ``jax.jit``.

    Attributes:
        init: ``init(key=key, dtype=float)`` draws parameters, a pytree of arrays.
            ``jax.vmap(lambda k: net.init(key=k))(keys)`` draws many networks at once.
        apply: ``apply(params, x)`` maps inputs x, shape ``(N, d_in)``, to outputs, shape ``(N, d_out)``.
    """

    init: Callable[..., Any]
    apply: Callable[[Any, Float[Array | np.ndarray, "n d_in"]], Float[Array, "n d_out"]]


def mirrored(net: Network) -> Network:
    r"""The network that starts at zero and keeps the tangent kernel: half the difference of two equal copies.

    .. math:: f(x;\, (\theta_1, \theta_2)) = \frac{g(x;\theta_1) - g(x;\theta_2)}{\sqrt 2},
              \qquad \theta_1 = \theta_2 \text{ at initialization.}

    At initialization :math:`f_0(x) = 0` exactly, and the tangent kernel equals that of g, because each copy contributes
    one half of it (Chizat, Oyallon and Bach 2019; mirrored initialization in Chen, Li and Lin 2024).

    Args:
        net: the network g.

    Returns:
        The mirrored network. Its parameters are the pair ``(params_1, params_2)`` of parameters of g.

    Raises:
        TypeError: if ``net`` is not a ``Network``.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.mirrored(nh.fcn(d_in=2, width=16, depth=1))
        >>> net.apply(net.init(key=jax.random.key(0)), jnp.ones((3, 2))).tolist()
        [[0.0], [0.0], [0.0]]
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network (init, apply), got {type(net).__name__}")

    def init(*, key: PRNGKeyArray, **options: Any) -> tuple[Any, Any]:
        params = net.init(key=key, **options)
        return params, params

    def apply(params: tuple[Any, Any], x: Float[Array | np.ndarray, "n d_in"]) -> Float[Array, "n d_out"]:
        # The barrier keeps the compiler from fusing the subtraction into one of the two copies, which would round
        # them differently and leave 1e-8 where the output has to be 0.
        first, second = jax.lax.optimization_barrier((net.apply(params[0], x), net.apply(params[1], x)))
        return (first - second) / math.sqrt(2.0)

    return Network(init, apply)
