"""From the factors of all examples to the kernel: which products to form, and in which order.

With gradients dW = sum_t A[t] B[o, t] the contribution of a parameter to the kernel is

    Theta[n, o, z, p] = sum_{t, s} (A[n, t] . A[z, s]) (B[n, o, t] . B[z, p, s]),

and there are three orders to compute it in:

- ``gram``: both inner products, then their product (small T);
- ``apply``: A A^T first, applied to B, then the product with B (convolutions with several outputs);
- ``product``: the gradients sum_t A[t] B[o, t] of each example, in blocks (large T).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

__all__ = ["Block", "Mode", "contract_blocks", "contract_leaf", "symmetric"]

# The gradients of ``product`` are formed in pieces of at most this many bytes.
PIECE_BYTES = 1 << 26


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
    """The factors of one parameter for all examples: A (N, G, T, K), or (N, G, T) integers, and B (N, O, G, T, M)."""

    a: jax.Array
    b: jax.Array
    index_size: int | None  # K, where A holds integers


jax.tree_util.register_dataclass(Block, data_fields=["a", "b"], meta_fields=["index_size"])


def einsum(spec: str, *arrays: jax.Array) -> jax.Array:
    """Einsum of two arrays in full precision; sums of half-precision numbers are kept in float32."""
    dtype = jnp.result_type(*arrays)
    wide = jnp.promote_types(dtype, jnp.float32)
    return jnp.einsum(spec, *arrays, precision="highest", preferred_element_type=wide)


def _dense(block: Block) -> Block:
    """The block with its integers as one-hot vectors."""
    if block.index_size is None:
        return block
    return Block(jax.nn.one_hot(block.a, block.index_size, dtype=block.b.dtype), block.b, None)


def _swap_needed(first: Block, second: Block, how: str) -> tuple[Block, Block]:
    if first.index_size is not None and second.index_size is not None and how == "same":
        return first, second
    return _dense(first), _dense(second)


def _operands_gram(first: Block, second: Block, mode: Mode) -> jax.Array:
    """A A^T, axes (n, g, t, z, s), z left out for equal samples."""
    n, _, z, _, _ = mode.letters
    out = f"{n}gts" if mode.same else f"{n}gt{z}s"
    if first.index_size is not None:
        left = first.a[..., None] if mode.same else first.a[:, :, :, None, None]
        right = jnp.moveaxis(second.a, 0, 1)  # g z s
        right = second.a[:, :, None, :] if mode.same else right[None, :, None, :, :]
        valid = (left >= 0) & (left < first.index_size)
        return ((left == right) & valid).astype(first.b.dtype)
    return einsum(f"{n}gtk,{z}gsk->{out}", first.a, second.a)


def _gram(first: Block, second: Block, how: str, mode: Mode) -> jax.Array:
    n, o, z, p, result = mode.letters
    pair = f"{n}gts" if mode.same else f"{n}gt{z}s"
    summed = tuple(i for i, letter in enumerate(pair) if letter in "gts")
    if how == "same":
        left = _operands_gram(first, second, mode)
        both = {"trace": "", "diagonal": o, "full": o + p}[mode.output]
        right = einsum(f"{n}{o}gtc,{z}{p}gsc->{pair}{both}", first.b, second.b)
        # products entry by entry: as an einsum this would be many tiny matrix products
        return jnp.sum(left.reshape([*left.shape, *([1] * len(both))]) * right, axis=summed)
    # the parameter is used transposed by one of the two: operands meet cotangents
    left = einsum(f"{n}gtk,{z}{p}gsk->{pair}{p}", first.a, second.b)
    right = einsum(f"{n}{o}gtc,{z}gsc->{pair}{o}", first.b, second.a)
    if left.shape[-1] == right.shape[-1] == 1:
        out = jnp.sum(left * right, axis=summed)
        return out[..., None] if mode.output == "full" else out if mode.output == "diagonal" else out[..., 0]
    return einsum(f"{pair}{p},{pair}{o}->{result}", left, right)


def _apply(first: Block, second: Block, mode: Mode) -> jax.Array:
    n, o, z, p, result = mode.letters
    pair = f"{n}gts" if mode.same else f"{n}gt{z}s"
    left = _operands_gram(first, second, mode)
    moved = f"{n}{o}gsc" if mode.same else f"{n}{o}{z}gsc"
    return einsum(f"{moved},{z}{p}gsc->{result}", einsum(f"{pair},{n}{o}gtc->{moved}", left, first.b), second.b)


def _gradients(blocks: Sequence[tuple[Block, bool]], part: slice) -> jax.Array:
    """Gradients of each example, (N, O, G, k, m) for a range of k, summed over the uses; True marks transposed ones."""
    total: Any = 0
    for block, transposed in blocks:
        dense = _dense(block)
        if transposed:
            total = total + einsum("nogtk,ngtm->nogkm", dense.b[..., part], dense.a)
        else:
            total = total + einsum("ngtk,nogtm->nogkm", dense.a[..., part], dense.b)
    return total


def _product(
    first: Sequence[tuple[Block, bool]], second: Sequence[tuple[Block, bool]], mode: Mode, strips: int
) -> jax.Array:
    """The gradients in pieces, and their products; only the upper half in ``strips`` if both sides are the same."""
    n, o, z, p, result = mode.letters
    block, transposed = first[0]
    size_k = block.b.shape[-1] if transposed else (block.index_size or block.a.shape[-1])
    size_m = block.a.shape[-1] if transposed else block.b.shape[-1]
    largest = max(math.prod(side[0][0].b.shape[:3]) for side in (first, second))
    pieces = min(size_k, max(1, -(-largest * size_k * size_m * block.b.dtype.itemsize // PIECE_BYTES)))
    step = -(-size_k // pieces)
    total: Any = 0.0
    for start in range(0, size_k, step):
        part = slice(start, min(start + step, size_k))
        left = _gradients(first, part)
        right = left if second is first else _gradients(second, part)
        count = left.shape[0] if second is first else 0
        total = total + _strip_product(left, right, f"{n}{o}gkm,{z}{p}gkm->{result}", count, strips, mode)
    return total


def _strip_product(left: jax.Array, right: jax.Array, spec: str, count: int, strips: int, mode: Mode) -> jax.Array:
    if not count:
        return einsum(spec, left, right)
    return symmetric(lambda rows, columns: einsum(spec, left[rows], right[columns]), count, strips, mode)


def contract_leaf(left: jax.Array, right: jax.Array, mode: Mode) -> jax.Array:
    """Contribution of a parameter from its gradients (N, O, P)."""
    n, o, z, p, result = mode.letters
    return einsum(f"{n}{o}k,{z}{p}k->{result}", left, right)


def contract_blocks(
    first: Sequence[Block],
    second: Sequence[Block],
    how: Sequence[Sequence[str]],
    order: str,
    mode: Mode,
    strips: int = 1,
) -> jax.Array:
    """Contribution of a parameter from its factors.

    Args:
        first: factors on the left, one block for each way in which the parameter is laid out.
        second: factors on the right.
        how: how block i on the left meets block j on the right: "same", "swapped" or "none".
        order: "gram", "apply" or "product".
        mode: which entries of the kernel.
        strips: for "product", how many strips of a symmetric kernel to compute apart.
    """
    total: Any = 0.0
    if order == "product":
        # Blocks that do not overlap are treated apart; the rest is one gradient, in the layout of the first.
        for i, j, members in _clusters(how):
            left = [(first[a], how[a][j] == "swapped") for a in members[0]]
            right = [(second[b], how[i][b] == "swapped") for b in members[1]]
            # gradients are in the layout of block j on the right: the same on both sides
            base = how[i][j] == "swapped"
            right = [(block, flag != base) for block, flag in right]
            same_side = first is second and members[0] == members[1]
            total = total + _product(left, left if same_side else right, mode, strips)
        return total
    for i, left_block in enumerate(first):
        for j, right_block in enumerate(second):
            if how[i][j] == "none":
                continue
            a, b = _swap_needed(left_block, right_block, how[i][j])
            use_apply = order == "apply" and how[i][j] == "same"
            total = total + (_apply(a, b, mode) if use_apply else _gram(a, b, how[i][j], mode))
    return total


def _clusters(how: Sequence[Sequence[str]]) -> list[tuple[int, int, tuple[list[int], list[int]]]]:
    """Groups of blocks that meet: a block of each side, and the members on both sides."""
    left_open, clusters = set(range(len(how))), []
    while left_open:
        i = min(left_open)
        right = [j for j, entry in enumerate(how[i]) if entry != "none"]
        if not right:
            left_open.discard(i)
            continue
        left = [a for a in sorted(left_open) if how[a][right[0]] != "none"]
        left_open.difference_update(left)
        clusters.append((i, right[0], (left, right)))
    return clusters


def symmetric(compute: Any, count: int, blocks: int, mode: Mode) -> jax.Array:
    """A symmetric kernel from the blocks on and above its diagonal. ``compute(rows, columns)`` takes two slices."""
    blocks = min(blocks, count)
    if blocks <= 1 or mode.same:
        return compute(slice(0, count), slice(0, count))
    edges = [round(i * count / blocks) for i in range(blocks + 1)]
    strips = [compute(slice(a, b), slice(a, count)) for a, b in itertools.pairwise(edges)]
    rows = []
    for i, strip in enumerate(strips):
        below = [_flip(strips[j][:, edges[i] - edges[j] : edges[i + 1] - edges[j]], mode) for j in range(i)]
        rows.append(jnp.concatenate([*below, strip], axis=1))
    return jnp.concatenate(rows, axis=0)


def _flip(part: jax.Array, mode: Mode) -> jax.Array:
    """The mirror image of an off-diagonal block."""
    return jnp.transpose(part, (1, 0, 3, 2) if mode.output == "full" else (1, 0, *range(2, part.ndim)))
