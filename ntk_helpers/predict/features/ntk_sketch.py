"""NTKSketch: features of a polynomial that stands for the NTK, by a tree of sketches (Zandieh et al. 2021)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_helpers import _checks
from ntk_helpers.predict.features._base import FeatureMap
from ntk_helpers.predict.features.polynomial import ntk_polynomial
from ntk_helpers.predict.features.sketches import SRHTPair, real_parts, srht_pair, tensor_srht

__all__ = ["NTKSketch"]


class NTKSketch(FeatureMap):
    r"""Features of the polynomial that is nearest to the NTK of a relu network, as a scikit-learn transformer.

    With u the cosine, ``nh.ntk_polynomial`` gives :math:`\Theta \approx |x| |x'| \sum_j c_j u^j`, :math:`c_j \ge 0`.
    The power :math:`u^j` is the inner product of the tensors :math:`\hat x^{\otimes j}`, of which a sketch is made by a
    binary tree of TensorSRHTs with q leaves: the first j leaves hold :math:`\hat x`, the others the vector
    :math:`e_1`. All powers share the tree. The features are :math:`\sqrt{c_0}` and, for each j with :math:`c_j > 0`,
    :math:`\sqrt{c_j}` times the sketch, times :math:`|x|`. They keep the NTK's bias: what a polynomial misses.

    Args:
        depth: number L of hidden layers of the network.
        degree: degree q of the polynomial, a power of 2.
        n_components: number of features. At least 2 q + 1 are computed, and hashed where they are more.
        inner: complex coordinates inside the tree; None for n_components // 2.
        random_state: seed or ``numpy.random.RandomState``.

    Raises:
        ValueError: (from ``fit``) if a parameter is out of range.
        TypeError: (from ``fit``) if a parameter has the wrong type.

    Example:
        >>> x = np.eye(2, dtype=np.float32)
        >>> z = NTKSketch(depth=2, degree=4, n_components=4096, random_state=0).fit_transform(x)
        >>> z.shape
        (2, 4096)
    """

    # anything may be set and is checked by fit, as scikit-learn wants it
    def __init__(
        self,
        depth: Any = 2,
        degree: Any = 8,
        n_components: Any = 2048,
        inner: Any = None,
        random_state: Any = None,
    ):
        self.depth = depth
        self.degree = degree
        self.n_components = n_components
        self.inner = inner
        self.random_state = random_state

    def _check(self) -> None:
        super()._check()
        _checks.check_positive_int(self.depth, "depth")
        degree = _checks.check_positive_int(self.degree, "degree")
        if degree & (degree - 1):
            raise ValueError(f"degree must be a power of 2, got {degree}")
        if self.inner is not None:
            _checks.check_positive_int(self.inner, "inner")

    def _draw(self, rng: np.random.RandomState, d: int) -> dict[str, Any]:
        coefficients = ntk_polynomial(depth=self.depth, degree=self.degree)
        powers = np.flatnonzero(coefficients[1:]) + 1
        inner = self.inner or self._width() // 2
        levels, length, nodes = [], d, self.degree
        while nodes > 1:
            nodes //= 2
            levels.append([srht_pair(rng, length, length, inner) for _ in range(nodes)])
            length = inner
        # what is left over of the number of features goes to the first powers
        pairs = (self._width() - 1) // 2
        sizes = np.full(len(powers), pairs // len(powers)) + (np.arange(len(powers)) < pairs % len(powers))
        picks = [rng.randint(0, length, size) for size in sizes]
        signs = (2.0 * rng.randint(0, 2, length) - 1.0).astype(np.float32)
        return {
            "levels": levels,
            "powers": powers,
            "weights": coefficients.astype(np.float32),
            "picks": picks,
            "signs": signs,
        }

    def _features(self, drawn: Any, x: np.ndarray) -> jax.Array:
        powers = tuple(np.asarray(drawn["powers"]).tolist())
        found = _polynomial_features(drawn["levels"], drawn["weights"], drawn["picks"], drawn["signs"], x, powers)
        return jnp.pad(found, ((0, 0), (0, self._width() - found.shape[1])))

    def _width(self) -> int:
        return max(self.n_components, 2 * self.degree + 1)

    def _numbers_per_row(self) -> int:
        return 4 * (self.degree + 2) * (self.inner or self._width() // 2)


@partial(jax.jit, static_argnames="powers")
def _polynomial_features(
    levels: list[list[SRHTPair]],
    weights: jax.Array,
    picks: list[jax.Array],
    signs: jax.Array,
    x: jax.Array,
    powers: Any,
) -> jax.Array:
    """The tree from its leaves; a node keeps one sketch for each number of its first leaves that hold x."""
    first = jnp.zeros_like(x).at[:, 0].set(1.0)  # e_1, whose inner product with itself is 1
    nodes = [[first, x] for _ in range(2 * len(levels[0]) if levels else 1)]
    for level in levels:
        above = []
        for pair, left, right in zip(level, nodes[::2], nodes[1::2], strict=True):
            some = [tensor_srht(v, right[0], pair) for v in left]
            above.append(some + [tensor_srht(left[-1], v, pair) for v in right[1:]])
        nodes = above
    blocks = [jnp.full((x.shape[0], 1), jnp.sqrt(weights[0]))]
    for power, pick in zip(powers, picks, strict=True):
        sampled = jnp.fft.fft(nodes[0][power] * signs, axis=1)[:, pick] / math.sqrt(pick.shape[0])
        blocks.append(jnp.sqrt(weights[power]) * real_parts(sampled))
    return jnp.concatenate(blocks, axis=1)
