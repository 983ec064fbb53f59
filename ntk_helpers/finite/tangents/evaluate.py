"""Run a walked program for one example: forward once, then backward once per output, to the places that matter.

Forward gives the operands that meet the parameters. For backward a zero, the *tap*, is added to the result of each
operation that consumes a parameter; the derivative with respect to the tap is the other factor of the gradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntk_helpers.finite.tangents.ir import Const, Op, Ref, bind, zeros_of
from ntk_helpers.finite.tangents.trace import Analysis, Program, Use

__all__ = ["Factors", "example_factors", "tap_places"]


@dataclasses.dataclass(frozen=True, eq=False)
class Factors:
    """What one example gives: an operand and a weight for each use, a cotangent for each tap and each tapped leaf."""

    operands: list[Any]
    weights: list[Any]
    taps: list[Any]
    leaves: list[Any]


jax.tree_util.register_dataclass(Factors, data_fields=["operands", "weights", "taps", "leaves"], meta_fields=[])


def tap_places(uses: Sequence[Use]) -> list[tuple[tuple[Op, ...], Op]]:
    """The operations to tap, each once: a sum of parameters has one tap for all of them."""
    return list(dict.fromkeys((use.path, use.tap) for use in uses))


def _read(env: dict[int, Any], ref: Ref) -> Any:
    return ref.value if isinstance(ref, Const) else env[ref]


def _run_known(analysis: Analysis, env: dict[int, Any]) -> None:
    """Fill in all values that do not depend on the tangents."""
    for op in analysis.graph.ops:
        if not analysis.tangents.intersection(op.outputs):
            env.update(zip(op.outputs, bind(op, [_read(env, ref) for ref in op.inputs]), strict=True))


def _factor(env: dict[int, Any], scales: Sequence[Any]) -> Any:
    """Product of the numbers that scale a parameter; None if there are none."""
    product = None
    for entry in scales:
        if isinstance(entry, tuple):
            value = 1 / jnp.reshape(_read(env, entry[1]), ())
        elif isinstance(entry, float):
            value = entry
        else:
            value = jnp.reshape(_read(env, entry), ())
        product = value if product is None else product * value
    return product


def _times(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return second if first is None else first
    return first * second


def _known_flags(analysis: Analysis, refs: Sequence[Ref]) -> list[bool]:
    return [isinstance(ref, Const) or ref not in analysis.tangents for ref in refs]


def _operands(analysis: Analysis, env: dict[int, Any], uses: Sequence[Use], depth: int) -> list[tuple[Any, Any]]:
    """Operand and weight of each use, those inside scans stacked over the steps."""
    records: dict[Use, tuple[Any, Any]] = {}
    inner: dict[Op, list[Use]] = {}
    for use in uses:
        if len(use.path) > depth:
            inner.setdefault(use.path[depth], []).append(use)
        else:
            position = use.product.operand
            operand = (
                jnp.ones((), use.op.eqn.outvars[0].aval.dtype)
                if position is None
                else _read(env, use.op.inputs[position])
            )
            records[use] = (operand, _factor(env, use.view.scales))
    for op, group in inner.items():
        for use, (operand, weight) in zip(group, _scan_operands(analysis, env, op, group, depth), strict=True):
            records[use] = (operand, _times(weight, _factor(env, use.view.outer_scales[depth])))
    return [records[use] for use in uses]


def _scan_operands(
    analysis: Analysis, env: dict[int, Any], op: Op, uses: Sequence[Use], depth: int
) -> list[tuple[Any, Any]]:
    """Operands inside one scan: a scan of the part of its body that does not depend on the tangents."""
    body = analysis.bodies[op]
    num_consts, num_carry = op.params["num_consts"], op.params["num_carry"]
    known = [ref not in body.tangents for ref in body.graph.inputs]
    values = [_read(env, ref) if flag else None for ref, flag in zip(op.inputs, known, strict=True)]
    stop = num_consts + num_carry
    carried = [i for i in range(num_consts, stop) if known[i]]
    stepped = [i for i in range(stop, len(known)) if known[i]]
    # Known values that a carry brings in when the carry itself starts from a tangent do not exist: see _carry_marks.

    def step(carry: list[Any], slices: list[Any]) -> tuple[list[Any], Any]:
        inside = {body.graph.inputs[i]: values[i] for i in range(num_consts) if known[i]}
        inside.update((body.graph.inputs[i], value) for i, value in zip(carried, carry, strict=True))
        inside.update((body.graph.inputs[i], value) for i, value in zip(stepped, slices, strict=True))
        _run_known(body, inside)
        new = [_read(inside, body.graph.outputs[i - num_consts]) for i in carried]
        return new, _operands(body, inside, uses, depth + 1)

    slices = [values[i] for i in stepped]
    if not carried and slices:
        return jax.vmap(lambda parts: step([], parts)[1], axis_size=op.params["length"])(slices)
    _, stacked = lax.scan(
        step, [values[i] for i in carried], slices, length=op.params["length"], reverse=op.params["reverse"]
    )
    return stacked


def _linear(
    analysis: Analysis, env: dict[int, Any], given: dict[int, Any], taps: dict[Op, Any], inner: dict[Op, dict[Op, Any]]
) -> dict[int, Any]:
    """Run the linear part from given tangents and taps. A tangent that is zero has no entry."""
    tangents = dict(given)
    for op in analysis.graph.ops:
        if not analysis.tangents.intersection(op.outputs):
            continue
        flags = _known_flags(analysis, op.inputs)
        live = [not flag and ref in tangents for ref, flag in zip(op.inputs, flags, strict=True)]
        if op.name == "scan":
            _linear_scan(analysis, env, tangents, op, inner.get(op, {}))
        elif any(live):
            tangents.update(zip(op.outputs, _bind_linear(analysis, env, tangents, op, flags, live), strict=True))
        if op in taps:
            (out,) = op.outputs
            tangents[out] = tangents[out] + taps[op] if out in tangents else taps[op]
    return tangents


def _bind_linear(
    analysis: Analysis,
    env: dict[int, Any],
    tangents: dict[int, Any],
    op: Op,
    flags: Sequence[bool],
    live: Sequence[bool],
) -> list[Any]:
    """One linear operation, some of whose tangents may be zero."""
    if op.name in ("add", "add_any", "sub") and not any(flags) and not all(live):
        value = tangents[op.inputs[live.index(True)]]
        aval = analysis.graph.avals[op.outputs[0]]
        value = jnp.broadcast_to(value, aval.shape)
        return [-value if op.name == "sub" and live[1] else value]
    args = [
        _read(env, ref) if known else tangents[ref] if alive else zeros_of(analysis.graph.aval(ref))
        for ref, known, alive in zip(op.inputs, flags, live, strict=True)
    ]
    if op.name != "custom_lin":
        return bind(op, args)
    return _only_transposable(op, args, flags)


def _only_transposable(op: Op, args: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    """A step of a custom_vjp function: JAX can transpose it and nothing else, and nothing else is needed here."""
    known = [arg for arg, flag in zip(args, flags, strict=True) if flag]
    moving = [arg for arg, flag in zip(args, flags, strict=True) if not flag]

    def run(known: list[Any], moving: list[Any]) -> list[Any]:
        known_left, moving_left = iter(known), iter(moving)
        return bind(op, [next(known_left) if flag else next(moving_left) for flag in flags])

    @jax.custom_vjp
    def step(known: list[Any], moving: list[Any]) -> list[Any]:
        return [zeros_of(var.aval) for var in op.eqn.outvars]

    def backward(known: list[Any], cotangents: list[Any]) -> tuple[Any, list[Any]]:
        (pulled,) = jax.linear_transpose(lambda values: run(known, values), moving)(cotangents)
        return jax.tree.map(_no_cotangent, known), pulled

    step.defvjp(lambda known, moving: (step(known, moving), known), backward)
    return list(step(known, moving))


def _no_cotangent(value: Any) -> Any:
    """A zero cotangent of the right type."""
    if jnp.issubdtype(jnp.result_type(value), jnp.inexact):
        return jnp.zeros(jnp.shape(value), jnp.result_type(value))
    return np.zeros(jnp.shape(value), jax.dtypes.float0)


def _linear_scan(
    analysis: Analysis, env: dict[int, Any], tangents: dict[int, Any], op: Op, taps: dict[Op, Any]
) -> None:
    """The linear part of a scan, with its taps as further inputs of each step."""
    body = analysis.bodies[op]
    num_consts, num_carry = op.params["num_consts"], op.params["num_carry"]
    stop = num_consts + num_carry
    inputs, outputs = body.graph.inputs, body.graph.outputs
    known = [ref not in body.tangents for ref in inputs]
    values: list[Any] = []
    for i, ref in enumerate(op.inputs):
        if isinstance(ref, Const) or ref not in analysis.tangents:
            values.append(_read(env, ref))
        elif ref in tangents:
            values.append(tangents[ref])
        else:
            values.append(zeros_of(analysis.graph.avals[ref]) if num_consts <= i < stop else None)
    if not taps and not any(
        not flag and value is not None and (isinstance(ref, Const) or ref in tangents)
        for ref, flag, value in zip(op.inputs, known, values, strict=True)
    ):
        return  # no tangent enters
    here = {key: value for key, value in taps.items() if not isinstance(value, dict)}
    deeper = {key: value for key, value in taps.items() if isinstance(value, dict)}
    tap_ops, tap_values = list(here), list(here.values())
    paths, leaves = _flatten_taps(deeper)
    stepped = [i for i in range(stop, len(inputs)) if values[i] is not None]

    def step(carry: list[Any], slices: tuple[list[Any], list[Any], list[Any]]) -> tuple[list[Any], list[Any]]:
        parts, tap_slices, deep_slices = slices
        entries = [(i, values[i]) for i in range(num_consts) if values[i] is not None]
        entries += [*zip(range(num_consts, stop), carry, strict=True), *zip(stepped, parts, strict=True)]
        inside = {inputs[i]: value for i, value in entries if known[i]}
        given = {inputs[i]: value for i, value in entries if not known[i]}
        _run_known(body, inside)
        result = _linear(
            body, inside, given, dict(zip(tap_ops, tap_slices, strict=True)), _nest_taps(paths, deep_slices)
        )

        def out(ref: Ref) -> Any:
            if isinstance(ref, Const) or ref not in body.tangents:
                return jnp.asarray(_read(inside, ref))
            return result[ref] if ref in result else zeros_of(body.graph.avals[ref])

        return [out(ref) for ref in outputs[:num_carry]], [out(ref) for ref in outputs[num_carry:]]

    carry, stacked = lax.scan(
        step,
        [jnp.asarray(value) for value in values[num_consts:stop]],
        ([values[i] for i in stepped], tap_values, leaves),
        length=op.params["length"],
        reverse=op.params["reverse"],
        unroll=op.params["unroll"],
    )
    tangents.update(zip(op.outputs, [*carry, *stacked], strict=True))


def _flatten_taps(nested: dict[Op, Any], path: tuple[Op, ...] = ()) -> tuple[list[tuple[Op, ...]], list[Any]]:
    """Nested taps as a list of paths and a list of arrays: operations cannot be keys of a pytree."""
    paths: list[tuple[Op, ...]] = []
    leaves: list[Any] = []
    for op, value in nested.items():
        if isinstance(value, dict):
            deeper = _flatten_taps(value, (*path, op))
            paths += deeper[0]
            leaves += deeper[1]
        else:
            paths.append((*path, op))
            leaves.append(value)
    return paths, leaves


def _nest_taps(paths: Sequence[tuple[Op, ...]], leaves: Sequence[Any]) -> dict[Op, Any]:
    """The inverse of ``_flatten_taps``."""
    nested: dict[Op, Any] = {}
    for (*outer, op), value in zip(paths, leaves, strict=True):
        level = nested
        for scan in outer:
            level = level.setdefault(scan, {})
        level[op] = value
    return nested


def example_factors(
    program: Program,
    leaves: Sequence[Any],
    example: Sequence[Any],
    tangent_leaves: Sequence[Any],
    uses: Sequence[Use],
    tapped_leaves: Sequence[int],
    cotangents: jax.Array,
) -> Factors:
    """Operands and cotangents of one example.

    Args:
        program: the walked program.
        leaves: all parameter leaves.
        example: the leaves of x for one example.
        tangent_leaves: the trainable leaves.
        uses: the uses whose operation gets a tap.
        tapped_leaves: numbers of the trainable leaves whose whole gradient is wanted.
        cotangents: shape (O, *out), the output directions to pull back.
    """
    analysis = program.analysis
    env: dict[int, Any] = dict(zip(analysis.graph.inputs, [*leaves, *example], strict=False))
    _run_known(analysis, env)
    records = _operands(analysis, env, uses, 0)
    places = tap_places(uses)
    paths = [(*path, op) for path, op in places]
    zeros = []
    for path, op in places:
        lengths = [scan.params["length"] for scan in path]
        aval = op.eqn.outvars[0].aval
        zeros.append(jnp.zeros((*lengths, *aval.shape), aval.dtype))

    def linear(taps: list[Any], leaf_taps: list[Any]) -> Any:
        given = {program.tangent_inputs[leaf]: tap for leaf, tap in zip(tapped_leaves, leaf_taps, strict=True)}
        nested = _nest_taps(paths, taps)
        top = {op: value for op, value in nested.items() if not isinstance(value, dict)}
        inner = {op: value for op, value in nested.items() if isinstance(value, dict)}
        tangents = _linear(analysis, env, given, top, inner)
        (out,) = analysis.graph.outputs
        if isinstance(out, Const) or out not in tangents:
            return jnp.zeros(program.out_shape, program.out_dtype)
        return tangents[out]

    leaf_zeros = [jnp.zeros(jnp.shape(tangent_leaves[i]), jnp.result_type(tangent_leaves[i])) for i in tapped_leaves]
    _, pull = jax.vjp(linear, zeros, leaf_zeros)
    taps, leaf_gradients = jax.vmap(pull)(cotangents)
    operands, weights = zip(*records, strict=True) if records else ((), ())
    return Factors(list(operands), list(weights), taps, leaf_gradients)
