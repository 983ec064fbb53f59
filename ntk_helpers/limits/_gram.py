r"""Cosines between the rows of two arrays, with the gap 1 - abs(cos) free of cancellation.

A kernel of a network with kinks depends on the angle between two inputs, and near 0 and pi the angle is
:math:`\sqrt{2 \cdot \mathrm{gap}}`: a rounding error eps of the cosine would become an angle error of eps / sin(angle).
Three levels keep the angle error near eps; the later ones run only where a pair needs them.

1. One matrix product of the normalized rows. Good for angles above about 0.3 (float32).
2. If any pair is nearer: split each row, u = h + l, with h on a grid so coarse that ``h @ h.T`` is free of rounding.
   Then only the small rest ``h @ l.T + l @ u.T`` rounds, and the error falls by the factor abs(l) of about 2^-12
   (float32) or 2^-26 (float64), times sqrt(d/3).
3. Rows that hold a pair nearer than abs(l) are done again from the differences u - u'.

Equal rows come out with gap 0.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from ntk_helpers.limits._angle import safe_sqrt

_HIGHEST = jax.lax.Precision.HIGHEST

# Level 2 is used where a pair has a gap below this: at the angle 0.45 level 1 has an angle error of about 2 eps.
_PLAIN_GAP = 0.1
# The grid of h is 2^-bits: products are multiples of 4^-bits, their partial sums are below 2 (|h||h'| with d up to
# 10^6 columns), so a significand of 2 * bits + 1 bits (24 or 53) holds every one of them exactly.
_BITS = {"float32": 11, "float64": 26}


def row_norms(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Norms of the rows, and the rows over their norms (zero rows stay zero), without overflow or underflow."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=1))
    largest = jnp.where(largest > 0, largest, 1.0)
    scaled = x / largest[:, None]
    norm = safe_sqrt(jnp.sum(scaled * scaled, axis=1))
    return largest * norm, scaled / jnp.where(norm > 0, norm, 1.0)[:, None]


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())), precision=_HIGHEST)


def _split(u: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Rows as coarse + fine, and abs(u)^2 - 1 to full relative accuracy (the rows are normalized only to rounding)."""
    grid = 2.0 ** _BITS[u.dtype.name]
    coarse = jnp.round(u * grid) / grid
    fine = u - coarse
    excess = (jnp.sum(coarse * coarse, axis=1) - 1.0) + jnp.sum(fine * (u + coarse), axis=1)
    return coarse, fine, excess


def _gap_by_splitting(u1: jax.Array, u2: jax.Array) -> jax.Array:
    coarse1, fine1, excess1 = _split(u1)
    coarse2, fine2, excess2 = _split(u2)
    exact = _product(coarse1, coarse2)
    rest = _product(jnp.concatenate([coarse1, fine1], axis=1), jnp.concatenate([fine2, u2], axis=1))
    rest = jnp.where(exact < 0, -rest, rest)
    mean_excess = 0.5 * (excess1[:, None] + excess2[None, :])
    return jnp.maximum((1.0 - jnp.abs(exact)) + (mean_excess - rest), 0.0)


def _gap_by_differences(cosine: jax.Array, gap: jax.Array, u1: jax.Array, u2: jax.Array) -> jax.Array:
    r"""Redo rows with a pair nearer than the level-2 error allows: gap = abs(u -+ u')^2 / 2."""
    grid = 2.0 ** _BITS[u1.dtype.name]
    fine = (u1.shape[1] / 3.0) ** 0.5 * 0.5 / grid  # typical abs(l)
    nearest = 0.5 * (4.0 * fine) ** 2  # the gap of the angle 4 abs(l), where level 2 errs by about eps / 4

    def redo(row):
        cosine_row, gap_row, u = row
        sign = jnp.where(cosine_row < 0, -1.0, 1.0)
        difference = u[None, :] - sign[:, None] * u2
        by_difference = 0.5 * jnp.sum(difference * difference, axis=1)
        return jnp.where(gap_row < nearest, by_difference, gap_row)

    def row(values):
        return jax.lax.cond(jnp.any(values[1] < nearest), redo, lambda v: v[1], values)

    return jax.lax.cond(jnp.any(gap < nearest), lambda g: jax.lax.map(row, (cosine, g, u1)), lambda g: g, gap)


def cosine_and_gap(u1: jax.Array, u2: jax.Array, offset: ArrayLike | None) -> tuple[jax.Array, jax.Array]:
    """Cosines (N1, N2) between normalized rows, and 1 - abs(cosine).

    Where u1 is known to be the rows of u2 from ``offset`` on, the pairs of equal rows are known too, and need no
    refinement; otherwise ``offset`` is None.
    """
    dot = _product(u1, u2)
    sign = jnp.where(dot < 0, -1.0, 1.0)  # jnp.sign and the derivative of jnp.abs are 0 at orthogonal inputs
    plain = 1.0 - sign * dot

    # The refinement has no derivative of its own: `plain` has the right one, and cancels exactly from the value below.
    v1, v2, cosine, gap = jax.lax.stop_gradient((u1, u2, dot, plain))
    if offset is not None:
        equal = (offset + jnp.arange(u1.shape[0]))[:, None] == jnp.arange(u2.shape[0])[None, :]
        equal = equal & jnp.any(v1 != 0, axis=1)[:, None]
        gap = jnp.where(equal, 1.0, gap)  # else every row would call for the refinement

    def refine(g):
        refined = _gap_by_splitting(v1, v2)
        return _gap_by_differences(cosine, refined if offset is None else jnp.where(equal, 1.0, refined), v1, v2)

    gap = jax.lax.cond(jnp.any(gap < _PLAIN_GAP), refine, lambda g: g, gap)
    if offset is not None:
        gap = jnp.where(equal, 0.0, gap)
    gap = gap + (plain - jax.lax.stop_gradient(plain))
    return sign * (1.0 - gap), gap
