"""Blocks of rows as arguments: functions of one point, the points they belong to, and how much each block weighs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntk_helpers.finite.pinn.linearize import PointFunction, over_blocks

__all__ = ["block_losses", "block_problem", "check_finite", "check_shapes"]


def block_problem(
    residuals: Any, points: Any, weights: Any
) -> tuple[tuple[PointFunction, ...], tuple[Any, ...], Array]:
    """Functions, points and roots of the weights, one a block, after checking that they fit."""
    if callable(residuals):
        functions, blocks = (residuals,), (points,)
    else:
        if not isinstance(residuals, Sequence) or not residuals or not all(map(callable, residuals)):
            raise TypeError(f"residuals must be a function (params, point) or a sequence of them, got {residuals!r}")
        if not isinstance(points, Sequence) or len(points) != len(residuals):
            number = len(points) if isinstance(points, Sequence) else type(points).__name__
            raise ValueError(f"points must be a sequence, one entry for each of {len(residuals)} blocks, got {number}")
        functions, blocks = tuple(residuals), tuple(points)
    blocks = tuple(jax.tree.map(jnp.asarray, block) for block in blocks)
    for index, block in enumerate(blocks):
        sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(block)}
        if len(sizes) != 1 or not all(sizes) or 0 in next(iter(sizes)):
            raise ValueError(f"points of block {index} must share a first axis of at least one point, got {sizes}")
    if weights is None:
        weights = np.ones(len(functions))
    weights = jnp.asarray(weights, dtype=float)
    if weights.shape != (len(functions),):
        raise ValueError(f"weights must be one number for each of {len(functions)} blocks, got shape {weights.shape}")
    if not bool((jnp.isfinite(weights) & (weights >= 0)).all()):
        raise ValueError(f"weights must be finite and not negative, got {weights.tolist()}")
    return functions, blocks, jnp.sqrt(weights)


def check_shapes(functions: tuple[PointFunction, ...], blocks: tuple[Any, ...], params: Any) -> None:
    """Raise unless each function gives a number or a vector at one point."""
    for index, (function, block) in enumerate(zip(functions, blocks, strict=True)):
        one = jax.tree.map(lambda leaf: leaf[0], block)
        found = jax.eval_shape(function, params, one)
        if not isinstance(found, jax.ShapeDtypeStruct) or len(found.shape) > 1:
            raise ValueError(f"residuals[{index}] must return a number or a vector at one point, got {found}")


def check_finite(losses: Array | np.ndarray) -> None:
    """Raise where the loss of a block at the start, last axis of ``losses``, is NaN or infinite."""
    bad = ~np.isfinite(np.asarray(losses).reshape(-1, losses.shape[-1])).all(axis=0)
    if bad.any():
        raise ValueError(f"residuals[{int(bad.argmax())}] at params must be finite, got NaN or infinite values")


def block_losses(functions: tuple[PointFunction, ...], blocks: tuple[Any, ...], params: Any) -> Array:
    """Half the sum of squares of each block, ``(B,)``, not weighted."""
    rows = over_blocks(lambda f, point: f(params, point), functions, blocks)
    return jnp.stack([0.5 * jnp.sum(r**2) for r in rows])
