"""Blocks of rows: residual functions of one point, the points they belong to, and how much each block weighs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntk_helpers.finite.pinn import PDESystem

__all__ = [
    "PointResidual",
    "Residual",
    "block_losses",
    "block_problem",
    "check_finite",
    "check_shapes",
    "over_blocks",
    "point_residuals",
]

Residual = Callable[[Any, Any], Array]


@dataclass(frozen=True)
class PointResidual:
    """``operator(params, x) - target`` at one point ``(x, target)``; two with equal operators are equal."""

    operator: Callable[[Any, Array], Array]

    def __call__(self, params: Any, point: tuple[Array, Array]) -> Array:
        """The residual at one point."""
        x, target = point
        return self.operator(params, x[None])[0] - target


def point_residuals(
    system: PDESystem, u: Callable[[Any, Array], Array]
) -> tuple[list[PointResidual], list[tuple[Array, Array]]]:
    """The rows of a system in the form that ``nh.levenberg_marquardt`` and ``nh.train_residuals`` take.

    Args:
        system: the rows.
        u: u(params, x) as in ``nh.pde_residual``; the ``apply`` of a network.

    Returns:
        Functions and points, one entry for each block, in the order of ``system.names``.

    Raises:
        TypeError: if ``system`` is no ``PDESystem``.

    Example:
        >>> import jax, ntk_helpers as nh
        >>> net = nh.fcn(d_in=1, width=10, depth=1, activation="tanh", sigma_b=1.0)
        >>> system = nh.pde_problem("poisson", frequency=1.0).system(residual=20, boundary=2)
        >>> rows, points = nh.point_residuals(system, net.apply)
        >>> log = nh.levenberg_marquardt(rows, points, net.init(key=jax.random.key(0)), steps=10)
        >>> bool(log.losses[-1] < 1e-3 * log.losses[0])
        True
    """
    if not isinstance(system, PDESystem):
        raise TypeError(f"system must be a PDESystem, got {type(system).__name__}")
    functions, points = [], []
    for rows, operator in zip(system.rows, system.operators(u).values(), strict=True):
        count = rows.points.shape[0]
        targets = rows.targets if rows.targets.ndim else jnp.broadcast_to(rows.targets, (count,))
        functions.append(PointResidual(operator))
        points.append((rows.points, targets))
    return functions, points


def block_problem(residuals: Any, points: Any, weights: Any) -> tuple[tuple[Residual, ...], tuple[Any, ...], Array]:
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


def check_shapes(functions: tuple[Residual, ...], blocks: tuple[Any, ...], params: Any) -> None:
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


def over_blocks(
    at_point: Callable[[Residual, Any], Any], functions: tuple[Residual, ...], blocks: tuple[Any, ...]
) -> list[Any]:
    """``at_point(function, point)`` at all points, a pytree for each block.

    Blocks of equal functions, such as u at the start and on the sides, go through one program: less to compile.
    """
    groups: list[tuple[Any, list[int]]] = []
    for index, (function, block) in enumerate(zip(functions, blocks, strict=True)):
        leaves, tree = jax.tree.flatten(block)
        kind = (function, tree, [(leaf.shape[1:], leaf.dtype) for leaf in leaves])
        same = next((members for other, members in groups if other == kind), None)
        if same is None:
            groups.append((kind, [index]))
        else:
            same.append(index)
    found: list[Any] = [None] * len(functions)
    for (function, *_), members in groups:
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *[blocks[i] for i in members])
        values = jax.vmap(lambda point, f=function: at_point(f, point))(joined)
        end = 0
        for i in members:
            begin, end = end, end + len(jax.tree.leaves(blocks[i])[0])
            found[i] = jax.tree.map(lambda v, b=begin, e=end: v[b:e], values)
    return found


def block_losses(functions: tuple[Residual, ...], blocks: tuple[Any, ...], params: Any) -> Array:
    """Half the sum of squares of each block, ``(B,)``, not weighted."""
    rows = over_blocks(lambda f, point: f(params, point), functions, blocks)
    return jnp.stack([0.5 * jnp.sum(r**2) for r in rows])
