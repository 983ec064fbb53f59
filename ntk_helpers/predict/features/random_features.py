r"""Random features of the NTK, layer by layer (Zandieh et al. 2021; Han et al. 2021)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_helpers import _checks
from ntk_helpers.predict.features._base import FeatureMap
from ntk_helpers.predict.features.arc_cosine import DIRECTIONS, relu_features, step_features, weights
from ntk_helpers.predict.features.sketches import (
    CountPair,
    SRHTPair,
    count_pair,
    real_parts,
    srht_pair,
    tensor_count,
    tensor_srht,
)

__all__ = ["NTKRandomFeatures"]

SKETCHES = ("srht", "count")


class _Layer(NamedTuple):
    gates: Any  # W0, (p, m0)
    relu: Any  # W1, (p, m1)
    pair: SRHTPair | CountPair


class NTKRandomFeatures(FeatureMap):
    r"""Random features of the NTK of a relu network, as a scikit-learn transformer.

    The kernel is ``nh.fcn_kernel(x, depth=L, sigma_w=2**0.5, sigma_b=0, scale_input=False, get="ntk")``, that is
    :math:`2 |x| |x'| T_L` with :math:`T_l = S_l + T_{l-1} \kappa_0(S_{l-1})`. The features follow the recursion:
    :math:`\varphi_l` stands for :math:`S_l` and :math:`\psi_l` for :math:`T_l`, starting from x,

    .. math::
        t = \sqrt{2/m_0}\; [\varphi_{l-1} W_0 > 0], \quad \varphi_l = \sqrt{2/m_1}\; \max(0, \varphi_{l-1} W_1), \quad
        \psi_l = \varphi_l \oplus \mathrm{sketch}(\psi_{l-1} \otimes t),

    with new random numbers in each layer, and are :math:`\sqrt2\, \psi_L`. A sum of kernels is a concatenation of
    features, a product of kernels a tensor product, which is sketched. One half of the features belongs to each part.
    For one hidden layer their inner product is right on average; deeper ones have a bias of order 1/m.

    Args:
        depth: number L of hidden layers.
        n_components: number of features. Those of the next multiple of 4 are computed, and hashed where they are more.
        n_gates: number m_0 of step features in each layer; None for ``n_components``.
        sketch: ``"srht"`` (TensorSRHT) or ``"count"`` (CountSketch).
        directions: weights of W_1, see ``ArcCosineFeatures``.
        random_state: seed or ``numpy.random.RandomState``.

    Raises:
        ValueError: (from ``fit``) if a parameter is out of range.
        TypeError: (from ``fit``) if a parameter has the wrong type.

    Example:
        >>> x = np.eye(2, dtype=np.float32)
        >>> z = NTKRandomFeatures(depth=1, n_components=4096, random_state=0).fit_transform(x)
        >>> (z @ z.T).round(0)  # 4 on the diagonal, 2 kappa_1(0) = 2/pi beside it
        array([[4., 1.],
               [1., 4.]], dtype=float32)
    """

    # anything may be set and is checked by fit, as scikit-learn wants it
    def __init__(
        self,
        depth: Any = 1,
        n_components: Any = 2048,
        n_gates: Any = None,
        sketch: Any = "srht",
        directions: Any = "gaussian",
        random_state: Any = None,
    ):
        self.depth = depth
        self.n_components = n_components
        self.n_gates = n_gates
        self.sketch = sketch
        self.directions = directions
        self.random_state = random_state

    def _check(self) -> None:
        super()._check()
        _checks.check_positive_int(self.depth, "depth")
        if self.n_gates is not None:
            _checks.check_positive_int(self.n_gates, "n_gates")
        _checks.check_choice(self.sketch, "sketch", SKETCHES)
        _checks.check_choice(self.directions, "directions", DIRECTIONS)

    def _draw(self, rng: np.random.RandomState, d: int) -> tuple[_Layer, ...]:
        half, gates = self._width() // 2, self.n_gates or self.n_components
        layers, phi, psi = [], d, d
        for _ in range(self.depth):
            pair = srht_pair(rng, psi, gates, half // 2) if self.sketch == "srht" else count_pair(rng, psi, gates, half)
            gate = weights(rng, phi, gates, "gaussian")
            layers.append(_Layer(gate, weights(rng, phi, half, self.directions), pair))
            phi, psi = half, 2 * half
        return tuple(layers)

    def _features(self, drawn: Any, x: np.ndarray) -> jax.Array:
        return _ntk_features(drawn, x)

    def _width(self) -> int:
        return -(-self.n_components // 4) * 4

    def _numbers_per_row(self) -> int:
        return 8 * (self._width() + (self.n_gates or self.n_components))


@jax.jit
def _ntk_features(layers: tuple[_Layer, ...], x: jax.Array) -> jax.Array:
    phi = psi = jnp.asarray(x)
    for layer in layers:
        gates = step_features(phi, layer.gates)
        phi = relu_features(phi, layer.relu)
        if isinstance(layer.pair, SRHTPair):
            product = real_parts(tensor_srht(psi, gates, layer.pair))
        else:
            product = tensor_count(psi, gates, layer.pair, phi.shape[1])
        psi = jnp.concatenate([phi, product], axis=1)
    return math.sqrt(2) * psi
