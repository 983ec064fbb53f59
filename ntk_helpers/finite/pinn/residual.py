"""The residual of a differential equation as a function of parameters and points, for training and tangent kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers._derivatives import Fields, check_variables, partial_derivatives, required_fields

__all__ = ["Equation", "Residual", "pde_residual"]

Equation = Callable[[Fields], Any]


@dataclass(frozen=True)
class Residual:
    """``residual(params, x)``: an equation at points x, shape ``(N,)`` or ``(N, R)``. Made by ``nh.pde_residual``.

    Attributes:
        u: u(params, x), the network.
        equation: a function of ``Fields``.
        variables: names of the columns of x.
        mode: how derivatives are computed.
    """

    u: Callable[[Any, Array], Array]
    equation: Equation
    variables: tuple[str, ...]
    mode: str = "auto"

    def __call__(self, params: Any, x: Float[Array | np.ndarray, "n d"]) -> Float[Array, "n ..."]:
        """The residual at each point."""
        x = _checks.as_samples(x, "x")
        if x.shape[1] != len(self.variables):
            raise ValueError(f"x must have a column for each of {self.variables}, got shape {x.shape}")

        def u(x: Array) -> Array:
            out = self.u(params, x)
            return out[:, 0] if out.ndim == 2 and out.shape[1] == 1 else out

        out = jax.eval_shape(u, x)
        if out.ndim not in (1, 2) or out.shape[0] != x.shape[0]:
            raise ValueError(f"u(params, x) must have shape (N,) or (N, O) for N = {x.shape[0]}, got {out.shape}")
        like = jax.ShapeDtypeStruct(out.shape[1:], out.dtype)
        names = required_fields(self.equation, self.variables, like)
        values = partial_derivatives(u, x, names, self.variables, mode=self.mode)

        def at_point(values: dict[str, Array], point: Array) -> Array:
            coordinates = {v: point[i] for i, v in enumerate(self.variables)}
            result = self.equation(Fields(lambda name: {**coordinates, **values}[name]))
            return jnp.stack(result) if isinstance(result, (tuple, list)) else jnp.asarray(result, out.dtype)

        result = jax.vmap(at_point)(values, x)
        if result.ndim > 2:
            raise ValueError(f"equation must return a number or a vector for one point, got shape {result.shape[1:]}")
        return result


def pde_residual(
    u: Callable[[Any, Array], Array], equation: Equation, variables: str | Sequence[str] = "tx", *, mode: str = "auto"
) -> Residual:
    r"""The residual of a differential equation as a function of parameters and points.

    The equation is a plain function of one argument ``d`` that holds, for one point, u (``d.u``), its partial
    derivatives of any order (``d.u_t``, ``d.u_xx``, ``d.u_xxx``, ``d.u_tx``) and the coordinates (``d.x``). Only the
    derivatives that it names are computed, all points together, in Taylor mode where possible. The result is a
    function as ``nh.empirical_ntk`` and ``nh.tangent_kernel`` take them.

    Args:
        u: u(params, x) maps points ``(N, d)`` to ``(N,)``, ``(N, 1)`` or, for O components, ``(N, O)``; the ``apply``
            of a network.
        equation: e.g. ``lambda d: d.u_tt - d.u_xx + jnp.sin(d.u)``. It returns a number, or a vector or tuple of
            numbers for a system of equations. With O components ``d.u`` and derivatives are vectors: ``d.u_x[0]``.
        variables: names of the columns of x, one letter each.
        mode: ``"auto"``, ``"taylor"`` or ``"forward"``, as in ``nh.partial_derivatives``.

    Returns:
        A function of ``(params, x)`` with values ``(N,)`` or ``(N, R)``. Two with the same arguments are equal, so
        that compiled kernels are found again.

    Raises:
        TypeError: if ``u`` or ``equation`` is no function.
        ValueError: if ``variables`` or ``mode`` is wrong.
        AttributeError: when called, if the equation asks for something that is no derivative or coordinate.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=2, width=32, depth=1, activation="tanh", sigma_b=0.5)
        >>> sine_gordon = nh.pde_residual(net.apply, lambda d: d.u_tt - d.u_xx + jnp.sin(d.u), "tx")
        >>> sine_gordon(net.init(key=jax.random.key(0)), jnp.ones((5, 2))).shape
        (5,)
    """
    for name, function in (("u", u), ("equation", equation)):
        if not callable(function):
            raise TypeError(f"{name} must be a function, got {type(function).__name__}")
    return Residual(
        u, equation, check_variables(variables), _checks.check_choice(mode, "mode", ("auto", "taylor", "forward"))
    )
