"""Programs as flat lists of operations, with call boundaries opened and equal operations merged.

``jax.make_jaxpr`` gives the program; this file turns it into a form that is easy to walk. Only ``jit``, ``remat`` and
other plain calls are opened. Custom derivative rules stay closed, so that derivatives of the kernel still obey them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

__all__ = ["Const", "Graph", "Op", "Ref", "bind", "flatten", "subgraph", "zeros_of"]

# Calls whose body may be copied into the caller without changing what is computed.
_OPEN_CALLS = ("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2")

_fresh = itertools.count()


@dataclasses.dataclass(frozen=True, eq=False)
class Const:
    """A literal or an array that the program closes over."""

    value: Any


Ref = int | Const


@dataclasses.dataclass(frozen=True, eq=False)
class Op:
    """One operation: ``outputs = primitive(*inputs, **params)``. Values are numbered; ``eqn`` is JAX's own record."""

    eqn: Any
    inputs: tuple[Ref, ...]
    outputs: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the JAX primitive."""
        return self.eqn.primitive.name

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of the JAX primitive."""
        return self.eqn.params


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """A program. ``avals`` holds the shape and dtype of every numbered value."""

    inputs: tuple[int, ...]
    outputs: tuple[Ref, ...]
    ops: tuple[Op, ...]
    avals: dict[int, Any]

    def aval(self, ref: Ref) -> Any:
        """Shape and dtype of a value."""
        return jax.typeof(jnp.asarray(ref.value)) if isinstance(ref, Const) else self.avals[ref]


def _hashable(value: Any) -> Any:
    """A key that is equal for equal parameters of a primitive; raises TypeError where there is none."""
    if isinstance(value, (core.Jaxpr, core.ClosedJaxpr)) or (callable(value) and not isinstance(value, type)):
        return id(value)
    if isinstance(value, (tuple, list)):
        return tuple(_hashable(entry) for entry in value)
    if isinstance(value, np.ndarray):
        return value.shape, str(value.dtype), value.tobytes()
    hash(value)
    return value


class _Builder:
    """Collects operations; an operation equal to an earlier one gives back the earlier result."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.avals: dict[int, Any] = {}
        self.seen: dict[Any, tuple[int, ...]] = {}
        self.literals: dict[Any, Const] = {}

    def new(self, aval: Any) -> int:
        number = next(_fresh)
        self.avals[number] = aval
        return number

    def literal(self, atom: Any) -> Const:
        value = atom.val
        if np.ndim(value):
            return Const(value)
        key = (np.asarray(value).tobytes(), str(atom.aval))
        # An array of the literal's own type: Python scalars would be weakly typed when the operation is bound.
        return self.literals.setdefault(key, Const(np.asarray(value, atom.aval.dtype)))

    def add(self, jaxpr: Any, inputs: Sequence[Ref]) -> list[Ref]:
        env: dict[Any, Ref] = dict(zip(jaxpr.invars, inputs, strict=True))

        def read(atom: Any) -> Ref:
            return self.literal(atom) if isinstance(atom, core.Literal) else env[atom]

        for eqn in jaxpr.eqns:
            args = [read(atom) for atom in eqn.invars]
            if eqn.primitive.name in _OPEN_CALLS:
                body = eqn.params["jaxpr"] if "jaxpr" in eqn.params else eqn.params["call_jaxpr"]
                body, consts = (body.jaxpr, body.consts) if hasattr(body, "consts") else (body, ())
                results = self.add_closed(body, consts, args)
            else:
                results = self.emit(eqn, args)
            env.update(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def add_closed(self, jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Ref]) -> list[Ref]:
        if jaxpr.constvars:
            jaxpr = jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars])
        return self.add(jaxpr, [*(Const(value) for value in consts), *inputs])

    def emit(self, eqn: Any, args: list[Ref]) -> Sequence[int]:
        key = None
        if not eqn.effects:
            try:
                key = (eqn.primitive, tuple(args), _hashable(sorted(eqn.params.items())))
                hash(key)
            except TypeError:
                key = None
        if key is not None and key in self.seen:
            return self.seen[key]
        outputs = tuple(self.new(var.aval) for var in eqn.outvars)
        self.ops.append(Op(eqn, tuple(args), outputs))
        if key is not None:
            self.seen[key] = outputs
        return outputs


def flatten(closed: Any) -> Graph:
    """The program of a closed jaxpr, calls opened, equal operations merged, operations without use dropped."""
    builder = _Builder()
    inputs = [builder.new(var.aval) for var in closed.jaxpr.invars]
    outputs = builder.add_closed(closed.jaxpr, closed.consts, inputs)
    used = {ref for ref in outputs if not isinstance(ref, Const)}
    kept = []
    for op in reversed(builder.ops):
        if used.intersection(op.outputs):
            kept.append(op)
            used.update(ref for ref in op.inputs if not isinstance(ref, Const))
    return Graph(tuple(inputs), tuple(outputs), tuple(reversed(kept)), builder.avals)


def subgraph(op: Op) -> Graph:
    """The body of a ``scan`` as a program of its own."""
    return flatten(op.params["jaxpr"])


def bind(op: Op, args: Sequence[Any]) -> list[Any]:
    """Run one operation on values."""
    eqn = op.eqn
    if eqn.primitive.name.startswith("custom_") and eqn.primitive.name != "custom_lin":
        # Calls with derivative rules need them unpacked; older JAX gives a pair of functions and parameters.
        unpacked = eqn.primitive.get_bind_params(eqn.params)
        functions, params = unpacked if isinstance(unpacked, tuple) else ((), unpacked)
        results = eqn.primitive.bind(*functions, *args, **params)
        return list(results)
    results = eqn.primitive.bind(*args, **eqn.params)
    return list(results) if eqn.primitive.multiple_results else [results]


def zeros_of(aval: Any) -> jax.Array:
    """Zeros of a value's shape and dtype."""
    return jnp.zeros(aval.shape, aval.dtype)
