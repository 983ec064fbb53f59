"""What loops that train have in common: compiled functions that are kept, seeds, the stop button."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax

__all__ = ["check_seeds", "compiled", "warn_interrupted"]

_kept = lru_cache(maxsize=64)(lambda make, *arguments: make(*arguments))


def compiled(make: Callable[..., Any], *arguments: Any) -> Any:
    """What ``make`` returns, kept for the next run of the same functions with other data or parameters."""
    try:
        hash(arguments)
    except TypeError:
        return make(*arguments)
    return _kept(make, *arguments)


def check_seeds(params: Any, seeds: int) -> None:
    """Raise unless every leaf of the parameters has the seeds as its first axis."""
    if wrong := {p.shape[:1] for p in jax.tree.leaves(params)} - {(seeds,)}:
        raise ValueError(f"params must have the {seeds} seeds as first axis of every leaf, got {sorted(wrong)}")


def warn_interrupted(what: str, done: int, steps: int) -> None:
    """Say that a run was stopped from outside; called by the public function itself, whose caller is shown."""
    warnings.warn(
        f"{what} was interrupted after {done} of {steps} steps; resume=log goes on from there",
        RuntimeWarning,
        stacklevel=3,
    )
