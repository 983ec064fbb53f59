"""What each way of computing the kernel costs, and the choice of a way for each parameter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

from ntk_helpers.finite.tangents.blocks import Mode
from ntk_helpers.finite.tangents.gradients import piece_bytes
from ntk_helpers.finite.tangents.ir import Graph, Op, subgraph
from ntk_helpers.finite.tangents.layout import Form, cotangent_key, form_of, keeps_window, overlap
from ntk_helpers.finite.tangents.trace import Program, Use

__all__ = ["Group", "LeafPlan", "Order", "Sizes", "op_flops", "plan_leaves"]

Order = Literal["gram", "apply", "product", "leaf"]

# A byte moved costs about as much time as this many floating-point operations, on CPUs and GPUs alike to a factor 3.
FLOPS_PER_BYTE = 8.0
# The order ``apply`` multiplies narrower matrices and puts what is between its products in another order: it reaches
# about this share of the speed of the other orders.
APPLY_SPEED = 0.6


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many samples and outputs stand on either side."""

    n1: int
    n2: int
    o1: int
    o2: int
    mode: Mode

    @property
    def sample_pairs(self) -> int:
        """Number of pairs of samples."""
        return self.n1 if self.mode.same else self.n1 * self.n2

    @property
    def output_pairs(self) -> int:
        """Number of pairs of outputs."""
        return self.o1 * self.o2 if self.mode.output == "full" else self.o1


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Uses of one parameter in the same layout; ``merged`` lists those with the same operand together."""

    forms: tuple[Form, ...]
    uses: tuple[Use, ...]
    merged: tuple[tuple[int, ...], ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes of g, t, k, m, t counted over all uses."""
        g, _, _, m = self.forms[0].shape
        times = sum(self.forms[members[0]].shape[1] for members in self.merged)
        k = self.forms[0].shape[2]
        return g, times, k, m


@dataclasses.dataclass(frozen=True, eq=False)
class LeafPlan:
    """How the contribution of one parameter leaf is computed.

    Attributes:
        leaf: number of the trainable leaf.
        order: "gram", "apply", "product" (all from structure), or "leaf" (its gradient in each example).
        way: "structured", "direct" or "jacobian".
        why: the reason, in words.
        groups: for each side, the uses by layout.
        how: how they meet.
        windowed: the operands stay images; their patches are not formed.
        joined: number of the leaf that this one, a bias, is added to: it is one more row of that weight, with the
            operand one.
        flops, bytes: of the contraction.
    """

    leaf: int
    order: Order
    way: Literal["structured", "direct", "jacobian"]
    why: str
    groups: tuple[tuple[Group, ...], tuple[Group, ...]]
    how: tuple[tuple[str, ...], ...]
    flops: float
    bytes: float
    windowed: bool = False
    joined: int | None = None


def _group_uses(uses: Sequence[Use]) -> list[Group] | str:
    """Uses of one leaf by layout; a string says why there is no layout."""
    by_layout: dict[Any, list[tuple[Use, Form]]] = {}
    for use in uses:
        form = form_of(use)
        if isinstance(form, str):
            return form
        by_layout.setdefault((form.signature, form.index), []).append((use, form))
    groups = []
    for members in by_layout.values():
        merged: dict[Any, list[int]] = {}
        for i, (use, form) in enumerate(members):
            ref = None if use.product.operand is None else use.op.inputs[use.product.operand]
            key = (
                use.path,
                ref,
                form.operand,
                form.times,
                str(sorted(use.op.params.items(), key=str)) if use.product.prepare else "",
            )
            merged.setdefault(key, []).append(i)
        groups.append(
            Group(
                tuple(form for _, form in members),
                tuple(use for use, _ in members),
                tuple(tuple(entry) for entry in merged.values()),
            )
        )
    return groups


def _stay_images(groups: Sequence[Sequence[Group]], how: Sequence[Sequence[str]]) -> bool:
    """Whether both sides use the parameter once, as the kernel of a convolution, in the same layout."""
    if any(len(side) != 1 or len(side[0].merged) != 1 for side in groups) or how[0][0] != "same":
        return False
    uses = [side[0].uses[0] for side in groups]
    if not all(keeps_window(use, side[0].forms[0]) for use, side in zip(uses, groups, strict=True)):
        return False
    layouts = [(use.product.view or use.view).axes for use in uses]
    return layouts[0] == layouts[1] and uses[0].product.window.sizes == uses[1].product.window.sizes


def _operands_cost(first: Group, second: Group, windowed: bool) -> float:
    """FLOPs of the inner products of the operands of one pair of samples."""
    g, t, k, _ = first.shape
    s = second.shape[1]
    if not windowed:
        return 2.0 * g * t * s * (1 if first.forms[0].index else k)
    one, two = first.uses[0].product.window, second.uses[0].product.window
    pixels = one.pixels * two.pixels * (t // math.prod(one.positions)) * (s // math.prod(two.positions))
    channels = k // math.prod(one.sizes)
    return 2.0 * g * pixels * channels + 2.0 * g * max(pixels, t * s) * sum(one.sizes)


def _pair_cost(
    first: Group, second: Group, how: str, order: str, sizes: Sizes, windowed: bool = False
) -> tuple[float, float]:
    """FLOPs and bytes for one pair of groups."""
    g, t, k, m = first.shape
    s = second.shape[1]
    pairs, full = sizes.sample_pairs, sizes.mode.output == "full"
    if order == "product":
        form = 2.0 * g * k * m * (sizes.n1 * sizes.o1 * t)
        held = min(8.0 * g * k * m * sizes.n1 * sizes.o1, 2.0 * piece_bytes())
        return form + 2.0 * pairs * sizes.output_pairs * g * k * m, held
    if how == "swapped":
        flops = 2.0 * pairs * g * t * s * (k * sizes.o2 + m * sizes.o1 + sizes.output_pairs)
        return flops, 8.0 * pairs * g * t * s * (sizes.o1 + sizes.o2)
    operands = pairs * _operands_cost(first, second, windowed)
    if order == "apply":
        moved = pairs * g * sizes.o1 * s * m
        held = min(8.0 * moved, max(2.0 * piece_bytes(), 8.0 * g * sizes.o1 * s * m))
        return operands + 2.0 * moved * t + 2.0 * moved * (sizes.o2 if full else 1), held + 8.0 * pairs * g * t * s
    cotangents = 2.0 * pairs * g * t * s * m * sizes.output_pairs
    entries = pairs * g * t * s
    return operands + cotangents + 3.0 * entries * sizes.output_pairs, 8.0 * entries * (
        1 + (sizes.output_pairs if sizes.mode.output != "trace" else 1)
    )


def _leaf_cost(size: int, sizes: Sizes) -> tuple[float, float]:
    """FLOPs and bytes of contracting the gradients of a leaf."""
    outputs = sizes.sample_pairs * sizes.output_pairs
    return 2.0 * outputs * size, 8.0 * sizes.n1 * sizes.o1 * size


def plan_leaves(programs: Sequence[Program], leaf_sizes: Sequence[int], sizes: Sizes) -> list[LeafPlan]:
    """Choose the way for each trainable leaf. ``programs`` are the two sides; they may be the same."""
    plans = []
    for leaf, size in enumerate(leaf_sizes):
        reason = next((program.reasons[leaf] for program in programs if leaf in program.reasons), None)
        direct = [program.direct[leaf] for program in programs if leaf in program.direct]
        sides: list[tuple[Group, ...]] = []
        structured = [use for use in programs[0].uses if use.leaf == leaf]
        other = [use for use in programs[1].uses if use.leaf == leaf]
        if reason is None and not direct:
            if not structured or not other:
                plans.append(LeafPlan(leaf, "gram", "structured", "is not used", ((), ()), (), 0.0, 0.0))
                continue
            for uses in (structured,) if programs[0] is programs[1] else (structured, other):
                groups = _group_uses(uses)
                if isinstance(groups, str):
                    reason = groups
                    break
                sides.append(tuple(groups))
        flops, moved = _leaf_cost(size, sizes)
        if direct and reason is None:
            why = "; ".join(dict.fromkeys(direct))
            plans.append(LeafPlan(leaf, "leaf", "direct", why, ((), ()), (), flops, moved))
            continue
        how: tuple[tuple[str, ...], ...] = ()
        if reason is None:
            first, second = sides[0], sides[-1]
            how = tuple(tuple(overlap(a.forms[0].signature, b.forms[0].signature) for b in second) for a in first)
            if any("mixed" in row for row in how):
                reason = "it is used in layouts that overlap in part"
        if reason is not None:
            plans.append(LeafPlan(leaf, "leaf", "jacobian", reason, ((), ()), (), flops, moved))
            continue
        plans.append(_choose(leaf, (first, second), how, sizes))
    return _join_biases(plans, programs, sizes)


def _join_biases(plans: Sequence[LeafPlan], programs: Sequence[Program], sizes: Sizes) -> list[LeafPlan]:
    """Let each bias share the cotangents of the weight that it is added to, if there is one."""
    partners = {}
    for plan in plans:
        if _joinable(plan):
            keys = tuple(cotangent_key(side[0].uses[0], side[0].forms[0]) for side in plan.groups)
            partners.setdefault(keys, plan)
    result = []
    for plan in plans:
        summands = [program.summands.get(plan.leaf) for program in programs]
        if plan.way == "direct" and None not in summands:
            groups = [_group_uses([use]) for use in summands]
            if not any(isinstance(side, str) for side in groups):
                keys = tuple(cotangent_key(side[0].uses[0], side[0].forms[0]) for side in groups)
                partner = partners.pop(keys, None)  # one bias for each weight
                if partner is not None:
                    flops = 2.0 * sizes.sample_pairs
                    plan = dataclasses.replace(
                        plan,
                        order=partner.order,
                        groups=(tuple(groups[0]), tuple(groups[1])),
                        how=(("same",),),
                        flops=flops,
                        bytes=0.0,
                        joined=partner.leaf,
                    )
        result.append(plan)
    return result


def _joinable(plan: LeafPlan) -> bool:
    """Whether a bias may become one more row of this weight: it is used once, at one position."""
    if plan.order == "leaf" or plan.windowed or plan.how != (("same",),):
        return False
    return all(
        len(side[0].merged) == len(side[0].uses) == 1
        and side[0].shape[:2] == (1, 1)
        and not side[0].forms[0].index
        and not side[0].uses[0].path
        for side in plan.groups
    )


def _choose(
    leaf: int, groups: tuple[tuple[Group, ...], tuple[Group, ...]], how: tuple[tuple[str, ...], ...], sizes: Sizes
) -> LeafPlan:
    """The cheapest order of contraction for a structured leaf."""
    windowed = _stay_images(groups, how)
    costs = {}
    for order in ("gram", "apply", "product"):
        pairs = [
            _pair_cost(a, b, how[i][j], order, sizes, windowed)
            for i, a in enumerate(groups[0])
            for j, b in enumerate(groups[1])
            if how[i][j] != "none" and not (order == "product" and i != j and how[i][j] == "swapped")
        ]
        costs[order] = (sum(flops for flops, _ in pairs), sum(moved for _, moved in pairs))

    def time(name: str) -> float:
        flops, held = costs[name]
        return flops / (APPLY_SPEED if name == "apply" else 1.0) + FLOPS_PER_BYTE * held

    order = min(costs, key=time)
    uses = groups[0]
    total = sum(len(group.uses) for group in uses)
    _, t, k, m = uses[0].shape
    why = f"{total} use{'s' if total > 1 else ''} as a product, {t} position{'s' if t > 1 else ''}, {k} x {m}"
    return LeafPlan(leaf, order, "structured", why, groups, how, *costs[order], windowed)


def op_flops(graph: Graph, op: Op) -> float:
    """Floating-point operations of one operation; a scan counts all its steps."""

    def shape(ref: Any) -> tuple[int, ...]:
        return tuple(graph.aval(ref).shape)

    if op.name == "dot_general":
        (contract, _), _ = op.params["dimension_numbers"]
        summed = math.prod(shape(op.inputs[0])[dim] for dim in contract)
        return 2.0 * math.prod(shape(op.outputs[0])) * summed
    if op.name == "conv_general_dilated":
        numbers = op.params["dimension_numbers"]
        kernel = shape(op.inputs[1])
        return 2.0 * math.prod(shape(op.outputs[0])) * math.prod(kernel) / kernel[numbers.rhs_spec[0]]
    if op.name == "scan":
        body = subgraph(op)
        return op.params["length"] * sum(op_flops(body, inner) for inner in body.ops)
    return float(sum(math.prod(graph.avals[out].shape) for out in op.outputs))
