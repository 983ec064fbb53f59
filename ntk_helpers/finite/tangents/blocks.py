"""The factors of a parameter's gradients, which entries of the kernel are wanted, and the half of a symmetric one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from ntk_helpers.finite.tangents.window import Window

__all__ = ["Block", "Mode", "dense", "einsum", "symmetric"]


@dataclasses.dataclass(frozen=True)
class Mode:
    """Which entries of the kernel are wanted."""

    output: Literal["full", "trace", "diagonal"]
    same: bool  # K(x_i, x_i) only

    @property
    def letters(self) -> tuple[str, str, str, str, str]:
        """Letters of sample and output on either side, and of the result."""
        z = "n" if self.same else "z"
        p = "p" if self.output == "full" else "o"
        result = "n" if self.same else "nz"
        return "n", "o", z, p, result + {"full": "op", "diagonal": "o", "trace": ""}[self.output]


@dataclasses.dataclass(frozen=True)
class Block:
    """The factors of one parameter for all examples: dW = sum_t A[t] B[o, t].

    Attributes:
        a: shape (N, G, T, K); integers (N, G, T) for a look-up; images (N, G, samples, spatial axes, K) under a window.
        b: shape (N, O, G, T, M).
        index_size: K, where ``a`` holds integers.
        window: of a convolution, where ``a`` holds images.
    """

    a: Any  # arrays; what transformations put in their place while they rebuild a block is none
    b: Any
    index_size: int | None = None
    window: Window | None = None

    @property
    def operand_size(self) -> int:
        """K, for one offset of the window."""
        return self.a.shape[-1] if self.index_size is None else self.index_size


jax.tree_util.register_dataclass(Block, data_fields=["a", "b"], meta_fields=["index_size", "window"])


def einsum(spec: str, *arrays: jax.Array) -> jax.Array:
    """Einsum of two arrays in full precision; sums of half-precision numbers are kept in float32."""
    dtype = jnp.result_type(*arrays)
    wide = jnp.promote_types(dtype, jnp.float32)
    return jnp.einsum(spec, *arrays, precision="highest", preferred_element_type=wide)


def dense(block: Block) -> Block:
    """The block with its integers as one-hot vectors."""
    if block.index_size is None:
        return block
    return Block(jax.nn.one_hot(block.a, block.index_size, dtype=block.b.dtype), block.b)


def symmetric(compute: Callable[[slice, slice], jax.Array], count: int, strips: int, mode: Mode) -> jax.Array:
    """A symmetric kernel from the blocks on and above its diagonal. ``compute(rows, columns)`` takes two slices."""
    strips = min(strips, count)
    if strips <= 1 or mode.same:
        return compute(slice(0, count), slice(0, count))
    edges = [round(i * count / strips) for i in range(strips + 1)]
    parts = [compute(slice(a, b), slice(a, count)) for a, b in itertools.pairwise(edges)]
    rows = []
    for i, part in enumerate(parts):
        below = [_flip(parts[j][:, edges[i] - edges[j] : edges[i + 1] - edges[j]], mode) for j in range(i)]
        rows.append(jnp.concatenate([*below, part], axis=1))
    return jnp.concatenate(rows, axis=0)


def _flip(part: Any, mode: Mode) -> jax.Array:
    """The mirror image of an off-diagonal block."""
    return jnp.transpose(part, (1, 0, 3, 2) if mode.output == "full" else (1, 0, *range(2, part.ndim)))
