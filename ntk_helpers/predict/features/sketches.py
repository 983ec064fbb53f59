r"""Sketches of tensor products: short vectors whose inner products are, on average, products of inner products.

For vectors a, b of lengths p, q the tensor product :math:`a \otimes b` has pq entries and :math:`\langle a \otimes b,
a' \otimes b' \rangle = \langle a, a' \rangle \langle b, b' \rangle`. Both sketches keep this on average and never form
the product.

*TensorSRHT* (Ahle et al. 2020): with random signs D, E, the Fourier transform F (not normalized) and m random pairs of
coordinates (i, j), the complex numbers :math:`(F D a)_i (F E b)_j / \sqrt m`. Signs make each coordinate of F D a an
unbiased estimate: :math:`E[(FDa)_i \overline{(FDa')_i}] = \langle a, a' \rangle`.

*CountSketch* (Pham and Pagh 2013): hash each entry with a random sign into one of m buckets, and convolve the two.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    "CountPair",
    "SRHTPair",
    "count_pair",
    "count_sketch",
    "real_parts",
    "srht",
    "srht_pair",
    "tensor_count",
    "tensor_srht",
]


class SRHTPair(NamedTuple):
    """Signs and coordinates for both factors: ``(p,)``, ``(q,)``, and two of ``(m,)``."""

    signs1: jax.Array
    signs2: jax.Array
    picks1: jax.Array
    picks2: jax.Array


class CountPair(NamedTuple):
    """Signs and buckets for both factors: ``(p,)``, ``(q,)``, and the same again."""

    signs1: jax.Array
    signs2: jax.Array
    buckets1: jax.Array
    buckets2: jax.Array


def _signs(rng: np.random.RandomState, size: int) -> jax.Array:
    return jnp.asarray(2.0 * rng.randint(0, 2, size) - 1.0, jnp.float32)


def srht_pair(rng: np.random.RandomState, p: int, q: int, m: int) -> SRHTPair:
    """Draw what a TensorSRHT of lengths p and q with m complex coordinates needs."""
    picks = [jnp.asarray(rng.randint(0, size, m)) for size in (p, q)]
    return SRHTPair(_signs(rng, p), _signs(rng, q), *picks)


def count_pair(rng: np.random.RandomState, p: int, q: int, m: int) -> CountPair:
    """Draw what a CountSketch of lengths p and q into m buckets needs."""
    buckets = [jnp.asarray(rng.randint(0, m, size)) for size in (p, q)]
    return CountPair(_signs(rng, p), _signs(rng, q), *buckets)


def srht(x: jax.Array, signs: jax.Array, picks: jax.Array) -> jax.Array:
    """Coordinates of the Fourier transform of x with random signs: ``(n, p)`` to complex ``(n, m)``."""
    return jnp.fft.fft(x * signs, axis=1)[:, picks]


def tensor_srht(a: jax.Array, b: jax.Array, pair: SRHTPair) -> jax.Array:
    """Sketch of the tensor products of rows: ``(n, p)`` and ``(n, q)`` to complex ``(n, m)``."""
    product = srht(a, pair.signs1, pair.picks1) * srht(b, pair.signs2, pair.picks2)
    return product / math.sqrt(pair.picks1.shape[0])


def count_sketch(x: jax.Array, signs: jax.Array, buckets: jax.Array, m: int) -> jax.Array:
    """Sums of signed entries by bucket: ``(n, p)`` to ``(n, m)``."""
    return jax.ops.segment_sum((x * signs).T, buckets, num_segments=m).T


def tensor_count(a: jax.Array, b: jax.Array, pair: CountPair, m: int) -> jax.Array:
    """Sketch of the tensor products of rows by a circular convolution: real, ``(n, m)``."""
    parts = (count_sketch(a, pair.signs1, pair.buckets1, m), count_sketch(b, pair.signs2, pair.buckets2, m))
    first, second = (jnp.fft.rfft(part, axis=1) for part in parts)
    return jnp.fft.irfft(first * second, n=m, axis=1)


def real_parts(z: jax.Array) -> jax.Array:
    """Real and imaginary parts side by side: the real inner product of these is the real part of the complex one."""
    return jnp.concatenate([z.real, z.imag], axis=1)
