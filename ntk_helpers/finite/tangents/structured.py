"""The structured kernel: plan, run every example forward and backward, contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntk_helpers.finite.tangents.blocks import Block, Mode, symmetric
from ntk_helpers.finite.tangents.contract import contract_blocks, contract_leaf
from ntk_helpers.finite.tangents.cost import Group, LeafPlan, Sizes, op_flops, plan_leaves
from ntk_helpers.finite.tangents.evaluate import example_factors, tap_places
from ntk_helpers.finite.tangents.layout import Form, arrange
from ntk_helpers.finite.tangents.model import Model
from ntk_helpers.finite.tangents.report import CostEstimate, MethodCost
from ntk_helpers.finite.tangents.trace import Program, Use, trace_program

__all__ = ["Plan", "estimate", "make_plan", "structured_kernel"]

# A symmetric kernel is computed in strips where its contraction takes at least this many operations, and the products
# of gradients where they have at least this many rows; less is not worth the extra calls.
STRIP_FLOPS = 4e6
STRIP_ROWS = 128


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Programs of both sides and the way of each leaf."""

    programs: tuple[Program, Program]
    leaves: tuple[LeafPlan, ...]
    sizes: Sizes


def make_plan(
    models: Sequence[Model],
    leaves: Sequence[Any],
    examples: Sequence[Sequence[Any]],
    counts: tuple[int, int],
    mode: Mode,
) -> Plan:
    """Trace both sides (once if they are the same) and plan every leaf. ``examples`` are arrays or shapes."""
    first = trace_program(models[0].on_example, leaves, models[0].trainable, examples[0])
    same = models[1] is models[0]
    second = first if same else trace_program(models[1].on_example, leaves, models[1].trainable, examples[1])
    outputs = [_count(program) for program in (first, second)]
    sizes = Sizes(*counts, *outputs, mode)
    leaf_sizes = [leaves[i].size for i in models[0].trainable]
    return Plan((first, second), tuple(plan_leaves((first, second), leaf_sizes, sizes)), sizes)


def _count(program: Program) -> int:
    count = 1
    for size in program.out_shape:
        count *= size
    return count


def _merged_block(group: Group, rows: dict[Use, tuple[jax.Array, jax.Array]], windowed: bool) -> Block:
    """The factors of one group, uses of the same operand added, the others side by side along t."""
    a_parts, b_parts = [], []
    for members in group.merged:
        a_parts.append(rows[group.uses[members[0]]][0])
        b_parts.append(sum(rows[group.uses[i]][1] for i in members[1:]) + rows[group.uses[members[0]]][1])
    if windowed:
        return Block(a_parts[0], b_parts[0], window=group.uses[0].product.window)
    form = group.forms[0]
    index_size = form.shape[2] if form.index else None
    dtype = jnp.result_type(*a_parts)
    a = jnp.concatenate([part.astype(dtype) for part in a_parts], axis=1)
    return Block(a, jnp.concatenate(b_parts, axis=2), index_size)


def _factors(
    plan: Plan, side: int, model: Model, leaves: Sequence[Any], x_leaves: Sequence[Any]
) -> dict[int, list[Block] | jax.Array]:
    """For each leaf its blocks, or its gradients (N, O, P) if it has no structure."""
    program = plan.programs[side]
    tapped = [entry.leaf for entry in plan.leaves if entry.order == "leaf"]
    groups = {entry.leaf: entry.groups[side] for entry in plan.leaves if entry.order != "leaf"}
    biases = {entry.joined: entry.leaf for entry in plan.leaves if entry.joined is not None}
    joint = {*biases, *biases.values()}
    windowed = {entry.leaf for entry in plan.leaves if entry.windowed}
    uses = [use for entry in groups.values() for group in entry for use in group.uses]
    forms: dict[Use, Form] = {}
    for group in (group for entry in groups.values() for group in entry):
        forms.update(zip(group.uses, group.forms, strict=True))
    places = {place: i for i, place in enumerate(tap_places(uses))}
    trained = [leaves[i] for i in model.trainable]
    outputs = _count(program)
    cotangents = jnp.eye(outputs, dtype=program.out_dtype).reshape(outputs, *program.out_shape)

    def one(example: list[Any]) -> dict[int, Any]:
        factors = example_factors(program, leaves, example, trained, uses, tapped, cotangents)
        rows = {}
        for use, operand, weight in zip(uses, factors.operands, factors.weights, strict=True):
            tap = factors.taps[places[use.path, use.tap]]
            options = {"windowed": use.leaf in windowed, "scale_operand": use.leaf in joint}
            rows[use] = arrange(use, forms[use], operand, weight, tap, **options)
        result: dict[int, Any] = {
            leaf: [_merged_block(group, rows, leaf in windowed) for group in entry]
            for leaf, entry in groups.items()
            if leaf not in biases.values()
        }
        for leaf, bias in biases.items():
            (block,), one_more = result[leaf], rows[groups[bias][0].uses[0]][0]
            result[leaf] = [Block(jnp.concatenate([block.a, one_more.astype(block.a.dtype)], axis=-1), block.b)]
        for leaf, gradient in zip(tapped, factors.leaves, strict=True):
            result[leaf] = gradient.reshape(outputs, -1)
        return result

    return jax.vmap(one)(list(x_leaves))


def structured_kernel(
    models: tuple[Model, Model],
    leaves: Sequence[Any],
    x1: Sequence[Any],
    x2: Sequence[Any] | None,
    mode: Mode,
    plan: Plan | None = None,
) -> jax.Array:
    """The kernel with flat outputs: (N1, N2, O, O), (N1, N2, O) or (N1, N2); without N2 for equal samples.

    For "trace" the sum over outputs, not the mean.
    """
    counts = (x1[0].shape[0], (x1 if x2 is None else x2)[0].shape[0])
    examples = [[jax.ShapeDtypeStruct(part.shape[1:], part.dtype) for part in side] for side in (x1, x2 or x1)]
    if plan is None:
        plan = make_plan(models, leaves, examples, counts, mode)
    first = _factors(plan, 0, models[0], leaves, x1)
    mirrored = x2 is None and models[1] is models[0]
    second = first if mirrored else _factors(plan, 1, models[1], leaves, x1 if x2 is None else x2)

    # Gradients of single examples are formed once; the other factors are cut into strips first.
    apart = [entry for entry in plan.leaves if entry.joined is None]
    products = [entry for entry in apart if entry.order == "product" and entry.how]
    others = [entry for entry in apart if entry.order != "product"]
    work = sum(entry.flops for entry in others)
    strips = 4 if mirrored and work >= STRIP_FLOPS else 1
    height = counts[0] * (plan.sizes.o1 if mode.output != "trace" else 1)
    product_strips = 4 if mirrored and height >= STRIP_ROWS else 1

    def compute(rows: slice, columns: slice) -> Any:
        total: Any = 0.0
        for entry in others:
            left = jax.tree.map(lambda part: part[rows], first[entry.leaf])
            right = jax.tree.map(lambda part: part[columns], second[entry.leaf])
            if entry.order == "leaf":
                total = total + contract_leaf(left, right, mode)
            elif entry.how:
                total = total + contract_blocks(left, right, entry.how, entry.order, mode)
        return total

    total: Any = 0.0
    if any(entry.order == "leaf" or entry.how for entry in others):
        whole = slice(0, counts[0]), slice(0, counts[1])
        total = symmetric(compute, counts[0], strips, mode) if strips > 1 else compute(*whole)
    for entry in products:
        blocks = first[entry.leaf], second[entry.leaf]
        total = total + contract_blocks(*blocks, entry.how, entry.order, mode, product_strips)
    if isinstance(total, float):  # f does not depend on any parameter
        shape = [plan.sizes.n1, *([] if mode.same else [plan.sizes.n2])]
        outs = {"full": [plan.sizes.o1, plan.sizes.o2], "diagonal": [plan.sizes.o1], "trace": []}[mode.output]
        return jnp.zeros([*shape, *outs], plan.programs[0].out_dtype)
    return total


def estimate(plan: Plan, leaves: Sequence[Any], models: tuple[Model, Model]) -> CostEstimate:
    """Work and memory of the three methods, from the traced programs."""
    sizes, mode = plan.sizes, plan.sizes.mode
    sides = [(plan.programs[0], sizes.n1, sizes.o1)]
    if plan.programs[1] is not plan.programs[0] or sizes.n2 != sizes.n1:
        sides.append((plan.programs[1], sizes.n2, sizes.o2))
    params = sum(leaves[i].size for i in models[0].trainable)
    itemsize = max(leaves[i].dtype.itemsize for i in models[0].trainable)
    forward = backward = full_backward = stored = 0.0
    for program, n, o in sides:
        known, linear, values = _program_cost(program)
        forward += n * known
        backward += n * o * linear
        full_backward += 2 * n * o * linear
        stored += n * values * itemsize * (1 + o)
    kernel = sizes.sample_pairs * sizes.output_pairs
    contraction = sum(entry.flops for entry in plan.leaves)
    scratch = max((entry.bytes for entry in plan.leaves), default=0.0)
    known, linear, values = _program_cost(plan.programs[0])
    columns = (1 if mode.same else sizes.n2) * sizes.o2
    return CostEstimate(
        structured=_cost(forward + backward + contraction, stored + scratch + kernel * itemsize),
        jacobian=_cost(
            forward + full_backward + 2.0 * kernel * params,
            sum(n * o for _, n, o in sides) * params * itemsize + kernel * itemsize,
        ),
        ntkvp=_cost(
            columns * sizes.n1 * (linear + known / sizes.o2),
            sizes.n1 * values * itemsize + sizes.o2 * params * itemsize + kernel * itemsize,
        ),
    )


def _cost(flops: float | int, held: float | int) -> MethodCost:
    return MethodCost(float(flops), float(held))


def _program_cost(program: Program) -> tuple[float, float, float]:
    """FLOPs forward and of the linear part, and how many numbers its values hold, for one example."""
    analysis = program.analysis
    known = linear = values = 0.0
    for op in analysis.graph.ops:
        flops = op_flops(analysis.graph, op)
        held = sum(analysis.graph.avals[out].size for out in op.outputs)
        if analysis.tangents.intersection(op.outputs):
            linear += flops
        else:
            known += flops
            values += held
    return known, linear, values
