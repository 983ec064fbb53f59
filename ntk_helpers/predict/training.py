"""Training real networks with optax: one network or many seeds, logged on a schedule, safe to interrupt."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

from ntk_helpers import _checks
from ntk_helpers._progress import PROGRESS_AFTER
from ntk_helpers.finite.networks.network import Network
from ntk_helpers.finite.sampling import _over_keys as over_keys
from ntk_helpers.finite.tangents import empirical_ntk
from ntk_helpers.predict._runs import check_seeds, compiled, warn_interrupted
from ntk_helpers.predict.losses import LOSSES, squared_loss

__all__ = ["TrainingLog", "train"]

AnyFloat = Float[Array | np.ndarray, "..."]
# Seconds of work between two looks at the clock, the bar and the keyboard.
CHUNK_SECONDS = 0.5


@dataclass(frozen=True)
class TrainingLog:
    """What a training run logged, and where it stands.

    With many seeds (``n_seeds`` of ``nh.train``) losses, outputs, kernels, parameters and the optimizer's state have
    the seeds as first axis, S.

    Attributes:
        steps: step numbers that were logged, ``(T,)``; 0 is the initialization.
        losses: loss on all training samples, ``(T,)`` or ``(S, T)``.
        train: outputs on the training inputs, ``(T, N, O)`` or ``(S, T, N, O)``.
        test: outputs on the test inputs, ``(T, M, O)`` or ``(S, T, M, O)``; None where none were given.
        kernels: empirical NTK (mean over outputs) at ``kernel_inputs``, ``(T, K, K)`` or ``(S, T, K, K)``; None where
            none were asked for.
        params: parameters after ``steps_done`` steps.
        opt_state: the optimizer's state there.
        steps_done: number of steps taken.
        learning_rate: where one was given as a number; None for an optax optimizer.
        interrupted: whether the run was stopped before its end.
    """

    steps: np.ndarray
    losses: np.ndarray
    train: np.ndarray
    test: np.ndarray | None
    kernels: np.ndarray | None
    params: Any
    opt_state: Any
    steps_done: int
    learning_rate: float | None
    interrupted: bool = False

    @property
    def times(self) -> np.ndarray:
        """Time t = learning rate x steps of each log, ``(T,)``, that of ``nh.gradient_flow`` with the same loss.

        Raises:
            ValueError: if the optimizer was not given as a learning rate.
        """
        if self.learning_rate is None:
            raise ValueError("times: only plain gradient descent with a number as learning_rate has one")
        return self.learning_rate * self.steps


def train(
    net: Network | Callable[..., Array],
    x: AnyFloat,
    y: AnyFloat,
    *,
    steps: int,
    learning_rate: float | int | None = None,
    optimizer: optax.GradientTransformation | None = None,
    params: Any = None,
    key: PRNGKeyArray | None = None,
    n_seeds: int | None = None,
    loss: str | Callable[[Array, Array], Array] = "sum",
    half: bool = True,
    batch_size: int | None = None,
    log_at: Sequence[int] | np.ndarray | None = None,
    x_test: AnyFloat | None = None,
    kernel_inputs: AnyFloat | None = None,
    resume: TrainingLog | None = None,
) -> TrainingLog:
    r"""Train a network, or many at once, and log losses, outputs and tangent kernels on a schedule.

    Full-batch gradient descent unless ``batch_size`` is given. With a number as ``learning_rate`` and the same ``loss``
    the run is what ``nh.gradient_descent`` predicts for a fixed kernel, and t = learning rate x steps is the time of
    ``nh.gradient_flow``.

    A keyboard interrupt (or the stop button of a notebook) ends the run with a warning and returns what was done;
    ``resume=log`` goes on from there and gives the same numbers as an uninterrupted run, minibatches included. Runs
    longer than 5 s show a progress bar.

    Args:
        net: a ``Network``, or ``apply(params, x)`` with outputs ``(N, O)``, then with ``params``.
        x: training inputs, first axis N.
        y: targets ``(N, O)``, or ``(N,)`` for one output.
        steps: number of steps in total, those of ``resume`` included.
        learning_rate: plain gradient descent with this learning rate; or else give
        optimizer: an optax optimizer.
        params: where to start; drawn by ``net.init`` from ``key`` unless given.
        key: JAX random key, for the initialization and the minibatches. Seed i uses the i-th key split from it.
        n_seeds: train so many networks at once by ``jax.vmap``; ``params``, if given, then has the seeds as first axis
            of every leaf.
        loss: ``"sum"``, ``"mean"``, ``"mean_outputs"`` (see ``nh.loss_factor``) or a function of outputs and targets.
            In a minibatch it is that of the batch; a sum is scaled by N / batch_size, so that its expectation is the
            gradient of the whole.
        half: whether the squared loss has the factor 1/2.
        batch_size: samples in a step, drawn without replacement and anew in each step.
        log_at: steps at which to log, 0 for the initialization; by default about 30, evenly in the logarithm.
        x_test: test inputs; their outputs are logged.
        kernel_inputs: inputs at which to log the empirical NTK.
        resume: log of an earlier run with the same arguments, interrupted or shorter.

    Returns:
        A ``TrainingLog`` of NumPy arrays. A run that diverges goes on, with infinities and NaN in its losses.

    Raises:
        ValueError: if shapes do not fit, both or none of ``learning_rate`` and ``optimizer`` are given, a number is out
            of range, or a key or parameters are missing.
        TypeError: if an argument has the wrong type.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=2, width=64, depth=1)
        >>> x, y = jnp.eye(2), jnp.array([1.0, -1.0])
        >>> log = nh.train(net, x, y, learning_rate=0.5, steps=50, key=jax.random.key(0), n_seeds=3, log_at=[0, 50])
        >>> log.train.shape, log.losses.shape, bool((log.losses[:, -1] < log.losses[:, 0]).all())
        ((3, 2, 2, 1), (3, 2), True)
    """
    apply = net.apply if isinstance(net, Network) else net
    if not callable(apply):
        raise TypeError(f"net must be a Network or a function apply(params, x), got {type(net).__name__}")
    steps = _checks.check_positive_int(steps, "steps")
    seeds = None if n_seeds is None else _checks.check_positive_int(n_seeds, "n_seeds")
    x = jnp.asarray(x)
    size = x.shape[0] if batch_size is None else _checks.check_positive_int(batch_size, "batch_size")
    if size > x.shape[0]:
        raise ValueError(f"batch_size must be at most the {x.shape[0]} samples, got {size}")
    rate, optimizer = _optimizer(learning_rate, optimizer)
    schedule = _schedule(log_at, steps)
    if resume is not None:
        params, opt_state, done = resume.params, resume.opt_state, resume.steps_done
        if done > steps:
            raise ValueError(f"steps must be at least the {done} that resume has done, got {steps}")
        keys = _keys(key, seeds, needed=size < x.shape[0])
    else:
        keys = _keys(key, seeds, needed=params is None or size < x.shape[0])
        params, done = _start(net, params, keys, seeds, x.dtype), 0
        opt_state = jax.jit(optimizer.init if seeds is None else jax.vmap(optimizer.init))(params)
        if rate is not None:
            opt_state = rate * opt_state
    y = _targets(apply, params, x, y, seeds)
    advance = compiled(_advance, apply, optimizer, loss, half, x.shape[0], size, seeds, keys is not None)
    seen = [x, y, *(None if inputs is None else jnp.asarray(inputs) for inputs in (x_test, kernel_inputs))]
    look_at = compiled(_look, apply, loss, half, x.shape[0], seeds)
    look = lambda params: look_at(params, *seen)  # noqa: E731
    if resume is None:
        logs: list[Any] = []
        logged: list[int] = []
    else:
        logs, logged = _unstacked(resume, seeds), list(resume.steps)
    stopped = False
    with tqdm(total=steps, initial=done, desc="training", unit="step", delay=PROGRESS_AFTER, leave=False) as bar:
        try:
            chunk = 1
            for goal in [s for s in schedule if s > (logged[-1] if logged else -1)] + [steps]:
                while done < goal:
                    count = min(chunk, goal - done)
                    begin = time.monotonic()
                    state = jax.block_until_ready(advance(params, opt_state, keys, done, count, x, y))
                    # one assignment, so that an interrupt finds parameters and their step number together
                    params, opt_state, done = *state, done + count
                    seconds = time.monotonic() - begin
                    chunk = max(1, int(count * min(8.0, CHUNK_SECONDS / max(seconds, 1e-4))))
                    bar.update(count)
                if goal in schedule and goal not in logged:
                    found = jax.tree.map(np.asarray, look(params))
                    logs, logged = [*logs, found], [*logged, int(goal)]
        except KeyboardInterrupt:
            stopped = True
            warn_interrupted("training", done, steps)
    axis = 0 if seeds is None else 1
    if not logs:  # interrupted before the first log
        logs, logged = [jax.tree.map(np.asarray, look(params))], [done]
    losses, outputs, test, kernels = (
        None if parts[0] is None else np.stack(parts, axis=axis) for parts in zip(*logs, strict=True)
    )
    return TrainingLog(np.array(logged), losses, outputs, test, kernels, params, opt_state, done, rate, stopped)


def _optimizer(learning_rate: Any, optimizer: Any) -> tuple[float | None, optax.GradientTransformation]:
    if (learning_rate is None) == (optimizer is None):
        raise ValueError("give either learning_rate, for plain gradient descent, or optimizer, from optax")
    if optimizer is not None:
        if not isinstance(optimizer, optax.GradientTransformation):
            raise TypeError(f"optimizer must be an optax optimizer, got {type(optimizer).__name__}")
        return None, optimizer
    rate = float(_checks.check_nonnegative(learning_rate, "learning_rate"))
    if rate == 0:
        raise ValueError("learning_rate must be positive, got 0")
    return rate, DESCENT


def _schedule(log_at: Any, steps: int) -> list[int]:
    """Sorted steps to log at."""
    if log_at is None:
        return sorted({0, steps, *np.unique(np.geomspace(1, steps, 30).round().astype(int)).tolist()})
    wanted = np.asarray(log_at)
    if wanted.ndim != 1 or wanted.size == 0 or not np.issubdtype(wanted.dtype, np.integer):
        raise TypeError(f"log_at must be a sequence of integers, got {log_at!r}")
    if wanted.min() < 0 or wanted.max() > steps:
        raise ValueError(f"log_at must lie between 0 and steps = {steps}, got {wanted.min()} to {wanted.max()}")
    return sorted(set(wanted.tolist()))


def _keys(key: Any, seeds: int | None, *, needed: bool) -> Any:
    if key is None:
        if needed:
            raise ValueError("key is needed, for drawing the parameters or the minibatches")
        return None
    return key if seeds is None else jax.random.split(key, seeds)


def _start(net: Any, params: Any, keys: Any, seeds: int | None, dtype: Any) -> Any:
    if params is not None:
        params = jax.tree.map(jnp.asarray, params)
        if seeds is not None:
            check_seeds(params, seeds)
        return params
    if not isinstance(net, Network):
        raise ValueError("params are needed where net is a function; a Network draws its own")
    return compiled(_draw, net, np.dtype(dtype), seeds)(keys)


def _draw(net: Network, dtype: np.dtype, seeds: int | None) -> Callable[..., Any]:
    draw = partial(lambda dtype, k: net.init(key=k, dtype=dtype), dtype)
    return jax.jit(draw if seeds is None else partial(over_keys, draw))


def _targets(apply: Any, params: Any, x: Array, y: Any, seeds: int | None) -> Array:
    """Targets of exactly the shape of the outputs."""
    one = params if seeds is None else jax.tree.map(lambda p: p[0], params)
    outputs = jax.eval_shape(apply, one, x)
    if len(outputs.shape) != 2 or outputs.shape[0] != x.shape[0]:
        raise ValueError(f"net must map x to outputs of shape (N, O), got {outputs.shape} for x {x.shape}")
    y = jnp.asarray(y)
    if y.ndim == 1 and outputs.shape[1] == 1:
        y = y[:, None]
    if y.shape != outputs.shape:
        raise ValueError(f"y must have the shape {outputs.shape} of the network's outputs, got {y.shape}")
    if not bool(jnp.isfinite(y).all()):
        raise ValueError("y must be finite, got NaN or infinite entries")
    return y.astype(outputs.dtype)


def _objective(loss: Any, half: bool, n: int) -> Callable[[Array, Array], Array]:
    """The loss of outputs and targets; a sum over part of the samples stands for all of them."""
    if callable(loss):
        return loss
    _checks.check_choice(loss, "loss", LOSSES)

    def objective(f: Array, y: Array) -> Array:
        scale = n / f.shape[0] if loss == "sum" else 1.0
        return scale * squared_loss(f, y, loss, half=half)

    return objective


def _descend(gradient: Any, rate: Any, params: Any = None) -> tuple[Any, Any]:
    return jax.tree.map(lambda g: -rate.astype(g.dtype) * g, gradient), rate


# Plain gradient descent with the learning rate as its state: one compilation serves all rates.
DESCENT = optax.GradientTransformation(lambda params: jnp.ones(()), _descend)


def _advance(
    apply: Any, optimizer: Any, loss: Any, half: bool, n: int, size: int, seeds: int | None, keyed: bool
) -> Callable[..., Any]:
    """``count`` steps from step ``start``; the count is no constant, so that one compilation serves all."""
    objective = _objective(loss, half, n)

    def advance(params: Any, opt_state: Any, key: Any, start: Any, count: Any, x: Array, y: Array) -> Any:
        def body(i: Any, state: Any) -> Any:
            params, opt_state = state
            xs, ys = x, y
            if size < n:
                # The batch depends on the key and the step alone, so that an interrupted run can go on.
                rows = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(key, 1), i), n)[:size]
                xs, ys = x[rows], y[rows]
            gradient = jax.grad(lambda p: objective(apply(p, xs), ys))(params)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return optax.apply_updates(params, updates), opt_state

        return jax.lax.fori_loop(start, start + count, body, (params, opt_state))

    if seeds is None:
        return jax.jit(advance)
    return jax.jit(jax.vmap(advance, in_axes=(0, 0, 0 if keyed else None, None, None, None, None)))


def _look(apply: Any, loss: Any, half: bool, n: int, seeds: int | None) -> Callable[..., Any]:
    """What is logged at one moment."""
    objective = _objective(loss, half, n)

    def look(params: Any, x: Array, y: Array, x_test: Any, kernel_inputs: Any) -> Any:
        f = apply(params, x)
        test = None if x_test is None else apply(params, x_test)
        kernel = None if kernel_inputs is None else empirical_ntk(apply, params, kernel_inputs, output="trace")
        return objective(f, y), f, test, kernel

    if seeds is None:
        return jax.jit(look)
    return jax.jit(jax.vmap(look, in_axes=(0, None, None, None, None)))


def _unstacked(log: TrainingLog, seeds: int | None) -> list[Any]:
    """The entries of a log as they were collected."""
    axis = 0 if seeds is None else 1
    parts = (log.losses, log.train, log.test, log.kernels)
    return [tuple(None if p is None else np.take(p, t, axis=axis) for p in parts) for t in range(len(log.steps))]
