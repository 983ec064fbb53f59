"""Several processes that go the same way: process 0 decides, the others follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

__all__ = ["agree", "is_leader", "leader_does"]


def is_leader() -> bool:
    """Whether this is the process that reads and writes files, shows progress, and decides."""
    return jax.process_index() == 0


def agree(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of process 0, on every process. They travel as bytes, because JAX may have float64 switched off."""
    if jax.process_count() == 1:
        return values
    raw = {k: np.frombuffer(np.ascontiguousarray(v).tobytes(), np.uint8) for k, v in values.items()}
    got = multihost_utils.broadcast_one_to_all(raw)
    return {
        k: np.frombuffer(np.asarray(got[k]).astype(np.uint8).tobytes(), v.dtype).reshape(v.shape).copy()
        for k, v in values.items()
    }


def leader_does(action: Callable[[], Any], what: str) -> Any:
    """What ``action`` returns on process 0, None on the others; an error there stops all of them."""
    result, error = None, None
    if is_leader():
        try:
            result = action()
        except Exception as caught:  # it is raised again below, once the others know
            error = caught
    if not agree({"ok": np.array([error is None], np.uint8)})["ok"][0]:
        raise error if error is not None else RuntimeError(f"process 0 could not {what}; its message says why")
    return result
