r"""Training real networks over many decades of time: gradient descent whose steps grow as the gradient falls.

With the logistic loss and hard labels the gradient falls like 1/t and the outputs grow like ln t. Steps of one length
then need e^f of them. Steps of the length :math:`h / (\lambda_{\max}(K_t) \max_i u_i)`, u the size of the slope of the
loss at each sample, move every output by about h at most, so that a thousand of them pass ten decades of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

from ntk_helpers import _checks
from ntk_helpers._progress import PROGRESS_AFTER
from ntk_helpers.finite.networks.network import Network
from ntk_helpers.finite.tangents import empirical_ntk
from ntk_helpers.predict.regression import as_path
from ntk_helpers.predict.solves import Numbers

__all__ = ["LogTimeLog", "train_log_time"]

AnyFloat = Float[Array | np.ndarray, "..."]
# Training has come to rest where the slope of the loss is below this share of its curvature (times temperature): all
# outputs are then nearer than this to where they end. With hard labels the ratio is never below 1.
REST = 1e-5


@dataclass(frozen=True)
class LogTimeLog:
    """What ``train_log_time`` logged: S seeds at T times.

    Attributes:
        times: the times, ``(T,)``.
        train: outputs on the training inputs, ``(S, T, N)``.
        test: outputs on the test inputs, ``(S, T, M)``; None where none were given.
        kernels: empirical NTK at ``kernel_inputs``, ``(S, T, K, K)``.
        steps: number of steps taken until each time, ``(S, T)``.
        params: parameters at the end, a list of one pytree for each seed.
    """

    times: np.ndarray
    train: np.ndarray
    test: np.ndarray | None
    kernels: np.ndarray
    steps: np.ndarray
    params: list[Any]


def train_log_time(
    net: Network,
    x: AnyFloat,
    y: AnyFloat,
    *,
    times: Numbers,
    key: PRNGKeyArray,
    n_seeds: int = 1,
    loss: str = "logistic",
    temperature: float | int = 1.0,
    step: float | int = 0.25,
    refresh: int = 10,
    max_steps: int = 50_000,
    x_test: AnyFloat | None = None,
    kernel_inputs: AnyFloat | None = None,
) -> LogTimeLog:
    r"""Train networks with one output by gradient descent in steps that follow the logarithm of time.

    The losses are sums over samples, as in Yu, Tian and Chen (2025): :math:`\sum_i \ln(1 + e^{-(2y_i-1) f(x_i)/T})`, or
    :math:`\tfrac12 \sum_i (f(x_i) - y_i)^2`. A step has the learning rate

    .. math:: \eta = \frac{h}{\lambda_{\max}(K_t)\, \max_i \max(|\ell_i'| / T,\ \ell_i'')}

    with the tangent kernel of the moment, and time is the sum of the learning rates. At each of ``times``, which is
    reached exactly, outputs and kernels are logged. Time is compared with ``nh.cross_entropy_flow`` as it is; a mean
    over N samples in place of the sum is N times slower. When nothing moves any more (squared loss, smoothed labels)
    the rest of the time passes at once.

    Args:
        net: a ``Network`` with one output.
        x: training inputs, ``(N, d)``. The networks are drawn in the type of x.
        y: targets ``(N,)``; for the logistic loss probabilities of class 1: labels 0 and 1, or smoothed ones.
        times: increasing times > 0 (0 allowed as the first) at which to log.
        key: JAX random key; seed i uses the i-th of ``n_seeds`` keys split from it.
        n_seeds: number S of networks, trained one after the other.
        loss: ``"logistic"`` or ``"squared"``.
        temperature: T > 0 of the logistic loss.
        step: h, below 2. The time at which an output is reached is off by at most about the share h/2.
        refresh: steps between two looks at the largest eigenvalue of the kernel.
        max_steps: most steps for one seed.
        x_test: test inputs, whose outputs are logged.
        kernel_inputs: inputs at which to log the kernel; ``x`` unless given.

    Returns:
        A ``LogTimeLog`` of NumPy arrays.

    Raises:
        ValueError: if shapes do not fit, the network has more than one output, y holds no probabilities, a number is
            out of range, or ``max_steps`` is not enough (the message says which time was reached).
        TypeError: if an argument has the wrong type.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, ntk_helpers as nh
        >>> net = nh.fcn(d_in=2, width=64, depth=1)
        >>> x, y = jnp.eye(2), jnp.array([1.0, 0.0])
        >>> log = nh.train_log_time(net, x, y, times=[0.0, 1e2, 1e4], key=jax.random.key(0), n_seeds=2)
        >>> log.train.shape, bool((np.diff(np.abs(log.train), axis=1)[:, 1] > 2).all()), int(log.steps.max()) < 300
        ((2, 3, 2), True, True)
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network (init, apply), got {type(net).__name__}")
    x = jnp.asarray(x)
    path, single = as_path(times, "times")
    if single or (np.diff(path) <= 0).any():
        raise ValueError(f"times must be an increasing sequence, got {times!r}")
    seeds = _checks.check_positive_int(n_seeds, "n_seeds")
    _checks.check_choice(loss, "loss", ("logistic", "squared"))
    numbers = {"temperature": temperature, "step": step}
    for name, value in numbers.items():
        numbers[name] = float(_checks.check_nonnegative(value, name))
        if numbers[name] == 0:
            raise ValueError(f"{name} must be positive, got 0")
    if step >= 2:
        raise ValueError(f"step must be below 2, where descent with a fixed kernel diverges, got {step}")
    if loss == "squared" and temperature != 1:
        raise ValueError(f"temperature belongs to the logistic loss, got {temperature} with the squared loss")
    counts = tuple(_checks.check_positive_int(v, n) for v, n in ((refresh, "refresh"), (max_steps, "max_steps")))
    y = _labels(y, x, loss)
    outputs = jax.eval_shape(lambda k: net.apply(net.init(key=k, dtype=x.dtype), x), key)
    if outputs.shape != (x.shape[0], 1):
        raise ValueError(f"net must have one output, (N, 1), got {outputs.shape} for x {x.shape}")
    inputs = [None if v is None else jnp.asarray(v) for v in (x_test, x if kernel_inputs is None else kernel_inputs)]
    logs, params = [], []
    for k in tqdm(jax.random.split(key, seeds), desc="training", unit="seed", delay=PROGRESS_AFTER, leave=False):
        start = _draw(net, np.dtype(x.dtype), k)
        end, log = _run(net.apply, loss, counts, start, x, y, jnp.asarray(path, x.dtype), numbers, *inputs)
        logs.append(jax.tree.map(np.asarray, log))
        params.append(end)
        if (late := ~logs[-1][-1]).any():
            raise ValueError(
                f"max_steps = {max_steps} were not enough for seed {len(logs) - 1}: it did not reach "
                f"t = {path[np.argmax(late)]:.3g}"
            )
    train, test, kernels, steps, _ = (None if p[0] is None else np.stack(p) for p in zip(*logs, strict=True))
    return LogTimeLog(path, train, test, kernels, steps, params)


def _labels(y: Any, x: Array, loss: str) -> Array:
    """Targets (N,), finite; probabilities for the logistic loss."""
    y = np.asarray(y)
    if y.shape != (x.shape[0],):
        raise ValueError(f"y must have shape ({x.shape[0]},), one number for each row of x, got {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError("y must be finite, got NaN or infinite entries")
    if loss == "logistic" and (y.min() < 0 or y.max() > 1):
        hint = "; labels -1 and 1 are (y + 1) / 2" if (y == -1).any() else ""
        raise ValueError(f"y must hold probabilities between 0 and 1, got {y.min():.3g} to {y.max():.3g}{hint}")
    return jnp.asarray(y, x.dtype)


def _slope(loss: str, f: Array, y: Array, temperature: Array) -> tuple[Array, Array]:
    """First and second derivative of the loss at each sample; no cancellation for hard labels."""
    if loss == "squared":
        return f - y, jnp.ones_like(f)
    right, wrong = jax.nn.sigmoid(f / temperature), jax.nn.sigmoid(-f / temperature)
    return ((1 - y) * right - y * wrong) / temperature, right * wrong / temperature**2


@partial(jax.jit, static_argnums=(0, 1))
def _draw(net: Network, dtype: np.dtype, key: PRNGKeyArray) -> Any:
    return net.init(key=key, dtype=dtype)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(
    apply: Any,
    loss: str,
    counts: tuple[int, int],
    params: Any,
    x: Array,
    y: Array,
    times: Array,
    numbers: Any,
    *at: Any,
) -> tuple[Any, Any]:
    """One network through all times."""
    refresh, max_steps = counts
    temperature, size = numbers["temperature"], numbers["step"]
    x_test, kernel_inputs = at

    def advance(goal, largest, state):
        """One step, cut where it would pass the goal."""
        params, time, count, _ = state
        f, pull = jax.vjp(lambda p: apply(p, x)[:, 0], params)
        slope, curvature = _slope(loss, f, y, temperature)
        steepest = jnp.maximum(jnp.max(jnp.abs(slope)) / temperature, jnp.max(curvature))
        rest = jnp.max(jnp.abs(slope)) < REST * temperature * jnp.max(curvature)
        rate = size / (largest * steepest)
        arrives = rest | (time + rate >= goal)
        rate = jnp.where(rest, 0.0, jnp.where(arrives, goal - time, rate))
        params = jax.tree.map(lambda p, g: p - rate * g, params, pull(slope)[0])
        return params, jnp.where(arrives, goal, time + rate), count + ~rest, rest

    def segment(state, goal):
        """To the next time that is logged, and the log."""

        def some_steps(state):
            largest = jnp.linalg.eigvalsh(empirical_ntk(apply, state[0], x, output="trace"))[-1]
            end = state[2] + refresh
            going = lambda s: (s[1] < goal) & (s[2] < end)  # noqa: E731
            return jax.lax.while_loop(going, partial(advance, goal, largest), state)

        state = jax.lax.while_loop(lambda s: (s[1] < goal) & (s[2] < max_steps), some_steps, state)
        params = state[0]
        test = None if x_test is None else apply(params, x_test)[:, 0]
        kernel = empirical_ntk(apply, params, kernel_inputs, output="trace")
        return state, (apply(params, x)[:, 0], test, kernel, state[2], state[1] >= goal)

    start = (params, jnp.zeros((), x.dtype), jnp.zeros((), int), jnp.zeros((), bool))
    (params, *_), log = jax.lax.scan(segment, start, times)
    return params, log
