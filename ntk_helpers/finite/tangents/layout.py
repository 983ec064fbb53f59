"""Bring operand and cotangent of a use into one standard form, and tell which uses may be combined.

A use of a parameter W contributes to its gradient, for one example and output o,

    dW[g, k, m] = sum_t A[g, t, k] B[o, g, t, m],

g runs over axes that operand, parameter and result share (groups, stacked layers), k over the summed axes, m over the
axes that only parameter and result have, t over positions, pixels or time steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ntk_helpers.finite.tangents.trace import Use
from ntk_helpers.finite.tangents.views import Digit, join

__all__ = ["Form", "Signature", "arrange", "cotangent_key", "form_of", "keeps_window", "overlap"]

# role of each digit of the parameter, sorted: what it takes for two uses to have the same g, k and m
Signature = tuple[tuple[Digit, str], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Form:
    """How to arrange one use. Labels are digits or strings; ``sizes`` gives the length of the strings.

    ``groups``, ``sums``, ``frees`` are digits of the parameter in the roles g, k, m; ``times`` are the labels of t.
    """

    operand: tuple[tuple[Digit | str, ...], ...]
    result: tuple[tuple[Digit | str, ...], ...]
    sizes: dict[str, int]
    groups: tuple[Digit, ...]
    sums: tuple[Digit, ...]
    frees: tuple[Digit, ...]
    times: tuple[Digit | str, ...]
    signature: Signature
    index: bool

    def size(self, labels: Sequence[Digit | str]) -> int:
        """Number of entries of some labels."""
        return math.prod(self.sizes[label] if isinstance(label, str) else label.size for label in labels)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Sizes of g, t, k, m."""
        return self.size(self.groups), self.size(self.times), self.size(self.sums), self.size(self.frees)


def form_of(use: Use) -> Form | str:
    """The standard form of a use; a string says why it has none."""
    product, view = use.product, use.view
    sizes = dict(product.sizes)
    repeats = 0

    def unique(axis: Sequence[Digit]) -> tuple[Digit | str, ...]:
        # each repeated axis needs a name of its own
        nonlocal repeats
        labels: list[Digit | str] = []
        for digit in axis:
            if digit.stride == 0:
                name = f"repeat{repeats}"
                repeats += 1
                sizes[name] = digit.size
                labels.append(name)
            else:
                labels.append(digit)
        return tuple(labels)

    axes = [unique(axis) for axis in view.axes]

    def expand(labels: Sequence[int | str]) -> tuple[Digit | str, ...]:
        return tuple(entry for label in labels for entry in ((label,) if isinstance(label, str) else axes[label]))

    operand = [expand(labels) for labels in product.operand_axes]
    result = [expand(labels) for labels in product.result_axes]
    for depth, (op, scanned) in enumerate(zip(use.path, view.scans, strict=True)):
        labels = unique(scanned) if scanned is not None else (f"step{depth}",)
        sizes[f"step{depth}"] = op.params["length"]
        operand.insert(depth, labels)
        result.insert(depth, labels)
    if product.index is not None:
        if len(axes[product.index]) != 1 or isinstance(axes[product.index][0], str):
            return "a look-up in an axis that was reshaped"
        if axes[product.index][0].start or axes[product.index][0].reversed:
            return "a look-up in a slice"
    in_operand = [label for labels in operand for label in labels]
    in_result = [label for labels in result for label in labels]
    summed = axes[product.index] if product.index is not None else ()
    digits = sorted(
        {label for label in (*in_operand, *in_result, *summed) if isinstance(label, Digit)},
        key=lambda digit: (-digit.stride, digit.start),  # the order of the parameter itself
    )
    groups = tuple(d for d in digits if d in in_operand and d in in_result)
    sums = tuple(d for d in digits if d not in in_result)
    frees = tuple(d for d in digits if d in in_result and d not in groups)
    times = tuple(dict.fromkeys(x for x in in_operand if isinstance(x, str) and x in in_result))
    roles = [*((d, "g") for d in groups), *((d, "k") for d in sums), *((d, "m") for d in frees)]
    return Form(
        tuple(operand),
        tuple(result),
        sizes,
        groups,
        sums,
        frees,
        times,
        _merge(roles),
        product.index is not None,
    )


def _merge(roles: Sequence[tuple[Digit, str]]) -> Signature:
    """Join neighbouring digits with the same role, so that a split that changes nothing leaves no trace."""
    merged: list[tuple[Digit, str]] = []
    for digit, role in sorted(roles, key=lambda entry: (-entry[0].stride, entry[0].start)):
        # ``arrange`` undoes reversals, so they make no difference
        entry = (dataclasses.replace(digit, reversed=False), "-" if digit.size == 1 else role)
        joined = join(merged[-1][0], entry[0]) if merged and merged[-1][1] == entry[1] else None
        merged[-1:] = [*merged[-1:], entry] if joined is None else [(joined, entry[1])]
    return tuple(merged)


def swapped(signature: Signature) -> Signature:
    """The signature with k and m exchanged: the same parameter, used transposed."""
    return tuple((digit, {"k": "m", "m": "k"}.get(role, role)) for digit, role in signature)


def overlap(first: Signature, second: Signature) -> str:
    """How two uses of a parameter meet: "same", "swapped", "none" (other entries of it) or "mixed"."""
    if first == second:
        return "same"
    if first == swapped(second):
        return "swapped"
    pairs = [(a, b) for a, _ in first for b, _ in second if a.stride == b.stride]
    if any(_apart(a, b, (first, second)) for a, b in pairs):
        return "none"
    return "mixed"


def _apart(a: Digit, b: Digit, signatures: Sequence[Signature]) -> bool:
    """Whether a and b, of equal stride, never add the same, and the other digits cannot make up for it."""
    higher = [digit.stride for signature in signatures for digit, _ in signature if digit.stride > a.stride]
    lower = [
        sum(digit.stride * (digit.start + digit.size - 1) for digit, _ in signature if digit.stride < a.stride)
        for signature in signatures
    ]
    top = max(a.start + a.size, b.start + b.size) * a.stride
    disjoint = a.start + a.size <= b.start or b.start + b.size <= a.start
    return disjoint and max(lower) < a.stride and (not higher or math.gcd(*higher) >= top)


def _ordered(value: jax.Array, axes: Sequence[Sequence[Digit | str]], blocks: Any, form: Form) -> jax.Array:
    """Split the axes of a value into its labels, sum those in no block, and order and join them by blocks."""
    flat = [label for labels in axes for label in labels]
    value = value.reshape([form.size([label]) for label in flat])
    order = {label: [i for i, entry in enumerate(flat) if entry == label] for label in flat}
    wanted = [label for block in blocks for label in block]
    extra = tuple(i for label, places in order.items() if label not in wanted for i in places)
    kept = [i for i in range(len(flat)) if i not in extra]
    value = jnp.sum(value, axis=extra) if extra else value
    value = jnp.transpose(value, [kept.index(order[label][0]) for label in wanted])
    reversals = [i for i, label in enumerate(wanted) if isinstance(label, Digit) and label.reversed]
    value = jnp.flip(value, reversals) if reversals else value
    return value.reshape([form.size(block) for block in blocks])


def cotangent_key(use: Use, form: Form) -> tuple[Any, ...]:
    """Equal for two uses whose arranged cotangents are the same array, up to their scales."""
    places = {label: i for i, label in enumerate((*form.groups, *form.times, *form.frees))}

    def place(label: Digit | str) -> tuple[Any, ...]:
        reversed_ = isinstance(label, Digit) and label.reversed
        return places.get(label, -1), form.size([label]), reversed_

    axes = [tuple(place(label) for label in axis if form.size([label]) > 1) for axis in form.result]
    # only the order of the places counts, not those of axes of size 1
    order = {p: i for i, p in enumerate(sorted({entry[0] for axis in axes for entry in axis}))}
    ranked = tuple(tuple((order[p], *rest) for p, *rest in axis) for axis in axes)
    return use.path, use.tap, form.shape[0], form.shape[1], ranked


def keeps_window(use: Use, form: Form) -> bool:
    """Whether the operand may stay an image under a moving window: groups and positions in their natural order."""
    window = use.product.window
    if window is None or use.path:
        return False
    in_order = all(label == digit for label, digit in zip(form.operand[1], form.groups, strict=False))
    return in_order and len(form.operand[1]) == len(form.groups) and not any(d.reversed for d in form.groups)


def arrange(
    use: Use,
    form: Form,
    operand: Any,
    weight: Any,
    tap: jax.Array,
    *,
    windowed: bool = False,
    scale_operand: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """A, shape (G, T, K), and B, shape (O, G, T, M), of one example.

    A is (G, T) of integers for a look-up, and the image (G, samples, spatial axes, K) if it stays under a window. The
    number ``weight`` that scales the parameter goes into B, or into A.
    """
    if windowed:
        a = use.product.window.arrange(jnp.asarray(operand))
    else:
        if use.product.prepare is not None:
            prepare = use.product.prepare
            for _ in use.path:
                prepare = jax.vmap(prepare)
            operand = prepare(operand)
        blocks = (form.groups, form.times, () if form.index else form.sums)
        a = _ordered(jnp.asarray(operand), form.operand, blocks, form)
        a = a[..., 0] if form.index else a

    def cotangent(value: jax.Array) -> jax.Array:
        return _ordered(value, form.result, (form.groups, form.times, form.frees), form)

    if weight is not None and scale_operand:
        a = a * weight
    elif weight is not None:
        weight = jnp.asarray(weight)
        tap = tap * weight.reshape(1, *weight.shape, *([1] * (tap.ndim - 1 - weight.ndim)))
    return a, jax.vmap(cotangent)(tap)
