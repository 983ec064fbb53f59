"""Partial derivatives of functions of coordinates, by name: ``u_xx`` of u(t, x). Shared by networks and kernels.

All samples of a batch are differentiated at once along one coordinate, in forward mode. Taylor mode carries the first k
derivatives through the function together and costs of the order k^2; nested forward mode costs 2^k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.jet import jet
from jaxtyping import Array, Float

from ntk_helpers import _checks

__all__ = ["Fields", "check_variables", "partial_derivatives", "required_fields"]

# What jet raises where an operation has no rule for Taylor series: no entry in its table, or code that it cannot trace.
_NO_TAYLOR = (NotImplementedError, KeyError, jax.errors.UnexpectedTracerError)

Function = Callable[[Array], Array]
Counts = tuple[int, ...]


class Fields:
    """What an equation is written in: ``d.u``, its derivatives (``d.u_tt``, ``d.u_x``), coordinates (``d.t``, ``d.x``).

    Attributes are arrays for one point: scalars, or vectors of shape ``(O,)`` for u with several components.
    """

    def __init__(self, lookup: Callable[[str], Any]) -> None:
        self._lookup = lookup

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._lookup(name)


def check_variables(variables: str | Sequence[str]) -> tuple[str, ...]:
    """Return names of coordinates, one letter each, in the order of the columns of x: ``"tx"`` or ``("t", "x")``."""
    if not isinstance(variables, (str, tuple, list)):
        raise TypeError(f"variables must be a text such as 'tx', one letter a coordinate, got {variables!r}")
    names = tuple(variables)
    if not names or any(not isinstance(v, str) or len(v) != 1 or not v.isalpha() for v in names):
        raise ValueError(f"variables must be one letter for each coordinate, such as 'tx', got {variables!r}")
    if len(set(names)) != len(names) or "u" in names:
        raise ValueError(f"variables must be different letters, none of them u, got {variables!r}")
    return names


def _counts(name: str, variables: tuple[str, ...]) -> Counts:
    """How often each coordinate is differentiated in ``u`` or ``u_...``."""
    head, _, tail = name.partition("_")
    if head != "u" or (name != "u" and not tail) or any(letter not in variables for letter in tail):
        derivatives = ", ".join(f"u_{v}" for v in variables)
        raise AttributeError(
            f"an equation in {', '.join(variables)} knows u, its derivatives ({derivatives}, u_{variables[-1] * 2}, "
            f"...) and the coordinates, got {name!r}"
        )
    return tuple(tail.count(v) for v in variables)


def required_fields(equation: Callable[[Fields], Any], variables: tuple[str, ...], like: Any) -> tuple[str, ...]:
    """The derivatives that an equation asks for; ``like`` has shape and dtype of u at one point."""
    asked: dict[str, None] = {}

    def record() -> Any:
        def lookup(name: str) -> Any:
            if name in variables:
                return jnp.ones((), like.dtype)
            _counts(name, variables)
            asked[name] = None
            return jnp.ones(like.shape, like.dtype)

        return equation(Fields(lookup))

    jax.eval_shape(record)
    return tuple(asked)


def _along(f: Function, x: Array, axis: int, order: int, mode: str) -> list[Array]:
    """f(x) and its derivatives up to ``order`` in one coordinate."""
    direction = jnp.zeros_like(x).at[:, axis].set(1)
    if order == 0:
        return [f(x)]
    if mode == "taylor" and order > 1:
        value, series = jet(f, (x,), [[direction, *[jnp.zeros_like(x)] * (order - 1)]])
        return [value, *series]
    if order == 1:
        return list(jax.jvp(f, (x,), (direction,)))
    values, tangents = jax.jvp(lambda x: tuple(_along(f, x, axis, order - 1, mode)), (x,), (direction,))
    return [*values, tangents[-1]]


def _mixed(f: Function, x: Array, counts: Counts, mode: str) -> Array:
    """One derivative: the coordinate of highest order innermost, the others by forward mode around it."""
    if not any(counts):
        return f(x)
    axis = max(range(len(counts)), key=counts.__getitem__)
    rest = tuple(0 if i == axis else c for i, c in enumerate(counts))

    def inner(x: Array) -> Array:
        return _along(f, x, axis, counts[axis], mode)[-1]

    return _mixed(inner, x, rest, "forward")


def _evaluate(f: Function, x: Array, wanted: dict[str, Counts], mode: str) -> dict[str, Array]:
    values: dict[Counts, Array] = {}
    pure = [counts for counts in wanted.values() if sum(c > 0 for c in counts) <= 1]
    for axis in range(x.shape[1]):
        order = max((counts[axis] for counts in pure), default=0)
        if order:
            unit = tuple(int(i == axis) for i in range(x.shape[1]))
            for k, value in enumerate(_along(f, x, axis, order, mode)):
                values.setdefault(tuple(k * u for u in unit), value)
    for counts in wanted.values():
        if counts not in values:
            values[counts] = _mixed(f, x, counts, mode)
    return {name: values[counts] for name, counts in wanted.items()}


def partial_derivatives(
    f: Callable[[Float[Array, "n d"]], Float[Array, "n ..."]],
    x: Float[Array | np.ndarray, "n d"],
    names: Sequence[str],
    variables: str | Sequence[str] = "tx",
    *,
    mode: str = "auto",
) -> dict[str, Float[Array, "n ..."]]:
    r"""Partial derivatives of a function at a batch of points, by name.

    Args:
        f: maps points ``(N, d)`` to ``(N,)`` or ``(N, O)``, each point on its own.
        x: the points, floating point.
        names: ``"u"`` for f itself, ``"u_x"``, ``"u_tt"``, ``"u_txx"``, ... of any order.
        variables: the names of the columns of x, one letter each.
        mode: ``"taylor"`` (Taylor mode along each coordinate), ``"forward"`` (nested forward mode, for any function),
            or ``"auto"``: Taylor mode where every operation in f has a rule for it, else forward. Same numbers.

    Returns:
        A dictionary from name to array, each of the shape of f(x).

    Raises:
        ValueError: if ``variables`` or ``mode`` is wrong, or x has another number of columns.
        AttributeError: if a name is no derivative.
        NotImplementedError: for ``mode="taylor"``, if an operation in f has no rule for Taylor series.

    Example:
        >>> import jax.numpy as jnp, ntk_helpers as nh
        >>> x = jnp.array([[1.0, 2.0]])
        >>> d = nh.partial_derivatives(lambda p: p[:, 0] ** 2 * p[:, 1] ** 3, x, ["u_t", "u_txx"], "tx")
        >>> [round(float(d[name][0]), 3) for name in ("u_t", "u_txx")]
        [16.0, 24.0]
    """
    names_of_columns = check_variables(variables)
    _checks.check_choice(mode, "mode", ("auto", "taylor", "forward"))
    x = _checks.as_samples(x, "x")
    if x.shape[1] != len(names_of_columns):
        raise ValueError(f"x must have a column for each of {names_of_columns}, got shape {x.shape}")
    wanted = {name: _counts(name, names_of_columns) for name in names}
    if mode != "forward" and max((max(counts) for counts in wanted.values()), default=0) > 1:
        try:
            jax.eval_shape(lambda x: _evaluate(f, x, wanted, "taylor"), x)
        except _NO_TAYLOR as error:
            if mode == "taylor":
                raise NotImplementedError(
                    f"Taylor mode does not know an operation in this function ({error!r:.120}); use mode='forward'"
                ) from error
            mode = "forward"
    return _evaluate(f, x, wanted, "forward" if mode == "forward" else "taylor")
