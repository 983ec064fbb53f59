"""The order ``product``: gradients of single examples, in pieces that stay in a cache, and their inner products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntk_helpers.finite.tangents.blocks import Block, Mode, dense, einsum, symmetric

__all__ = ["gradient_kernel", "piece_bytes"]

# A piece of the gradients of all examples takes about this many bytes: what stays in the cache of a core, and on other
# devices enough work for one launch.
PIECE_BYTES_CPU = 1 << 22
PIECE_BYTES = 1 << 26


def piece_bytes() -> int:
    """Size of a piece on the device that JAX computes on."""
    return PIECE_BYTES_CPU if jax.default_backend() == "cpu" else PIECE_BYTES


# A block and whether the parameter is used transposed in it.
Member = tuple[Block, bool]


def _pad(array: jax.Array, axis: int, size: int) -> jax.Array:
    """Zeros behind an axis, up to ``size``: they add nothing to a sum over it."""
    widths = [(0, 0)] * array.ndim
    widths[axis] = (0, size - array.shape[axis])
    return jnp.pad(array, widths) if widths[axis][1] else array


def _pieces_of(members: Sequence[Member], step: int, count: int) -> Callable[[Any], jax.Array]:
    """A function of the piece's number: gradients (N, G, k, O, M) for ``step`` entries of the summed axis."""

    def part_of(block: Block, transposed: bool) -> Callable[[Any], jax.Array]:
        if transposed:
            other, b = dense(block).a, _pad(block.b, 4, step * count)
            return lambda i: einsum("nogtk,ngtm->ngkom", lax.dynamic_slice_in_dim(b, i * step, step, 4), other)
        # The layout that a matrix product wants is made once, outside the loop over the pieces.
        n, o, g, t, m = block.b.shape
        cotangents = jnp.transpose(block.b, (0, 2, 3, 1, 4)).reshape(n, g, t, o * m)
        operand = _operand_pieces(block, step, count)
        return lambda i: einsum("ngkt,ngtm->ngkm", operand(i), cotangents).reshape(n, g, step, o, m)

    parts = [part_of(block, transposed) for block, transposed in members]
    return lambda i: sum((part(i) for part in parts[1:]), parts[0](i))


def _operand_pieces(block: Block, step: int, count: int) -> Callable[[Any], jax.Array]:
    """A function of the piece's number: the operand (N, G, k, T) for ``step`` entries of the summed axis."""
    if block.index_size is not None:
        rows = jnp.arange(step)[:, None]
        return lambda i: (block.a[:, :, None, :] == i * step + rows).astype(block.b.dtype)
    if block.window is None:
        a = _pad(jnp.swapaxes(block.a, 2, 3), 2, step * count)
        return lambda i: lax.dynamic_slice_in_dim(a, i * step, step, 2)
    window, padded = block.window, _pad(block.window.pad(block.a, 3), -1, step * count)

    def under(i: Any) -> jax.Array:
        offset = jnp.unravel_index(i // count, window.sizes)
        channels = lax.dynamic_slice_in_dim(padded, (i % count) * step, step, -1)
        part = window.at_offset(channels, offset, 3)
        return jnp.swapaxes(part.reshape(*part.shape[:2], -1, step), 2, 3)

    return under


def _inner(left: jax.Array, right: jax.Array, mode: Mode) -> jax.Array:
    """Inner products of gradients (N, G, k, O, M)."""
    n, o, z, p, result = mode.letters
    if left.shape[3] == right.shape[3] == 1:  # one axis of samples and one to sum over: no copy in another order
        flat = einsum(
            f"{n}k,{z}k->{result[: 1 if mode.same else 2]}", *(x.reshape(x.shape[0], -1) for x in (left, right))
        )
        return flat.reshape(*flat.shape, *[1] * (len(result) - flat.ndim))
    return einsum(f"{n}gk{o}m,{z}gk{p}m->{result}", left, right)


def gradient_kernel(first: Sequence[Member], second: Sequence[Member], mode: Mode, strips: int) -> jax.Array:
    """The kernel from the gradients of each example, summed over the members of a side.

    Args:
        first: blocks of the same parameter entries, the gradients of the left side.
        second: likewise; the same object as ``first`` if both sides are the same.
        mode: which entries of the kernel.
        strips: how many strips of a symmetric kernel to compute apart.
    """
    block, transposed = first[0]
    size_k = block.b.shape[-1] if transposed else block.operand_size
    size_m = block.operand_size if transposed else block.b.shape[-1]
    outer = math.prod(block.window.sizes) if block.window is not None else 1
    largest = max(math.prod(side[0][0].b.shape[:3]) for side in (first, second))
    count = min(size_k, -(-largest * size_k * size_m * block.b.dtype.itemsize // piece_bytes()))
    step = -(-size_k // count)
    count = -(-size_k // step)  # fewer pieces may do once they are rounded up
    of_first = _pieces_of(first, step, count)
    of_second = None if second is first else _pieces_of(second, step, count)

    def piece(i: Any) -> jax.Array:
        left = of_first(i)
        if of_second is not None:
            return _inner(left, of_second(i), mode)
        return symmetric(lambda rows, columns: _inner(left[rows], left[columns], mode), left.shape[0], strips, mode)

    if outer * count == 1:
        return piece(0)
    shape = jax.eval_shape(piece, 0)
    zero = jnp.zeros(shape.shape, shape.dtype)
    return lax.scan(lambda total, i: (total + piece(i), None), zero, jnp.arange(outer * count))[0]
