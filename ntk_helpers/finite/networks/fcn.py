r"""Fully connected networks of finite width, in the NTK or the standard parameterization."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers.activations import Activation, resolve_activation
from ntk_helpers.finite.initializers import resolve_initializer
from ntk_helpers.finite.networks.network import Network

__all__ = ["DenseParams", "fcn"]


class DenseParams(NamedTuple):
    """The parameters of one layer.

    Attributes:
        w: the weights, shape ``(n_out, n_in)``.
        b: the bias, shape ``(n_out,)``; None where the layer has none.
    """

    w: Float[Array, "n_out n_in"]
    b: Float[Array, " n_out"] | None


@dataclass(frozen=True)
class FCNSpec:
    """A checked architecture: one entry a layer, the readout included (depth + 1 layers).

    Attributes:
        sizes: ``(d_in, n_1, ..., n_L, d_out)``.
        activation: phi.
        weight_scales: the standard deviation of ``w @ h`` per unit entry of h: sigma_w / sqrt(n).
        bias_scales: sigma_b; None where the layer has no bias.
    """

    sizes: tuple[int, ...]
    activation: Activation
    weight_scales: tuple[float, ...]
    bias_scales: tuple[float | None, ...]


def _count(name: str, value: int, least: int = 1) -> int:
    """An integer of at least ``least``; bools and floats are mistakes."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)


def _per_layer(name: str, value: Any, layers: int) -> tuple[float, ...]:
    """One number a layer, finite and not negative."""
    try:
        values = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or one number a layer, got {value!r}") from None
    if values.ndim > 1 or values.shape not in ((), (layers,)):
        raise ValueError(f"{name} must be a number or depth + 1 = {layers} numbers, got shape {values.shape}")
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"{name} must be finite and not negative, got {value}")
    return tuple(float(v) for v in np.broadcast_to(values, (layers,)))


def fcn_spec(
    *,
    d_in: int,
    width: int | Sequence[int],
    depth: int,
    d_out: int,
    activation: str | Activation | Callable[[Array], Array],
    sigma_w: float | Sequence[float],
    sigma_b: float | Sequence[float],
    biases: str,
    scale_input: bool,
    keep_zero_biases: bool = False,
) -> FCNSpec:
    """Check the hyperparameters of ``fcn`` and lay them out layer by layer.

    ``keep_zero_biases`` keeps a bias whose sigma_b is 0: the standard parameterization starts it at 0 and trains it.
    """
    depth = _count("depth", depth, least=0)
    if isinstance(width, Sequence):
        widths = tuple(_count("width", n) for n in width)
        if len(widths) != depth:
            raise ValueError(f"width must be an integer or depth = {depth} integers, got {len(widths)}: {widths}")
    else:
        widths = (_count("width", width),) * depth
    sizes = (_count("d_in", d_in), *widths, _count("d_out", d_out))
    layers = depth + 1
    sigma_ws, sigma_bs = _per_layer("sigma_w", sigma_w, layers), _per_layer("sigma_b", sigma_b, layers)
    if biases not in ("all", "first", "none"):
        raise ValueError(f"biases must be 'all', 'first' or 'none', got {biases!r}")
    if biases == "none" and any(sigma_bs):
        raise ValueError(f"biases='none' needs sigma_b = 0, got {sigma_b}")
    if biases == "first" and np.ndim(sigma_b) and any(sigma_bs[1:]):
        raise ValueError(f"biases='first' uses only the first sigma_b, the others must be 0, got {sigma_b}")
    has_bias = [biases == "all" or (biases == "first" and layer == 0) for layer in range(layers)]
    fan_in = [sizes[0] if scale_input else 1, *sizes[1:-1]]
    return FCNSpec(
        sizes=sizes,
        activation=resolve_activation(activation),
        weight_scales=tuple(s / math.sqrt(n) for s, n in zip(sigma_ws, fan_in, strict=True)),
        bias_scales=tuple(
            s if has and (s > 0 or keep_zero_biases) else None for s, has in zip(sigma_bs, has_bias, strict=True)
        ),
    )


def check_rows(x: Any, d_in: int | None = None) -> None:
    """Raise unless x is a non-empty real matrix of rows, finite as far as can be seen (not under a transformation)."""
    if not hasattr(x, "dtype") or not jnp.issubdtype(x.dtype, jnp.floating):
        got = f"dtype {x.dtype}" if hasattr(x, "dtype") else type(x).__name__
        raise TypeError(f"x must be an array of floating point numbers, got {got}; use x.astype(float)")
    if x.ndim != 2 or 0 in x.shape or (d_in is not None and x.shape[1] != d_in):
        columns = "d" if d_in is None else str(d_in)
        raise ValueError(f"x must have shape (N, {columns}), one input a row and at least one row, got {x.shape}")
    if not isinstance(x, jax.core.Tracer) and not bool(jnp.isfinite(x).all()):
        raise ValueError("x must be finite, it holds NaN or infinity")


def _matmul(h: Float[Array, "n i"], w: Float[Array, "o i"]) -> Float[Array, "n o"]:
    """Multiply h w^T, in full precision unless the user set JAX's default: recent GPUs would round to TF32."""
    precision = "highest" if jax.config.jax_default_matmul_precision is None else None
    return jnp.matmul(h, w.T, precision=precision)


def fcn(
    *,
    d_in: int,
    width: int | Sequence[int],
    depth: int,
    d_out: int = 1,
    activation: str | Activation | Callable[[Array], Array] = "relu",
    sigma_w: float | Sequence[float] = 1.0,
    sigma_b: float | Sequence[float] = 0.0,
    biases: Literal["all", "first", "none"] = "all",
    scale_input: bool = True,
    parameterization: Literal["ntk", "standard"] = "ntk",
    initializer: str | Callable[..., Array] = "gaussian",
) -> Network:
    r"""A fully connected network with L = ``depth`` hidden layers of ``width`` units.

    In the NTK parameterization all entries of W and b have variance 1 and the scales stand in the network:

    .. math::
        z^1 = \tfrac{\sigma_w}{\sqrt d} W^1 x + \sigma_b b^1, \qquad
        z^{l+1} = \tfrac{\sigma_w}{\sqrt n} W^{l+1} \phi(z^l) + \sigma_b b^{l+1}, \qquad f(x) = z^{L+1}

    (Jacot, Gabriel and Hongler 2018). In the standard parameterization the scales stand in the initialization,
    :math:`W \sim \tfrac{\sigma_w}{\sqrt n} N(0, 1)`, :math:`b \sim \sigma_b N(0, 1)`, and are then trained. At
    initialization both give the same function for the same key; their tangent kernels differ.

    Args:
        d_in: dimension d of an input.
        width: units n in each hidden layer, or ``depth`` numbers.
        depth: number L of hidden layers; 0 is the linear model.
        d_out: number of outputs.
        activation: a name, ``nh.activation(name, ...)``, or any function applied entry by entry.
        sigma_w: scale of the weights, or one value for each of the depth + 1 layers, the readout last.
        sigma_b: scale of the biases, likewise.
        biases: ``"all"`` layers, ``"first"`` layer only, or ``"none"`` (then ``sigma_b`` must be 0). A layer whose
            sigma_b is 0 has no bias in the NTK parameterization (it would do nothing); in the standard one it has a
            bias that starts at 0 and is trained.
        scale_input: divide by :math:`\sqrt d` in layer 1.
        parameterization: ``"ntk"`` or ``"standard"``.
        initializer: ``"gaussian"``, ``"orthogonal"``, or a function of ``key``, ``shape`` and ``dtype``, by keyword,
            that returns weights of mean 0 and variance 1. Biases are always Gaussian.

    Returns:
        A ``Network``. ``init(key=key, dtype=float)`` returns a tuple of ``DenseParams``, one a layer; ``dtype`` is
        JAX's default float where not given. ``apply(params, x)`` takes x of shape ``(N, d_in)``, floating point, and
        returns ``(N, d_out)`` in the wider type of x and the parameters.

    Raises:
        ValueError: if a size is smaller than 1, a scale is negative or not finite, a sequence has the wrong length, a
            name is not known, or (from ``apply``) x has the wrong shape or is not finite.
        TypeError: if a size is not an integer, or (from ``apply``) x is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = fcn(d_in=3, width=64, depth=2, activation="erf", sigma_w=1.5, sigma_b=0.1)
        >>> params = net.init(key=jax.random.key(0))
        >>> [layer.w.shape for layer in params]
        [(64, 3), (64, 64), (1, 64)]
        >>> net.apply(params, jnp.ones((5, 3))).shape
        (5, 1)
    """
    if parameterization not in ("ntk", "standard"):
        raise ValueError(f"parameterization must be 'ntk' or 'standard', got {parameterization!r}")
    standard = parameterization == "standard"
    spec = fcn_spec(
        d_in=d_in,
        width=width,
        depth=depth,
        d_out=d_out,
        activation=activation,
        sigma_w=sigma_w,
        sigma_b=sigma_b,
        biases=biases,
        scale_input=scale_input,
        keep_zero_biases=standard,
    )
    draw_weights = resolve_initializer(initializer)

    def init(*, key: PRNGKeyArray, dtype: jax.typing.DTypeLike = float) -> tuple[DenseParams, ...]:
        layers = []
        shapes = zip(spec.sizes[1:], spec.sizes[:-1], strict=True)
        keys = jax.random.split(key, len(spec.weight_scales))
        for layer_key, shape, w_scale, b_scale in zip(keys, shapes, spec.weight_scales, spec.bias_scales, strict=True):
            w_key, b_key = jax.random.split(layer_key)
            w = draw_weights(key=w_key, shape=shape, dtype=dtype)
            b = None if b_scale is None else jax.random.normal(b_key, shape[:1], dtype)
            if standard:
                w, b = w_scale * w, None if b is None else b_scale * b
            layers.append(DenseParams(w, b))
        return tuple(layers)

    def apply(params: tuple[DenseParams, ...], x: Float[Array, "n d_in"]) -> Float[Array, "n d_out"]:
        check_rows(x, spec.sizes[0])
        if len(params) != len(spec.weight_scales):
            raise ValueError(f"params must hold depth + 1 = {len(spec.weight_scales)} layers, got {len(params)}")
        z = x
        for layer, (w, b) in enumerate(params):
            h = z if layer == 0 else spec.activation(z)
            z = _matmul(h, w)
            if not standard:
                z = spec.weight_scales[layer] * z
            if b is not None:
                z = z + (b if standard else spec.bias_scales[layer] * b)
        return z

    return Network(init, apply)
