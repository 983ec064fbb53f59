"""Rows one point at a time: residual functions of a point, and their values and gradients at all points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ntk_helpers.finite.pinn.system import Network, PDESystem, check_system

__all__ = [
    "PointFunction",
    "PointResidual",
    "linearize_blocks",
    "over_blocks",
    "pde_jacobian",
    "pde_linearize",
    "point_residuals",
]

# (params, point) -> the residual at that point, a number or a vector
PointFunction = Callable[[Any, Any], Array]


@dataclass(frozen=True)
class PointResidual:
    """``operator(params, x) - target`` at one point ``(x, target)``; two with equal operators are equal."""

    operator: Callable[[Any, Array], Array]

    def __call__(self, params: Any, point: tuple[Array, Array]) -> Array:
        """The residual at one point."""
        x, target = point
        return self.operator(params, x[None])[0] - target


def point_residuals(system: PDESystem, u: Network) -> tuple[list[PointResidual], list[tuple[Array, Array]]]:
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
    check_system(system)
    functions, points = [], []
    for rows, operator in zip(system.rows, system.operators(u).values(), strict=True):
        count = rows.points.shape[0]
        targets = rows.targets if rows.targets.ndim else jnp.broadcast_to(rows.targets, (count,))
        functions.append(PointResidual(operator))
        points.append((rows.points, targets))
    return functions, points


def over_blocks(
    at_point: Callable[[PointFunction, Any], Any], functions: tuple[PointFunction, ...], blocks: tuple[Any, ...]
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


def linearize_blocks(
    functions: tuple[PointFunction, ...], blocks: tuple[Any, ...], flat: Array, unravel: Callable[[Array], Any]
) -> list[tuple[Float[Array, "n r"], Float[Array, "n r params"]]]:
    """Residuals and their gradients at all points, for each block; ``flat`` are the parameters as one vector.

    One vjp for each number that a point's residual has: the gradient of the point, never of the whole.
    """

    def at_point(function: PointFunction, point: Any) -> tuple[Array, Array]:
        r, pull = jax.vjp(lambda p: jnp.ravel(function(unravel(p), point)), flat)
        return r, jax.vmap(lambda e: pull(e)[0])(jnp.eye(r.size, dtype=r.dtype))

    return over_blocks(at_point, functions, blocks)


def pde_linearize(
    system: PDESystem, u: Network, params: Any
) -> tuple[Float[Array, " rows"], Float[Array, "rows params"]]:
    r"""The residuals of all rows and their Jacobian by all parameters, from one pass.

    The Jacobian is the gradient of the residual at one point, vectorized over points. That is far cheaper than reverse
    mode on the vector of residuals, which would run over all points once for each row. For the kernel itself
    ``nh.pde_kernel`` needs neither time nor memory for a matrix of this size.

    Args:
        system: the rows.
        u: u(params, x), as in ``nh.pde_residual``.
        params: pytree of floating-point parameters.

    Returns:
        The residuals in the order of ``system.vector``, and the Jacobian, ``(rows, parameters)``, its columns in the
        order of ``jax.flatten_util.ravel_pytree(params)``.

    Raises:
        TypeError: if ``system`` is no ``PDESystem``.
        ValueError: if the targets of a block have another shape than its equation gives.

    Example:
        >>> import jax, ntk_helpers as nh
        >>> net = nh.fcn(d_in=2, width=8, depth=1, activation="tanh", sigma_b=0.5)
        >>> system = nh.pde_problem("heat").system(residual=16, initial=8, boundary=4)
        >>> residuals, jacobian = nh.pde_linearize(system, net.apply, net.init(key=jax.random.key(0)))
        >>> residuals.shape, jacobian.shape
        ((32,), (32, 33))
    """
    check_system(system)
    for rows, operator in zip(system.rows, system.operators(u).values(), strict=True):
        rows.aligned(jax.eval_shape(operator, params, rows.points).shape)
    flat, unravel = ravel_pytree(params)
    found = linearize_blocks(*map(tuple, point_residuals(system, u)), flat, unravel)
    residuals, jacobians = zip(*found, strict=True)
    return (
        jnp.concatenate([r.reshape(-1) for r in residuals]),
        jnp.concatenate([j.reshape(-1, flat.size) for j in jacobians]),
    )


def pde_jacobian(system: PDESystem, u: Network, params: Any) -> Float[Array, "rows params"]:
    r"""The Jacobian of all rows by all parameters: the second part of ``nh.pde_linearize``.

    Args:
        system: the rows.
        u: u(params, x), as in ``nh.pde_residual``.
        params: pytree of floating-point parameters.

    Returns:
        An array of shape ``(rows, parameters)``.

    Raises:
        TypeError: if ``system`` is no ``PDESystem``.

    Example:
        >>> import jax, ntk_helpers as nh
        >>> net = nh.fcn(d_in=2, width=8, depth=1, activation="tanh", sigma_b=0.5)
        >>> system = nh.pde_problem("heat").system(residual=16, initial=8, boundary=4)
        >>> nh.pde_jacobian(system, net.apply, net.init(key=jax.random.key(0))).shape
        (32, 33)
    """
    return pde_linearize(system, u, params)[1]
