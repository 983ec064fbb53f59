"""Several processes that go the same way: process 0 decides, the others follow.

Arrays travel as bytes, because JAX may have float64 switched off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from ntk_helpers._progress import PROGRESS_AFTER

__all__ = ["agree", "from_all", "is_leader", "leader_does", "tile_bar"]


def is_leader() -> bool:
    """Whether this is the process that reads and writes files, shows progress, and decides."""
    return jax.process_index() == 0


def tile_bar(what: str | None = None, **settings: Any) -> tqdm:
    """A progress bar that counts tiles, on process 0."""
    hidden = {} if is_leader() else {"disable": True}  # where it is not given, TQDM_DISABLE decides
    return tqdm(desc=what, unit="tile", delay=PROGRESS_AFTER, leave=False, **settings, **hidden)


def agree(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of process 0, on every process; all processes give arrays of the same shapes."""
    if jax.process_count() == 1:
        return values
    raw = b"".join(np.ascontiguousarray(v).tobytes() for v in values.values())
    got = np.asarray(multihost_utils.broadcast_one_to_all(np.frombuffer(raw, np.uint8))).astype(np.uint8).tobytes()
    result, start = {}, 0
    for name, v in values.items():
        v = np.asarray(v)
        result[name] = np.frombuffer(got, v.dtype, v.size, start).reshape(v.shape).copy()
        start += v.nbytes
    return result


def from_all(value: bytes) -> list[bytes]:
    """What every process gave, in the order of the processes; all of one length."""
    if jax.process_count() == 1:
        return [value]
    return [bytes(row.astype(np.uint8)) for row in multihost_utils.process_allgather(np.frombuffer(value, np.uint8))]


def leader_does(action: Callable[[], Any], what: str) -> Any:
    """What ``action`` returns on process 0, None on the others; an error there stops all of them."""
    result, error = None, None
    if is_leader():
        try:
            result = action()
        except Exception as caught:  # it is raised again below, once the others know
            error = caught
    if not agree({"ok": np.array([error is None])})["ok"][0]:
        raise error if error is not None else RuntimeError(f"process 0 could not {what}; its message says why")
    return result
