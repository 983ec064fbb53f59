"""Readable accounts of how a kernel is computed and what it costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

__all__ = ["CostEstimate", "Explanation", "LeafReport", "MethodCost"]


def _count(value: float) -> str:
    """A number with a unit of thousands."""
    for unit in ("", "k", "M", "G", "T"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} P"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    return "\n".join(line.rstrip() for line in lines)


@dataclasses.dataclass(frozen=True)
class LeafReport:
    """How one parameter leaf contributes to the kernel.

    Attributes:
        name: path of the leaf in params.
        shape: its shape.
        way: "structured" (from its uses as a product), "direct" (its gradient comes with the backward pass at no extra
            cost) or "jacobian" (no structure was found; its explicit Jacobian).
        order: "gram", "apply" or "product" for a structured leaf, else "leaf": how the factors are contracted.
        why: the reason.
        flops: floating-point operations of its contraction.
        bytes: size of what its contraction stores on the way.
    """

    name: str
    shape: tuple[int, ...]
    way: str
    order: str
    why: str
    flops: float
    bytes: float


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What ``nh.explain`` found; ``print`` shows it as a table."""

    leaves: tuple[LeafReport, ...]

    @property
    def ways(self) -> dict[str, str]:
        """The way of each leaf by its name."""
        return {leaf.name: leaf.way for leaf in self.leaves}

    def __str__(self) -> str:
        rows = [
            (
                leaf.name,
                " x ".join(map(str, leaf.shape)) or "number",
                leaf.way if leaf.way != "structured" else f"structured ({leaf.order})",
                f"{_count(leaf.flops)}FLOP",
                f"{_count(leaf.bytes)}B",
                leaf.why,
            )
            for leaf in self.leaves
        ]
        return _table(("leaf", "shape", "way", "work", "memory", "why"), rows)


@dataclasses.dataclass(frozen=True)
class MethodCost:
    """Estimate for one method: floating-point operations, and bytes held at the peak, without inputs."""

    flops: float
    bytes: float


@dataclasses.dataclass(frozen=True)
class CostEstimate:
    """Estimates for the methods of ``nh.empirical_ntk``; ``print`` shows them as a table."""

    structured: MethodCost
    jacobian: MethodCost
    ntkvp: MethodCost

    @property
    def cheapest(self) -> str:
        """The method with the least work."""
        return min(("structured", "jacobian", "ntkvp"), key=lambda name: getattr(self, name).flops)

    def __str__(self) -> str:
        entries = [(name, getattr(self, name)) for name in ("structured", "jacobian", "ntkvp")]
        rows = [(name, f"{_count(cost.flops)}FLOP", f"{_count(cost.bytes)}B") for name, cost in entries]
        return _table(("method", "work", "memory"), rows)
