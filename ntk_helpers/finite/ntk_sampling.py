r"""Tangent kernels of many random networks at once, exactly in law, without their weight matrices.

Forward: given the activations :math:`h = QR` of a layer at N inputs (Q has orthonormal columns), a Gaussian W enters
through :math:`Z = WQ` only, independent normal numbers. Backward: the cotangents C of the layer's outputs meet the same
W again,

.. math:: W^\top C = Q Z^\top C + (I - QQ^\top)\, \tilde W^\top C ,

where the part of W orthogonal to Q is still free, so that :math:`\tilde W` may be a fresh matrix, which enters only
through :math:`\tilde W^\top Q' = G`, normal numbers again, with :math:`C = Q'R'`. So a layer costs N n normal numbers
for each pass and not n^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers import _checks
from ntk_helpers.activations import Activation
from ntk_helpers.finite.initializers import gaussian_arrays
from ntk_helpers.finite.networks.fcn import FCNSpec, fcn_spec
from ntk_helpers.finite.sampling import _batch_sizes, _in_batches, _over_keys

__all__ = ["NTKLayers", "sample_ntk_law"]

MAX_INPUTS = 32


class NTKLayers(NamedTuple):
    """Tangent kernels of m networks, by layer; the kernel is ``(weights + biases).sum(axis=1)``.

    Attributes:
        weights: the part of each layer's weights, shape ``(m, depth + 1, N, N)``, the readout last.
        biases: the part of each layer's bias; 0 where the layer has none.
    """

    weights: Float[Array, "m layers n n"]
    biases: Float[Array, "m layers n n"]


def sample_ntk_law(
    x: Float[Array | np.ndarray, "n d_in"],
    *,
    key: PRNGKeyArray,
    n_networks: int,
    width: int,
    depth: int,
    activation: str | Activation | Callable[[Array], Array] = "relu",
    sigma_w: float = 1.0,
    sigma_b: float = 0.0,
    biases: Literal["all", "first", "none"] = "all",
    scale_input: bool = True,
    parameterization: Literal["ntk", "standard"] = "ntk",
    batch_size: int | None = None,
) -> NTKLayers:
    r"""Sample the empirical NTK of Gaussian fully connected networks with one output, exactly in law.

    The same law as ``nh.empirical_ntk(net.apply, net.init(key=...), x)`` with
    ``net = nh.fcn(..., d_out=1)`` and the same arguments, layer by layer,

    .. math:: \hat\Theta(x, x') = \sum_{l=1}^{L+1} \langle c^l, c'^l \rangle
              \big( s_l^2 \langle h^{l-1}, h'^{l-1} \rangle + \sigma_b^2 \big), \qquad
              c^l = \frac{\partial f}{\partial z^l},

    with :math:`s_l^2 = \sigma_w^2 / n` in the NTK parameterization, and 1 for both scales in the standard one.

    For relu and ``sigma_b=0`` one run serves every sigma_w: times :math:`a = \sigma_w^2 / 2` more variance multiplies
    the weights' part of every layer by :math:`a^L` and the bias's part of layer l by :math:`a^{L+1-l}` (standard
    parameterization).

    Args:
        x: inputs, one a row, shape ``(N, d_in)``, at most 32.
        key: a JAX random key of any kind.
        n_networks: number m of networks.
        width: units n in each hidden layer.
        depth: number L of hidden layers.
        activation: as in ``nh.fcn``; its derivative is JAX's.
        sigma_w: scale of the weights.
        sigma_b: scale of the biases at initialization; in the standard parameterization their gradients count at 0 too.
        biases: ``"all"``, ``"first"`` or ``"none"``, as in ``nh.fcn``.
        scale_input: divide by :math:`\sqrt d` in layer 1.
        parameterization: ``"ntk"`` or ``"standard"``.
        batch_size: networks held in memory at the same time; by default as many as fit in about 256 MB.

    Returns:
        ``NTKLayers(weights, biases)``, in the type of x. Runs longer than 5 s show a progress bar.

    Raises:
        ValueError: as ``nh.fcn`` and ``nh.sample_outputs``, and for more than 32 inputs.
        TypeError: as ``nh.fcn`` and ``nh.sample_outputs``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> parts = sample_ntk_law(jnp.eye(2), key=jax.random.key(0), n_networks=500, width=64, depth=3, sigma_w=2**0.5)
        >>> parts.weights.shape
        (500, 4, 2, 2)
    """
    x = _checks.as_samples(x, "x")
    if x.shape[0] > MAX_INPUTS:
        raise ValueError(f"x: at most {MAX_INPUTS} inputs, whose kernels are drawn jointly, got {x.shape[0]}")
    standard = _checks.check_choice(parameterization, "parameterization", ("ntk", "standard")) == "standard"
    spec = fcn_spec(
        d_in=x.shape[1],
        width=_checks.check_positive_int(width, "width"),
        depth=depth,
        d_out=1,
        activation=activation,
        sigma_w=sigma_w,
        sigma_b=sigma_b,
        biases=biases,
        scale_input=scale_input,
        keep_zero_biases=standard,
    )
    # Normal numbers, activations and their factors of every layer, forward and backward.
    numbers = 10 * x.shape[0] * max(spec.sizes) * (len(spec.sizes) - 1)
    size = _batch_sizes(n_networks, batch_size, numbers * x.dtype.itemsize)
    keys = jax.random.split(key, n_networks)
    return _in_batches(lambda batch: _law(spec, standard, batch, x), keys, size, "tangent kernels (by law)")


@partial(jax.jit, static_argnames=("spec", "standard"))
def _law(spec: FCNSpec, standard: bool, keys: Array, x: Array) -> NTKLayers:
    inputs, n = x.shape[0], spec.sizes[1]
    middle = len(spec.sizes) - 3  # layers from width n to width n
    scales = spec.weight_scales
    bias_scales = [0.0 if b is None else b for b in spec.bias_scales]
    # What a gradient carries: the scale stands in the network (NTK) or in the initialization (standard).
    own = [1.0 if standard else s for s in scales]
    own_bias = [0.0 if b is None else (1.0 if standard else b) for b in spec.bias_scales]
    draws_bias = [b > 0 for b in bias_scales]
    shapes = [(n, inputs), (middle, n, inputs), (1, inputs), (middle, n, inputs), (n, inputs)]
    shapes += [(n,) if draws_bias[0] else (0,), (middle, n) if draws_bias[1] else (0,)]

    def slope(z: Array) -> Array:
        return jax.jvp(spec.activation, (z,), (jnp.ones_like(z),))[1]

    def forward(h: Array, draw: Array, scale: float) -> tuple[Array, Array, Array]:
        q, r = _factor(h)
        return scale * _mm(draw, r), q, _mm(r.T, r)

    def backward(c: Array, q: Array, draw: Array, fresh: Array, scale: float) -> Array:
        free = _mm(fresh, _factor(c)[1])
        return scale * (_mm(q, _mm(draw.T, c)) + free - _mm(q, _mm(q.T, free)))

    def one(key: Array) -> NTKLayers:
        first, hidden, last, fresh, fresh_last, b_first, b_hidden = gaussian_arrays(
            key=key, shapes=shapes, dtype=x.dtype
        )
        z, _, gram_first = forward(x.T, first, scales[0])
        z = z + bias_scales[0] * b_first[:, None] if draws_bias[0] else z

        def up(z: Array, drawn: tuple[Array, Array | None]) -> tuple[Array, tuple[Array, Array, Array]]:
            new, q, gram = forward(spec.activation(z), drawn[0], scales[1])
            new = new if drawn[1] is None else new + bias_scales[1] * drawn[1][:, None]
            return new, (q, gram, slope(z))

        z, (qs, grams, slopes) = jax.lax.scan(up, z, (hidden, b_hidden if draws_bias[1] else None))
        _, q_last, gram_last = forward(spec.activation(z), last, scales[-1])

        c_last = jnp.ones((1, inputs), x.dtype)
        c = slope(z) * backward(c_last, q_last, last, fresh_last, scales[-1])

        def down(c: Array, layer: tuple[Array, ...]) -> tuple[Array, Array]:
            q, draw, new, slope_below = layer
            return slope_below * backward(c, q, draw, new, scales[1]), _mm(c.T, c)

        c, lines = jax.lax.scan(down, c, (qs, hidden, fresh, slopes), reverse=True)
        lines = jnp.concatenate([_mm(c.T, c)[None], lines, jnp.ones((1, inputs, inputs), x.dtype)])
        grams = jnp.concatenate([gram_first[None], grams, gram_last[None]])
        weights = jnp.asarray(own, x.dtype)[:, None, None] ** 2 * grams * lines
        return NTKLayers(weights, jnp.asarray(own_bias, x.dtype)[:, None, None] ** 2 * lines)

    return _over_keys(one, keys)


def _mm(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


def _factor(h: Float[Array, "n k"]) -> tuple[Float[Array, "n k"], Float[Array, "k k"]]:
    """Q and R with h = Q R, columns of Q orthonormal or 0: Gram-Schmidt, twice.

    A column in the span of those before it gets a zero in Q: it then takes no part of W, which is what the law wants,
    and no LAPACK call for each network is needed.
    """
    k = h.shape[1]
    small = 10 * math.sqrt(h.shape[0]) * jnp.finfo(h.dtype).eps
    q = jnp.zeros((h.shape[0], 0), h.dtype)
    rows = jnp.zeros((k, k), h.dtype)
    for j in range(k):
        column = h[:, j]
        length = jnp.linalg.norm(column)
        for _ in range(2 if j else 0):
            part = _mm(q.T, column)
            column = column - _mm(q, part)
            rows = rows.at[:j, j].add(part)
        left = jnp.linalg.norm(column)
        left = jnp.where(left > small * length, left, 0.0)
        rows = rows.at[j, j].set(left)
        q = jnp.concatenate([q, (column / jnp.where(left > 0, left, jnp.inf))[:, None]], axis=1)
    return q, rows
