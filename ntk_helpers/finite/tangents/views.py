"""How a value is laid out in terms of the parameter it came from.

A parameter that was transposed, reshaped, sliced, reversed, broadcast or scaled is still the parameter, seen in
another order. A ``View`` remembers that order: each axis of the value is a list of digits, and each digit is a part of
the parameter's flat row-major index, as hours and minutes are digits of a time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

__all__ = [
    "Digit",
    "View",
    "broadcast",
    "join",
    "reshape",
    "reverse",
    "scale",
    "slice_axis",
    "transpose",
    "view_of",
    "weigh",
]


@dataclasses.dataclass(frozen=True)
class Digit:
    """Part of the flat index of a parameter: it adds stride * (start + i) for i < size, counted down if reversed.

    Stride 0 repeats the parameter.
    """

    stride: int
    size: int
    start: int = 0
    reversed: bool = False


Axis = tuple[Digit, ...]


@dataclasses.dataclass(frozen=True)
class View:
    """A value that is a parameter in another order, times numbers.

    Attributes:
        leaf: number of the parameter leaf.
        axes: the digits of each axis of the value, the slowest first; an axis of size 1 has none.
        shape: shape of the value.
        scales: numbers that multiply it: references into the program, or floats.
        scans: for each ``scan`` around the operation, from the outside: the digits it runs through, or None if the
            parameter is the same in every step.
        outer_scales: the scales found outside each of those scans.
        uneven: whether it was also multiplied entry by entry with other numbers. Then it has no structure, but its
            gradient may still be read off the backward pass.
    """

    leaf: int
    axes: tuple[Axis, ...]
    shape: tuple[int, ...]
    scales: tuple[Any, ...] = ()
    scans: tuple[Axis | None, ...] = ()
    outer_scales: tuple[tuple[Any, ...], ...] = ()
    uneven: bool = False


def view_of(leaf: int, shape: Sequence[int]) -> View:
    """The view of a parameter itself."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    axes = tuple((Digit(stride, size),) if size > 1 else () for stride, size in zip(strides, shape, strict=True))
    return View(leaf, axes, tuple(shape))


def transpose(view: View, permutation: Sequence[int]) -> View:
    """The view after ``lax.transpose``."""
    return dataclasses.replace(
        view, axes=tuple(view.axes[i] for i in permutation), shape=tuple(view.shape[i] for i in permutation)
    )


def reverse(view: View, dimensions: Sequence[int]) -> View:
    """The view after ``lax.rev``."""
    axes = list(view.axes)
    for dim in dimensions:
        axes[dim] = tuple(
            digit if digit.stride == 0 else dataclasses.replace(digit, reversed=not digit.reversed)
            for digit in axes[dim]
        )
    return dataclasses.replace(view, axes=tuple(axes))


def broadcast(view: View, shape: Sequence[int], dimensions: Sequence[int]) -> View:
    """The view after ``lax.broadcast_in_dim``."""
    axes: list[Axis] = [(Digit(0, size),) if size > 1 else () for size in shape]
    for source, target in enumerate(dimensions):
        repeated = () if view.shape[source] == shape[target] else axes[target]
        axes[target] = (*view.axes[source], *repeated)
    return dataclasses.replace(view, axes=tuple(axes), shape=tuple(shape))


def scale(view: View, *factors: Any) -> View:
    """The view times numbers."""
    return dataclasses.replace(view, scales=(*view.scales, *factors))


def weigh(view: View) -> View:
    """The view times an array of numbers, entry by entry."""
    return dataclasses.replace(view, uneven=True)


def slice_axis(view: View, dim: int, start: int, size: int) -> View | None:
    """The entries start, start + 1, ... of an axis; None where they are not one range of one digit."""
    if size == view.shape[dim]:
        return view
    if len(view.axes[dim]) != 1:
        return None
    (digit,) = view.axes[dim]
    if digit.reversed:
        start = digit.size - start - size
    # A range of one entry stays a digit: which entry it is matters.
    part = dataclasses.replace(digit, size=size, start=digit.start + start)
    axes = (*view.axes[:dim], (part,) if digit.stride or size > 1 else (), *view.axes[dim + 1 :])
    return dataclasses.replace(view, axes=axes, shape=(*view.shape[:dim], size, *view.shape[dim + 1 :]))


def join(high: Digit, low: Digit) -> Digit | None:
    """Two neighbouring digits as one; None if there is a gap between them."""
    if low.start or low.stride == 0 or high.stride != low.stride * low.size or high.reversed != low.reversed:
        return None
    return Digit(low.stride, high.size * low.size, high.start * low.size, low.reversed)


def _split(digit: Digit, low: int) -> tuple[Digit, Digit] | None:
    """The digit as two, the faster one of size ``low``; None if it does not divide."""
    if digit.size % low or digit.start % low:
        return None
    high = Digit(digit.stride * low, digit.size // low, digit.start // low, digit.reversed)
    return high, Digit(digit.stride, low, 0, digit.reversed)


def reshape(view: View, shape: Sequence[int]) -> View | None:
    """The view after ``lax.reshape`` in row-major order; None where a new axis would cut across digits."""
    if math.prod(view.shape) != math.prod(shape):
        return None
    pending: list[Digit] = []
    for digit in (digit for axis in view.axes for digit in axis):
        joined = join(pending[-1], digit) if pending else None
        pending[-1:] = [*pending[-1:], digit] if joined is None else [joined]
    axes: list[Axis] = []
    for size in reversed(shape):
        taken: list[Digit] = []
        filled = 1
        while filled < size:
            digit = pending.pop()
            room = size // filled
            if digit.size > room:
                parts = _split(digit, room)
                if parts is None:
                    return None
                pending.append(parts[0])
                digit = parts[1]
            if size % (filled * digit.size):
                return None
            filled *= digit.size
            taken.append(digit)
        axes.append(tuple(reversed(taken)))
    # What is left are digits of one entry, which say where a slice begins; any axis can hold them.
    if pending and axes:
        axes[-1] = (*pending, *axes[-1])
    elif pending:
        return None
    return dataclasses.replace(view, axes=tuple(reversed(axes)), shape=tuple(shape))
