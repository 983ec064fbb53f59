r"""Fully connected networks of finite width, in the NTK or the standard parameterization."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers import _checks
from ntk_helpers.activations import Activation, resolve_activation
from ntk_helpers.finite.initializers import gaussian, gaussian_arrays, resolve_initializer
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
    depth = _checks.check_positive_int(depth, "depth")
    if np.ndim(width) == 0:
        widths = (_checks.check_positive_int(width, "width"),) * depth
    else:
        widths = tuple(_checks.check_positive_int(n, f"width[{i}]") for i, n in enumerate(width))
    if len(widths) != depth:
        raise ValueError(f"width must be one integer or one for each of the {depth} hidden layers, got {len(widths)}")
    sizes = (_checks.check_positive_int(d_in, "d_in"), *widths, _checks.check_positive_int(d_out, "d_out"))
    layers = depth + 1
    # Plain numbers, so that the architecture can be a static argument.
    sigma_ws = tuple(float(s) for s in _checks.per_layer(sigma_w, "sigma_w", layers))
    sigma_bs = tuple(float(s) for s in _checks.per_layer(sigma_b, "sigma_b", layers))
    _checks.check_choice(biases, "biases", ("all", "first", "none"))
    if biases == "none" and any(sigma_bs):
        raise ValueError(f"biases='none' needs sigma_b=0, got sigma_b={sigma_b}")
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
        depth: number L of hidden layers, at least 1.
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
    standard = _checks.check_choice(parameterization, "parameterization", ("ntk", "standard")) == "standard"
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
    layers = len(spec.weight_scales)
    draw_weights = resolve_initializer(initializer)

    def init(*, key: PRNGKeyArray, dtype: jax.typing.DTypeLike = float) -> tuple[DenseParams, ...]:
        w_shapes = list(zip(spec.sizes[1:], spec.sizes[:-1], strict=True))
        b_shapes = [shape[:1] for shape, scale in zip(w_shapes, spec.bias_scales, strict=True) if scale is not None]
        if draw_weights is gaussian:
            arrays = gaussian_arrays(key=key, shapes=[*w_shapes, *b_shapes], dtype=dtype)
            weights, biases = arrays[:layers], iter(arrays[layers:])
        else:
            keys = jax.random.split(key, layers + 1)
            weights = [draw_weights(key=k, shape=s, dtype=dtype) for k, s in zip(keys, w_shapes, strict=False)]
            biases = iter(gaussian_arrays(key=keys[-1], shapes=b_shapes, dtype=dtype))
        params = [
            DenseParams(w, None if scale is None else next(biases))
            for w, scale in zip(weights, spec.bias_scales, strict=True)
        ]
        if standard:
            scales = zip(params, spec.weight_scales, spec.bias_scales, strict=True)
            params = [DenseParams(w * p.w, None if b is None else b * p.b) for p, w, b in scales]
        return tuple(params)

    def apply(params: tuple[DenseParams, ...], x: Float[Array | np.ndarray, "n d_in"]) -> Float[Array, "n d_out"]:
        x = _checks.as_samples(x, "x")
        if x.shape[1] != spec.sizes[0]:
            raise ValueError(f"x must have d_in = {spec.sizes[0]} columns, got shape {x.shape}")
        if len(params) != layers:
            raise ValueError(f"params must hold depth + 1 = {layers} layers, got {len(params)}")
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
