"""NNGP kernel and NTK of fully connected networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.activations import Activation
from ntk_helpers.limits._blocks import in_row_blocks
from ntk_helpers.limits.duals import DualActivation, check_quadrature, dual_activation
from ntk_helpers.limits.layers import Kernels, Rows, activation_layer, affine, first_layer, kernels, normalized_rows

__all__ = ["fcn_kernel"]

# Layers that are compiled one by one: XLA fuses them into fewer passes over memory, but takes 0.5 s for each.
_UNROLLED = 3


def fcn_kernel(
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    depth: int,
    activation: str | Activation | DualActivation | Callable[[jax.Array], jax.Array] = "relu",
    sigma_w: float | Sequence[float] | Float[Array, ...] = 1.0,
    sigma_b: float | Sequence[float] | Float[Array, ...] = 0.0,
    biases: str = "all",
    scale_input: bool = True,
    get: str = "both",
) -> Kernels | Float[Array, "N1 N2"]:
    r"""Return the NNGP kernel and the NTK of an infinitely wide fully connected network.

    The network has ``depth`` hidden layers, all weights and biases are standard normal, and

    .. math::
        z^1 = \tfrac{\sigma_w}{\sqrt d} W^1 x + \sigma_b b^1, \quad
        z^{l+1} = \tfrac{\sigma_w}{\sqrt n} W^{l+1} \phi(z^l) + \sigma_b b^{l+1}, \quad f = z^{L+1}.

    As the widths n grow, the covariance of f tends to :math:`S^{L+1}` and its tangent kernel to :math:`T^{L+1}`, with
    :math:`S^1 = T^1 = \sigma_w^2 \langle x, x' \rangle / d + \sigma_b^2` and (Jacot et al. 2018, Theorem 1)

    .. math::
        S^{l+1} = \sigma_w^2 E[\phi(u) \phi(v)] + \sigma_b^2, \quad
        T^{l+1} = S^{l+1} + \sigma_w^2 T^l\, E[\phi'(u) \phi'(v)], \quad (u, v) \sim N(0, S^l).

    Inputs near 0, near each other, equal, or opposite are all safe. Errors relative to the norms are stated in the
    book's page on numerics.

    Args:
        x1: N1 samples as rows, (N1, d), float32 or float64. The result has that precision.
        x2: N2 samples, (N2, d); None means ``x1``. Passing None for equal arrays is faster.
        depth: number L of hidden layers, at least 1.
        activation: a name (see ``activation``), an ``Activation``, any callable that works entry by entry, or a
            ``DualActivation``.
        sigma_w: standard deviation of the weights, one number or one for each of the depth + 1 layers.
        sigma_b: standard deviation of the biases, likewise.
        biases: ``"all"`` for biases in every layer including the readout, ``"first"`` for the first layer only,
            ``"none"``.
        scale_input: divide the first layer's inner product by d; False leaves the division out.
        get: ``"both"``, ``"nngp"`` (does not compute the NTK) or ``"ntk"``.

    Returns:
        ``Kernels(nngp, ntk)`` for ``get="both"``, otherwise one array (N1, N2).

    Raises:
        TypeError: if an array is not float32 or float64, or an argument has the wrong type.
        ValueError: if an argument has a wrong shape or value; the message names it.

    Example:
        >>> x = jnp.array([[1.0, 0.0], [0.6, 0.8]])
        >>> nngp, ntk = fcn_kernel(x, depth=2, sigma_w=2**0.5, scale_input=False)
        >>> print(nngp[0, 0].round(5), ntk[0, 0].round(5))  # (depth + 1) times the first
        2.0 6.0
    """
    depth = _checks.check_positive_int(depth, "depth")
    _checks.check_choice(get, "get", ("both", "nngp", "ntk"))
    _checks.check_choice(biases, "biases", ("all", "first", "none"))
    dual = activation if isinstance(activation, DualActivation) else dual_activation(activation)
    weights = _checks.per_layer(sigma_w, "sigma_w", depth + 1)
    offsets = _checks.per_layer(sigma_b, "sigma_b", depth + 1)
    has_bias = tuple(_is_on(b) and (biases == "all" or (biases == "first" and i == 0)) for i, b in enumerate(offsets))
    if biases == "none" and any(_is_on(b) for b in offsets):
        raise ValueError(f'biases="none" needs sigma_b=0, got sigma_b={sigma_b}')
    if x2 is x1:
        x2 = None
    x1 = _checks.as_samples(x1, "x1")
    if x2 is not None:
        x2 = _checks.as_samples(x2, "x2")
        _checks.same_features(x1, x2)
    # squared here: 2**0.5 as a Python float squares to 2 up to the last bit of float64
    weights, offsets = (jnp.stack([jnp.asarray(s**2, x1.dtype) for s in sigmas]) for sigmas in (weights, offsets))
    if dual.nodes is not None:
        _check_quadrature_on_the_way(x1, x2, dual, weights, offsets, has_bias, scale_input)
    results = _fcn_kernel(x1, x2, weights, offsets, dual, has_bias, bool(scale_input), get)
    return Kernels(*results) if get == "both" else results[0]


def _remaining_layers(state, dual, weights, offsets, has_bias):
    """The layers from ``_UNROLLED`` + 1 on, compiled once for all of them."""
    start = _UNROLLED + 1
    any_bias = any(has_bias[start:])
    variances = (weights[start:], offsets[start:] * np.array(has_bias[start:], offsets.dtype))

    def layer(state, weight_and_bias):
        weight, bias = weight_and_bias
        return affine(activation_layer(state, dual), weight, bias if any_bias else 0.0), None

    return jax.lax.scan(layer, state, variances)[0]


def _is_on(sigma_b) -> bool:
    """Whether the bias may be different from 0 (a tracer may)."""
    return not _checks.is_concrete(sigma_b) or float(sigma_b) != 0.0


@partial(jax.jit, static_argnames=("dual", "has_bias", "scale_input", "get"))
def _fcn_kernel(x1, x2, weights, offsets, dual, has_bias, scale_input, get):
    # A bias that is off is the number 0.0 here and not an array, so that its arithmetic is left out.
    biases = [offsets[i] if on else 0.0 for i, on in enumerate(has_bias)]
    rows1 = normalized_rows(x1, scale_input)
    rows2 = rows1 if x2 is None else normalized_rows(x2, scale_input)

    def block(start, size):
        some = Rows(*(jax.lax.dynamic_slice_in_dim(r, start, size) for r in rows1))
        state = first_layer(some, rows2, start if x2 is None else None, weights[0], biases[0])
        if get != "nngp":
            state = state._replace(ntk=state.nngp)
        for weight, bias in zip(weights[1 : _UNROLLED + 1], biases[1 : _UNROLLED + 1], strict=True):
            state = affine(activation_layer(state, dual), weight, bias)
        if len(biases) > _UNROLLED + 1:
            state = _remaining_layers(state, dual, weights, offsets, has_bias)
        return {"both": lambda: kernels(state), "nngp": lambda: (state.nngp,), "ntk": lambda: (state.ntk,)}[get]()

    return in_row_blocks(block, x1.shape[0], rows2.direction.shape[0])


def _check_quadrature_on_the_way(x1, x2, dual, weights, offsets, has_bias, scale_input):
    """Follow the smallest and largest variance through the layers, outside jit, and check the quadrature there."""
    values = [x1, weights, offsets] + ([] if x2 is None else [x2])
    if not all(map(_checks.is_concrete, values)):
        return
    squares = np.concatenate([np.mean(np.square(np.asarray(x)), axis=1) for x in (x1, x2) if x is not None])
    q = jnp.array([squares.min(), squares.max()], x1.dtype) * (1.0 if scale_input else x1.shape[1])
    for i, on in enumerate(has_bias):
        q = weights[i] * q + (offsets[i] if on else 0.0)
        if i < len(has_bias) - 1:
            check_quadrature(dual, q)
            q = dual.variance(q)
