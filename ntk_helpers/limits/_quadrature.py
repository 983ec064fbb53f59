r"""Gaussian expectations of any activation, by Gauss-Hermite quadrature and Mehler's formula.

With :math:`a_k(s) = E[\phi(s z) h_k(z)]`, h_k the orthonormal Hermite polynomials,
:math:`E[\phi(u) \phi(v)] = \sum_k a_k(s_1) a_k(s_2) c^k` for standard deviations s1, s2 and correlation c.
One-dimensional quadrature gives the coefficients, so a pair costs one term for each node and not one for each pair of
nodes. For an analytic activation the error falls like exp(-const sqrt(nodes)), faster for small s; a kink makes the
coefficients fall like a power of k, and the error like 1 / nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import roots_hermitenorm

from ntk_helpers.limits._angle import floored, safe_sqrt
from ntk_helpers.limits._closed_forms import ClosedForm, safe_ratio


@lru_cache
def hermite_rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes z_j (K,) and the matrix w_j h_k(z_j) (K, K) that turns values at the nodes into coefficients."""
    z, weight = roots_hermitenorm(nodes)
    weight = weight / weight.sum()
    h = np.zeros((nodes, nodes))
    h[:, 0] = 1.0
    for k in range(1, nodes):
        h[:, k] = (z * h[:, k - 1] - (np.sqrt(k - 1) * h[:, k - 2] if k > 1 else 0.0)) / np.sqrt(k)
    return z, weight[:, None] * h


def coefficients(fn: Callable[[jax.Array], jax.Array], s: jax.Array, nodes: int) -> jax.Array:
    """a_0(s) ... a_{K-1}(s), stacked along a new first axis."""
    z, matrix = hermite_rule(nodes)
    values = fn(s[..., None] * jnp.asarray(z, s.dtype))
    if values.shape != (*s.shape, nodes):
        raise ValueError(
            f"activation must map an array to one of the same shape, got {values.shape} from {(*s.shape, nodes)}"
        )
    matrix = jnp.asarray(matrix, s.dtype)
    return jnp.moveaxis(jnp.matmul(values, matrix, precision=jax.lax.Precision.HIGHEST), -1, 0)


def derivative_of(fn: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """Entry-by-entry derivative."""
    return lambda z: jax.jvp(fn, (z,), (jnp.ones_like(z),))[1]


def quadrature(fn: Callable[[jax.Array], jax.Array], nodes: int) -> ClosedForm:
    """Return the two functions of a closed form, computed with ``nodes`` nodes."""

    def variance(q):
        return jnp.sum(coefficients(fn, safe_sqrt(q), nodes) ** 2, axis=0)

    def pair(s1, s2, cosine, gap, derivative):
        a1, a2 = coefficients(fn, s1, nodes), coefficients(fn, s2, nodes)
        root1, root2 = safe_sqrt(jnp.sum(a1 * a1, axis=0)), safe_sqrt(jnp.sum(a2 * a2, axis=0))
        a1, a2 = safe_ratio(a1, root1), safe_ratio(a2, root2)
        half_distance = 0.5 * jnp.sum((a1 - a2) ** 2, axis=0)  # 1 - sum_k a_k a'_k
        zeros = jnp.zeros(jnp.broadcast_shapes(s1.shape, s2.shape, cosine.shape), cosine.dtype)

        # Horner from the highest k: `total` is sum_k a_k a'_k c^k, and `rise` is sum_k a_k a'_k (1 - c^k) / (1 - c),
        # whose coefficients are the sums `tail` of a_j a'_j over j > k.
        def step(carry, term):
            total, rise, tail = carry
            weight = term[0] * term[1]
            return (total * cosine + weight, rise * cosine + tail, tail + weight), None

        (total, rise, _), _ = jax.lax.scan(step, (zeros, zeros, zeros), (a1[::-1], a2[::-1]))
        one_minus = half_distance + rise * jnp.where(cosine < 0, 2.0 - gap, gap)
        gap_out = floored(jnp.where(total < 0, 1.0 + total, one_minus))
        cosine_out = jnp.where(total < 0, gap_out - 1.0, 1.0 - gap_out)
        if not derivative:
            return cosine_out, gap_out, None
        slope = derivative_of(fn)
        b1, b2 = coefficients(slope, s1, nodes), coefficients(slope, s2, nodes)
        slopes, _ = jax.lax.scan(
            lambda acc, term: (acc * cosine + term[0] * term[1], None), zeros, (b1[::-1], b2[::-1])
        )
        return cosine_out, gap_out, slopes

    return ClosedForm(variance, pair)
