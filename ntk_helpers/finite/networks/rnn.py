r"""Recurrent networks of finite width, in the NTK or the standard parameterization."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers import _checks
from ntk_helpers.activations import Activation, resolve_activation
from ntk_helpers.finite.initializers import gaussian_arrays
from ntk_helpers.finite.networks.fcn import _matmul
from ntk_helpers.finite.networks.network import Network

__all__ = ["RNNLayer", "RNNParams", "rnn"]

POOLINGS = ("last", "steps", "shared")


class RNNLayer(NamedTuple):
    """The parameters of one recurrent layer.

    Attributes:
        w: weights W of the hidden state, shape ``(n, n)``.
        u: weights U of what comes from below, shape ``(n, m)`` in the first layer, ``(n, n)`` in the others.
        b: the bias, shape ``(n,)``; None where the layer has none.
    """

    w: Float[Array, "n n"]
    u: Float[Array, "n m"]
    b: Float[Array, " n"] | None


class RNNParams(NamedTuple):
    """The parameters of a recurrent network in one direction.

    Attributes:
        layers: one ``RNNLayer`` for each of the L layers.
        readout: the last weights, ``(d_out, n)``, or ``(steps, d_out, n)`` with a readout for each step.
    """

    layers: tuple[RNNLayer, ...]
    readout: Float[Array, "*steps d_out n"]


def rnn(
    *,
    d_in: int,
    width: int,
    depth: int = 1,
    d_out: int = 1,
    activation: str | Activation | Callable[[Array], Array] = "relu",
    sigma_w: float | int = 1.0,
    sigma_u: float | int = 1.0,
    sigma_b: float | int = 0.0,
    sigma_v: float | int = 1.0,
    pooling: Literal["last", "steps", "shared"] = "last",
    steps: int | None = None,
    bidirectional: bool = False,
    parameterization: Literal["ntk", "standard"] = "ntk",
) -> Network:
    r"""A recurrent network with L = ``depth`` layers of ``width`` units, whose hidden states start at zero.

    With :math:`h^{0,t} = x_t`, :math:`n_0 = m` the dimension of the input and :math:`h^{l,0} = 0`

    .. math::
        g^{l,t} = \tfrac{\sigma_w}{\sqrt n} W^l h^{l,t-1} + \tfrac{\sigma_u}{\sqrt{n_{l-1}}} U^l h^{l-1,t}
        + \sigma_b b^l, \quad h^{l,t} = \phi(g^{l,t}), \quad f = \tfrac{\sigma_v}{\sqrt n} v^\top h^{L,T}

    and all entries standard normal (Alemohammad et al. 2021). In the standard parameterization the scales stand in the
    initialization and are then trained. ``rnn_kernel`` gives the kernels at infinite width.

    Args:
        d_in: dimension m of the input at one step.
        width: units n in each layer.
        depth: number L of recurrent layers, at least 1.
        d_out: number of outputs.
        activation: a name, ``nh.activation(name, ...)``, or any function applied entry by entry.
        sigma_w: scale of the recurrent weights.
        sigma_u: scale of the weights of the input and of the layer below.
        sigma_b: scale of the biases. At 0 a layer has no bias in the NTK parameterization; in the standard one it has a
            bias that starts at 0 and is trained.
        sigma_v: scale of the readout.
        pooling: ``"last"`` reads the last step; ``"steps"`` :math:`T^{-1/2} \sum_t` with a readout for each step;
            ``"shared"`` :math:`T^{-1} \sum_t` with one readout.
        steps: largest number of steps; needed for ``pooling="steps"``, whose readouts it counts.
        bidirectional: add a second network, with parameters of its own, that reads the sequence backwards.
        parameterization: ``"ntk"`` or ``"standard"``.

    Returns:
        A ``Network``. ``init(key=key, dtype=float)`` returns ``RNNParams``, or two of them where bidirectional.
        ``apply(params, x, lengths=None)`` takes x of shape ``(N, T, m)`` and, where sequences differ in length, N
        integers from 1 to T; it returns ``(N, d_out)``. For ``empirical_ntk`` of sequences that differ pass
        ``lambda p, z: net.apply(p, *z)`` and ``(x, lengths)``.

    Raises:
        ValueError: if a size is smaller than 1, a scale is negative or not finite, a name is not known, ``steps`` is
            missing or not wanted, or (from ``apply``) x or its lengths have a wrong shape or value.
        TypeError: if a size is not an integer, or (from ``apply``) x is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = rnn(d_in=2, width=16, depth=2, sigma_w=1.4)
        >>> params = net.init(key=jax.random.key(0))
        >>> net.apply(params, jnp.ones((3, 7, 2)), jnp.array([7, 5, 1])).shape
        (3, 1)
    """
    m, n = _checks.check_positive_int(d_in, "d_in"), _checks.check_positive_int(width, "width")
    depth, d_out = _checks.check_positive_int(depth, "depth"), _checks.check_positive_int(d_out, "d_out")
    _checks.check_choice(pooling, "pooling", POOLINGS)
    standard = _checks.check_choice(parameterization, "parameterization", ("ntk", "standard")) == "standard"
    if (pooling == "steps") != (steps is not None):
        raise ValueError('steps, the number of readouts, goes with pooling="steps" and is needed there')
    steps = None if steps is None else _checks.check_positive_int(steps, "steps")
    sigmas = {"w": sigma_w, "u": sigma_u, "b": sigma_b, "v": sigma_v}
    sigmas = {name: float(_checks.check_nonnegative(s, f"sigma_{name}")) for name, s in sigmas.items()}
    scale_w, scale_v = sigmas["w"] / math.sqrt(n), sigmas["v"] / math.sqrt(n)
    scales_u = [sigmas["u"] / math.sqrt(size) for size in (m, *[n] * (depth - 1))]
    has_bias = standard or sigmas["b"] > 0
    phi = resolve_activation(activation)

    def init_one(key: PRNGKeyArray, dtype: jax.typing.DTypeLike) -> RNNParams:
        sizes = (m, *[n] * (depth - 1))
        shapes = [shape for size in sizes for shape in ((n, n), (n, size), *[(n,)] * has_bias)]
        shapes.append((d_out, n) if steps is None else (steps, d_out, n))
        *arrays, readout = gaussian_arrays(key=key, shapes=shapes, dtype=dtype)
        each = 2 + has_bias
        layers = [RNNLayer(*arrays[i : i + each], *[None] * (not has_bias)) for i in range(0, len(arrays), each)]
        if standard:
            scaled = zip(layers, scales_u, strict=True)
            layers = [RNNLayer(scale_w * w, u_scale * u, sigmas["b"] * b) for (w, u, b), u_scale in scaled]
            readout = scale_v * readout
        return RNNParams(tuple(layers), readout)

    def init(*, key: PRNGKeyArray, dtype: jax.typing.DTypeLike = float) -> RNNParams | tuple[RNNParams, RNNParams]:
        if not bidirectional:
            return init_one(key, dtype)
        return tuple(init_one(k, dtype) for k in jax.random.split(key))

    def one_way(params: RNNParams, x: Array, lengths: Array) -> Array:
        if len(params.layers) != depth:
            raise ValueError(f"params must hold depth = {depth} layers, got {len(params.layers)}")

        def step(hidden, inputs):
            now, alive = inputs
            after, below = [], now
            for (w, u, b), h, u_scale in zip(params.layers, hidden, scales_u, strict=True):
                own, up = _matmul(h, w), _matmul(below, u)
                g = own + up if standard else scale_w * own + u_scale * up
                if b is not None:
                    g = g + (b if standard else sigmas["b"] * b)
                below = phi(g)
                after.append(jnp.where(alive[:, None], below, h))
            return tuple(after), jnp.where(alive[:, None], below, 0.0) if pooling != "last" else None

        dtype = jnp.result_type(x, params.readout)
        alive = jnp.arange(x.shape[1])[:, None] < lengths[None, :]
        start = (jnp.zeros((x.shape[0], n), dtype),) * depth
        hidden, states = jax.lax.scan(step, start, (jnp.moveaxis(x, 1, 0).astype(dtype), alive))
        counts = lengths[:, None].astype(dtype)
        if pooling == "last":
            f = _matmul(hidden[-1], params.readout)
        elif pooling == "shared":
            f = _matmul(states.sum(axis=0) / counts, params.readout)
        else:
            f = jax.vmap(_matmul)(states, params.readout[: x.shape[1]]).sum(axis=0) / jnp.sqrt(counts)
        return f if standard else scale_v * f

    def apply(
        params: RNNParams | tuple[RNNParams, RNNParams],
        x: Float[Array | np.ndarray, "N T m"],
        lengths: ArrayLike | None = None,
    ) -> Float[Array, "N d_out"]:
        x = _checks.as_sequences(x, "x")
        if x.shape[2] != m:
            raise ValueError(f"x must have d_in = {m} features, got shape {x.shape}")
        if steps is not None and x.shape[1] > steps:
            raise ValueError(f"x must have at most steps = {steps} steps, got shape {x.shape}")
        lengths = _checks.sequence_lengths(lengths, x, "lengths")
        if not bidirectional:
            return one_way(params, x, lengths)
        source = jnp.maximum(lengths[:, None] - 1 - jnp.arange(x.shape[1])[None, :], 0)
        backwards = jnp.take_along_axis(x, source[..., None], axis=1)
        return one_way(params[0], x, lengths) + one_way(params[1], backwards, lengths)

    return Network(init, apply)
