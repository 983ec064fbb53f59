"""NNGP kernel and NTK of recurrent networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.activations import Activation
from ntk_helpers.limits._blocks import in_row_blocks
from ntk_helpers.limits._recurrence import Variances, Window, follow, rows_of, shifted, variance_range, window
from ntk_helpers.limits.duals import DualActivation, check_quadrature, dual_activation
from ntk_helpers.limits.layers import Kernels

__all__ = ["rnn_kernel"]

POOLINGS = ("last", "steps", "shared")


@dataclass(frozen=True)
class _Layout:
    """What is static in a recurrent network: a key of the compilation cache."""

    steps: int
    depth: int
    pooling: str
    with_ntk: bool


def rnn_kernel(
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    depth: int = 1,
    activation: str | Activation | DualActivation | Callable[[jax.Array], jax.Array] = "relu",
    sigma_w: float | Float[Array, ""] = 1.0,
    sigma_u: float | Float[Array, ""] = 1.0,
    sigma_b: float | Float[Array, ""] = 0.0,
    sigma_h: float | Float[Array, ""] = 0.0,
    sigma_v: float | Float[Array, ""] = 1.0,
    lengths1: ArrayLike | None = None,
    lengths2: ArrayLike | None = None,
    pooling: Literal["last", "steps", "shared"] = "last",
    bidirectional: bool = False,
    get: Literal["both", "nngp", "ntk"] = "both",
) -> Kernels | Float[Array, "N1 N2"]:
    r"""Return the NNGP kernel and the NTK (RNTK) of an infinitely wide recurrent network.

    The network has ``depth`` recurrent layers, all weights and biases are standard normal, and

    .. math::
        g^{l,t} = \tfrac{\sigma_w}{\sqrt n} W^l h^{l,t-1} + \tfrac{\sigma_u}{\sqrt{n_{l-1}}} U^l h^{l-1,t}
        + \sigma_b b^l, \quad h^{l,t} = \phi(g^{l,t}), \quad f = \tfrac{\sigma_v}{\sqrt n} v^\top h^{L,T},

    with :math:`h^{0,t} = x_t` in :math:`R^m`, :math:`n_0 = m` (Alemohammad et al. 2021). With the covariance S and the
    tangent kernel R of the preactivations at step t of one sequence and step s of the other, and
    :math:`V_\phi = E[\phi(u) \phi(v)]`, :math:`(u, v) \sim N(0, S)`,

    .. math::
        S^l_{t,s} = \sigma_w^2 V_\phi(S^l_{t-1,s-1}) + \sigma_u^2 V_\phi(S^{l-1}_{t,s}) + \sigma_b^2, \quad
        R^l_{t,s} = S^l_{t,s} + \sigma_w^2 V_{\phi'}(S^l_{t-1,s-1}) R^l_{t-1,s-1}
        + \sigma_u^2 V_{\phi'}(S^{l-1}_{t,s}) R^{l-1}_{t,s},

    where layer 0 stands for :math:`\langle x_t, x'_s \rangle / m` and 0, and the kernels are
    :math:`\sigma_v^2 V_\phi` and :math:`\sigma_v^2 (V_\phi + V_{\phi'} R)` of layer L at (T, T').

    All pairs go through one scan over time: :math:`O(T L N_1 N_2)` operations, and memory for the results and a few
    blocks. ``pooling="shared"`` needs every pair of times, :math:`O(T^2 L N_1 N_2)`.

    Args:
        x1: N1 sequences of T vectors, (N1, T, m), float32 or float64. The result has that precision.
        x2: N2 sequences, (N2, T2, m), of any T2; None means ``x1``.
        depth: number L of recurrent layers, at least 1.
        activation: a name (see ``activation``), an ``Activation``, any callable that works entry by entry, or a
            ``DualActivation``.
        sigma_w: standard deviation of the recurrent weights W.
        sigma_u: standard deviation of the weights U of inputs and of layers below.
        sigma_b: standard deviation of the biases.
        sigma_h: standard deviation of the initial hidden states :math:`h^{l,0}`, drawn anew for each sequence and not
            trained: where ``x2`` is None, the diagonal pairs share their draw; all other pairs are independent.
        sigma_v: standard deviation of the readout.
        lengths1: (N1,) integers from 1 to T: entries of a sequence from there on do not count. None: all T.
        lengths2: likewise for ``x2``; leave it out with ``x2=None``.
        pooling: what f reads. ``"last"``: the last step of each sequence. ``"steps"``: :math:`T^{-1/2} \sum_t`, a
            readout :math:`v^t` of its own for each step t, counted from the first (as the code of Alemohammad et al.
            2020 has it, up to the scale of T).
            ``"shared"``: :math:`T^{-1} \sum_t` with the same readout for all steps.
        bidirectional: add the kernel of the reversed sequences: the sum of two networks with parameters of their own.
        get: ``"both"``, ``"nngp"`` (does not compute the NTK) or ``"ntk"``.

    Returns:
        ``Kernels(nngp, ntk)`` for ``get="both"``, otherwise one array (N1, N2).

    Raises:
        TypeError: if an array is not float32 or float64, lengths are no integers, or an argument has the wrong type.
        ValueError: if an argument has a wrong shape or value, or the kernel exceeds the floating-point range, as with
            relu and :math:`\sigma_w^2 > 2` after many steps; the message names it.

    Example:
        >>> x = jnp.ones((1, 20, 1))
        >>> nngp, ntk = rnn_kernel(x, sigma_w=2**0.5)  # relu: the sums over s of 1/2 and of (20 - s + 2)/2
        >>> print(nngp[0, 0].round(2), ntk[0, 0].round(2))
        10.0 115.0
    """
    depth = _checks.check_positive_int(depth, "depth")
    _checks.check_choice(pooling, "pooling", POOLINGS)
    _checks.check_choice(get, "get", ("both", "nngp", "ntk"))
    dual = activation if isinstance(activation, DualActivation) else dual_activation(activation)
    if x2 is x1 and (lengths2 is None or lengths2 is lengths1):
        x2 = lengths2 = None
    if x2 is None and lengths2 is not None:
        raise ValueError("lengths2 belongs to x2, which is None; the lengths of x1 are lengths1")
    x1 = _checks.as_sequences(x1, "x1")
    lengths1 = _checks.sequence_lengths(lengths1, x1, "lengths1")
    steps = x1.shape[1]
    if x2 is not None:
        x2 = _checks.as_sequences(x2, "x2")
        lengths2 = _checks.sequence_lengths(lengths2, x2, "lengths2")
        if x1.shape[2] != x2.shape[2]:
            raise ValueError(f"x1 and x2 must have the same number m of features, got {x1.shape} and {x2.shape}")
        dtype, steps = jnp.result_type(x1, x2), max(steps, x2.shape[1])
        x1, x2 = x1.astype(dtype), x2.astype(dtype)
    variances = _variances({"w": sigma_w, "u": sigma_u, "b": sigma_b, "h": sigma_h, "v": sigma_v}, x1.dtype)
    layout = _Layout(steps, depth, pooling, get != "nngp")
    total = None
    for reverse in (False, True)[: 2 if bidirectional else 1]:
        lay = partial(_window, steps=steps, at_end=pooling == "last", reverse=reverse)
        one, two = lay(x1, lengths1), None if x2 is None else lay(x2, lengths2)
        if dual.nodes is not None:
            for side in (one, two)[: 1 if two is None else 2]:
                check_quadrature(dual, _variance_range(side.mean_square, side.resumed, variances, dual, depth))
        parts = _rnn_kernel(one, two, lengths1, lengths2, variances, dual, layout)
        total = parts if total is None else Kernels(*(a + b for a, b in zip(total, parts, strict=True)))
    wanted = {"both": total, "nngp": total[:1], "ntk": total[1:]}[get]
    for kernel in wanted:
        if _checks.is_concrete(kernel) and not bool(jnp.isfinite(kernel).all()):
            raise ValueError(
                f"sigma_w = {float(sigma_w):.6g} over {steps} steps takes the kernel out of the range of "
                f"{kernel.dtype}; relu needs sigma_w^2 near 2 or below for long sequences"
            )
    return total if get == "both" else wanted[0]


def _variances(sigmas: dict[str, float | Array], dtype: jnp.dtype) -> Variances:
    """The squares, and None for a bias that is off."""
    checked = {name: _checks.check_nonnegative(value, f"sigma_{name}") for name, value in sigmas.items()}
    squares = {name: jnp.asarray(value**2, dtype) for name, value in checked.items()}
    off = _checks.is_concrete(checked["b"]) and float(checked["b"]) == 0.0
    return Variances(**{**squares, "b": None if off else squares["b"]})


_window = jax.jit(window, static_argnames=("steps", "at_end", "reverse"))
_variance_range = jax.jit(variance_range, static_argnames=("dual", "depth"))


@partial(jax.jit, static_argnames=("dual", "layout"))
def _rnn_kernel(
    one: Window,
    two: Window | None,
    lengths1: Array,
    lengths2: Array | None,
    variances: Variances,
    dual: DualActivation,
    layout: _Layout,
) -> Kernels:
    other, n1 = one if two is None else two, one.alive.shape[1]
    settings = {"dual": dual, "depth": layout.depth, "with_ntk": layout.with_ntk, "pooled": layout.pooling != "last"}

    def block(start, size):
        some = rows_of(one, start, size)
        offset = start if two is None else None
        if layout.pooling != "shared":
            return follow(some, other, variances, offset=offset, **settings)

        def add(totals, lag):
            # Whichever is ahead is held back, so that the history of both lies in the window.
            early, late = shifted(some, jnp.maximum(-lag, 0)), shifted(other, jnp.maximum(lag, 0))
            parts = follow(early, late, variances, offset=offset, know_equal=False, **settings)
            return tuple(t + p for t, p in zip(totals, parts, strict=True)), None

        zeros = jnp.zeros((size, other.alive.shape[1]), one.mean_square.dtype)
        return jax.lax.scan(add, (zeros, zeros), jnp.arange(1 - layout.steps, layout.steps))[0]

    parts = in_row_blocks(block, n1, other.alive.shape[1])
    if layout.pooling == "last":
        return Kernels(*parts)
    counts1 = lengths1.astype(parts[0].dtype)
    counts2 = counts1 if lengths2 is None else lengths2.astype(parts[0].dtype)
    counts = counts1[:, None] * counts2[None, :]
    return Kernels(*(p / (counts if layout.pooling == "shared" else jnp.sqrt(counts)) for p in parts))
