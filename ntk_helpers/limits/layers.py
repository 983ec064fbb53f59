r"""Layer maps of infinitely wide networks: compose them to get the NNGP kernel and the NTK of an architecture.

A ``KernelState`` describes a layer by its correlations and by the tangent kernel so far. ``input_layer`` makes one from
data, ``activation_layer`` and ``dense_layer`` map one to the next, and ``kernels`` reads the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.activations import Activation
from ntk_helpers.limits._angle import safe_sqrt
from ntk_helpers.limits._closed_forms import safe_ratio
from ntk_helpers.limits._gram import cosine_and_gap, row_norms
from ntk_helpers.limits.duals import DualActivation, check_quadrature, dual_activation

__all__ = ["KernelState", "Kernels", "activation_layer", "dense_layer", "input_layer", "kernels"]


class Kernels(NamedTuple):
    """The two limits of one network at N1 x N2 pairs of inputs.

    Attributes:
        nngp: covariance of the outputs of the random network, (N1, N2).
        ntk: neural tangent kernel, (N1, N2).
    """

    nngp: Float[Array, "N1 N2"]
    ntk: Float[Array, "N1 N2"]


class KernelState(NamedTuple):
    r"""What the layer maps hand on: second moments of a layer's entries over random weights, and the tangent kernel.

    The covariance is kept as standard deviations times a cosine, and next to the cosine stands its distance from 1:
    kinks such as relu's see the angle, and :math:`\theta \approx \sqrt{2 (1 - \cos\theta)}` is lost by subtraction.

    Attributes:
        std1: root mean squares of the entries at the first inputs, (N1,).
        std2: likewise at the second inputs, (N2,).
        cosine: second moments between the two over ``std1 * std2``, (N1, N2).
        gap: 1 - abs(cosine) with a small relative error, (N1, N2).
        ntk: tangent kernel of the parameters so far, (N1, N2), or None where it is not asked for.
    """

    std1: Float[Array, " N1"]
    std2: Float[Array, " N2"]
    cosine: Float[Array, "N1 N2"]
    gap: Float[Array, "N1 N2"]
    ntk: Float[Array, "N1 N2"] | None

    @property
    def nngp(self) -> Float[Array, "N1 N2"]:
        """Second moments between entries at the first and the second inputs, (N1, N2)."""
        return (self.std1[:, None] * self.std2[None, :]) * self.cosine


def input_layer(
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    sigma_w: float | Float[Array, ""] = 1.0,
    sigma_b: float | Float[Array, ""] = 0.0,
    scale_input: bool = True,
    with_ntk: bool = True,
) -> KernelState:
    r"""Return the state after the first affine layer.

    .. math::
        S^1(x, x') = T^1(x, x') = \sigma_w^2 \langle x, x' \rangle / d + \sigma_b^2

    Args:
        x1: N1 samples as rows, (N1, d), float32 or float64.
        x2: N2 samples, (N2, d); None means ``x1``. Passing None for equal arrays is faster.
        sigma_w: standard deviation of the weights.
        sigma_b: standard deviation of the biases; 0 for none.
        scale_input: divide the inner product by d; False leaves the division out.
        with_ntk: also carry the tangent kernel.

    Returns:
        The state; NNGP kernel and NTK are equal after this layer.

    Raises:
        TypeError: if an array is not float32 or float64 or a number is no number.
        ValueError: if an array is not a matrix with finite entries, the columns differ, or a sigma is negative.

    Example:
        >>> state = input_layer(jnp.array([[3.0, 4.0]]), sigma_w=2.0, sigma_b=1.0)
        >>> float(state.nngp[0, 0])  # 4 * 25 / 2 + 1
        51.0
    """
    x1 = _checks.as_samples(x1, "x1")
    x2 = None if x2 is None else _checks.as_samples(x2, "x2")
    if x2 is not None:
        _checks.same_features(x1, x2)
        dtype = jnp.result_type(x1, x2)
        x1, x2 = x1.astype(dtype), x2.astype(dtype)
    norm1, u1 = row_norms(x1)
    norm2, u2 = (norm1, None) if x2 is None else row_norms(x2)
    cosine, gap = cosine_and_gap(u1, u2)
    scale = x1.shape[1] ** -0.5 if scale_input else 1.0
    state = KernelState(scale * norm1, scale * norm2, cosine, gap, None)
    state = dense_layer(state, sigma_w=sigma_w, sigma_b=sigma_b)
    return state._replace(ntk=state.nngp) if with_ntk else state


def dense_layer(
    state: KernelState, *, sigma_w: float | Float[Array, ""] = 1.0, sigma_b: float | Float[Array, ""] = 0.0
) -> KernelState:
    r"""Apply a dense layer: weights with standard deviation sigma_w over the root of the width, biases with sigma_b.

    .. math::
        S \leftarrow \sigma_w^2 S + \sigma_b^2, \qquad T \leftarrow S + \sigma_w^2 T

    Args:
        state: the state before.
        sigma_w: standard deviation of the weights, times the square root of the fan-in.
        sigma_b: standard deviation of the biases; 0 for none.

    Returns:
        The state after.

    Raises:
        TypeError: if a sigma is no number.
        ValueError: if a sigma is negative or not finite.

    Example:
        >>> state = input_layer(jnp.ones((1, 3)))
        >>> state = dense_layer(state, sigma_w=2.0, sigma_b=1.0)
        >>> float(state.nngp[0, 0]), float(state.ntk[0, 0])  # 4 * 1 + 1, 5 + 4 * 1
        (5.0, 9.0)
    """
    sigma_w, sigma_b = _checks.check_nonnegative(sigma_w, "sigma_w"), _checks.check_nonnegative(sigma_b, "sigma_b")
    std1, std2, cosine, gap = sigma_w * state.std1, sigma_w * state.std2, state.cosine, state.gap
    if not (isinstance(sigma_b, float) and sigma_b == 0.0):
        std1, std2, cosine, gap = _add_constant(std1, std2, cosine, gap, sigma_b)
    after = KernelState(std1, std2, cosine, gap, None)
    if state.ntk is None:
        return after
    return after._replace(ntk=after.nngp + jnp.square(sigma_w) * state.ntk)


def _add_constant(std1, std2, cosine, gap, sigma_b):
    r"""Append the constant feature sigma_b, which adds sigma_b^2 to every second moment.

    With shares :math:`a_i = s_i / s_i'` and :math:`e_i = \sigma_b / s_i'`, :math:`a_i^2 + e_i^2 = 1`, the new cosine is
    :math:`a_1 a_2 c + e_1 e_2`, so 1 - cosine' = a_1 a_2 (1 - c) + ((a_1 - a_2)^2 + (e_1 - e_2)^2) / 2, and
    1 + cosine' = a_1 a_2 (1 + c) + 2 e_1 e_2 + the same: sums of terms that are not negative.
    """
    new1, new2 = jnp.hypot(std1, sigma_b), jnp.hypot(std2, sigma_b)
    a1, a2 = safe_ratio(std1, new1)[:, None], safe_ratio(std2, new2)[None, :]
    e1, e2 = safe_ratio(sigma_b, new1)[:, None], safe_ratio(sigma_b, new2)[None, :]
    acute = cosine >= 0
    norms = 0.5 * ((a1 - a2) ** 2 + (e1 - e2) ** 2)
    one_minus = a1 * a2 * jnp.where(acute, gap, 2.0 - gap) + norms
    one_plus = a1 * a2 * jnp.where(acute, 2.0 - gap, gap) + (2.0 * e1 * e2 + norms)
    toward = one_minus <= one_plus
    gap = jnp.where(toward, one_minus, one_plus)
    return new1, new2, jnp.where(toward, 1.0 - gap, gap - 1.0), gap


def activation_layer(
    state: KernelState, phi: str | Activation | DualActivation | Callable[[jax.Array], jax.Array]
) -> KernelState:
    r"""Apply an activation entry by entry.

    .. math::
        S \leftarrow E[\phi(u) \phi(v)], \qquad T \leftarrow T \cdot E[\phi'(u) \phi'(v)], \qquad (u, v) \sim N(0, S)

    Args:
        state: the state before.
        phi: a name, an ``Activation``, a callable, or a ``DualActivation``.

    Returns:
        The state after.

    Raises:
        TypeError: if ``phi`` is none of these.
        ValueError: if the name is not known or the expectations are not finite.

    Example:
        A network with one relu layer and one erf layer, composed by hand:

        >>> x = jnp.array([[1.0, 0.0], [0.0, 1.0]])
        >>> state = input_layer(x, sigma_w=2**0.5, scale_input=False)
        >>> state = dense_layer(activation_layer(state, "relu"), sigma_w=1.5)
        >>> state = dense_layer(activation_layer(state, "erf"), sigma_w=1.5)
        >>> nngp, ntk = kernels(state)
        >>> bool((nngp[0, 0] > nngp[0, 1]) & (ntk[0, 0] > nngp[0, 0]))
        True
    """
    dual = phi if isinstance(phi, DualActivation) else dual_activation(phi)
    q1, q2 = state.std1 * state.std1, state.std2 * state.std2
    check_quadrature(dual, q1)
    check_quadrature(dual, q2)
    cosine, gap, slope = dual._form.pair(
        state.std1[:, None], state.std2[None, :], state.cosine, state.gap, state.ntk is not None
    )
    ntk = None if state.ntk is None else state.ntk * slope
    return KernelState(safe_sqrt(dual.variance(q1)), safe_sqrt(dual.variance(q2)), cosine, gap, ntk)


def kernels(state: KernelState) -> Kernels:
    """Read both kernels from the state after the readout.

    Args:
        state: the state after the last layer, with its tangent kernel.

    Returns:
        ``Kernels(nngp, ntk)``, each (N1, N2).

    Raises:
        ValueError: if the state carries no tangent kernel.

    Example:
        >>> kernels(input_layer(jnp.ones((2, 3)))).ntk.shape
        (2, 2)
    """
    if state.ntk is None:
        raise ValueError("state carries no tangent kernel: use input_layer(..., with_ntk=True), or read state.nngp")
    return Kernels(state.nngp, state.ntk)
