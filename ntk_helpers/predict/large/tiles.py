"""Products with kernel matrices that are never stored: square tiles of pairs, dealt over the devices of a mesh.

Points are cut into T blocks. A symmetric matrix needs its T diagonal tiles and the T (T - 1) / 2 above them; each tile
above serves the block of rows and, transposed, the block of columns. Every device has all points, and works through
its own share of the tiles; what it sums up has the size of the result. So the memory of a device grows with n and not
with n^2, and between devices travels one result for each call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntk_helpers import _checks
from ntk_helpers.predict._runs import compiled
from ntk_helpers.predict.large.together import agree

__all__ = ["Kernel", "Tiles", "as_mesh", "check_kernel", "host_points", "same_points"]

Kernel = Callable[[jax.Array, jax.Array], jax.Array]
# Seconds of work between two looks at the clock, the bar, the keyboard and the file.
CHUNK_SECONDS = 1.0
_HIGHEST = jax.lax.Precision.HIGHEST


def host_points(x: Any, name: str) -> np.ndarray:
    """Points along the first axis, on the host, in the precision JAX will use; all entries finite."""
    if not _checks.is_concrete(x):
        raise TypeError(f"{name}: blocks are worked through from the host, not inside jit, vmap or grad")
    if isinstance(x, (str, bytes)) or x is None:
        raise TypeError(f"{name} must be an array of shape (N, d), got {type(x).__name__}")
    x = np.asarray(x)
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} must be float32 or float64, got dtype {x.dtype}; convert it with x.astype('float32')")
    if x.ndim < 2:
        raise ValueError(f"{name} must have shape (N, d), samples as rows, or more axes, got shape {x.shape}")
    if 0 in x.shape:
        raise ValueError(f"{name} must have no axis of length 0, got shape {x.shape}")
    x = x.astype(jax.dtypes.canonicalize_dtype(x.dtype), copy=False)
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(x)).sum())} entries that are NaN or infinite")
    return x


def same_points(x1: np.ndarray, x2: np.ndarray, name1: str = "x1", name2: str = "x2") -> None:
    """Raise unless the points of both arrays have one shape and one precision."""
    if x1.shape[1:] != x2.shape[1:] or x1.dtype != x2.dtype:
        raise ValueError(
            f"{name1} and {name2} must differ in the number of points only, got shapes {x1.shape} and {x2.shape}, "
            f"dtypes {x1.dtype} and {x2.dtype}"
        )


def as_mesh(mesh: Mesh | None) -> Mesh:
    """The mesh, or one axis ``data`` over all devices of all processes."""
    if mesh is None:
        return Mesh(np.array(jax.devices()), ("data",))
    if not isinstance(mesh, Mesh):
        raise TypeError(f"mesh must be a jax.sharding.Mesh, got {type(mesh).__name__}")
    return mesh


def check_kernel(kernel: Kernel, shape: tuple[int, ...], dtype: Any) -> np.dtype:
    """Raise unless ``kernel(x1, x2)`` gives one real matrix (n1, n2); return its precision. Nothing is computed."""
    if not callable(kernel):
        raise TypeError(f"kernel must be a function kernel(x1, x2), got {type(kernel).__name__}")
    x1, x2 = (jax.ShapeDtypeStruct((n, *shape), dtype) for n in (3, 2))
    found = jax.eval_shape(kernel, x1, x2)
    if isinstance(found, tuple):
        raise TypeError(
            f"kernel must return one array (n1, n2), got {len(found)} of them; of nh.fcn_kernel and its like take one "
            'with get="ntk" or get="nngp"'
        )
    if getattr(found, "shape", None) != (3, 2) or not jnp.issubdtype(found.dtype, jnp.floating):
        got = f"shape {found.shape}, dtype {found.dtype}" if hasattr(found, "shape") else type(found).__name__
        raise ValueError(f"kernel must return a real array (n1, n2), (3, 2) for three points and two, got {got}")
    return np.dtype(found.dtype)


def _product(kernel: Kernel, mesh: Mesh, kind: str) -> Callable[..., jax.Array]:
    """Compiled sum over the tiles ``start`` to ``stop`` of every device's list."""
    axes = tuple(mesh.axis_names)

    def local(x1: Any, x2: Any, v: Any, pairs: Any, first: Any, start: Any, stop: Any) -> Any:
        def body(slot: Any, out: Any) -> Any:
            i, j, number = pairs[0, slot]
            rows = x1[i]
            # the same array twice: a kernel of this package then knows which points are equal
            tile = kernel(rows, rows) if kind == "diagonal" else kernel(rows, x2[j])
            tile = jnp.where(number >= first, tile, 0)  # the end of a list is filled with number -1
            out = out.at[i].add(jnp.matmul(tile, v[j], precision=_HIGHEST))
            if kind == "upper":
                out = out.at[j].add(jnp.matmul(tile.T, v[i], precision=_HIGHEST))
            return out

        zero = jnp.zeros((*x1.shape[:2], v.shape[2]), v.dtype)
        return jax.lax.psum(jax.lax.fori_loop(start, stop, body, zero), axes)

    share, alike = PartitionSpec(axes), PartitionSpec()
    specs = (alike, alike, alike, share, alike, alike, alike)
    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=alike, check_vma=False))


def _tiles(kernel: Kernel, mesh: Mesh, kind: str) -> Callable[..., jax.Array]:
    """Compiled: one tile for every device, from its own rows and columns; all of them given to every device."""
    axes = tuple(mesh.axis_names)

    def local(rows: Any, columns: Any) -> Any:
        tile = kernel(rows[0], rows[0]) if kind == "diagonal" else kernel(rows[0], columns[0])
        return jax.lax.all_gather(tile[None], axes, tiled=True)

    share, alike = PartitionSpec(axes), PartitionSpec()
    return jax.jit(jax.shard_map(local, mesh=mesh, in_specs=(share, share), out_specs=alike, check_vma=False))


class Tiles:
    """The matrix K(x1, x2), or K(x1, x1) where x2 is None, as tiles that are computed where they are needed.

    Attributes:
        total: number of tiles. They have an order, so that a number says how far a pass has come; the order does not
            depend on the mesh.
    """

    def __init__(self, kernel: Kernel, x1: np.ndarray, x2: np.ndarray | None, *, block: int, mesh: Mesh):
        self.kernel, self.mesh = kernel, mesh
        self.block = min(block, max(len(x1), 0 if x2 is None else len(x2)))
        self.dtype = check_kernel(kernel, x1.shape[1:], x1.dtype)
        self.rows, self.columns = len(x1), len(x1) if x2 is None else len(x2)
        self.symmetric = x2 is None
        self._blocks1 = self._blocks(x1)
        self._blocks2 = self._blocks1 if x2 is None else self._blocks(x2)
        t1, t2 = len(self._blocks1), len(self._blocks2)
        if self.symmetric:
            upper = np.stack(np.triu_indices(t1, 1), axis=1)
            lists = {"diagonal": np.stack([np.arange(t1)] * 2, axis=1), "upper": upper}
        else:
            lists = {"all": np.stack(np.divmod(np.arange(t1 * t2), t2), axis=1)}
        self._parts = []  # kind, number of its first tile, its pairs
        self._on_devices: Any = None
        self.total = 0
        for kind, pairs in lists.items():
            if len(pairs):
                self._parts.append((kind, self.total, pairs))
            self.total += len(pairs)

    def _blocks(self, x: np.ndarray) -> np.ndarray:
        """(T, block, ...); the last block is filled with points from the beginning, whose results are not used."""
        count = -(-len(x) // self.block)
        return x[np.arange(count * self.block) % len(x)].reshape(count, self.block, *x.shape[1:])

    def _placed(self, array: np.ndarray, spec: PartitionSpec | None = None) -> jax.Array:
        sharding = NamedSharding(self.mesh, PartitionSpec() if spec is None else spec)
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    def _dealt(self, pairs: np.ndarray) -> jax.Array:
        """(devices, slots, 3): tile s * devices + e of the list is number s of device e."""
        devices = self.mesh.size
        slots = -(-len(pairs) // devices)
        numbered = np.concatenate([pairs, np.arange(len(pairs))[:, None]], axis=1)
        filler = np.tile([[pairs[0, 0], pairs[0, 1], -1]], (slots * devices - len(pairs), 1))
        dealt = np.concatenate([numbered, filler]).reshape(slots, devices, 3).transpose(1, 0, 2)
        return self._placed(np.ascontiguousarray(dealt, np.int32), PartitionSpec(tuple(self.mesh.axis_names)))

    def _everywhere(self) -> Any:
        """The points of both sides, and for each part its tiles dealt, on the devices; put there when first needed."""
        if self._on_devices is None:
            x1 = self._placed(self._blocks1)
            x2 = x1 if self.symmetric else self._placed(self._blocks2)
            self._on_devices = x1, x2, [self._dealt(pairs) for _, _, pairs in self._parts]
        return self._on_devices

    def passing(
        self, v: np.ndarray, done: int = 0, result: np.ndarray | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Multiply the matrix with v (columns, c), tile by tile: yields how many are done, and the sum so far, float64.

        ``done`` and ``result`` continue a pass. Sums over tiles of one call are taken in the kernel's precision.
        """
        x1, x2, lists = self._everywhere()
        padded = np.zeros((x2.shape[0] * self.block, v.shape[1]), self.dtype)
        padded[: self.columns] = v
        placed = self._placed(padded.reshape(x2.shape[0], self.block, -1))
        result = np.zeros((self.rows, v.shape[1])) if result is None else result.copy()
        chunk, devices = 1, self.mesh.size
        for (kind, before, pairs), dealt in zip(self._parts, lists, strict=True):
            run = compiled(_product, self.kernel, self.mesh, kind)
            first = done - before
            while 0 <= first < len(pairs):
                start = first // devices
                stop = min(start + chunk, dealt.shape[1])
                begin = time.monotonic()
                part = np.asarray(run(x1, x2, placed, dealt, np.int32(first), start, stop))
                seconds = time.monotonic() - begin
                chunk = max(1, int((stop - start) * min(8.0, CHUNK_SECONDS / max(seconds, 1e-4))))
                chunk = int(agree({"chunk": np.array(chunk)})["chunk"])  # all processes take the same steps
                part = part.reshape(-1, v.shape[1])[: self.rows].astype(np.float64)
                if not np.isfinite(part).all():
                    raise ValueError(
                        "kernel returned NaN or infinite entries, or they overflowed in the product, at row "
                        f"{int(np.argwhere(~np.isfinite(part))[0, 0])} of the matrix"
                    )
                first = min(stop * devices, len(pairs))
                result += part
                done = before + first
                yield done, result

    def each(self, skip: np.ndarray) -> Iterator[tuple[list[int], list[tuple[slice, slice, np.ndarray]]]]:
        """Yield the numbers and the contents of a few tiles at a time, but not of those where ``skip`` is True."""
        devices = self.mesh.size
        share = PartitionSpec(tuple(self.mesh.axis_names))
        for kind, before, pairs in self._parts:
            run = compiled(_tiles, self.kernel, self.mesh, kind)
            for start in range(0, len(pairs), devices):
                here = pairs[start : start + devices]
                numbers = range(before + start, before + start + len(here))
                if all(skip[number] for number in numbers):
                    continue
                here = here[np.arange(devices) % len(here)]  # the last few are for all devices to have one
                rows, columns = (
                    self._placed(blocks[here[:, side]], share)
                    for side, blocks in enumerate((self._blocks1, self._blocks2))
                )
                found = np.asarray(run(rows, columns))
                contents = []
                for tile, number in zip(found, numbers, strict=False):
                    i, j = (int(k) * self.block for k in pairs[number - before])
                    rows = slice(i, min(i + self.block, self.rows))
                    columns = slice(j, min(j + self.block, self.columns))
                    tile = tile[: rows.stop - i, : columns.stop - j]
                    if not np.isfinite(tile).all():
                        raise ValueError(
                            f"kernel returned NaN or infinite entries in rows {rows.start} to {rows.stop - 1}, "
                            f"columns {columns.start} to {columns.stop - 1}"
                        )
                    contents.append((rows, columns, tile))
                yield list(numbers), contents
