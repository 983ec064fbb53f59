"""From the factors of all examples to the kernel: which products to form, and in which order.

With gradients dW = sum_t A[t] B[o, t] the contribution of a parameter to the kernel is

    Theta[n, o, z, p] = sum_{t, s} (A[n, t] . A[z, s]) (B[n, o, t] . B[z, p, s]),

and there are three orders to compute it in:

- ``gram``: both inner products, then their product (small T);
- ``apply``: A A^T first, applied to B, then the product with B (convolutions with several outputs);
- ``product``: the gradients sum_t A[t] B[o, t] of each example, in pieces (large T).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntk_helpers.finite.tangents.blocks import Block, Mode, dense, einsum
from ntk_helpers.finite.tangents.gradients import gradient_kernel, piece_bytes
from ntk_helpers.finite.tangents.window import patch_gram

__all__ = ["contract_blocks", "contract_leaf"]


def _swap_needed(first: Block, second: Block, how: str) -> tuple[Block, Block]:
    if first.index_size is not None and second.index_size is not None and how == "same":
        return first, second
    return dense(first), dense(second)


def _operands_gram(first: Block, second: Block, mode: Mode) -> jax.Array:
    """A A^T, axes (n, g, t, z, s), z left out for equal samples."""
    n, _, z, _, _ = mode.letters
    if first.window is not None and second.window is not None:
        return patch_gram((first.a, first.window), (second.a, second.window), mode.same)
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
    *_, p, result = mode.letters
    left = _operands_gram(first, second, mode)
    if mode.same:
        moved = einsum("ngts,nogtc->nogsc", left, first.b)
        return einsum(f"nogsc,n{p}gsc->{result}", moved, second.b)

    def pair(left: jax.Array, b1: jax.Array, b2: jax.Array) -> jax.Array:
        """The kernel of one sample on either side."""
        moved = einsum("gts,ogtc->ogsc", left, b1)
        return einsum(f"ogsc,{p}gsc->{result[2:]}", moved, b2)

    # All at once, the product in the middle would be written to memory and read again.
    held = math.prod(first.b.shape[1:3]) * math.prod(second.b.shape[3:]) * first.b.dtype.itemsize
    count1, count2 = first.b.shape[0], second.b.shape[0]
    pairs = max(1, piece_bytes() // held)
    columns = -(-count2 // -(-count2 // pairs))
    rows = min(max(1, pairs // count2), count1)

    def row(parts: tuple[jax.Array, jax.Array]) -> jax.Array:
        grams, b1 = parts
        return lax.map(lambda other: pair(other[0], b1, other[1]), (grams, second.b), batch_size=columns)

    return lax.map(row, (jnp.moveaxis(left, 3, 1), first.b), batch_size=rows)


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
            total = total + gradient_kernel(left, left if same_side else right, mode, strips)
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
