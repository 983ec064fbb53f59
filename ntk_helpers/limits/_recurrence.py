r"""The recursion over time of an infinitely wide recurrent network, for all pairs of sequences at once.

Only one diagonal of pairs of times is followed, (t, t + lag): the covariance and the tangent kernel of the
preactivations at (t, s) need those at (t - 1, s - 1) and nothing else. So two sequences are laid in two *windows* of
the same steps, shifted against each other as the diagonal asks, and one scan over the window serves them. Where a
sequence has its first step, its hidden state is started anew, whatever stood before it in the window.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ntk_helpers.limits._angle import safe_sqrt
from ntk_helpers.limits._closed_forms import safe_ratio
from ntk_helpers.limits._gram import cosine_and_gap, row_norms
from ntk_helpers.limits.duals import DualActivation
from ntk_helpers.limits.layers import KernelState, activation_layer


class Variances(NamedTuple):
    """The squares of sigma_w, sigma_u, sigma_b, sigma_h and sigma_v; ``b`` is None where there is no bias."""

    w: jax.Array
    u: jax.Array
    b: jax.Array | None
    h: jax.Array
    v: jax.Array


class Window(NamedTuple):
    """Sequences laid out over steps, time first.

    Attributes:
        mean_square: of each input vector, (S, N); 0 where the sequence is not there.
        direction: of each input vector, (S, N, m).
        alive: whether the sequence is there, (S, N).
        resumed: whether it was there one step before, too, (S, N): else its hidden state is started.
    """

    mean_square: jax.Array
    direction: jax.Array
    alive: jax.Array
    resumed: jax.Array


def window(x: jax.Array, lengths: jax.Array, steps: int, *, at_end: bool, reverse: bool) -> Window:
    """Lay sequences (N, T, m) over ``steps`` steps, from the first one on or up to the last one, backwards if asked."""
    first = steps - lengths if at_end else jnp.zeros_like(lengths)
    place = jnp.arange(steps)[None, :] - first[:, None]
    alive = (place >= 0) & (place < lengths[:, None])
    source = jnp.clip(lengths[:, None] - 1 - place if reverse else place, 0, x.shape[1] - 1)
    laid = jnp.where(alive[..., None], jnp.take_along_axis(x, source[..., None], axis=1), 0.0)
    laid = jnp.moveaxis(laid, 1, 0)
    norm, direction = row_norms(laid.reshape(-1, x.shape[2]))
    square = (norm * norm / x.shape[2]).reshape(steps, -1)
    return Window(square, direction.reshape(laid.shape), alive.T, (alive & (place >= 1)).T)


def rows_of(some: Window, start: ArrayLike, size: int) -> Window:
    """The sequences from ``start`` on."""
    return Window(*(jax.lax.dynamic_slice_in_dim(part, start, size, axis=1) for part in some))


def shifted(some: Window, lag: jax.Array) -> Window:
    """The window held back by lag >= 0 steps: what was at step t - lag is at step t, and empty steps come in."""
    steps = some.alive.shape[0]

    def shift(part):
        padded = jnp.pad(part, [(steps - 1, 0)] + [(0, 0)] * (part.ndim - 1))
        return jax.lax.dynamic_slice_in_dim(padded, steps - 1 - lag, steps)

    return Window(*map(shift, some))


def follow(
    window1: Window,
    window2: Window,
    variances: Variances,
    *,
    dual: DualActivation,
    depth: int,
    with_ntk: bool,
    pooled: bool,
    offset: ArrayLike | None,
    know_equal: bool = True,
) -> tuple[jax.Array, jax.Array]:
    """Scan over the windows; return both kernels at the last step, or their sums over the steps that both have.

    ``offset`` says which rows of window 2 those of window 1 are (None: others), so that they share the draw of their
    initial state; ``know_equal`` whether they are in the same places, too. Without ``with_ntk`` both results are the
    NNGP kernel.
    """
    n1, n2 = window1.alive.shape[1], window2.alive.shape[1]
    dtype = window1.mean_square.dtype
    same = jnp.zeros((n1, n2), bool)
    if offset is not None:
        same = (offset + jnp.arange(n1))[:, None] == jnp.arange(n2)[None, :]
    zeros = jnp.zeros((n1, n2), dtype)
    start = KernelState(
        jnp.full(n1, variances.h, dtype),
        jnp.full(n2, variances.h, dtype),
        jnp.where(same, 1.0, zeros),
        jnp.where(same, 0.0, zeros + 1.0),
        zeros if with_ntk else None,
    )

    def output(h):
        nngp = variances.v * h.nngp
        return nngp, nngp + variances.v * h.ntk if with_ntk else nngp

    def step(carry, inputs):
        hidden, totals = carry
        one, two = inputs
        cosine, gap = _cosine_and_gap(one.direction, two.direction, offset if know_equal else None)
        below = KernelState(one.mean_square, two.mean_square, cosine, gap, zeros if with_ntk else None)
        after = []
        for before in hidden:
            memory = _resume(before, start, one.resumed, two.resumed)
            below = activation_layer(_sum(variances, memory, below), dual)
            after.append(below)
        if pooled:
            both = one.alive[:, None] & two.alive[None, :]
            totals = tuple(t + jnp.where(both, k, 0.0) for t, k in zip(totals, output(below), strict=True))
        return (tuple(after), totals), None

    carry = ((start,) * depth, (zeros, zeros) if pooled else ())
    (hidden, totals), _ = jax.lax.scan(step, carry, (window1, window2))
    return totals if pooled else output(hidden[-1])


def _cosine_and_gap(
    direction1: jax.Array, direction2: jax.Array, offset: ArrayLike | None
) -> tuple[jax.Array, jax.Array]:
    """Cosines between input vectors, and 1 - abs(cosine); numbers, which have signs for directions, need no care."""
    if direction1.shape[1] > 1:
        return cosine_and_gap(direction1, direction2, offset)
    cosine = direction1 * direction2.T
    return cosine, 1.0 - jnp.abs(cosine)


def _resume(state: KernelState, start: KernelState, resumed1: jax.Array, resumed2: jax.Array) -> KernelState:
    """The hidden state that a step sees: that of the step before, or the initial one where there was no such step."""
    both = resumed1[:, None] & resumed2[None, :]
    # Where one of the two just started, they are independent, and only the variances count.
    one = resumed1[:, None] | resumed2[None, :]
    cosine = jnp.where(both, state.cosine, jnp.where(one, 0.0, start.cosine))
    gap = jnp.where(both, state.gap, jnp.where(one, 1.0, start.gap))
    ntk = None if state.ntk is None else jnp.where(both, state.ntk, 0.0)
    v1 = jnp.where(resumed1, state.variance1, start.variance1)
    return KernelState(v1, jnp.where(resumed2, state.variance2, start.variance2), cosine, gap, ntk)


def _sum(variances: Variances, memory: KernelState, below: KernelState) -> KernelState:
    r"""Preactivations :math:`\sigma_w W h + \sigma_u U x + \sigma_b b` from the second moments of h and of x.

    With the shares :math:`a_p^2` of the parts p in the variance, which sum to 1, the cosine is
    :math:`c' = \sum_p a_p a'_p c_p`, so that :math:`1 \mp c' = \sum_p a_p a'_p (1 \mp c_p) +
    \tfrac12 \sum_p (a_p - a'_p)^2`: sums of terms that are not negative.
    """
    parts = [(variances.w, memory), (variances.u, below)]
    v1 = sum(scale * part.variance1 for scale, part in parts)
    v2 = sum(scale * part.variance2 for scale, part in parts)
    if variances.b is not None:
        v1, v2 = v1 + variances.b, v2 + variances.b
    one_minus = one_plus = norms = 0.0
    for scale, part in parts:
        a1, a2 = _share(scale * part.variance1, v1)[:, None], _share(scale * part.variance2, v2)[None, :]
        acute, far = part.cosine >= 0, 2.0 - part.gap
        one_minus = one_minus + a1 * a2 * jnp.where(acute, part.gap, far)
        one_plus = one_plus + a1 * a2 * jnp.where(acute, far, part.gap)
        norms = norms + 0.5 * (a1 - a2) ** 2
    if variances.b is not None:
        a1, a2 = _share(variances.b, v1)[:, None], _share(variances.b, v2)[None, :]
        one_plus = one_plus + 2.0 * a1 * a2
        norms = norms + 0.5 * (a1 - a2) ** 2
    one_minus, one_plus = one_minus + norms, one_plus + norms
    gap = jnp.minimum(one_minus, one_plus)
    state = KernelState(v1, v2, jnp.where(one_minus <= one_plus, 1.0 - gap, gap - 1.0), gap, None)
    if below.ntk is None:
        return state
    return state._replace(ntk=state.nngp + variances.w * memory.ntk + variances.u * below.ntk)


def _share(part: jax.Array, whole: jax.Array) -> jax.Array:
    return safe_sqrt(safe_ratio(part, whole))


def variance_range(x: jax.Array, resumed: jax.Array, variances: Variances, dual: DualActivation, depth: int):
    """Smallest and largest variance of a preactivation, over sequences, steps and layers: (2,)."""
    bias = 0.0 if variances.b is None else variances.b

    def step(hidden, inputs):
        below, on = inputs
        after, seen = [], []
        for h in hidden:
            g = variances.w * jnp.where(on, h, variances.h) + variances.u * below + bias
            below = dual.variance(g)
            after.append(below)
            seen += [g.min(), g.max()]
        return tuple(after), jnp.stack(seen)

    _, seen = jax.lax.scan(step, (jnp.zeros_like(x[0]),) * depth, (x, resumed))
    return jnp.stack([seen.min(), seen.max()])
