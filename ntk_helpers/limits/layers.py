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

    The covariance is kept as variances and a cosine, and next to the cosine stands its distance from 1:
    kinks such as relu's see the angle, and :math:`\theta \approx \sqrt{2 (1 - \cos\theta)}` is lost by subtraction.
    All fields may have the same leading axes, for example one of pixels; an activation acts on each entry.

    Attributes:
        variance1: mean squares of the entries at the first inputs, (N1,).
        variance2: likewise at the second inputs, (N2,).
        cosine: second moments between the two over ``sqrt(variance1 * variance2)``, (N1, N2).
        gap: 1 - abs(cosine) with a small relative error, (N1, N2).
        ntk: tangent kernel of the parameters so far, (N1, N2), or None where it is not asked for.
    """

    variance1: Float[Array, "*lead N1"]
    variance2: Float[Array, "*lead N2"]
    cosine: Float[Array, "*lead N1 N2"]
    gap: Float[Array, "*lead N1 N2"]
    ntk: Float[Array, "*lead N1 N2"] | None

    @property
    def nngp(self) -> Float[Array, "*lead N1 N2"]:
        """Second moments between entries at the first and the second inputs, (N1, N2)."""
        return (safe_sqrt(self.variance1)[..., :, None] * safe_sqrt(self.variance2)[..., None, :]) * self.cosine


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
    state = first_layer(
        normalized_rows(x1, scale_input),
        normalized_rows(x1 if x2 is None else x2, scale_input),
        0 if x2 is None else None,
        _checks.check_nonnegative(sigma_w, "sigma_w") ** 2,
        _checks.check_nonnegative(sigma_b, "sigma_b") ** 2,
    )
    return state._replace(ntk=state.nngp) if with_ntk else state


class Rows(NamedTuple):
    """Samples as mean squares (N,) and directions (N, d)."""

    mean_square: jax.Array
    direction: jax.Array


def normalized_rows(x: jax.Array, scale_input: bool) -> Rows:
    """Split samples into mean squares (squared norms where ``scale_input`` is False) and directions."""
    norm, direction = row_norms(x)
    return Rows(norm * norm / (x.shape[1] if scale_input else 1.0), direction)


def first_layer(rows1: Rows, rows2: Rows, offset: ArrayLike | None, weight: ArrayLike, bias: ArrayLike) -> KernelState:
    """Do the work of ``input_layer``, without tangent kernel, from sigma_w^2 and sigma_b^2; see ``cosine_and_gap``."""
    cosine, gap = cosine_and_gap(rows1.direction, rows2.direction, offset)
    return affine(KernelState(rows1.mean_square, rows2.mean_square, cosine, gap, None), weight, bias)


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
    weight = _checks.check_nonnegative(sigma_w, "sigma_w") ** 2
    return affine(state, weight, _checks.check_nonnegative(sigma_b, "sigma_b") ** 2)


def affine(state: KernelState, weight: ArrayLike, bias: ArrayLike) -> KernelState:
    r"""Do the work of ``dense_layer``, from sigma_w^2 and sigma_b^2; the number 0.0 for a bias leaves it out.

    A bias is the constant feature sigma_b appended to the others. With the shares a = sqrt(weight * variance / new) and
    e = sqrt(bias / new) of the new standard deviation, a^2 + e^2 = 1, the new cosine is a1 a2 c + e1 e2, so

    .. math::
        1 - c' = a_1 a_2 (1 - c) + \delta, \quad 1 + c' = a_1 a_2 (1 + c) + 2 e_1 e_2 + \delta, \quad
        \delta = \tfrac12 [(a_1 - a_2)^2 + (e_1 - e_2)^2],

    both sums of terms that are not negative.
    """
    v1, v2, cosine, gap = weight * state.variance1, weight * state.variance2, state.cosine, state.gap
    if not (isinstance(bias, float) and bias == 0.0):
        new1, new2 = v1 + bias, v2 + bias
        a1, a2 = safe_sqrt(safe_ratio(v1, new1))[:, None], safe_sqrt(safe_ratio(v2, new2))[None, :]
        e1, e2 = safe_sqrt(safe_ratio(bias, new1))[:, None], safe_sqrt(safe_ratio(bias, new2))[None, :]
        acute = cosine >= 0
        norms = 0.5 * ((a1 - a2) ** 2 + (e1 - e2) ** 2)
        one_minus = a1 * a2 * jnp.where(acute, gap, 2.0 - gap) + norms
        one_plus = a1 * a2 * jnp.where(acute, 2.0 - gap, gap) + (2.0 * e1 * e2 + norms)
        toward = one_minus <= one_plus
        gap = jnp.where(toward, one_minus, one_plus)
        v1, v2, cosine = new1, new2, jnp.where(toward, 1.0 - gap, gap - 1.0)
    after = KernelState(v1, v2, cosine, gap, None)
    return after if state.ntk is None else after._replace(ntk=after.nngp + weight * state.ntk)


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
    v1, v2 = state.variance1, state.variance2
    check_quadrature(dual, v1)
    check_quadrature(dual, v2)
    s1, s2 = safe_sqrt(v1)[..., :, None], safe_sqrt(v2)[..., None, :]
    cosine, gap, slope = dual._form.pair(s1, s2, state.cosine, state.gap, state.ntk is not None)
    ntk = None if state.ntk is None else state.ntk * slope
    return KernelState(dual.variance(v1), dual.variance(v2), cosine, gap, ntk)


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
