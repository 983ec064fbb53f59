"""First-order training on blocks of rows, with weights that the tangent kernel sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from tqdm import tqdm

from ntk_helpers import _checks
from ntk_helpers._progress import PROGRESS_AFTER
from ntk_helpers.finite.pinn.linearize import PointFunction
from ntk_helpers.finite.tangents import empirical_ntk
from ntk_helpers.predict._runs import check_seeds, compiled, warn_interrupted
from ntk_helpers.predict.residuals import block_losses, block_problem, check_finite, check_shapes

__all__ = ["ResidualLog", "ntk_weights", "train_residuals"]


def ntk_weights(
    residuals: PointFunction | Sequence[PointFunction], points: Any, params: Any
) -> Float[Array, " blocks"]:
    r"""Weights that give each block of rows the same share of the tangent kernel.

    .. math:: w_b = \operatorname{tr}K / \operatorname{tr}K_{bb}

    (Wang, Yu and Perdikaris 2022). With them :math:`\operatorname{tr}(w_bK_{bb})` is the same for all blocks. For
    blocks of equal size the mean eigenvalue is the same too, the mean rate at which gradient flow lowers the residuals
    of a block.

    Args:
        residuals: function ``(params, point)`` that returns the residual at one point, a number or ``(k,)``; or a
            sequence of such functions, one for each block.
        points: the points of the block, an array or a pytree with the points as first axis; with a sequence of
            functions a sequence of these.
        params: parameters.

    Returns:
        One weight a block.

    Raises:
        ValueError: if functions and points do not fit together, residuals are not finite, or a block does not depend
            on the parameters at all.

    Example:
        >>> import jax.numpy as jnp, ntk_helpers as nh
        >>> rows = [lambda w, x: x @ w, lambda w, x: 3 * (x @ w)]
        >>> nh.ntk_weights(rows, [jnp.eye(2), jnp.eye(2)], jnp.ones(2)).tolist()
        [10.0, 1.1111111640930176]
    """
    functions, blocks, _ = block_problem(residuals, points, None)
    check_shapes(functions, blocks, params)
    traces = _traces(functions, blocks, params)
    if not bool((jnp.isfinite(traces) & (traces > 0)).all()):
        raise ValueError(f"residuals: every block needs a tangent kernel with a positive trace, got {traces.tolist()}")
    return traces.sum() / traces


def _traces(functions: tuple[PointFunction, ...], blocks: tuple[Any, ...], params: Any) -> Array:
    """The traces tr K_bb; the diagonal of K takes one pass of the engine."""
    return jnp.stack([_trace(f, block, params) for f, block in zip(functions, blocks, strict=True)])


def _trace(function: PointFunction, block: Any, params: Any) -> Array:
    def rows(params: Any, block: Any) -> Array:
        found = jax.vmap(lambda point: function(params, point))(block)
        return found.reshape(len(found), -1)

    outputs = jax.eval_shape(rows, params, block).shape[1]
    return outputs * empirical_ntk(rows, params, block, output="trace", pairs="same").sum()


@dataclass(frozen=True)
class ResidualLog:
    """What a run of ``nh.train_residuals`` logged. With ``n_seeds`` all but ``steps`` have the seeds as first axis, S.

    Attributes:
        steps: step numbers that were logged, ``(T,)``: the start, each multiple of ``every``, the end.
        losses: half the sum of squared residuals of each block, not weighted, ``(T, B)``.
        weights: the weights in force from there on, ``(T, B)``.
        params: parameters after ``steps_done`` steps.
        opt_state: the optimizer's state there.
        steps_done: number of steps taken.
        interrupted: whether the run was stopped before its end.
    """

    steps: np.ndarray
    losses: np.ndarray
    weights: np.ndarray
    params: Any
    opt_state: Any
    steps_done: int
    interrupted: bool = False


def train_residuals(
    residuals: PointFunction | Sequence[PointFunction],
    points: Any,
    params: Any,
    *,
    steps: int,
    optimizer: optax.GradientTransformation,
    weights: str | Sequence[float] | Float[Array, " blocks"] | np.ndarray | None = None,
    every: int = 100,
    n_seeds: int | None = None,
    resume: ResidualLog | None = None,
) -> ResidualLog:
    r"""Minimize :math:`\frac12\sum_bw_b\sum_{i\in b}r_i^2` with an optax optimizer, on all rows in each step.

    With ``weights="ntk"`` the weights are those of ``nh.ntk_weights``, computed anew every ``every`` steps.
    A keyboard interrupt ends the run with a warning and returns what was done; ``resume=log`` goes on from there with
    the same numbers. Runs longer than 5 s show a progress bar.

    Args:
        residuals: as for ``nh.ntk_weights``.
        points: as for ``nh.ntk_weights``.
        params: where to start.
        steps: number of steps in total, those of ``resume`` included.
        optimizer: an optax optimizer.
        weights: ``"ntk"``, or one fixed number a block; 1 by default.
        every: steps between two logs, and between two updates of the weights.
        n_seeds: train so many networks at once by ``jax.vmap``; ``params`` then has the seeds as first axis of every
            leaf, and each network has its own weights.
        resume: log of an earlier run with the same arguments, interrupted or shorter.

    Returns:
        A ``ResidualLog``. A run that diverges goes on, with infinities and NaN in its losses.

    Raises:
        ValueError: if shapes do not fit, a number is out of range, or the residuals at the start are not finite.
        TypeError: if an argument has the wrong type.

    Example:
        >>> import jax.numpy as jnp, ntk_helpers as nh, optax
        >>> rows = [lambda w, x: x @ w - 1, lambda w, x: 10 * (x @ w - 1)]
        >>> points = [jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0]])]
        >>> log = nh.train_residuals(rows, points, jnp.zeros(2), steps=200, optimizer=optax.sgd(1e-3), weights="ntk")
        >>> log.steps.tolist(), log.losses.shape, [round(float(w), 2) for w in log.weights[0]]
        ([0, 100, 200], (3, 2), [101.0, 1.01])
    """
    steps, every = _checks.check_positive_int(steps, "steps"), _checks.check_positive_int(every, "every")
    seeds = None if n_seeds is None else _checks.check_positive_int(n_seeds, "n_seeds")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"optimizer must be an optax optimizer, got {type(optimizer).__name__}")
    if isinstance(weights, str):
        _checks.check_choice(weights, "weights", ("ntk",))
    functions, blocks, scales = block_problem(residuals, points, None if isinstance(weights, str) else weights)
    one = params = jax.tree.map(jnp.asarray, params if resume is None else resume.params)
    if seeds is not None:
        check_seeds(params, seeds)
        one = jax.tree.map(lambda p: p[0], params)
    check_shapes(functions, blocks, one)
    start, advance, weigh, look = compiled(_loop, functions, optimizer, seeds is not None)
    fixed = scales**2 if seeds is None else jnp.tile(scales**2, (seeds, 1))
    reweigh = (lambda params: weigh(params, blocks)) if isinstance(weights, str) else lambda params: fixed
    if resume is None:
        losses = np.asarray(look(params, blocks))
        check_finite(losses)
        opt_state, done, current = start(params), 0, reweigh(params)
        logged, logs = [0], [(losses, np.asarray(current))]
    else:
        opt_state, done, current = resume.opt_state, resume.steps_done, None
        if done > steps:
            raise ValueError(f"steps must be at least the {done} that resume has done, got {steps}")
        logged, logs = list(resume.steps), _unstacked(resume, seeds)
        current = jnp.asarray(logs[-1][1])
    stopped = False
    with tqdm(total=steps, initial=done, desc="training", unit="step", delay=PROGRESS_AFTER, leave=False) as bar:
        try:
            while done < steps:
                count = min(every - done % every, steps - done)
                state = jax.block_until_ready(advance(params, opt_state, current, count, blocks))
                found = np.asarray(look(state[0], blocks))
                weighed = reweigh(state[0]) if (done + count) % every == 0 else current
                logs_now = [*logs, (found, np.asarray(weighed))]
                # one statement, so that an interrupt finds parameters and their records together
                (params, opt_state), current, done, logs, logged = (
                    state, weighed, done + count, logs_now, [*logged, done + count],
                )  # fmt: skip
                bar.update(count)
        except KeyboardInterrupt:
            stopped = True
            warn_interrupted("training", done, steps)
    losses, history = (np.stack(part, axis=0 if seeds is None else 1) for part in zip(*logs, strict=True))
    return ResidualLog(np.array(logged), losses, history, params, opt_state, done, stopped)


def _unstacked(log: ResidualLog, seeds: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
    axis = 0 if seeds is None else 1
    return [tuple(np.take(part, t, axis=axis) for part in (log.losses, log.weights)) for t in range(len(log.steps))]


def _loop(functions: tuple[PointFunction, ...], optimizer: optax.GradientTransformation, many: bool) -> Any:
    def advance(params: Any, opt_state: Any, weights: Array, count: Any, blocks: Any) -> Any:
        def step(_: Any, state: Any) -> Any:
            params, opt_state = state
            gradient = jax.grad(lambda p: jnp.sum(weights * block_losses(functions, blocks, p)))(params)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return optax.apply_updates(params, updates), opt_state

        return jax.lax.fori_loop(0, count, step, (params, opt_state))

    def over_seeds(function: Callable[..., Any], in_axes: tuple[int | None, ...]) -> Any:
        return jax.jit(jax.vmap(function, in_axes=in_axes) if many else function)

    def ratios(params: Any, blocks: Any) -> Array:
        traces = _traces(functions, blocks, params)
        return traces.sum() / traces

    return (
        over_seeds(optimizer.init, (0,)),
        over_seeds(advance, (0, 0, 0, None, None)),
        over_seeds(ratios, (0, None)),
        over_seeds(lambda params, blocks: block_losses(functions, blocks, params), (0, None)),
    )
