"""Gradient flow of a real network: its parameters integrated through time, for any f(params, x).

``nh.train`` takes steps of a finite size, whose error is of the order of the learning rate. What is compared with a
prediction that is itself exact to a few digits (the tangent hierarchy) needs the limit of small steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.ode import odeint
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.predict.losses import squared_loss
from ntk_helpers.predict.regression import as_path

__all__ = ["ParameterFlow", "parameter_flow"]


class ParameterFlow(NamedTuple):
    """A network in gradient flow at T times.

    Attributes:
        train: outputs on the training inputs, ``(T, N)`` or ``(T, N, O)`` as y.
        test: on the test inputs, ``(T, M)`` or ``(T, M, O)``; None where none were given.
        params: parameters, T as first axis of every leaf.
    """

    train: Float[Array, "T ..."]
    test: Float[Array, "T ..."] | None
    params: Any


def parameter_flow(
    f: Callable[[Any, Any], Any],
    params: Any,
    x: Float[Array, "n ..."] | Float[np.ndarray, "n ..."],
    y: Float[Array, "n ..."] | Float[np.ndarray, "n ..."],
    *,
    times: Any,
    x_test: Any = None,
    loss: str = "sum",
    half: bool = True,
    tol: float | None = None,
) -> ParameterFlow:
    r"""Gradient flow of the squared loss in the parameters: :math:`\dot\theta = -\nabla L(\theta)`.

    Integrated by JAX's adaptive Dormand-Prince method. The limit of ``nh.train`` for small steps, with t = learning
    rate times steps. All T states of the parameters are returned, so the memory is T times that of the network.

    Works inside ``jax.jit`` and ``jax.vmap``; wrap it in ``jax.jit`` where it is called often, since each plain call
    compiles anew. A kink of the activation makes the integrator take many small steps: ask for less there.

    Args:
        f: f(params, x) maps inputs to outputs ``(N,)`` or ``(N, O)``.
        params: where to start, a pytree of floating-point arrays.
        x: training inputs, first axis N.
        y: targets, ``(N,)`` or ``(N, O)``; ``(N,)`` fits outputs ``(N, 1)`` too.
        times: T times t >= 0, finite and rising.
        x_test: test inputs.
        loss: ``"sum"``, ``"mean"`` or ``"mean_outputs"``, see ``nh.loss_factor``.
        half: whether the loss has the factor 1/2.
        tol: error of a step allowed in the parameters, as the norm of the whole vector, so that the outputs have errors
            of the same size at any width; 1e-8 in float64 and 1e-4 in float32 if None.

    Returns:
        ``ParameterFlow(train, test, params)``.

    Raises:
        ValueError: if the times are not rising, negative or infinite, the outputs do not fit y, or tol is not positive.
        TypeError: if a leaf of params is no floating-point array.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> flow = nh.parameter_flow(lambda w, x: x @ w, jnp.zeros(1), jnp.ones((1, 1)), jnp.ones(1), times=[0.0, 1.0])
        >>> flow.train.round(4).ravel().tolist()  # 1 - exp(-t)
        [0.0, 0.632099986076355]
    """
    path, single = as_path(times, "times")
    if single or (np.diff(path) <= 0).any():
        raise ValueError(f"times must be a rising sequence, got {times}")
    leaves = jax.tree.leaves(params)
    for leaf in leaves:
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise TypeError(f"params must hold floating-point arrays alone, got a leaf of type {jnp.result_type(leaf)}")
    inputs, target = jnp.asarray(x), _checks.as_real(y, "y")
    found = jax.eval_shape(f, params, inputs)
    if found.shape not in (target.shape, (*target.shape, 1)) or target.ndim not in (1, 2):
        raise ValueError(f"y must have the shape of the outputs, {found.shape}, got {target.shape}")
    outputs = lambda p, at: f(p, at).reshape(len(at), *target.shape[1:])  # noqa: E731

    def descent(p: Any, _: Any) -> Any:
        slope = jax.grad(lambda q: squared_loss(outputs(q, inputs), target, loss, half=half))(p)
        return jax.tree.map(jnp.negative, slope)

    dtype = jnp.result_type(*leaves)
    tol = (1e-8 if dtype == jnp.float64 else 1e-4) if tol is None else tol
    if not 0 < tol < np.inf:
        raise ValueError(f"tol must be a positive number, got {tol}")
    # odeint compares the root mean square over the parameters with atol
    share = tol / math.sqrt(sum(np.size(leaf) for leaf in leaves))
    # the integrator's first time is where it starts
    at = jnp.asarray(path if path[0] == 0 else np.concatenate([[0.0], path]), dtype)
    states = odeint(descent, params, at, rtol=0.0, atol=share)
    states = jax.tree.map(lambda leaf: leaf[-len(path) :], states)
    train = jax.lax.map(lambda p: outputs(p, inputs), states)
    test = None if x_test is None else jax.lax.map(lambda p: outputs(p, jnp.asarray(x_test)), states)
    return ParameterFlow(train, test, states)
