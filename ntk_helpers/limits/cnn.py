"""NNGP kernel and NTK of convolutional networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers._taps import PADDINGS, READOUTS, check_window, pixels_after, tap_shares
from ntk_helpers.activations import Activation
from ntk_helpers.limits._angle import safe_sqrt
from ntk_helpers.limits._blocks import in_row_blocks
from ntk_helpers.limits._closed_forms import safe_ratio
from ntk_helpers.limits.duals import DualActivation, check_quadrature, dual_activation
from ntk_helpers.limits.layers import Kernels, KernelState, activation_layer

__all__ = ["cnn_kernel"]

# Layers that are compiled one by one, as in fcn.py; further ones that keep the size of the image run in a loop.
_UNROLLED = 2


@dataclass(frozen=True)
class _Layout:
    """What is static in a convolutional network: a key of the compilation cache."""

    pixels: tuple[int, ...]
    window: tuple[int, ...]
    padding: str
    readout: str
    depth: int
    has_bias: bool
    get: str

    def pixels_after(self, layers: int) -> tuple[int, ...]:
        """Size of the image after some convolutions."""
        return pixels_after(self.pixels, self.window, self.padding, layers)


def cnn_kernel(
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    depth: int,
    window: int | Sequence[int] = 3,
    padding: Literal["SAME", "VALID", "CIRCULAR"] = "SAME",
    readout: Literal["flatten", "pool"] = "flatten",
    taps: str | Sequence | np.ndarray = "uniform",
    activation: str | Activation | DualActivation | Callable[[jax.Array], jax.Array] = "relu",
    sigma_w: float | Sequence[float] | Float[Array, ...] = 1.0,
    sigma_b: float | Sequence[float] | Float[Array, ...] = 0.0,
    get: str = "both",
) -> Kernels | Float[Array, "N1 N2"]:
    r"""Return the NNGP kernel and the NTK of a convolutional network with infinitely many channels.

    The network is that of ``cnn``, in the NTK parameterization: ``depth`` convolutions with k taps, an activation after
    each, and one dense layer. Write :math:`S^l_{p,q}` for the covariance of a channel of layer l between the pixel p of
    x and the pixel q of x', and :math:`\rho_t` for the share of the weights' variance that tap t has at initialization
    (sum 1; 1/k for an ordinary network; all of it in the centre for delta-orthogonal weights). With V, V' the dual
    activation and its derivative,

    .. math::
        S^{l+1}_{p,q} &= \sigma_w^2 \sum_t \rho_t\, V(S^l)_{p+t,q+t} + \sigma_b^2, \\
        T^{l+1}_{p,q} &= \sigma_w^2 \sum_t \rho_t\, (T^l V'(S^l))_{p+t,q+t}
                        + \tfrac{\sigma_w^2}{k} \sum_t V(S^l)_{p+t,q+t} + \sigma_b^2 .

    Both sums run over the same shift of both pixels. So the pairs with q - p = delta never meet others: ``"flatten"``,
    a mean over p = q, needs delta = 0 only, and ``"pool"``, a mean over all p and q, one delta after the other.
    (Ordinary networks: Novak et al. 2019, Garriga-Alonso et al. 2019, Arora et al. 2019.)

    Time grows as N1 N2 P k depth for P pixels with ``"flatten"``, and with ``"pool"`` that times the number of deltas:
    P for ``"CIRCULAR"``, the product of 2 H - 1 over the lengths H of the last image's axes else. Besides the results,
    memory holds some twenty arrays of one block of rows for one delta: N2 P entries at least, never N1 N2 P^2.

    Args:
        x1: N1 images, ``(N1, *pixels, C)``, channels last, one or more axes of pixels; float32 or float64.
        x2: N2 images of the same size, ``(N2, *pixels, C)``; None means ``x1``.
        depth: number L of convolutions, at least 1.
        window: length of the window along each axis of pixels, or one number for all.
        padding: ``"SAME"`` (zeros), ``"VALID"`` (none; the image shrinks), ``"CIRCULAR"`` (periodic).
        readout: ``"flatten"`` (a weight for each pixel and channel) or ``"pool"`` (mean over pixels, then a weight for
            each channel).
        taps: ``"uniform"``, ``"center"``, or the shares :math:`\rho`, an array of the window's shape and of sum 1.
        activation: as in ``fcn_kernel``.
        sigma_w: standard deviation of the weights, one number or one for each of the depth + 1 layers.
        sigma_b: standard deviation of the biases, likewise.
        get: ``"both"``, ``"nngp"`` (does not compute the NTK) or ``"ntk"``.

    Returns:
        ``Kernels(nngp, ntk)`` for ``get="both"``, otherwise one array (N1, N2).

    Raises:
        TypeError: if an array is not float32 or float64, or an argument has the wrong type.
        ValueError: if an argument has a wrong shape or value; the message names it.

    Example:
        >>> x = jnp.arange(32.0).reshape(2, 4, 4, 1) / 32
        >>> nngp, ntk = cnn_kernel(x, depth=2, padding="CIRCULAR", sigma_w=2**0.5)
        >>> print((ntk[0, 0] / nngp[0, 0]).round(4))  # relu without biases at equal inputs: depth + 1
        3.0
    """
    depth = _checks.check_positive_int(depth, "depth")
    _checks.check_choice(get, "get", ("both", "nngp", "ntk"))
    _checks.check_choice(padding, "padding", PADDINGS)
    _checks.check_choice(readout, "readout", READOUTS)
    x1 = _checks.as_images(x1, "x1")
    x2 = x1 if x2 is None else _checks.as_images(x2, "x2")
    if x1.shape[1:] != x2.shape[1:]:
        raise ValueError(f"x1 and x2 must hold images of one size, got shapes {x1.shape} and {x2.shape}")
    pixels = x1.shape[1:-1]
    window = check_window(window, pixels, padding, depth)
    shares = tap_shares(taps, window)
    dual = activation if isinstance(activation, DualActivation) else dual_activation(activation)
    weights = _checks.per_layer(sigma_w, "sigma_w", depth + 1)
    offsets = _checks.per_layer(sigma_b, "sigma_b", depth + 1)
    has_bias = any(not _checks.is_concrete(s) or float(s) != 0.0 for s in offsets)
    layout = _Layout(pixels, window, padding, readout, depth, has_bias, get)
    dtype = jnp.result_type(x1, x2)
    # squared here: 2**0.5 as a Python float squares to 2 up to the last bit of float64
    weights, offsets = (jnp.stack([jnp.asarray(s**2, dtype) for s in sigmas]) for sigmas in (weights, offsets))
    shares = jnp.asarray(shares.ravel(), dtype)  # one compilation serves all profiles
    if dual.nodes is not None and all(map(_checks.is_concrete, (x1, x2, weights, offsets))):
        _check_quadrature_on_the_way((x1, x2), dual, weights, offsets, shares, layout)
    results = _cnn_kernel(x1.astype(dtype), x2.astype(dtype), weights, offsets, shares, dual, layout)
    return Kernels(*results) if get == "both" else results[0]


@partial(jax.jit, static_argnames=("dual", "layout"))
def _cnn_kernel(x1, x2, weights, offsets, shares, dual, layout):
    def block(start, size):
        some = jax.lax.dynamic_slice_in_dim(x1, start, size)
        last = math.prod(layout.pixels_after(layout.depth))
        if layout.readout == "flatten":
            sums, scale = _sum_over_pixels(some, x2, None, weights, offsets, shares, dual, layout), last
        else:
            zeros = tuple(jnp.zeros((size, x2.shape[0]), x1.dtype) for _ in range(1 if layout.get == "nngp" else 2))

            def add(sums, shift):
                parts = _sum_over_pixels(some, x2, shift, weights, offsets, shares, dual, layout)
                return tuple(a + b for a, b in zip(sums, parts, strict=True)), None

            sums, scale = jax.lax.scan(add, zeros, _shifts(layout))[0], last**2
        nngp = weights[-1] / scale * sums[0] + offsets[-1]
        ntk = None if layout.get == "nngp" else weights[-1] / scale * sums[1] + nngp
        return {"both": lambda: (nngp, ntk), "nngp": lambda: (nngp,), "ntk": lambda: (ntk,)}[layout.get]()

    return in_row_blocks(block, x1.shape[0], x2.shape[0] * math.prod(layout.pixels))


def _shifts(layout: _Layout) -> np.ndarray:
    """Every difference q - p of two pixels of the last image, modulo its size where the image is periodic."""
    last = layout.pixels_after(layout.depth)
    low = [0 if layout.padding == "CIRCULAR" else 1 - n for n in last]
    return np.array(list(itertools.product(*map(range, low, last))))


def _sum_over_pixels(x1, x2, shift, weights, offsets, shares, dual, layout):
    """Sum over p of the second moments, and of the tangent kernel, of the last activation at (p, p + shift).

    Arrays of pairs have the pixel p of the first image; variances of the second image keep its own pixel p + shift,
    because a window at p + shift may see more of its image than one at p. ``_moved`` brings them together.
    """
    state = _pixels(x1, x2, shift)
    if layout.get != "nngp":
        state = state._replace(ntk=jnp.zeros_like(state.cosine))
    state = _convolution(state, weights[0], offsets[0], shares, layout, shift, 0)
    loop = layout.padding != "VALID" and layout.depth > _UNROLLED
    for i in range(1, _UNROLLED if loop else layout.depth):
        state = _convolution(_activation(state, dual, shift), weights[i], offsets[i], shares, layout, shift, i)
    if loop:
        rest = slice(_UNROLLED, layout.depth)

        def step(state, variances):
            return _convolution(_activation(state, dual, shift), *variances, shares, layout, shift, 1), None

        state = jax.lax.scan(step, state, (weights[rest], offsets[rest]))[0]
    state = _activation(state, dual, shift)
    axes = tuple(range(len(layout.pixels)))
    inside = _inside(layout.pixels_after(layout.depth), shift, layout.padding)
    parts = (_moments(state, shift),) if state.ntk is None else (_moments(state, shift), state.ntk)
    return tuple(jnp.sum(_where(inside, part), axes) for part in parts)


def _moved(a, shift):
    """Entries at p + shift in the place of those at p; garbage where p + shift is no pixel, unless periodic."""
    return a if shift is None else jnp.roll(a, tuple(-s for s in shift), tuple(range(len(shift))))


def _activation(state, dual, shift):
    """``activation_layer`` where variance2 has its own pixels."""
    after = activation_layer(state._replace(variance2=_moved(state.variance2, shift)), dual)
    return after._replace(variance2=dual.variance(state.variance2))


def _moments(state, shift):
    return state._replace(variance2=_moved(state.variance2, shift)).nngp


def _inside(pixels, shift, padding):
    """Whether p + shift is a pixel of the image, (*pixels,); None where it always is."""
    if shift is None or padding == "CIRCULAR":
        return None
    masks = []
    for axis, n in enumerate(pixels):
        moved = jnp.arange(n) + shift[axis]
        masks.append(((moved >= 0) & (moved < n)).reshape([-1 if i == axis else 1 for i in range(len(pixels))]))
    return math.prod(masks[1:], start=masks[0])


def _where(inside, a):
    """Zeros outside; ``a`` has the pixels as first axes."""
    return a if inside is None else jnp.where(inside.reshape(inside.shape + (1,) * (a.ndim - inside.ndim)), a, 0)


def _pixels(x1, x2, shift):
    """Channels of two sets of images as a state with one entry for each pair (p, p + shift), pixels first."""
    sides = []
    for x in (x1, x2):
        x = jnp.moveaxis(x, 0, -2)  # (*pixels, N, C)
        norm = safe_sqrt(jnp.sum(x * x, -1))
        sides.append((norm * norm / x.shape[-1], x / jnp.where(norm > 0, norm, 1.0)[..., None]))
    (v1, u1), (v2, u2) = sides
    u1, u2 = u1[..., :, None, :], _moved(u2, shift)[..., None, :, :]
    sign = jnp.where(jnp.sum(u1 * u2, -1) < 0, -1.0, 1.0)
    gap = 0.5 * jnp.sum((u1 - sign[..., None] * u2) ** 2, -1)  # of few channels: no cancellation
    return KernelState(v1, v2, sign * (1.0 - gap), gap, None)


def _windows(a, layout):
    """Return the function from a tap to the array that holds, at each pixel p, the entry of ``a`` that the tap sees."""
    axes = len(layout.window)
    n = a.shape[:axes]
    if layout.padding != "VALID":
        before = [(k - 1) // 2 for k in layout.window]
        widths = [(b, k - 1 - b) for b, k in zip(before, layout.window, strict=True)] + [(0, 0)] * (a.ndim - axes)
        a = jnp.pad(a, widths, mode="wrap" if layout.padding == "CIRCULAR" else "constant")
    else:
        n = tuple(m - k + 1 for m, k in zip(n, layout.window, strict=True))
    rest = (0,) * (a.ndim - axes)
    return lambda tap: jax.lax.dynamic_slice(a, (*(tap[i] for i in range(axes)), *rest), (*n, *a.shape[axes:]))


def _over_taps(term, layout, shares):
    """Sum of ``term(tap, share)`` over the taps, in a loop: compiling each tap takes seconds."""
    taps = (jnp.array(list(np.ndindex(layout.window))), shares)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(term, taps[0][0], taps[1][0]))

    def add(sums, tap):
        return jax.tree.map(jnp.add, sums, term(*tap)), None

    return jax.lax.scan(add, zeros, taps)[0]


def _convolved_variance(v, weight, bias, shares, layout):
    """Variances of the next layer, (*pixels, N), from those of this one's entries."""
    seen = _windows(v, layout)
    return weight * _over_taps(lambda tap, share: share * seen(tap), layout, shares) + bias


def _convolution(state, weight, bias, shares, layout, shift, layer):
    r"""Apply a convolution to a state of pixels.

    As in ``layers.affine``: with the share :math:`a_t^2` of tap t (and of the bias) in the new variance, the new cosine
    is :math:`\sum_t a_{1t} a_{2t} c_t`, and :math:`1 - c' = \sum_t a_{1t} a_{2t} (1 - c_t) + \tfrac12 (a_{1t} -
    a_{2t})^2`, a sum of terms that are not negative; likewise 1 + c'.
    """
    new1, new2 = (_convolved_variance(v, weight, bias, shares, layout) for v in (state.variance1, state.variance2))
    v1, v2, cosine, gap = (_windows(a, layout) for a in state[:4])
    if state.ntk is not None:
        # pairs whose second pixel lies in the padding count as 0: it holds zeros in every layer
        inside = _inside(layout.pixels_after(layer), shift, layout.padding)
        ntk = _windows(_where(inside, state.ntk), layout)

    def term(tap, share):
        seen1, seen2, c, g = v1(tap), v2(tap), cosine(tap), gap(tap)
        a1 = safe_sqrt(safe_ratio(weight * share * seen1, new1))[..., :, None]
        a2 = _moved(safe_sqrt(safe_ratio(weight * share * seen2, new2)), shift)[..., None, :]
        both, apart = a1 * a2, 0.5 * (a1 - a2) ** 2
        one_minus = both * jnp.where(c >= 0, g, 2.0 - g) + apart
        one_plus = both * jnp.where(c >= 0, 2.0 - g, g) + apart
        if state.ntk is None:
            return one_minus, one_plus
        own = safe_sqrt(seen1)[..., :, None] * _moved(safe_sqrt(seen2), shift)[..., None, :] * c
        return one_minus, one_plus, share * ntk(tap) + own / shares.size

    one_minus, one_plus, *tangent = _over_taps(term, layout, shares)
    if layout.has_bias:
        e1 = safe_sqrt(safe_ratio(bias, new1))[..., :, None]
        e2 = _moved(safe_sqrt(safe_ratio(bias, new2)), shift)[..., None, :]
        one_minus = one_minus + 0.5 * (e1 - e2) ** 2
        one_plus = one_plus + (0.5 * (e1 - e2) ** 2 + 2.0 * e1 * e2)
    toward = one_minus <= one_plus
    gap = jnp.where(toward, one_minus, one_plus)
    ntk = weight * tangent[0] + bias if tangent else None
    return KernelState(new1, new2, jnp.where(toward, 1.0 - gap, gap - 1.0), gap, ntk)


def _check_quadrature_on_the_way(images, dual, weights, offsets, shares, layout):
    """Follow the variances of every pixel through the layers, outside jit, and check the quadrature there."""
    v = jnp.concatenate([jnp.moveaxis(jnp.mean(x * x, -1), 0, -1) for x in images], axis=-1)
    for i in range(layout.depth):
        v = _convolved_variance(v, weights[i], offsets[i], shares, layout)
        check_quadrature(dual, v)
        v = dual.variance(v)
