"""What each JAX primitive does to a parameter: one rule a primitive, in a table that users can extend.

A rule gets a ``Call``: the primitive's parameters, the shapes, and the ``View`` of the operand that is a parameter (or
rather its tangent: the rules see the derivative of the program, which is linear in it). It returns

- a ``View`` (or a list with one for each output), if the result is the same parameter in another order or scaled;
- ``Product``, if the result is a sum of products of the parameter with another operand, as in a matrix product or a
  convolution; this is the step where the structure is used;
- ``Direct``, if the gradient with respect to the parameter is read off the backward pass at no extra cost, as for a
  bias;
- a string, the reason why none of these holds. The leaf then gets its explicit Jacobian.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntk_helpers.finite.tangents import views
from ntk_helpers.finite.tangents.views import View
from ntk_helpers.finite.tangents.window import Window

__all__ = ["Call", "Direct", "Product", "find_rule", "register_rule"]


@dataclasses.dataclass(frozen=True)
class Call:
    """What a rule sees of one operation.

    Attributes:
        params: parameters of the primitive.
        position: which operand is the parameter.
        view: how that operand is laid out.
        shapes: shapes of the operands.
        out_shapes: shapes of the results.
        tangents: for each operand, whether it is a tangent too (of activations or of parameters).
        number: for each operand, a reference to the one number it consists of, or None.
        varies: for each operand, whether it depends on the input x of the network.
    """

    params: dict[str, Any]
    position: int
    view: View
    shapes: tuple[tuple[int, ...], ...]
    out_shapes: tuple[tuple[int, ...], ...]
    tangents: tuple[bool, ...]
    number: tuple[Any, ...]
    varies: tuple[bool, ...]


@dataclasses.dataclass(frozen=True)
class Product:
    """The result is a sum of products of a parameter and one other operand, written like an einsum.

    Each axis of the operand and of the result is a tuple of labels. An integer i is axis i of ``view``; a string is an
    axis that the parameter does not have (position, pixel). ``x @ W`` with x of shape (T, K) and W (K, M) is
    ``operand_axes=(("t",), (0,)), result_axes=(("t",), (1,))``. A label in both is a batch axis, one in the operand
    alone is summed over. Each axis of ``view`` and each string of one must be in the other or be summed over.

    Attributes:
        operand: position of the other operand; None for the number one.
        operand_axes: labels of its axes, after ``prepare``.
        result_axes: labels of the axes of the result.
        sizes: sizes of the string labels.
        view: the parameter's view, if the rule changed it (split an axis).
        prepare: applied to the operand first (a convolution takes its patches here).
        window: for a convolution, how its window moves; ``prepare`` takes the patches.
        index: the operand holds integers that pick entries of the one summed axis of the parameter; out of range picks
            nothing. Its axes are string labels.
    """

    operand: int | None
    operand_axes: tuple[tuple[int | str, ...], ...]
    result_axes: tuple[tuple[int | str, ...], ...]
    sizes: dict[str, int]
    view: View | None = None
    prepare: Callable[[jax.Array], jax.Array] | None = None
    window: Window | None = None
    index: int | None = None


@dataclasses.dataclass(frozen=True)
class Direct:
    """The parameter's gradient is a by-product of the backward pass; ``why`` says so for ``explain``."""

    why: str


Result = View | Sequence[View] | Product | Direct | str
Rule = Callable[[Call], Result]

_RULES: dict[str, Rule] = {}


def register_rule(primitive: str, rule: Rule | None = None) -> Any:
    """Teach the empirical NTK how a JAX primitive uses a parameter.

    Without a rule the parameter's kernel is still exact, from its explicit Jacobian; a rule makes it cheap.
    ``nh.explain`` names the primitives that lack one. A rule replaces an earlier one of the same name.

    Args:
        primitive: name of the JAX primitive, as ``jax.make_jaxpr`` prints it.
        rule: function from a ``Call`` to a ``View``, ``Product``, ``Direct`` or a string. If it is left out, the
            result is a decorator.

    Returns:
        The rule, or a decorator.

    Raises:
        TypeError: if ``primitive`` is not a string or ``rule`` is not callable.

    Example:
        A primitive that only copies its operand passes the view on.

        >>> import ntk_helpers as nh
        >>> @nh.register_rule("optimization_barrier")
        ... def _(call):
        ...     return call.view if len(call.shapes) == 1 else "several operands"
    """
    if not isinstance(primitive, str):
        raise TypeError(f"primitive must be the name of a JAX primitive, a string, got {primitive!r}")
    if rule is None:
        return lambda function: register_rule(primitive, function)
    if not callable(rule):
        raise TypeError(f"rule must be a function of a Call, got {rule!r}")
    _RULES[primitive] = rule
    return rule


def find_rule(primitive: str) -> Rule | None:
    """The rule of a primitive, or None."""
    return _RULES.get(primitive)


# Steps that keep the parameter: order and scale


def _same(call: Call) -> Result:
    return call.view


for _name in (
    "convert_element_type",
    "copy",
    "copy_p",
    "reduce_precision",
    "optimization_barrier",
    "sharding_constraint",
):
    register_rule(_name, _same)


@register_rule("neg")
def _neg(call: Call) -> Result:
    return views.scale(call.view, -1.0)


@register_rule("transpose")
def _transpose(call: Call) -> Result:
    return views.transpose(call.view, [int(dim) for dim in call.params["permutation"]])


@register_rule("rev")
def _rev(call: Call) -> Result:
    return views.reverse(call.view, [int(dim) for dim in call.params["dimensions"]])


def _reshape_to_result(call: Call) -> Result:
    view = views.reshape(call.view, call.out_shapes[0])
    return "a reshape that cuts across axes" if view is None else view


for _name in ("reshape", "squeeze", "expand_dims"):
    register_rule(_name, _reshape_to_result)


@register_rule("broadcast_in_dim")
def _broadcast_in_dim(call: Call) -> Result:
    return views.broadcast(call.view, call.params["shape"], [int(dim) for dim in call.params["broadcast_dimensions"]])


@register_rule("slice")
def _slice(call: Call) -> Result:
    strides = call.params["strides"]
    if strides is not None and any(stride != 1 for stride in strides):
        return "a slice with steps"
    view: View | None = call.view
    for dim, (start, stop) in enumerate(zip(call.params["start_indices"], call.params["limit_indices"], strict=True)):
        view = views.slice_axis(view, dim, start, stop - start)
        if view is None:
            return "a slice of an axis that was reshaped"
    return view


@register_rule("split")
def _split(call: Call) -> Result:
    parts, start = [], 0
    for size in map(int, call.params["sizes"]):
        part = views.slice_axis(call.view, int(call.params["axis"]), start, size)
        if part is None:
            return "a split of an axis that was reshaped"
        parts.append(part)
        start += size
    return parts


# Entry by entry with another operand


def _times(call: Call) -> Result:
    other = 1 - call.position
    if call.number[other] is not None:
        return views.scale(call.view, call.number[other])
    if not call.varies[other]:
        return views.weigh(call.view)
    return Direct("multiplies activations entry by entry")


register_rule("mul", _times)


@register_rule("div")
def _div(call: Call) -> Result:
    if call.position == 0 and call.number[1] is not None:
        return views.scale(call.view, ("inverse", call.number[1]))
    if not call.varies[1]:
        return views.weigh(call.view)
    return Direct("is divided by activations entry by entry")


def _plus(call: Call) -> Result:
    other = 1 - call.position
    if not call.varies[other]:
        return "it is added to something that does not depend on x before it is used"
    return Direct("is added to activations")


for _name in ("add", "add_any", "sub"):
    register_rule(_name, _plus)


@register_rule("select_n")
def _select(call: Call) -> Result:
    if not any(call.varies):
        return "entries of it are selected"
    return Direct("is one of several cases, selected by activations")


# Matrix products


@register_rule("dot_general")
def _dot_general(call: Call) -> Result:
    (contract, batch) = call.params["dimension_numbers"]
    other = 1 - call.position
    mine, theirs = contract[call.position], contract[other]
    my_batch, their_batch = batch[call.position], batch[other]
    operand: list[tuple[int | str, ...]] = [(f"t{dim}",) for dim in range(len(call.shapes[other]))]
    for here, there in [*zip(mine, theirs, strict=True), *zip(my_batch, their_batch, strict=True)]:
        operand[there] = (here,)
    free_theirs = [labels for dim, labels in enumerate(operand) if dim not in (*theirs, *their_batch)]
    free_mine = [(dim,) for dim in range(len(call.view.shape)) if dim not in (*mine, *my_batch)]
    free = [*free_mine, *free_theirs] if call.position == 0 else [*free_theirs, *free_mine]
    return Product(
        operand=other,
        operand_axes=tuple(operand),
        result_axes=(*((dim,) for dim in my_batch), *free),
        sizes={f"t{dim}": size for dim, size in enumerate(call.shapes[other])},
    )


# Convolutions: a matrix product with the patches of the image


@register_rule("conv_general_dilated")
def _conv(call: Call) -> Result:
    params = call.params
    if call.position != 1:
        return "it is the image of a convolution, not its kernel"
    if params["batch_group_count"] != 1:
        return "a convolution with groups of samples"
    numbers, groups = params["dimension_numbers"], params["feature_group_count"]
    lhs, rhs, out = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    kernel = [call.shapes[1][i] for i in rhs]
    channels_out, window = kernel[0], kernel[2:]
    ordered = views.transpose(call.view, rhs)
    split = views.reshape(ordered, (groups, channels_out // groups, *kernel[1:]))
    if split is None:
        return "the output channels of a grouped convolution were reshaped"
    samples = call.shapes[0][lhs[0]]
    spatial = [call.out_shapes[0][i] for i in out[2:]]
    positions = [f"p{i}" for i in range(len(spatial))]

    moving = Window(
        axes=tuple(lhs),
        groups=groups,
        image=tuple(call.shapes[0][i] for i in lhs[2:]),
        sizes=tuple(window),
        steps=tuple(params["window_strides"]),
        gaps=tuple(params["rhs_dilation"]),
        padding=tuple(
            (low, high, dilation - 1)
            for (low, high), dilation in zip(params["padding"], params["lhs_dilation"], strict=True)
        ),
        positions=tuple(spatial),
    )
    # view axes: 0 group, 1 output channel in the group, 2 input channel in the group, 3... window
    result: list[tuple[int | str, ...]] = [()] * len(out)
    result[out[0]], result[out[1]] = ("n",), (0, 1)
    for i, label in enumerate(positions):
        result[out[2 + i]] = (label,)
    return Product(
        operand=0,
        operand_axes=(("n",), (0,), (2,), *((3 + i,) for i in range(len(window))), *((p,) for p in positions)),
        result_axes=tuple(result),
        sizes={"n": samples, **dict(zip(positions, spatial, strict=True))},
        view=split,
        prepare=moving.patches,
        window=moving,
    )


# Look-up of rows, as in an embedding


@register_rule("gather")
def _gather(call: Call) -> Result:
    if call.position != 0:
        return "it is an index"
    numbers, sizes = call.params["dimension_numbers"], call.params["slice_sizes"]
    picked = numbers.start_index_map
    whole = all(sizes[dim] == size for dim, size in enumerate(call.shapes[0]) if dim not in picked)
    if len(picked) != 1 or numbers.collapsed_slice_dims != picked or numbers.operand_batching_dims or not whole:
        return "a look-up that does not pick whole rows of one axis"
    (axis,) = picked
    rows = call.shapes[0][axis]
    index_shape = call.shapes[1][:-1]
    labels = [(f"i{dim}",) for dim in range(len(index_shape))]
    offsets = iter(dim for dim in range(len(call.shapes[0])) if dim != axis)
    lookups = iter(labels)
    result = tuple(
        (next(offsets),) if dim in numbers.offset_dims else next(lookups) for dim in range(len(call.out_shapes[0]))
    )
    clips = "CLIP" in str(call.params["mode"]).upper()

    def prepare(index: jax.Array) -> jax.Array:
        index = index[..., 0]
        return jnp.clip(index, 0, rows - 1) if clips else index

    return Product(
        operand=1,
        operand_axes=tuple(labels),
        result_axes=result,
        sizes={f"i{dim}": size for dim, size in enumerate(index_shape)},
        prepare=prepare,
        index=axis,
    )
