"""NNGP kernel and NTK of fully connected residual networks."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.limits._angle import safe_sqrt
from ntk_helpers.limits._blocks import in_row_blocks
from ntk_helpers.limits._closed_forms import safe_ratio
from ntk_helpers.limits.duals import dual_activation
from ntk_helpers.limits.layers import Kernels, KernelState, Rows, activation_layer, affine, first_layer, normalized_rows

__all__ = ["resnet_kernel"]

# What the equation of a variant has; ``ntk_helpers.finite.networks.resnet`` has the networks of the same names.
VARIANTS = ("yu2025", "belfer2024")


def resnet_kernel(
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    depth: int,
    alpha: float | int | Float[Array, ""] = 1.0,
    variant: str = "yu2025",
    get: str = "both",
) -> Kernels | Float[Array, "N1 N2"]:
    r"""Return the NNGP kernel and the NTK of an infinitely wide residual relu network with ``depth`` blocks.

    ``variant="yu2025"``, the network of ``nh.resnet`` (Yu, Tian and Chen 2025, eq. 2.2). With the arc-cosine functions
    :math:`\kappa_0, \kappa_1`, the cosine :math:`\rho` and :math:`q = \sqrt{S(x,x)\, S(x',x')}` of layer l - 1,

    .. math::
        S^0 = T^0 = \langle x, x' \rangle + 1, \quad
        S^l = S^{l-1} + \alpha^2 q\, \kappa_1(\rho), \quad
        T^l = T^{l-1} + \alpha^2 \left[q\, \kappa_1(\rho) + \kappa_0(\rho) (S^{l-1} + T^{l-1} + 1) + 1\right],

    and the kernels of f are :math:`S^L` and :math:`S^L + T^L`. The four terms in brackets belong to V; to W, what lies
    below, and b; and to d. The biases of the blocks start at 0 and add nothing to S, but they are trained.

    ``variant="belfer2024"`` (Belfer, Geifman, Galun and Basri 2024): no biases, and V and W alone are trained,

    .. math::
        S^0 = \langle x, x' \rangle, \quad T^0 = 0, \quad S^l = S^{l-1} + \alpha^2 q\, \kappa_1(\rho), \quad
        T^l = T^{l-1} + \alpha^2 \left[q\, \kappa_1(\rho) + \kappa_0(\rho) (S^{l-1} + T^{l-1})\right],

    and the kernels of f are :math:`S^L` and :math:`T^L`. On the diagonal they are :math:`(1 + \alpha^2)^L |x|^2` and
    :math:`2 L \alpha^2 (1 + \alpha^2)^{L-1} |x|^2`; float32 ends near L = 120 at alpha = 1. ``zonal_resnet_kernel`` is
    the second divided by its diagonal, on the sphere and at any depth.

    Args:
        x1: N1 samples as rows, (N1, d), float32 or float64. The result has that precision.
        x2: N2 samples, (N2, d); None means ``x1``. Passing None for equal arrays is faster.
        depth: number L of residual blocks, at least 1.
        alpha: weight of a block.
        variant: whose equation, ``"yu2025"`` or ``"belfer2024"``.
        get: ``"both"``, ``"nngp"`` or ``"ntk"``.

    Returns:
        ``Kernels(nngp, ntk)`` for ``get="both"``, otherwise one array (N1, N2).

    Raises:
        TypeError: if an array is not float32 or float64, or an argument has the wrong type.
        ValueError: if an argument has a wrong shape or value; the message names it.

    Example:
        >>> x = jnp.array([[1.0, 0.0], [0.6, 0.8]])
        >>> nngp, ntk = resnet_kernel(x, depth=1, alpha=1.0)
        >>> print(nngp[0, 0].round(5), ntk[0, 0].round(5))  # S^0 = 2, S^1 = 4, T^1 = 2 + 2 + 5 + 1
        4.0 14.0
    """
    depth = _checks.check_positive_int(depth, "depth")
    _checks.check_choice(variant, "variant", VARIANTS)
    _checks.check_choice(get, "get", ("both", "nngp", "ntk"))
    if x2 is x1:
        x2 = None
    x1 = _checks.as_samples(x1, "x1")
    if x2 is not None:
        x2 = _checks.as_samples(x2, "x2")
        _checks.same_features(x1, x2)
    alpha = jnp.asarray(_checks.check_nonnegative(alpha, "alpha"), x1.dtype)
    results = _resnet_kernel(x1, x2, alpha**2, depth, get != "nngp", variant == "yu2025")
    return {"both": lambda: results, "nngp": lambda: results.nngp, "ntk": lambda: results.ntk}[get]()


def _block(state: KernelState, alpha_squared: jax.Array, biased: bool) -> KernelState:
    """One residual block; its biases start at 0, so they add nothing to the covariance, but they are trained."""
    inner = affine(state, 2.0, 0.0)  # sqrt(2) (W a + b)
    if inner.ntk is not None and biased:
        inner = inner._replace(ntk=inner.ntk + 2.0)
    inner = activation_layer(inner, dual_activation("relu"))
    total = _sum(state, inner, alpha_squared)
    if state.ntk is None:
        return total
    trained = inner.nngp + inner.ntk + (1.0 if biased else 0.0)
    return total._replace(ntk=state.ntk + alpha_squared * trained)


def _sum(state: KernelState, branch: KernelState, weight: jax.Array) -> KernelState:
    """Second moments of the sum of independent parts, without cancellation near equal and opposite inputs.

    The share of the branch is the same at all inputs, because relu is homogeneous. So 1 - cos and 1 + cos are means of
    those of the parts, with no term that is negative.
    """
    v1, v2 = state.variance1 + weight * branch.variance1, state.variance2 + weight * branch.variance2
    share = safe_sqrt(safe_ratio(weight * branch.variance1, v1))[:, None]
    share = share * safe_sqrt(safe_ratio(weight * branch.variance2, v2))[None, :]
    one_minus, one_plus = (
        (1.0 - share) * _distance(state, sign) + share * _distance(branch, sign) for sign in (True, False)
    )
    near = one_minus <= one_plus
    return KernelState(v1, v2, jnp.where(near, 1.0 - one_minus, one_plus - 1.0), jnp.minimum(one_minus, one_plus), None)


def _distance(state: KernelState, minus: bool) -> jax.Array:
    """1 - cosine, or 1 + cosine."""
    return jnp.where((state.cosine >= 0) == minus, state.gap, 2.0 - state.gap)


@partial(jax.jit, static_argnames=("depth", "with_ntk", "biased"))
def _resnet_kernel(
    x1: jax.Array, x2: jax.Array | None, alpha_squared: jax.Array, depth: int, with_ntk: bool, biased: bool
) -> Kernels:
    rows1 = normalized_rows(x1, False)
    rows2 = rows1 if x2 is None else normalized_rows(x2, False)

    def block(start, size):
        some = Rows(*(jax.lax.dynamic_slice_in_dim(r, start, size) for r in rows1))
        state = first_layer(some, rows2, start if x2 is None else None, 1.0, 1.0 if biased else 0.0)
        if with_ntk:
            state = state._replace(ntk=state.nngp if biased else jnp.zeros_like(state.nngp))
        state = jax.lax.scan(lambda s, _: (_block(s, alpha_squared, biased), None), state, length=depth)[0]
        if not with_ntk:
            return state.nngp, state.nngp
        return state.nngp, state.nngp + state.ntk if biased else state.ntk

    return Kernels(*in_row_blocks(block, x1.shape[0], rows2.direction.shape[0]))
