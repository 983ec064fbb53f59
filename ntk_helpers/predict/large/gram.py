"""Kernel matrices larger than a device, tile by tile into the host's memory or a file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.predict.large.store import Store, digest, kernel_probe
from ntk_helpers.predict.large.tiles import Kernel, Tiles, as_mesh, host_points, same_points
from ntk_helpers.predict.large.together import agree, is_leader, leader_does, tile_bar
from ntk_helpers.predict.solves import on_host

__all__ = ["columns", "fill", "large_gram", "large_product"]

AnyFloat = Float[Array | np.ndarray, "..."]
DEFAULT_BLOCK = 1024


def fill(tiles: Tiles, matrix: np.ndarray, done: np.ndarray, after: Any = None) -> None:
    """Write the tiles that are not done into the matrix, both halves of a symmetric one; ``after()`` follows each."""
    with tile_bar("kernel", total=tiles.total, initial=int(done.sum())) as bar:
        for numbers, contents in tiles.each(done):
            if is_leader():
                for rows, columns, tile in contents:
                    matrix[rows, columns] = tile
                    if tiles.symmetric and rows != columns:
                        matrix[columns, rows] = tile.T
            bar.update(len(numbers) - int(done[numbers].sum()))
            done[numbers] = True
            if after is not None:
                after()


def _stored(tiles: Tiles, directory: Any, problem: dict[str, Any], probes: dict[str, np.ndarray]) -> np.ndarray | None:
    """The matrix in a file, filled where an earlier run has not done so; on process 0."""

    def opened() -> tuple[Store, np.ndarray, np.ndarray]:
        store = Store(directory, problem, probes, tiles.dtype)
        path, shape = store.directory / "gram.npy", (tiles.rows, tiles.columns)
        record = store.load("tiles")
        if record is None or not path.exists():
            matrix = np.lib.format.open_memmap(path, mode="w+", dtype=tiles.dtype, shape=shape)
            return store, matrix, np.zeros(tiles.total, bool)
        return store, np.lib.format.open_memmap(path, mode="r+"), record["done"]

    found = leader_does(opened, f"open {directory}")
    store, matrix, done = found if found else (None, np.zeros((0, 0)), np.zeros(tiles.total, bool))
    done = agree({"done": done})["done"]

    def record() -> None:
        if store is not None:
            matrix.flush()  # the tile first, then the record that it is there
            store.save("tiles", {"done": done})

    if not done.all():
        fill(tiles, matrix, done, record)
    return None if store is None else matrix


def large_gram(
    kernel: Kernel,
    x1: AnyFloat,
    x2: AnyFloat | None = None,
    *,
    block: int = DEFAULT_BLOCK,
    mesh: Mesh | None = None,
    store: str | os.PathLike[str] | None = None,
) -> np.ndarray:
    r"""The kernel matrix K(x1, x2) on the host, from tiles that the devices of a mesh compute.

    A device holds the points and one tile of ``block`` by ``block`` entries; the matrix needs room on the host only,
    or, with ``store``, on the disk. Of a symmetric matrix only the upper half is computed.

    Args:
        kernel: ``kernel(x1, x2) -> (n1, n2)``, any function that JAX can trace, for example
            ``lambda a, b: nh.fcn_kernel(a, b, depth=2, get="ntk")``.
        x1: n1 points along the first axis, float32 or float64.
        x2: n2 points; None means x1.
        block: points along the side of a tile.
        mesh: a ``jax.sharding.Mesh``; tiles are dealt over all of its devices. By default these are all devices of all
            processes.
        store: directory for the matrix, ``gram.npy``, and a record of finished tiles. A run that was killed goes on
            after its last finished tile. With several processes it is process 0 that writes.

    Returns:
        The matrix (n1, n2) in the kernel's precision; with ``store`` a ``numpy.memmap``. With several processes and
        ``store``, process 0 gets it and the others an empty array; without ``store`` likewise.

    Raises:
        TypeError: if an argument has the wrong type, or the kernel returns several arrays.
        ValueError: if shapes do not fit, something is not finite, the kernel is not symmetric (x2 None), or ``store``
            holds another problem: other points, another kernel or block.

    Example:
        >>> import jax.numpy as jnp, ntk_helpers as nh
        >>> nh.large_gram(lambda a, b: a @ b.T, jnp.eye(3), block=2).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    block = _checks.check_positive_int(block, "block")
    x1 = host_points(x1, "x1")
    if x2 is not None:
        x2 = host_points(x2, "x2")
        same_points(x1, x2)
    tiles = Tiles(kernel, x1, x2, block=block, mesh=as_mesh(mesh))
    probe = kernel_probe(kernel, x1, x2)
    if store is not None:
        problem = {"what": "gram", "x1": digest(x1), "x2": None if x2 is None else digest(x2), "block": tiles.block}
        matrix = _stored(tiles, store, problem, {"kernel": probe})
    else:
        matrix = np.empty((tiles.rows, tiles.columns), tiles.dtype) if is_leader() else None
        fill(tiles, matrix, np.zeros(tiles.total, bool))
    return np.empty((0, 0), tiles.dtype) if matrix is None else matrix


def large_product(
    kernel: Kernel,
    x1: AnyFloat,
    x2: AnyFloat | None,
    v: AnyFloat,
    *,
    block: int = DEFAULT_BLOCK,
    mesh: Mesh | None = None,
) -> Float[np.ndarray, ...]:
    r"""The product K(x1, x2) v without the matrix: predictions at x1 from coefficients v at the training points x2.

    Args:
        kernel: as in ``nh.large_gram``.
        x1: n1 points along the first axis.
        x2: n2 points; None means x1.
        v: ``(n2,)`` or ``(n2, c)``; all columns share one pass over the tiles.
        block: points along the side of a tile.
        mesh: as in ``nh.large_gram``.

    Returns:
        The product, ``(n1,)`` or ``(n1, c)``, float64, summed in the kernel's precision within calls of about a second;
        every process gets it.

    Raises:
        TypeError: if an argument has the wrong type, or the kernel returns several arrays.
        ValueError: if shapes do not fit or something is not finite.

    Example:
        >>> import jax.numpy as jnp, numpy as np, ntk_helpers as nh
        >>> nh.large_product(lambda a, b: a @ b.T, jnp.eye(3), None, np.arange(3.0), block=2).tolist()
        [0.0, 1.0, 2.0]
    """
    block = _checks.check_positive_int(block, "block")
    x1 = host_points(x1, "x1")
    if x2 is not None:
        x2 = host_points(x2, "x2")
        same_points(x1, x2)
    tiles = Tiles(kernel, x1, x2, block=block, mesh=as_mesh(mesh))
    v, single = columns(v, "v", tiles.columns)
    result = np.zeros((tiles.rows, v.shape[1]))
    with tile_bar("product", total=tiles.total) as bar:
        for done, result in tiles.passing(v):  # noqa: B007 - the last one is the whole
            bar.update(done - bar.n)
    return result[:, 0] if single else result


def columns(v: Any, name: str, rows: int) -> tuple[np.ndarray, bool]:
    """A right-hand side as (rows, c), float64, and whether it was given without the second axis."""
    v = on_host(v, name, (1, 2))
    if len(v) != rows:
        raise ValueError(f"{name} must have one row for each of the {rows} points, got shape {v.shape}")
    return (v[:, None], True) if v.ndim == 1 else (v, False)
