"""Refuse functions that mix the samples of a batch, such as batch normalization in training mode."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_helpers.finite.tangents.model import Model

__all__ = ["check_coupling"]

# Functions already found to be free of coupling, with the shapes they were tried on.
_PASSED: weakref.WeakKeyDictionary[Any, set[Any]] = weakref.WeakKeyDictionary()

_TRACED = (jax.errors.TracerArrayConversionError, jax.errors.UnexpectedTracerError)


def _probe(value: Any, seed: int) -> np.ndarray:
    """The value itself, or numbers in its place where it is traced."""
    if not isinstance(value, jax.core.Tracer):
        return np.asarray(value)
    rng = np.random.default_rng(seed)
    if jnp.issubdtype(value.dtype, jnp.floating):
        return (rng.standard_normal(value.shape) / np.sqrt(max(1, value.size) ** 0.5)).astype(value.dtype)
    return np.zeros(value.shape, value.dtype)


def _moved(value: np.ndarray, seed: int) -> np.ndarray:
    """The same numbers, each a little larger or smaller; other types as they are."""
    if not jnp.issubdtype(value.dtype, jnp.floating):
        return value
    noise = np.random.default_rng(3000 + seed).standard_normal(value.shape)
    return np.asarray(value * (1 + 0.05 * noise), value.dtype)


def _two_rows(x: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Two samples that differ: the first and the last, or the first and a changed copy."""
    first, last = x[0], second[-1]
    if np.array_equal(first, last):
        last = np.roll(first, 1)
        if jnp.issubdtype(first.dtype, jnp.floating):  # a mere permutation could have the same mean
            last = (0.5 * last + 0.25 * np.random.default_rng(0).standard_normal(last.shape)).astype(first.dtype)
    return np.stack([first, last])


def check_coupling(
    model: Model, leaves: Sequence[Any], x1: Sequence[Any], x2: Sequence[Any] | None, name: str = "f"
) -> None:
    """Raise if f gives a sample another output when a second sample stands beside it.

    Tried on two samples, once for each function and shape; where the arguments are traced (under ``jit``, ``vmap`` or
    ``grad``), on made-up numbers. A function that closes over traced values cannot be tried and is taken at its word.
    """
    key = (
        model.params_def,
        model.x_def,
        tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves),
        tuple((part.shape[1:], str(part.dtype)) for part in x1),
    )
    try:
        if key in _PASSED.get(model.function, ()):
            return
    except TypeError:  # not hashable, or it cannot be referred to weakly: try it each time
        pass
    numbers = [_probe(leaf, seed) for seed, leaf in enumerate(leaves)]
    others = x1 if x2 is None else x2
    pairs = [_two_rows(_probe(part, 1000), _probe(other, 2000)) for part, other in zip(x1, others, strict=True)]

    def both(leaves: list[Any], pairs: list[Any]) -> tuple[Any, Any]:
        together = model.on_batch(leaves, pairs)
        return together, jax.lax.map(lambda row: model.on_example(leaves, row), pairs)

    def run(numbers: list[Any]) -> list[np.ndarray]:
        return [np.asarray(part, np.float64) for part in jax.jit(both)(numbers, pairs)]

    # Sums in another order differ by rounding; true coupling through means and variances is of order one.
    precision = max(float(jnp.finfo(jnp.result_type(*leaves, *x1, jnp.float16)).eps), 1e-12)
    for attempt in (numbers, [_moved(part, seed) for seed, part in enumerate(numbers)]):
        try:
            together, alone = run(attempt)
        except _TRACED:
            # Inside a transformation everything is traced, concrete values too. A thread of its own is outside of it.
            try:
                with ThreadPoolExecutor(1) as pool:
                    together, alone = pool.submit(run, attempt).result()
            except _TRACED:
                return  # f closes over traced values
        finite = np.isfinite(together) & np.isfinite(alone)
        difference = np.abs(np.where(finite, together - alone, 0.0)).max(initial=0.0)
        size = np.abs(np.where(finite, alone, 0.0)).max(initial=0.0)
        unlike = (np.isfinite(together) != np.isfinite(alone)).any()
        if difference <= 1e3 * precision * max(size, 1e-30) and not unlike:
            break
        # Outputs that cancel, as those of a mirrored network at its start, are rounding alone: look beside them.
    else:
        raise ValueError(
            f"{name}(params, x) mixes the samples of a batch: an output changes by {difference:.2g} (of {size:.2g}) "
            "when another sample stands beside it, as with batch normalization in training mode. The kernel "
            "K(x_i, x_j) is then not defined; use the function in evaluation mode, or with its batch statistics fixed"
        )
    try:
        _PASSED.setdefault(model.function, set()).add(key)
    except TypeError:
        return
