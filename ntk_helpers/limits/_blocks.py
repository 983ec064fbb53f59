"""Kernels block by block of rows: the layers of one block stay in cache, and only the results need memory."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

# Entries of a block: large enough to fill the device, small enough that a few of them fit in a cache.
_ENTRIES = {"cpu": 2**17}
_ENTRIES_ELSEWHERE = 2**24
_LEAST_BLOCKS = 4  # a block's temporaries are about 7 blocks, so that the peak stays near (2 + 7 / 4) results


def in_row_blocks(block: Callable[[jax.Array, int], tuple[jax.Array, ...]], rows: int, columns: int):
    """Return the results of ``block(start, size)``, (size, columns) each, for all rows, one below the other.

    The last block reaches back over rows that are already done, so that all blocks have one size; nothing is copied.
    For the derivative each block is computed again, which keeps its memory as low.
    """
    entries = _ENTRIES.get(jax.default_backend(), _ENTRIES_ELSEWHERE)
    size = max(1, entries // columns)
    if rows * columns > entries // _LEAST_BLOCKS:
        size = min(size, -(-rows // _LEAST_BLOCKS))
    if size >= rows:
        return block(0, rows)
    block = jax.checkpoint(block, static_argnums=1)

    def step(i, results):
        start = jnp.minimum(i * size, rows - size)
        parts = block(start, size)
        return tuple(jax.lax.dynamic_update_slice_in_dim(r, p, start, 0) for r, p in zip(results, parts, strict=True))

    shapes = jax.eval_shape(lambda: block(0, size))
    results = tuple(jnp.zeros((rows, *s.shape[1:]), s.dtype) for s in shapes)
    return jax.lax.fori_loop(0, -(-rows // size), step, results)
