r"""Residual networks of finite width, fully connected, each variant with the equation of the paper it comes from."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers import _checks
from ntk_helpers.finite.initializers import gaussian_arrays
from ntk_helpers.finite.networks.fcn import DenseParams, _matmul
from ntk_helpers.finite.networks.network import Network

__all__ = ["ResNetBlock", "ResNetParams", "resnet"]

# A variant says what the equation of its paper has; ``ntk_helpers.limits.resnet`` has a table of the same names.
VARIANTS = ("yu2025", "belfer2024")


class ResNetBlock(NamedTuple):
    """The parameters of one residual block.

    Attributes:
        inner: W and b, before the activation, shapes ``(n, n)`` and ``(n,)``; no b in the variant "belfer2024".
        outer: V and d, after it, of the same shapes; no d likewise.
    """

    inner: DenseParams
    outer: DenseParams


class ResNetParams(NamedTuple):
    """The parameters of a residual network.

    Attributes:
        first: A and b, shapes ``(n, d_in)`` and ``(n,)``; no b in the variant "belfer2024".
        blocks: one ``ResNetBlock`` for each of the L blocks.
        readout: the last weights, ``(d_out, n)``, without bias.
    """

    first: DenseParams
    blocks: tuple[ResNetBlock, ...]
    readout: DenseParams


def resnet(
    *,
    d_in: int,
    width: int,
    depth: int,
    d_out: int = 1,
    alpha: float | int = 1.0,
    variant: str = "yu2025",
) -> Network:
    r"""A residual relu network with L = ``depth`` blocks of ``width`` units, in the NTK parameterization.

    ``variant="yu2025"`` (Yu, Tian and Chen 2025, eq. 2.2), with n units everywhere:

    .. math::
        a^0 = \tfrac{1}{\sqrt n} (A x + b), \quad
        \tilde a^l = \sqrt{\tfrac2n}\, \mathrm{relu}(W^l a^{l-1} + b^l), \quad
        a^l = a^{l-1} + \tfrac{\alpha}{\sqrt n} (V^l \tilde a^l + d^l), \quad f = W^{L+1} a^L.

    All entries start as independent standard normals, except :math:`b^l = d^l = 0`. All are trained.

    ``variant="belfer2024"`` (Belfer, Geifman, Galun and Basri 2024): the same without b and d, and only the
    :math:`W^l, V^l` with :math:`l \le L` are trained. Its tangent kernel counts these alone: ``nh.empirical_ntk(...,
    trainable=params._replace(first=False, readout=False, blocks=True))``; training has to leave the others as they are.

    Args:
        d_in: dimension d of an input; it is not scaled.
        width: units n.
        depth: number L of residual blocks, at least 1.
        d_out: number of outputs.
        alpha: weight of a block, at least 0.
        variant: whose equation, ``"yu2025"`` or ``"belfer2024"``.

    Returns:
        A ``Network``. ``init(key=key, dtype=float)`` returns ``ResNetParams``; ``apply(params, x)`` takes x of shape
        ``(N, d_in)``, floating point, and returns ``(N, d_out)``.

    Raises:
        ValueError: if a size is smaller than 1, alpha is negative or not finite, the variant is not known, or (from
            ``apply``) x has the wrong shape or is not finite.
        TypeError: if a size is not an integer, or (from ``apply``) x is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> net = resnet(d_in=2, width=16, depth=3, alpha=0.5)
        >>> params = net.init(key=jax.random.key(0))
        >>> len(params.blocks), net.apply(params, jnp.ones((5, 2))).shape
        (3, (5, 1))
    """
    _checks.check_choice(variant, "variant", VARIANTS)
    d_in, n = _checks.check_positive_int(d_in, "d_in"), _checks.check_positive_int(width, "width")
    depth, d_out = _checks.check_positive_int(depth, "depth"), _checks.check_positive_int(d_out, "d_out")
    biased = variant == "yu2025"
    scale = float(_checks.check_nonnegative(alpha, "alpha")) / math.sqrt(n)

    def init(*, key: PRNGKeyArray, dtype: jax.typing.DTypeLike = float) -> ResNetParams:
        shapes = [(n, d_in), (n,), *[(n, n)] * (2 * depth), (d_out, n)]
        a, b, *weights, last = gaussian_arrays(key=key, shapes=shapes, dtype=dtype)
        pairs = zip(weights[::2], weights[1::2], strict=True)
        b, zero = (b, jnp.zeros((n,), last.dtype)) if biased else (None, None)
        blocks = tuple(ResNetBlock(DenseParams(w, zero), DenseParams(v, zero)) for w, v in pairs)
        return ResNetParams(DenseParams(a, b), blocks, DenseParams(last, None))

    def apply(params: ResNetParams, x: Float[Array | np.ndarray, "n d_in"]) -> Float[Array, "n d_out"]:
        x = _checks.as_samples(x, "x")
        if x.shape[1] != d_in:
            raise ValueError(f"x must have d_in = {d_in} columns, got shape {x.shape}")
        if len(params.blocks) != depth:
            raise ValueError(f"params must hold depth = {depth} blocks, got {len(params.blocks)}")
        h = _dense(x, params.first) / math.sqrt(n)
        for inner, outer in params.blocks:
            h = h + scale * _dense(math.sqrt(2 / n) * jax.nn.relu(_dense(h, inner)), outer)
        return _matmul(h, params.readout.w)

    return Network(init, apply)


def _dense(x: jax.Array, layer: DenseParams) -> jax.Array:
    """Weights and, where there is one, the bias."""
    return _matmul(x, layer.w) if layer.b is None else _matmul(x, layer.w) + layer.b
