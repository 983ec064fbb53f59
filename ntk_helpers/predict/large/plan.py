"""What a ridge regression costs before it starts: which way fits, and how many bytes it takes where."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import Mesh

from ntk_helpers import _checks
from ntk_helpers.predict._runs import compiled
from ntk_helpers.predict.large.tiles import Kernel, as_mesh, check_kernel

__all__ = ["RidgePlan", "memory_limits", "plan_ridge"]

# Of the free memory, what a plan may use; the rest is for the allocator's gaps and for other programs.
_SHARE = 0.8
_BLOCKS = {"cpu": 1024}
_BLOCK_ELSEWHERE = 4096
_LEAST_BLOCK = 16
# float64 arrays of the size of y that are alive at once: y, solution, residual, direction, sums, products, and copies.
_VECTORS = 10


@dataclass(frozen=True)
class RidgePlan:
    """A way to solve, and what it takes.

    Attributes:
        method: ``"cholesky"`` (the matrix in float64 on the host, factored there) or ``"cg"`` (nothing of size n^2).
        block: points along the side of a tile.
        devices: number of devices that share the tiles.
        device_bytes: on each device: points, right-hand sides, results, and the temporaries of one tile.
        host_bytes: on the host of each process.
        store_bytes: on the disk, where a ``store`` is given.
        device_limit: bytes that may be used on a device.
        host_limit: bytes that may be used on the host.
        entries: kernel entries computed in one pass: Cholesky needs one pass and one more for the check of its
            residual, conjugate gradients one for each iteration and one for the check.
        flops: of the Cholesky factor (n^3 / 3); 0 for conjugate gradients, where computing the entries decides.
        why: the reason for the method.
    """

    method: Literal["cholesky", "cg"]
    block: int
    devices: int
    device_bytes: int
    host_bytes: int
    store_bytes: int
    device_limit: int
    host_limit: int
    entries: int
    flops: float
    why: str


def free_host_bytes() -> int:
    """Memory of this machine that is free for a new program."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return 1024 * int(line.split()[1])
    except OSError:
        pass
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    raise ValueError("this system does not say how much memory it has; give host_memory=, in bytes")


def _free_device_bytes(mesh: Mesh) -> int:
    """Free memory of the fullest device of this process; CPU devices share that of the host."""
    mine = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]
    if not mine:
        raise ValueError(f"mesh has no device of process {jax.process_index()}; every process must take part")
    stats = [device.memory_stats() for device in mine]
    if all(s and "bytes_limit" in s for s in stats):
        return min(s["bytes_limit"] - s.get("bytes_in_use", 0) for s in stats)
    return free_host_bytes() // len(mine)


def memory_limits(mesh: Mesh, device_memory: Any, host_memory: Any) -> tuple[int, int]:
    """Bytes that may be used on each device of this process and on its host."""

    def limit(given: Any, name: str, free: Any) -> int:
        return int(_SHARE * free()) if given is None else _checks.check_positive_int(given, name)

    return (
        limit(device_memory, "device_memory", lambda: _free_device_bytes(mesh)),
        limit(host_memory, "host_memory", free_host_bytes),
    )


def _tile_bytes(kernel: Kernel, shape: tuple[int, ...], dtype: Any, block: int) -> int:
    x = jax.ShapeDtypeStruct((block, *shape), dtype)
    # Not one array twice: the tile above the diagonal is the larger case.
    found = jax.jit(lambda a, b: kernel(a, b)).lower(x, x).compile().memory_analysis()
    if found is None:
        raise ValueError("the compiler does not tell the memory of the kernel on this device")
    return int(found.temp_size_in_bytes + found.output_size_in_bytes)


def tile_bytes(kernel: Kernel, shape: tuple[int, ...], dtype: Any, block: int) -> int:
    """Bytes of one tile and of what its computation needs, as the compiler tells them."""
    return compiled(_tile_bytes, kernel, shape, dtype, block)


def plan_ridge(
    kernel: Kernel,
    n: int,
    shape: int | tuple[int, ...],
    *,
    columns: int = 1,
    features: int = 0,
    dtype: str | np.dtype = "float32",
    method: str = "auto",
    block: int | None = None,
    mesh: Mesh | None = None,
    device_memory: int | None = None,
    host_memory: int | None = None,
) -> RidgePlan:
    r"""Say which way of solving a kernel ridge regression fits, and what it takes, before anything is computed.

    Cholesky needs :math:`8 n^2` bytes on the host and is chosen where that fits; conjugate gradients need the points,
    some vectors, and :math:`8 n m` bytes for m features. The temporaries of a tile are those that XLA reports for this
    kernel; the block is halved until they fit on the device.

    Args:
        kernel: ``kernel(x1, x2) -> (n1, n2)``.
        n: number of training points.
        shape: of one point, d or a tuple.
        columns: number of right-hand sides.
        features: number m of features of the preconditioner; 0 for none.
        dtype: of the points.
        method: ``"auto"``, ``"cholesky"`` or ``"cg"``.
        block: points along the side of a tile; chosen unless given.
        mesh: a ``jax.sharding.Mesh``; all devices unless given.
        device_memory: bytes on each device, 80 % of the free ones unless given. Devices that are CPUs share the host's.
        host_memory: bytes on the host of each process, 80 % of the free ones unless given.

    Returns:
        A ``RidgePlan``.

    Raises:
        ValueError: if nothing fits; the message says what is missing. Or an argument is out of range.
        TypeError: if an argument has the wrong type.

    Example:
        >>> import ntk_helpers as nh
        >>> k = lambda a, b: a @ b.T
        >>> plan = nh.plan_ridge(k, 10**6, 10, features=1000, host_memory=2 * 10**10, device_memory=10**9)
        >>> plan.method, plan.host_bytes < 10**10, plan.entries
        ('cg', True, 500000500000)
    """
    n, c = _checks.check_positive_int(n, "n"), _checks.check_positive_int(columns, "columns")
    m = 0 if features == 0 else _checks.check_positive_int(features, "features")
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    shape = tuple(_checks.check_positive_int(s, "shape") for s in shape)
    _checks.check_choice(method, "method", ("auto", "cholesky", "cg"))
    mesh = as_mesh(mesh)
    dtype = np.dtype(jax.dtypes.canonicalize_dtype(dtype))
    out = check_kernel(kernel, shape, dtype)
    device_limit, host_limit = memory_limits(mesh, device_memory, host_memory)
    points = n * math.prod(shape) * dtype.itemsize
    # on a device: points, right-hand sides, the sum, and the copy that is exchanged
    fixed = points + 3 * n * c * out.itemsize
    if block is None:
        size = min(_BLOCKS.get(jax.default_backend(), _BLOCK_ELSEWHERE), n)
        needed = fixed + tile_bytes(kernel, shape, dtype, size)
        while needed > device_limit and size > _LEAST_BLOCK and fixed < device_limit:
            size = max(_LEAST_BLOCK, size // 2)
            needed = fixed + tile_bytes(kernel, shape, dtype, size)
    else:
        size = min(_checks.check_positive_int(block, "block"), n)
        needed = fixed + tile_bytes(kernel, shape, dtype, size)
    if needed > device_limit:
        raise ValueError(
            f"a device needs {needed:.3g} bytes ({fixed:.3g} of them for the points and the right-hand sides) with "
            f"block = {size}, and has {device_limit:.3g}: "
            + ("take fewer columns or float32" if fixed > device_limit else "take a smaller block")
        )
    tile = size * size * out.itemsize * mesh.size
    # on the host: the caller's points and their blocks
    host = {
        "cholesky": 2 * points + 8 * n * n + _VECTORS * 8 * n * c + 2 * tile,
        "cg": 2 * points + _VECTORS * 8 * n * c + 8 * m * (n + 2 * m),
    }
    shared = mesh.devices.flat[0].platform == "cpu" and device_memory is None
    on_host = mesh.local_mesh.size * needed if shared else 0
    if method == "auto":
        chosen = "cholesky" if host["cholesky"] + on_host <= host_limit else "cg"
        what = "fits" if chosen == "cholesky" else "does not fit"
        why = f"the matrix in float64 takes {8 * n * n:.3g} bytes of the host's {host_limit:.3g}: it {what}"
    else:
        chosen, why = method, "asked for"
    if host[chosen] + on_host > host_limit:
        raise ValueError(
            f"{chosen} needs {host[chosen] + on_host:.3g} bytes on the host, and has {host_limit:.3g}: "
            + ("take fewer features or columns" if chosen == "cg" else 'method="cg" needs less')
        )
    cholesky = chosen == "cholesky"
    return RidgePlan(
        method=chosen,
        block=size,
        devices=mesh.size,
        device_bytes=needed,
        host_bytes=host[chosen],
        store_bytes=n * n * out.itemsize if cholesky else 8 * 5 * n * c,
        device_limit=device_limit,
        host_limit=host_limit,
        entries=n * (n + 1) // 2,
        flops=n**3 / 3 if cholesky else 0.0,
        why=why,
    )
