r"""Convolutional networks of finite width, in the NTK or the standard parameterization."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers import _checks
from ntk_helpers._taps import PADDINGS, READOUTS, check_window, pixels_after, tap_shares
from ntk_helpers.activations import Activation, resolve_activation
from ntk_helpers.finite.initializers import gaussian, gaussian_arrays, resolve_initializer, tap_matrices
from ntk_helpers.finite.networks.fcn import DenseParams, _matmul
from ntk_helpers.finite.networks.network import Network

__all__ = ["ConvParams", "cnn"]


class ConvParams(NamedTuple):
    """The parameters of one convolution.

    Attributes:
        w: the weights, shape ``(n_out, n_in, *window)``.
        b: the bias of each channel, shape ``(n_out,)``; None where the layer has none.
    """

    w: Float[Array, "n_out n_in *window"]
    b: Float[Array, " n_out"] | None


def cnn(
    *,
    input_shape: Sequence[int],
    width: int | Sequence[int],
    depth: int,
    d_out: int = 1,
    window: int | Sequence[int] = 3,
    padding: Literal["SAME", "VALID", "CIRCULAR"] = "SAME",
    readout: Literal["flatten", "pool"] = "flatten",
    taps: str | Sequence | np.ndarray = "uniform",
    activation: str | Activation | Callable[[Array], Array] = "relu",
    sigma_w: float | Sequence[float] = 1.0,
    sigma_b: float | Sequence[float] = 0.0,
    parameterization: Literal["ntk", "standard"] = "ntk",
    initializer: str | Callable[..., Array] = "gaussian",
) -> Network:
    r"""A convolutional network with L = ``depth`` convolutions of ``width`` channels and one dense layer.

    With k taps t in a window, n channels (:math:`n_0 = C` of the input) and pixels p, in the NTK parameterization

    .. math::
        z^{l+1}_p = \tfrac{\sigma_w}{\sqrt{k\, n_l}} \sum_t W^{l+1}_t\, h^l_{p+t} + \sigma_b b^{l+1}, \qquad
        h^0 = x, \quad h^l = \phi(z^l),

    and :math:`f = \tfrac{\sigma_w}{\sqrt{P n}} W \mathrm{vec}(h^L) + \sigma_b b` over all P pixels for
    ``readout="flatten"``, :math:`f = \tfrac{\sigma_w}{\sqrt n} W \tfrac1P \sum_p h^L_p + \sigma_b b` for ``"pool"``.
    The entries of :math:`W_t` have variance :math:`k \rho_t` with the shares rho of ``taps``: 1 in an ordinary network.
    All taps are trained, whatever their share. In the standard parameterization the scales stand in the initialization.

    Args:
        input_shape: ``(*pixels, C)`` of one image, channels last, one or more axes of pixels.
        width: channels n of each convolution, or ``depth`` numbers.
        depth: number L of convolutions, at least 1.
        d_out: number of outputs.
        window: length of the window along each axis of pixels, or one number for all.
        padding: ``"SAME"`` (zeros), ``"VALID"`` (none; the image shrinks), ``"CIRCULAR"`` (periodic).
        readout: ``"flatten"`` or ``"pool"``.
        taps: ``"uniform"``, ``"center"``, or shares of the variance, an array of the window's shape and of sum 1. The
            limit, ``cnn_kernel``, depends on the initialization through these shares only.
        activation: a name, ``nh.activation(name, ...)``, or any function applied entry by entry.
        sigma_w: scale of the weights, or one value for each of the depth + 1 layers, the readout last.
        sigma_b: scale of the biases, likewise; 0 for none. (In the standard parameterization a bias that starts at 0
            is trained.)
        parameterization: ``"ntk"`` or ``"standard"``.
        initializer: ``"gaussian"``; ``"orthogonal"``: an independent Haar matrix for each tap and the readout; or a
            function as in ``fcn``, which draws the matrix of one tap. ``"orthogonal"`` with ``taps="center"`` is
            delta-orthogonal initialization (Xiao et al. 2018), see ``delta_orthogonal``.

    Returns:
        A ``Network``. ``init(key=key, dtype=float)`` returns a tuple of ``ConvParams`` and, last, ``DenseParams``;
        ``apply(params, x)`` takes x of shape ``(N, *input_shape)``, floating point, and returns ``(N, d_out)``.

    Raises:
        ValueError: if a size is smaller than 1, a scale is negative or not finite, a sequence has the wrong length, the
            window does not fit, a name is not known, or (from ``apply``) x has the wrong shape or is not finite.
        TypeError: if a size is not an integer, or (from ``apply``) x is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = cnn(input_shape=(8, 8, 1), width=16, depth=2, activation="erf", padding="CIRCULAR")
        >>> params = net.init(key=jax.random.key(0))
        >>> [layer.w.shape for layer in params]
        [(16, 1, 3, 3), (16, 16, 3, 3), (1, 1024)]
        >>> net.apply(params, jnp.ones((5, 8, 8, 1))).shape
        (5, 1)
    """
    depth = _checks.check_positive_int(depth, "depth")
    shape = tuple(_checks.check_positive_int(n, f"input_shape[{i}]") for i, n in enumerate(input_shape))
    if len(shape) < 2:
        raise ValueError(f"input_shape must be (*pixels, channels), got {shape}")
    _checks.check_choice(padding, "padding", PADDINGS)
    _checks.check_choice(readout, "readout", READOUTS)
    standard = _checks.check_choice(parameterization, "parameterization", ("ntk", "standard")) == "standard"
    window = check_window(window, shape[:-1], padding, depth)
    shares = tap_shares(taps, window)
    widths = (width,) * depth if np.ndim(width) == 0 else tuple(width)
    if len(widths) != depth:
        raise ValueError(f"width must be one integer or one for each of the {depth} convolutions, got {len(widths)}")
    channels = [shape[-1], *(_checks.check_positive_int(n, f"width[{i}]") for i, n in enumerate(widths))]
    pixels = math.prod(pixels_after(shape[:-1], window, padding, depth)) if readout == "flatten" else 1
    d_out = _checks.check_positive_int(d_out, "d_out")
    phi, draw_weights = resolve_activation(activation), resolve_initializer(initializer)
    w_shapes = [(o, i, *window) for i, o in itertools.pairwise(channels)]
    w_shapes.append((d_out, channels[-1] * pixels))
    weight_scales = [
        float(s) / math.sqrt(math.prod(w[1:]))
        for s, w in zip(_checks.per_layer(sigma_w, "sigma_w", depth + 1), w_shapes, strict=True)
    ]
    bias_scales = [float(s) if s > 0 or standard else None for s in _checks.per_layer(sigma_b, "sigma_b", depth + 1)]

    def init(*, key: PRNGKeyArray, dtype: jax.typing.DTypeLike = float) -> tuple[ConvParams | DenseParams, ...]:
        b_shapes = [w[:1] for w, scale in zip(w_shapes, bias_scales, strict=True) if scale is not None]
        if draw_weights is gaussian:
            arrays = gaussian_arrays(key=key, shapes=[*w_shapes, *b_shapes], dtype=dtype)
            spread = jnp.asarray(np.sqrt(shares * shares.size), arrays[0].dtype)
            weights = [w if w.ndim == 2 else spread * w for w in arrays[: depth + 1]]
            biases = iter(arrays[depth + 1 :])
        else:
            keys = jax.random.split(key, depth + 2)
            weights = [
                tap_matrices(draw_weights, shares, key=k, shape=s[:2], dtype=dtype)
                for k, s in zip(keys, w_shapes[:-1], strict=False)
            ]
            weights.append(draw_weights(key=keys[depth], shape=w_shapes[-1], dtype=dtype))
            biases = iter(gaussian_arrays(key=keys[-1], shapes=b_shapes, dtype=dtype))
        params = []
        for w, w_scale, b_scale in zip(weights, weight_scales, bias_scales, strict=True):
            b = None if b_scale is None else next(biases)
            if standard:
                w, b = w_scale * w, b_scale * b
            params.append((DenseParams if w.ndim == 2 else ConvParams)(w, b))
        return tuple(params)

    def apply(params: tuple[ConvParams | DenseParams, ...], x: Float[Array | np.ndarray, "n ..."]) -> Array:
        h = _checks.as_images(x, "x")
        if h.shape[1:] != shape:
            raise ValueError(f"x must hold images of input_shape {shape}, got shape {h.shape}")
        if len(params) != depth + 1:
            raise ValueError(f"params must hold depth + 1 = {depth + 1} layers, got {len(params)}")
        for layer, (w, b) in enumerate(params):
            if layer < depth:
                z = _convolve(h, w, padding)
            else:
                z = _matmul(h.reshape(h.shape[0], -1) if readout == "flatten" else _mean_over_pixels(h), w)
            if not standard:
                z = weight_scales[layer] * z
            if b is not None:
                z = z + (b if standard else bias_scales[layer] * b)
            h = phi(z) if layer < depth else z
        return h

    return Network(init, apply)


def _mean_over_pixels(h: Float[Array, "n *pixels c"]) -> Float[Array, "n c"]:
    return jnp.mean(h, axis=tuple(range(1, h.ndim - 1)))


def _convolve(
    h: Float[Array, "n *pixels i"], w: Float[Array, "o i *window"], padding: str
) -> Float[Array, "n *after o"]:
    """Sum over taps t of w_t h[p + t], in full precision unless the user set JAX's default."""
    dtype = jnp.promote_types(h.dtype, w.dtype)
    axes = w.ndim - 2
    if padding == "CIRCULAR":
        widths = [((k - 1) // 2, k - 1 - (k - 1) // 2) for k in w.shape[2:]]
        h = jnp.pad(h, [(0, 0), *widths, (0, 0)], mode="wrap")
    images = (0, axes + 1, *range(1, axes + 1))
    return jax.lax.conv_general_dilated(
        h.astype(dtype),
        w.astype(dtype),
        window_strides=(1,) * axes,
        padding="SAME" if padding == "SAME" else "VALID",
        dimension_numbers=jax.lax.ConvDimensionNumbers(images, tuple(range(w.ndim)), images),
        precision="highest" if jax.config.jax_default_matmul_precision is None else None,
    )
