"""Checks of what users pass in, shared by the whole package.

Each check names the argument, says what it got and what would be right. Values (NaN, signs) are looked at only where
they are known: under ``jax.jit`` an array is a tracer and only its shape and dtype are checked.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "as_images",
    "as_real",
    "as_samples",
    "as_sequences",
    "check_choice",
    "check_nonnegative",
    "check_positive_int",
    "is_concrete",
    "per_layer",
    "same_features",
    "sequence_lengths",
]


def is_concrete(value: Any) -> bool:
    """Whether the value can be looked at, that is, it is no tracer of ``jit``, ``vmap`` or ``grad``."""
    return not isinstance(value, jax.core.Tracer)


def as_samples(x: Any, name: str) -> jax.Array:
    """Return ``x`` as a float32 or float64 array of shape (N, d), N and d at least 1, all entries finite."""
    x = _as_floats(x, name, "(N, d)")
    if x.ndim != 2:
        hint = "; one sample is x[None, :], N samples of one feature are x[:, None]" if x.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (N, d), samples as rows, got shape {tuple(x.shape)}{hint}")
    if 0 in x.shape:
        raise ValueError(f"{name} must have at least one row and one column, got shape {tuple(x.shape)}")
    _check_finite(x, name)
    return jnp.asarray(x)


def as_images(x: Any, name: str) -> jax.Array:
    """Return ``x`` as a float32 or float64 array of shape (N, *pixels, C), no axis of length 0, all entries finite."""
    x = _as_floats(x, name, "(N, *pixels, C)")
    if x.ndim < 3:
        raise ValueError(
            f"{name} must have shape (N, *pixels, C), one axis or more of pixels and channels last, got shape "
            f"{tuple(x.shape)}; grey images (N, H, W) are x[..., None]"
        )
    if 0 in x.shape:
        raise ValueError(f"{name} must have no axis of length 0, got shape {tuple(x.shape)}")
    _check_finite(x, name)
    return jnp.asarray(x)


def as_sequences(x: Any, name: str) -> jax.Array:
    """Return ``x`` as a float32 or float64 array of shape (N, T, m), no axis of length 0, all entries finite."""
    x = _as_floats(x, name, "(N, T, m)")
    if x.ndim != 3:
        hint = "; N sequences of numbers are x[..., None]" if x.ndim == 2 else ""
        raise ValueError(f"{name} must have shape (N, T, m), sequences of T vectors, got shape {tuple(x.shape)}{hint}")
    if 0 in x.shape:
        raise ValueError(f"{name} must have no axis of length 0, got shape {tuple(x.shape)}")
    _check_finite(x, name)
    return jnp.asarray(x)


def sequence_lengths(lengths: Any, x: jax.Array, name: str) -> jax.Array:
    """Return the lengths of the sequences in x, (N,), each between 1 and T; None means that all have length T."""
    n, steps = x.shape[:2]
    if lengths is None:
        return jnp.full((n,), steps, "int32")
    if not isinstance(lengths, jax.Array):
        lengths = np.asarray(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"{name} must be integers, got dtype {lengths.dtype}")
    if lengths.shape != (n,):
        raise ValueError(f"{name} must have one length for each of the {n} sequences, got shape {lengths.shape}")
    if is_concrete(lengths):
        values = np.asarray(lengths)
        if values.min() < 1 or values.max() > steps:
            raise ValueError(f"{name} must be between 1 and T = {steps}, got {values.min()} to {values.max()}")
    return jnp.asarray(lengths, "int32")


def _as_floats(x: Any, name: str, shape: str) -> Any:
    """Return an array of float32 or float64; ``shape`` is what the message says is wanted."""
    if isinstance(x, (str, bytes)) or x is None:
        raise TypeError(f"{name} must be an array of shape {shape}, got {type(x).__name__}")
    if not hasattr(x, "dtype"):
        try:
            x = np.asarray(x)
        except ValueError as error:
            raise TypeError(f"{name} must be an array of shape {shape}; its rows have different lengths") from error
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"{name} must be a real floating-point array, got dtype {x.dtype}; convert it with x.astype(float)"
        )
    if x.dtype not in (jnp.float32, jnp.float64):
        raise TypeError(f"{name} must be float32 or float64, got dtype {x.dtype}; convert it with x.astype('float32')")
    return x


def _check_finite(x: Any, name: str) -> None:
    """Raise where an entry that can be looked at is NaN or infinite."""
    if is_concrete(x):
        bad = ~np.isfinite(np.asarray(x))
        if bad.any():
            place = ", ".join(map(str, np.argwhere(bad)[0]))
            raise ValueError(
                f"{name} must be finite, got {int(bad.sum())} entries that are NaN or infinite, the first at [{place}]"
            )


def same_features(x1: jax.Array, x2: jax.Array, name1: str = "x1", name2: str = "x2") -> None:
    """Raise unless both arrays have the same number of columns."""
    if x1.shape[1] != x2.shape[1]:
        raise ValueError(
            f"{name1} and {name2} must have the same number of columns, "
            f"got shapes {tuple(x1.shape)} and {tuple(x2.shape)}"
        )


def check_positive_int(value: Any, name: str) -> int:
    """Return ``value`` as an int of at least 1."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a positive integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a positive integer, got {value!r}") from None
    if number < 1:
        raise ValueError(f"{name} must be a positive integer, got {number}")
    return number


def check_choice(value: Any, name: str, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of the strings in ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_nonnegative(value: Any, name: str) -> Any:
    """Return a finite number >= 0; a JAX scalar is allowed, and a tracer is passed on unseen."""
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{name} must be a number, got {value!r}")
    shape = np.shape(value)
    if shape != ():
        raise ValueError(f"{name} must be one number, got shape {shape}")
    if not is_concrete(value):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{name} must be finite and not negative, got {number}")
    return value if isinstance(value, jax.Array) else number


def per_layer(value: Any, name: str, layers: int) -> tuple[Any, ...]:
    """Return one finite number >= 0 for each layer, from one number or a sequence of ``layers`` numbers."""
    if np.ndim(value) == 0:
        return (check_nonnegative(value, name),) * layers
    if np.ndim(value) != 1:
        raise ValueError(f"{name} must be one number or a sequence of {layers}, got shape {np.shape(value)}")
    if len(value) != layers:
        raise ValueError(f"{name} must be one number or one for each of the {layers} layers, got {len(value)} values")
    return tuple(check_nonnegative(entry, f"{name}[{i}]") for i, entry in enumerate(value))


def as_real(value: Any, name: str) -> jax.Array:
    """Return a real number or array of any shape as a floating-point array, all entries finite."""
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{name} must be a real number or array, got {type(value).__name__}")
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        if hasattr(value, "dtype") or not jnp.issubdtype(array.dtype, jnp.integer):
            raise TypeError(f"{name} must be real and floating-point, got dtype {array.dtype}; convert it to float")
        array = array.astype(float)
    if is_concrete(array) and not bool(jnp.all(jnp.isfinite(array))):
        raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    return array
