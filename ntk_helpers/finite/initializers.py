r"""Laws of a weight matrix at initialization, scaled so that every entry has mean 0 and variance 1.

A network multiplies by :math:`\sigma_w/\sqrt{n}` itself, so one initializer serves every width and parameterization.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import sequential_vmap
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers._taps import tap_shares

__all__ = ["INITIALIZERS", "delta_orthogonal", "gaussian", "orthogonal", "resolve_initializer"]


def _check_shape(shape: tuple[int, int]) -> None:
    if not isinstance(shape, tuple) or len(shape) != 2 or any(size < 1 for size in shape):
        raise ValueError(f"shape must be two positive integers (n_out, n_in), got {shape}")


def gaussian(*, key: PRNGKeyArray, shape: tuple[int, int], dtype: jax.typing.DTypeLike = float) -> Float[Array, "o i"]:
    r"""Independent standard normal entries, :math:`W_{ij} \sim N(0, 1)`.

    Args:
        key: a JAX random key.
        shape: ``(n_out, n_in)``.
        dtype: float32 or float64; ``float`` is JAX's default (float64 where x64 is switched on).

    Returns:
        W, shape ``(n_out, n_in)``.

    Raises:
        ValueError: if ``shape`` is not two positive integers.

    Example:
        >>> import jax
        >>> gaussian(key=jax.random.key(0), shape=(3, 5)).shape
        (3, 5)
    """
    _check_shape(shape)
    return jax.random.normal(key, shape, dtype)


def orthogonal(
    *, key: PRNGKeyArray, shape: tuple[int, int], dtype: jax.typing.DTypeLike = float
) -> Float[Array, "o i"]:
    r"""A Haar-distributed orthogonal matrix, scaled to entries of variance 1.

    A square W has :math:`W W^\top = W^\top W = n I`. A rectangular W is semi-orthogonal: its law is uniform (invariant
    under rotations from both sides) over the matrices with

    .. math:: W W^\top = n_\mathrm{in} I \quad (n_\mathrm{out} \le n_\mathrm{in}), \qquad
              W^\top W = n_\mathrm{out} I \quad (n_\mathrm{out} \ge n_\mathrm{in}).

    So a layer that does not narrow keeps every angle, and one that narrows projects on a random subspace. The draw is
    ``jax.random.orthogonal``: the QR factorization of a Gaussian matrix, with the signs of R's diagonal moved to Q, so
    that Q is Haar (Mezzadri 2007).

    Args:
        key: a JAX random key.
        shape: ``(n_out, n_in)``.
        dtype: float32 or float64; ``float`` is JAX's default.

    Returns:
        W, shape ``(n_out, n_in)``.

    Raises:
        ValueError: if ``shape`` is not two positive integers.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> w = orthogonal(key=jax.random.key(0), shape=(4, 4))
        >>> bool(jnp.allclose(w @ w.T, 4 * jnp.eye(4), atol=1e-5))
        True
    """
    _check_shape(shape)
    n_out, n_in = shape

    # One after the other under vmap: on a CPU with several cores, batched QR decompositions of some hundred rows have
    # been seen to wait for each other without end (jaxlib 0.10.2).
    @sequential_vmap
    def draw(key: PRNGKeyArray) -> Array:
        return jax.random.orthogonal(key, n_out, m=n_in, dtype=dtype)

    return math.sqrt(max(shape)) * draw(key)


def delta_orthogonal(
    *, key: PRNGKeyArray, shape: tuple[int, ...], dtype: jax.typing.DTypeLike = float
) -> Float[Array, "o i *window"]:
    r"""Weights of a convolution that are a Haar matrix Q in the centre tap and 0 in all others (Xiao et al. 2018).

    .. math:: W_{t} = \sqrt{k}\; Q\, [t = \text{centre}], \qquad k \text{ taps},

    with Q as ``orthogonal`` draws it, so that the mean square of all entries is 1. A convolution with
    :math:`\tfrac{1}{\sqrt{k\, n_\mathrm{in}}} W` then is the same semi-orthogonal map at every pixel: with
    :math:`n_\mathrm{out} = n_\mathrm{in}` it keeps all norms and angles.

    Args:
        key: a JAX random key.
        shape: ``(n_out, n_in, *window)``, a window of odd lengths.
        dtype: float32 or float64; ``float`` is JAX's default.

    Returns:
        W, shape ``(n_out, n_in, *window)``.

    Raises:
        ValueError: if ``shape`` has fewer than three entries or one that is not positive, or the window has no centre.

    Example:
        >>> import jax
        >>> w = delta_orthogonal(key=jax.random.key(0), shape=(4, 4, 3, 3))
        >>> float(abs(w).sum() - abs(w[:, :, 1, 1]).sum())
        0.0
    """
    if not isinstance(shape, tuple) or len(shape) < 3 or any(size < 1 for size in shape):
        raise ValueError(f"shape must be positive integers (n_out, n_in, *window), got {shape}")
    return tap_matrices(orthogonal, tap_shares("center", shape[2:]), key=key, shape=shape[:2], dtype=dtype)


def tap_matrices(
    draw: Callable[..., Array],
    shares: np.ndarray,
    *,
    key: PRNGKeyArray,
    shape: tuple[int, int],
    dtype: jax.typing.DTypeLike,
) -> Float[Array, "o i *window"]:
    """An independent matrix for each tap, times the root of its share of the variance; nothing drawn for a share of 0.

    The mean square over all entries is 1 for a ``draw`` of variance 1, because the shares have the mean 1 / taps.
    """
    where = np.flatnonzero(shares)
    keys = jax.random.split(key, where.size)
    scales = np.sqrt(shares.ravel()[where] * shares.size)
    drawn = jax.vmap(lambda k: draw(key=k, shape=shape, dtype=dtype))(keys)
    drawn = jnp.asarray(scales, drawn.dtype)[:, None, None] * drawn
    w = jnp.zeros((shares.size, *shape), drawn.dtype).at[where].set(drawn)
    return jnp.moveaxis(w, 0, -1).reshape(*shape, *shares.shape)


def gaussian_arrays(
    *, key: PRNGKeyArray, shapes: Sequence[tuple[int, ...]], dtype: jax.typing.DTypeLike
) -> list[Array]:
    """Arrays of independent standard normals from one draw.

    One draw and not one for each array, because compiling a draw takes a second or two on a CPU.
    """
    sizes = [math.prod(shape) for shape in shapes]
    numbers = jax.random.normal(key, (sum(sizes),), dtype)
    ends = list(itertools.accumulate(sizes))
    return [numbers[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)]


INITIALIZERS: dict[str, Callable[..., Array]] = {"gaussian": gaussian, "orthogonal": orthogonal}


def resolve_initializer(initializer: str | Callable[..., Array]) -> Callable[..., Array]:
    """Turn a name or a callable into an initializer.

    Args:
        initializer: ``"gaussian"``, ``"orthogonal"``, or a function of ``key``, ``shape`` and ``dtype`` (by keyword)
            that returns entries of mean 0 and variance 1.

    Returns:
        The function.

    Raises:
        ValueError: if it is a name that is not known.
        TypeError: if it is neither a name nor a callable.

    Example:
        >>> resolve_initializer("gaussian") is gaussian
        True
    """
    if isinstance(initializer, str):
        if initializer not in INITIALIZERS:
            known = ", ".join(sorted(INITIALIZERS))
            raise ValueError(f"initializer: unknown name {initializer!r}; known are {known}, or any callable")
        return INITIALIZERS[initializer]
    if callable(initializer):
        return initializer
    raise TypeError(f"initializer must be a name or a callable, got {type(initializer).__name__}")
