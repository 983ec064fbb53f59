"""Find where a program uses its parameters: trace one example, follow each parameter to the operations that consume it.

The program that is walked is the derivative of f in the parameters, df = J(theta, x) dtheta, as ``jax.linearize`` gives
it. It is linear in dtheta, so a use of a parameter W shows as one operation of dW with an operand that is known, and
custom derivative rules, ``jit``, ``remat`` and derivatives inside f are already resolved in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax

from ntk_helpers.finite.tangents import views
from ntk_helpers.finite.tangents.ir import Const, Graph, Op, Ref, flatten, subgraph
from ntk_helpers.finite.tangents.rules import Call, Direct, Product, find_rule
from ntk_helpers.finite.tangents.views import View

__all__ = ["Analysis", "Program", "Use", "analyse", "trace_program"]

_SUMS = {"add": 1.0, "add_any": 1.0, "sub": -1.0}


@dataclasses.dataclass(frozen=True, eq=False)
class Use:
    """One use of a parameter: the operation (inside ``path`` of scans), how the parameter and the operand enter it.

    ``tap`` is the operation whose result has the same cotangent, up to the scales of ``view``: the last of the sums
    and scalings that follow, so that a bias and the weight it is added to are tapped once.
    """

    leaf: int
    path: tuple[Op, ...]
    op: Op
    view: View
    product: Product
    tap: Op


@dataclasses.dataclass(eq=False)
class Analysis:
    """What is known of a program and, in ``bodies``, of the bodies of its scans."""

    graph: Graph
    tangents: set[int]
    uses: list[Use]
    bodies: dict[Op, Analysis]
    added: dict[int, list[Use | None]] = dataclasses.field(default_factory=dict)  # each direct entry of a leaf


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """The linearized program of one example.

    Attributes:
        analysis: the walked program. Its inputs are all parameter leaves, the leaves of x, the tangents of the
            trainable leaves.
        reasons: for each trainable leaf without structure, why.
        direct: for each leaf whose gradient is a by-product of the backward pass, why.
        summands: for each of these that is added once, entry for entry, the sum as a use with the operand one.
        out_shape, out_dtype: of f for one example.
    """

    analysis: Analysis
    tangent_inputs: tuple[int, ...]
    reasons: dict[int, str]
    direct: dict[int, str]
    summands: dict[int, Use]
    out_shape: tuple[int, ...]
    out_dtype: Any

    @property
    def uses(self) -> list[Use]:
        """All uses of leaves that are structured, those inside of scans included."""
        return [use for use in self.analysis.uses if use.leaf not in self.reasons and use.leaf not in self.direct]


def trace_program(
    function: Callable[[Sequence[Any], Sequence[Any]], Any],
    leaves: Sequence[Any],
    trainable: Sequence[int],
    example: Sequence[Any],
) -> Program:
    """Trace and walk ``function(leaves, example)``, a function of flat lists that returns one array."""

    def derivative(leaves: list[Any], example: list[Any], tangents: list[Any]) -> tuple[Any, Any]:
        def of_trainable(values: list[Any]) -> Any:
            merged = list(leaves)
            for position, value in zip(trainable, values, strict=True):
                merged[position] = value
            return function(merged, example)

        out, push = jax.linearize(of_trainable, [leaves[i] for i in trainable])
        return push(tangents), out

    tangents = [leaves[i] for i in trainable]
    closed, shapes = jax.make_jaxpr(derivative, return_shape=True)(list(leaves), list(example), tangents)
    out = shapes[1]
    graph = flatten(closed)
    graph = dataclasses.replace(graph, outputs=graph.outputs[:1])
    tangent_inputs = graph.inputs[len(leaves) + len(example) :]
    x_inputs = graph.inputs[len(leaves) : len(leaves) + len(example)]
    reasons: dict[int, str] = {}
    direct: dict[int, str] = {}
    terms = {value: [views.view_of(leaf, graph.avals[value].shape)] for leaf, value in enumerate(tangent_inputs)}
    analysis, terms = analyse(graph, set(tangent_inputs), set(x_inputs), terms, (), reasons, direct)
    for ref in graph.outputs:
        for view in terms.get(ref, ()) if not isinstance(ref, Const) else ():
            direct.setdefault(view.leaf, "is an output")
    _drop_mixed(analysis.uses, reasons, direct)
    settle = _settler(analysis)
    analysis.uses = [settle(use) for use in analysis.uses]
    summands = {
        leaf: settle(entries[0])
        for leaf, entries in analysis.added.items()
        if leaf in direct and len(entries) == 1 and entries[0] is not None
    }
    return Program(analysis, tangent_inputs, reasons, direct, summands, out.shape, out.dtype)


def _settler(analysis: Analysis) -> Callable[[Use], Use]:
    """A function that moves the tap of a use past the sums and scalings by a number that follow its operation."""
    graph, tangents = analysis.graph, analysis.tangents
    producers = {out: op for op in graph.ops for out in op.outputs}
    consumers: dict[int, list[Op]] = {}
    for op in graph.ops:
        for ref in op.inputs:
            if not isinstance(ref, Const):
                consumers.setdefault(ref, []).append(op)

    def scales_of(op: Op, value: int) -> tuple[Any, ...] | None:
        """The numbers by which an operation multiplies one operand, whatever the others are; None if it does more."""
        if op.name in ("add", "add_any") or (op.name == "sub" and op.inputs[0] == value):
            return ()
        if op.name == "neg":
            return (-1.0,)
        position = op.inputs.index(value)
        number = _number(graph, producers, tangents, op.inputs[1 - position]) if op.name in ("mul", "div") else None
        if number is None or (op.name == "div" and position == 1):
            return None
        return (("inverse", number) if op.name == "div" else number,)

    def settle(use: Use) -> Use:
        if use.path:
            return use
        op, scales = use.tap, ()
        while len(op.outputs) == 1 and op.outputs[0] not in graph.outputs:
            (value,) = op.outputs
            following = consumers.get(value, [])
            here, there = graph.avals[value], graph.avals[following[0].outputs[0]] if following else None
            if len(following) != 1 or (here.shape, here.dtype) != (there.shape, there.dtype):
                break
            factors = scales_of(following[0], value)
            if factors is None:
                break
            op, scales = following[0], (*scales, *factors)
        return dataclasses.replace(use, tap=op, view=views.scale(use.view, *scales))

    return settle


def _drop_mixed(uses: list[Use], reasons: dict[int, str], direct: dict[int, str]) -> None:
    """A leaf that is used in products and directly as well needs its whole gradient."""
    for leaf in sorted({use.leaf for use in uses} & set(direct)):
        if leaf not in reasons:
            reasons[leaf] = f"it enters products, and also {direct[leaf]}"
    for leaf in reasons:
        direct.pop(leaf, None)


def analyse(
    graph: Graph,
    tangents: set[int],
    varying: set[int],
    terms: dict[int, list[View]],
    path: tuple[Op, ...],
    reasons: dict[int, str],
    direct: dict[int, str],
) -> tuple[Analysis, dict[int, list[View]]]:
    """Walk a program in order. ``terms`` gives, for values that are sums of parameters, the parameters' views."""
    result = Analysis(graph, tangents, [], {})
    producers = {out: op for op in graph.ops for out in op.outputs}

    def fail(op_terms: list[View], why: str) -> None:
        for view in op_terms:
            reasons.setdefault(view.leaf, why)

    for op in graph.ops:
        refs = [ref for ref in op.inputs if not isinstance(ref, Const)]
        if varying.intersection(refs):
            varying.update(op.outputs)
        if not tangents.intersection(refs):
            continue
        tangents.update(op.outputs)
        with_terms = [i for i, ref in enumerate(op.inputs) if not isinstance(ref, Const) and ref in terms]
        if op.name == "scan":
            _analyse_scan(result, op, tangents, varying, terms, path, reasons, direct)
            continue
        if not with_terms:
            continue
        if op.name in _SUMS and len(with_terms) == 2:
            sign = _SUMS[op.name]
            second = [view if sign == 1.0 else views.scale(view, sign) for view in terms[op.inputs[1]]]
            terms[op.outputs[0]] = [*terms[op.inputs[0]], *second]
            continue
        if op.name in _SUMS and not varying.intersection(refs) and tangents.issuperset(refs) and len(refs) == 2:
            # A parameter plus a tangent that comes from other parameters, as in d(s W) = s dW + ds W: the latter stays
            # in the program and is evaluated there.
            sign = _SUMS[op.name] if with_terms == [1] else 1.0
            kept = terms[op.inputs[with_terms[0]]]
            terms[op.outputs[0]] = [view if sign == 1.0 else views.scale(view, sign) for view in kept]
            continue
        if len(with_terms) > 1:
            fail([view for i in with_terms for view in terms[op.inputs[i]]], f"'{op.name}' joins it with others")
            continue
        (position,) = with_terms
        rule = find_rule(op.name)
        incoming = terms[op.inputs[position]]
        if rule is None:
            fail(incoming, f"no rule for the primitive '{op.name}'")
            continue
        call = Call(
            params=op.params,
            position=position,
            view=incoming[0],
            shapes=tuple(tuple(graph.aval(ref).shape) for ref in op.inputs),
            out_shapes=tuple(tuple(graph.avals[out].shape) for out in op.outputs),
            tangents=tuple(not isinstance(ref, Const) and ref in tangents for ref in op.inputs),
            number=tuple(_number(graph, producers, tangents, ref) for ref in op.inputs),
            varies=tuple(not isinstance(ref, Const) and ref in varying for ref in op.inputs),
        )
        for view in incoming:
            _apply(result, op, rule(dataclasses.replace(call, view=view)), call, view, path, terms, reasons, direct)
    return result, terms


def _apply(
    result: Analysis,
    op: Op,
    answer: Any,
    call: Call,
    view: View,
    path: tuple[Op, ...],
    terms: dict[int, list[View]],
    reasons: dict[int, str],
    direct: dict[int, str],
) -> None:
    """Do what a rule answered for one term."""
    if isinstance(answer, str):
        reasons.setdefault(view.leaf, f"{answer} ('{op.name}')")
    elif isinstance(answer, Direct):
        direct.setdefault(view.leaf, answer.why)
        result.added.setdefault(view.leaf, []).append(_summand(op, call, view, path))
    elif isinstance(answer, Product):
        if view.uneven:
            reasons.setdefault(view.leaf, f"it is multiplied entry by entry by an array before '{op.name}'")
        elif call.tangents[answer.operand]:
            reasons.setdefault(view.leaf, f"both operands of '{op.name}' depend on parameters")
        else:
            result.uses.append(Use(view.leaf, path, op, answer.view or view, answer, op))
    else:
        answers = [answer] if isinstance(answer, View) else list(answer)
        for out, new in zip(op.outputs, answers, strict=True):
            terms.setdefault(out, []).append(new)


def _summand(op: Op, call: Call, view: View, path: tuple[Op, ...]) -> Use | None:
    """A sum with a parameter, entry for entry, as a use whose operand is the number one."""
    if path or op.name not in ("add", "add_any") or call.out_shapes[0] != view.shape:
        return None
    if view.uneven or any(digit.stride == 0 for axis in view.axes for digit in axis):
        return None
    ones = Product(operand=None, operand_axes=(), result_axes=tuple((i,) for i in range(len(view.shape))), sizes={})
    return Use(view.leaf, path, op, view, ones, op)


def _number(graph: Graph, producers: dict[int, Op], tangents: set[int], ref: Ref) -> Ref | None:
    """The reference to the one number that a value repeats, if it is known not to be a tangent."""
    if not isinstance(ref, Const) and ref in tangents:
        return None
    while not isinstance(ref, Const) and ref in producers and producers[ref].name == "broadcast_in_dim":
        ref = producers[ref].inputs[0]
    size = 1
    for length in graph.aval(ref).shape:
        size *= length
    return ref if size == 1 else None


def _analyse_scan(
    result: Analysis,
    op: Op,
    tangents: set[int],
    varying: set[int],
    terms: dict[int, list[View]],
    path: tuple[Op, ...],
    reasons: dict[int, str],
    direct: dict[int, str],
) -> None:
    """Walk the body of a scan; the uses found there are uses of the whole program, one for each step."""
    num_consts, num_carry = op.params["num_consts"], op.params["num_carry"]
    body = subgraph(op)
    inner_tangents, inner_varying = set(), set()
    for outer, inner in zip(op.inputs, body.inputs, strict=True):
        if not isinstance(outer, Const):
            if outer in tangents:
                inner_tangents.add(inner)
            if outer in varying:
                inner_varying.add(inner)
    carried = list(zip(body.inputs[num_consts : num_consts + num_carry], body.outputs[:num_carry], strict=True))
    for marked in (inner_tangents, inner_varying):
        _carry_marks(body, carried, marked)
    inner_terms: dict[int, list[View]] = {}
    for i, (outer, inner) in enumerate(zip(op.inputs, body.inputs, strict=True)):
        if isinstance(outer, Const) or outer not in terms:
            continue
        if num_consts <= i < num_consts + num_carry:
            for view in terms[outer]:
                reasons.setdefault(view.leaf, "it is carried from step to step of a 'scan'")
        else:
            inner_terms[inner] = [_enter_scan(view, stepped=i >= num_consts) for view in terms[outer]]
    inside, inner_terms = analyse(body, inner_tangents, inner_varying, inner_terms, (*path, op), reasons, direct)
    for ref in body.outputs:
        for view in inner_terms.get(ref, ()) if not isinstance(ref, Const) else ():
            reasons.setdefault(view.leaf, "it leaves the body of a 'scan'")
    result.bodies[op] = inside
    result.uses.extend(inside.uses)


def _carry_marks(body: Graph, carried: Sequence[tuple[int, Ref]], marked: set[int]) -> None:
    """Spread a mark through the carry of a scan until nothing changes; afterwards ``marked`` holds inputs only."""
    while True:
        spread = set(marked)
        for op in body.ops:
            if spread.intersection(ref for ref in op.inputs if not isinstance(ref, Const)):
                spread.update(op.outputs)
        new = {inner for inner, out in carried if not isinstance(out, Const) and out in spread} - marked
        if not new:
            return
        marked |= new


def _enter_scan(view: View, *, stepped: bool) -> View:
    """The view inside the body: without the first axis if the scan steps through it."""
    return dataclasses.replace(
        view,
        axes=view.axes[1:] if stepped else view.axes,
        shape=view.shape[1:] if stepped else view.shape,
        scales=(),
        scans=(*view.scans, view.axes[0] if stepped else None),
        outer_scales=(*view.outer_scales, view.scales),
    )
