r"""Conjugate gradients for (K + ridge I) A = B with products that may take hours.

All columns of B go through one pass over the kernel. The recurrences run on the host in float64; only the product with
K has the kernel's precision. What libraries offer does not fit: ``scipy.sparse.linalg.cg`` takes one column at a time,
``jax.scipy.sparse.linalg.cg`` does not tell whether it converged, and none can be stopped within a product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ntk_helpers.predict.large.store import Store
from ntk_helpers.predict.large.tiles import Tiles
from ntk_helpers.predict.large.together import agree, is_leader, leader_does, tile_bar

__all__ = ["NotConverged", "conjugate_gradients"]

# Writing the state takes at most this share of the time, and at least so many seconds lie between two writes.
_SAVING_SHARE, _SAVING_PAUSE = 0.05, 1.0
_MOVING, _CHECKING, _DONE, _STAGNATED, _INDEFINITE = range(5)


class NotConverged(RuntimeError):
    """Conjugate gradients did not reach the tolerance.

    Attributes:
        residual: relative residual ``|B - (K + ridge) A| / |B|`` reached, the largest of all columns.
        iterations: number of iterations.
    """

    def __init__(self, message: str, residual: float, iterations: int):
        super().__init__(message)
        self.residual, self.iterations = residual, iterations


class _Saver:
    """Saves the state now and then, so that saving stays a small part of the time."""

    def __init__(self, store: Store | None):
        self._store, self._next = store, 0.0

    def __call__(self, state: dict[str, np.ndarray], *, now: bool = False) -> None:
        begin = time.monotonic()
        if self._store is None or (begin < self._next and not now):
            return
        self._store.save("cg", state)
        end = time.monotonic()
        self._next = end + max(_SAVING_PAUSE, (end - begin) / _SAVING_SHARE)


def _start(b: np.ndarray, block: int) -> dict[str, np.ndarray]:
    """The state before the first iteration; a pass that checks the residual of A = 0 would find B."""
    return {
        "a": np.zeros_like(b),
        "r": b.copy(),
        "p": np.zeros_like(b),
        "rz": np.zeros(b.shape[1]),
        "stage": np.array(_MOVING),
        "iteration": np.array(0),
        "checked": np.array(np.inf),  # largest true residual at the last check
        "sum": np.zeros_like(b),  # of the pass under way
        "tiles": np.array(0),  # that are in it
        "block": np.array(block),  # their size
        "history": np.zeros((0, b.shape[1])),
    }


def _grown(state: dict[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    """With a history of this length: processes exchange arrays of known shapes."""
    history = np.zeros((rows, state["a"].shape[1]))
    history[: len(state["history"])] = state["history"][:rows]
    return {**state, "history": history}


def _direct(state: dict[str, np.ndarray], precondition: Callable[[np.ndarray], np.ndarray], fresh: bool) -> None:
    """The next direction: the preconditioned residual, made conjugate to the last direction unless ``fresh``."""
    z = precondition(state["r"])
    rz = np.sum(state["r"] * z, axis=0)
    old = state["rz"]
    ratio = np.zeros_like(rz) if fresh else np.divide(rz, old, out=np.zeros_like(rz), where=old > 0)
    state["p"], state["rz"] = z + ratio * state["p"], rz


def _advance(state: dict, product: np.ndarray, b: np.ndarray, scale: np.ndarray, tolerance: float, precondition: Any):
    """One step of the algorithm from the product of K + ridge with its direction or its solution; a new state."""
    state = dict(state)
    residuals = lambda r: np.linalg.norm(r, axis=0) / scale  # noqa: E731
    if state["stage"] == _CHECKING:
        true = b - product
        worst = float(residuals(true).max())
        if worst <= tolerance:
            state["stage"] = np.array(_DONE)
        elif worst > 0.5 * state["checked"]:
            state["stage"] = np.array(_STAGNATED)
        else:  # rounding has led the recurrence astray: go on from the true residual
            state["r"], state["stage"] = true, np.array(_MOVING)
            _direct(state, precondition, fresh=True)
        state["checked"] = np.array(worst)
        return state
    curvature = np.sum(state["p"] * product, axis=0)
    active = np.sum(state["p"] ** 2, axis=0) > 0
    if (curvature[active] <= 0).any():
        state["stage"] = np.array(_INDEFINITE)
        return state
    step = np.divide(state["rz"], curvature, out=np.zeros_like(curvature), where=active)
    state["a"], state["r"] = state["a"] + step * state["p"], state["r"] - step * product
    found = residuals(state["r"])
    state["history"] = np.concatenate([state["history"], found[None]])
    state["iteration"] = state["iteration"] + 1
    if found.max() <= tolerance:
        state["stage"] = np.array(_CHECKING)
    else:
        _direct(state, precondition, fresh=False)
    return state


def conjugate_gradients(
    tiles: Tiles,
    ridge: float,
    b: np.ndarray,
    *,
    precondition: Callable[[np.ndarray], np.ndarray],
    tolerance: float,
    max_iterations: int,
    store: Store | None,
) -> dict[str, np.ndarray]:
    """Solve, on all processes together; process 0 alone needs ``precondition`` and ``store``."""
    scale = np.linalg.norm(b, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    save = _Saver(store)

    def first() -> dict[str, np.ndarray]:
        state = None if store is None else store.load("cg")
        if state is None:
            state = _start(b, tiles.block)
            _direct(state, precondition, fresh=True)
            if not b.any():
                state.update(stage=np.array(_DONE), checked=np.array(0.0))
        if state["stage"] == _STAGNATED or (state["stage"] == _DONE and state["checked"] > tolerance):
            state.update(stage=np.array(_CHECKING), checked=np.array(np.inf))  # stored with another tolerance
        if state["block"] != tiles.block:  # a started pass is of use to tiles of its own size only
            state.update(sum=np.zeros_like(b), tiles=np.array(0), block=np.array(tiles.block))
        return state

    state = leader_does(first, "start or continue the solve") or _start(b, tiles.block)
    length = int(agree({"length": np.array(len(state["history"]))})["length"])
    state = agree(_grown(state, length))
    with tile_bar(initial=int(state["tiles"])) as bar:
        try:
            while state["stage"] in (_MOVING, _CHECKING):
                checking = state["stage"] == _CHECKING
                if not checking and state["iteration"] >= max_iterations:
                    break
                last = state["history"][-1].max() if len(state["history"]) else 1.0
                begun = bar.n - int(state["tiles"])
                bar.total = begun + tiles.total
                bar.set_description(f"iteration {int(state['iteration']) + 1}, residual {last:.1e}", refresh=False)
                v = state["a"] if checking else state["p"]
                for done, found in tiles.passing(v, int(state["tiles"]), state["sum"]):
                    state = {**state, "sum": found.copy(), "tiles": np.array(done)}
                    bar.update(begun + done - bar.n)
                    save(state)
                if is_leader():
                    moved = _advance(state, state["sum"] + ridge * v, b, scale, tolerance, precondition)
                else:
                    moved = _grown(state, len(state["history"]) + (not checking))
                moved.update(sum=np.zeros_like(b), tiles=np.array(0))
                length = int(agree({"length": np.array(len(moved["history"]))})["length"])
                state = agree(_grown(moved, length))
                save(state)
        except KeyboardInterrupt:
            save(state, now=True)
            raise
    save(state, now=True)
    _judge(state, ridge, tolerance, max_iterations, tiles.dtype, store)
    return state


def _judge(state: dict, ridge: float, tolerance: float, max_iterations: int, dtype: Any, store: Store | None) -> None:
    """Raise unless the state is a solution."""
    stage, iterations = int(state["stage"]), int(state["iteration"])
    if stage == _DONE:
        return
    if stage == _STAGNATED:
        residual = float(state["checked"])
        raise NotConverged(
            f"the residual stays at {residual:.2g} and does not reach tolerance = {tolerance:.2g}: rounding of the "
            f"{np.dtype(dtype)} kernel allows no more. Give a larger tolerance or ridge"
            + ("" if dtype == np.float64 else ", or x in float64 with JAX's x64 switched on"),
            residual,
            iterations,
        )
    residual = float(state["history"][-1].max()) if len(state["history"]) else 1.0
    if stage == _INDEFINITE:
        raise NotConverged(
            f"the kernel plus ridge = {ridge:.4g} (or the preconditioner) is not positive definite in "
            f"{np.dtype(dtype)}: a direction has no positive curvature after {iterations} iterations, at the residual "
            f"{residual:.2g}. Give a larger ridge, or check that the kernel is positive semi-definite",
            residual,
            iterations,
        )
    raise NotConverged(
        f"no convergence in max_iterations = {max_iterations}: the residual is {residual:.2g}, tolerance = "
        f"{tolerance:.2g}. Give a preconditioner (features=, or more of them), a larger ridge or tolerance, or more "
        "iterations" + ("" if store is None else "; with the same store they continue here"),
        residual,
        iterations,
    )
