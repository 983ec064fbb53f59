"""Random features of the two arc-cosine kernels, of which every kernel of a relu network is made."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_helpers import _checks
from ntk_helpers.predict.features._base import FeatureMap

__all__ = ["ArcCosineFeatures", "relu_features", "step_features", "weights"]

DIRECTIONS = ("gaussian", "sphere")


def weights(rng: np.random.RandomState, d: int, m: int, directions: str) -> np.ndarray:
    """Draw m weight vectors of length d: standard normal, or of length sqrt(d) in uniform directions; ``(d, m)``."""
    drawn = rng.standard_normal((d, m))
    if directions == "sphere":
        drawn *= np.sqrt(d) / np.linalg.norm(drawn, axis=0)
    return drawn.astype(np.float32)


def relu_features(x: jax.Array, w: jax.Array) -> jax.Array:
    r"""Features whose inner product is :math:`|x| |x'| \kappa_1` on average: sqrt(2 / m) relu(x w)."""
    return math.sqrt(2 / w.shape[1]) * jax.nn.relu(x @ w)


def step_features(x: jax.Array, w: jax.Array) -> jax.Array:
    r"""Features whose inner product is :math:`\kappa_0` on average: sqrt(2 / m) [x w > 0]."""
    return math.sqrt(2 / w.shape[1]) * (x @ w > 0).astype(x.dtype)


class ArcCosineFeatures(FeatureMap):
    r"""Random features of an arc-cosine kernel (Cho and Saul 2009), as a scikit-learn transformer.

    .. math::
        z(x) = \sqrt{2/m}\, \max(0, W^\top x), \quad E\, z(x)^\top z(x') = |x|\,|x'|\, \kappa_1(\cos\theta)

    for order 1; for order 0 the step function in place of relu, and :math:`|x|\,|x'|\,\kappa_0`. The rows of W are
    standard normal, or (``directions="sphere"``) uniform of length :math:`\sqrt d`. Relu is homogeneous, so a Gaussian
    w of density :math:`|w|^2`, weighted by :math:`1/|w|^2`, is the same as a uniform direction: the leverage-score
    features of Han et al. (2021) for order 1 are those of the sphere. Their second moment is smaller by the factor
    d/(d+2).

    Args:
        order: 1 for relu, 0 for the step function.
        n_components: number m of features.
        directions: ``"gaussian"`` or ``"sphere"``; the same thing for order 0.
        random_state: seed or ``numpy.random.RandomState``.

    Raises:
        ValueError: (from ``fit``) if a parameter is out of range.
        TypeError: (from ``fit``) if a parameter has the wrong type.

    Example:
        >>> x = np.eye(2, dtype=np.float32)
        >>> z = ArcCosineFeatures(n_components=20000, random_state=0).fit_transform(x)
        >>> (z @ z.T).round(1)  # kappa_1 is 1 at angle 0 and 1/pi at a right angle
        array([[1. , 0.3],
               [0.3, 1. ]], dtype=float32)
    """

    # anything may be set and is checked by fit, as scikit-learn wants it
    def __init__(
        self, order: Any = 1, n_components: Any = 1024, directions: Any = "gaussian", random_state: Any = None
    ):
        self.order = order
        self.n_components = n_components
        self.directions = directions
        self.random_state = random_state

    def _check(self) -> None:
        super()._check()
        _checks.check_choice(self.directions, "directions", DIRECTIONS)
        if self.order not in (0, 1):
            raise ValueError(f"order must be 0 or 1, got {self.order!r}")

    def _draw(self, rng: np.random.RandomState, d: int) -> np.ndarray:
        return weights(rng, d, self.n_components, self.directions)

    def _features(self, drawn: jax.Array, x: np.ndarray) -> jax.Array:
        return _arc_cosine(drawn, x, self.order)


@partial(jax.jit, static_argnames="order")
def _arc_cosine(w: jax.Array, x: jax.Array, order: int) -> jax.Array:
    return relu_features(jnp.asarray(x), w) if order == 1 else step_features(jnp.asarray(x), w)
