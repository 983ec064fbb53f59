"""The rows that a physics-informed network is trained on: residual, initial and boundary conditions as one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers._derivatives import check_variables
from ntk_helpers.finite.pinn.residual import Equation, Residual, pde_residual

__all__ = ["PDESystem", "Rows", "check_system"]

Network = Callable[[Any, Array], Array]


@dataclass(frozen=True, eq=False)
class Rows:
    """Points at which one equation is to hold: ``equation(u) = targets``.

    Attributes:
        name: a short name, such as ``"residual"``.
        equation: a function of ``d`` as in ``nh.pde_residual``; ``lambda d: d.u`` for the values of u.
        points: shape ``(n, d)``.
        targets: what the equation has to give: a number, or shape ``(n,)`` or ``(n, R)``.
    """

    name: str
    equation: Equation
    points: Float[Array | np.ndarray, "n d"]
    targets: Float[Array | np.ndarray, ...] | float = 0.0

    def aligned(self, shape: tuple[int, ...]) -> Array:
        """The targets, where the equation gives an array of this shape."""
        targets = jnp.asarray(self.targets)
        if targets.ndim and targets.shape != tuple(shape):
            raise ValueError(f"targets of {self.name!r} must have shape {tuple(shape)}, got {targets.shape}")
        return targets


@dataclass(frozen=True, eq=False)
class PDESystem:
    r"""All rows of a physics-informed problem. The loss is :math:`\tfrac12\sum_b\lambda_b\sum_i r_{b,i}^2`.

    Attributes:
        variables: names of the columns of the points, one letter each.
        rows: the blocks b of rows, in the order of the kernel matrix.
        mode: how derivatives are computed, as in ``nh.partial_derivatives``.

    Raises:
        ValueError: if two blocks have one name, there is none, or points have the wrong number of columns.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> inside = nh.Rows("residual", lambda d: d.u_xx + 4 * jnp.sin(2 * d.x), jnp.linspace(0.1, 3, 9)[:, None])
        >>> ends = nh.Rows("boundary", lambda d: d.u, jnp.array([[0.0], [jnp.pi]]))
        >>> system = nh.PDESystem("x", (inside, ends))
        >>> net = nh.fcn(d_in=1, width=16, depth=1, activation="tanh")
        >>> system.vector(net.apply, net.init(key=jax.random.key(0))).shape
        (11,)
    """

    variables: str | tuple[str, ...]
    rows: tuple[Rows, ...]
    mode: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", check_variables(self.variables))
        checked = []
        for rows in self.rows:
            points = _checks.as_samples(rows.points, f"points of {rows.name!r}")
            if points.shape[1] != len(self.variables):
                raise ValueError(
                    f"points of {rows.name!r} must have a column for each of {self.variables}, got shape {points.shape}"
                )
            targets = jnp.asarray(rows.targets, points.dtype)
            if targets.ndim and targets.shape[0] != points.shape[0]:
                raise ValueError(
                    f"targets of {rows.name!r} must be a number or have {points.shape[0]} rows, got {targets.shape}"
                )
            checked.append(Rows(rows.name, rows.equation, points, targets))
        object.__setattr__(self, "rows", tuple(checked))
        if not self.rows or len(set(self.names)) != len(self.rows):
            raise ValueError(f"rows must be blocks with different names, at least one, got names {self.names}")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the blocks, in order."""
        return tuple(rows.name for rows in self.rows)

    def __getitem__(self, name: str) -> Rows:
        for rows in self.rows:
            if rows.name == name:
                return rows
        raise KeyError(f"no rows named {name!r}; there are {', '.join(self.names)}")

    def operators(self, u: Network) -> dict[str, Residual]:
        """For each block its equation as a function of ``(params, x)``, without the targets."""
        return {rows.name: pde_residual(u, rows.equation, self.variables, mode=self.mode) for rows in self.rows}

    def residuals(self, u: Network, params: Any) -> dict[str, Float[Array, "n ..."]]:
        """For each block ``equation(u) - targets`` at its points."""
        operators = self.operators(u)
        out = {}
        for rows in self.rows:
            values = operators[rows.name](params, rows.points)
            out[rows.name] = values - rows.aligned(values.shape)
        return out

    def vector(self, u: Network, params: Any) -> Float[Array, " rows"]:
        """All residuals in one vector, block after block, components of one point together."""
        return jnp.concatenate([r.reshape(-1) for r in self.residuals(u, params).values()])

    def loss(self, u: Network, params: Any, weights: Mapping[str, Any] | None = None) -> Float[Array, ""]:
        """Half the weighted sum of squares; ``weights`` maps names to numbers, 1 where it has none."""
        weights = self.check_weights(weights)
        squares = {name: jnp.sum(r**2) for name, r in self.residuals(u, params).items()}
        return 0.5 * sum(weights.get(name, 1.0) * square for name, square in squares.items())

    def check_weights(self, weights: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return the weights, ``{}`` for None; raise for a name that is no block."""
        if unknown := set(weights or {}) - set(self.names):
            raise ValueError(f"weights names {sorted(unknown)}, the blocks are {', '.join(self.names)}")
        return weights or {}


def check_system(system: Any) -> None:
    """Raise unless this is a system of rows."""
    if not isinstance(system, PDESystem):
        raise TypeError(f"system must be a PDESystem, got {type(system).__name__}")
