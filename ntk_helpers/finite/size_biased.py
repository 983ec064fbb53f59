r"""Relu networks drawn with a probability in proportion to their tangent kernel.

Where depth is comparable to width, rare networks decide the second moment of the kernel: the plain mean of Theta^2 over
thousands of networks is most often far too small, and so is its standard error. Under the *size-biased* law
:math:`dP' = \hat\Theta\, dP / E\hat\Theta` the same number is a first moment,

.. math:: \frac{E\,\hat\Theta^2}{(E\,\hat\Theta)^2} = \frac{E'\,\hat\Theta}{E\,\hat\Theta} ,

and its relative variance is that of a first moment. P' can be drawn exactly. The kernel is a sum of positive terms
:math:`B_l F_l` and :math:`B_l`: pick one in proportion to its mean, and bias the layers by that one. It is a product
over layers of sums over units :math:`\sum_i D_i g_i^2`, with independent normal g and fair coins D (Chapter 9); biased
by such a sum, one unit, chosen at random, is on and has a g of density in proportion to :math:`g^2`, and the others
keep their law. What is left of the network is then drawn given these lines, as in ``ntk_sampling``.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ntk_helpers import _checks
from ntk_helpers.finite.initializers import gaussian_arrays
from ntk_helpers.finite.sampling import _batch_sizes, _in_batches, _over_keys

__all__ = ["sample_size_biased_relu_ntk"]


def sample_size_biased_relu_ntk(
    *,
    key: PRNGKeyArray,
    n_networks: int,
    width: int,
    depth: int,
    sigma_w: float,
    d_in: int | None = None,
    biases: bool = True,
    batch_size: int | None = None,
) -> Float[Array, " m"]:
    r"""Sample the tangent kernel at one unit input under the law that is biased by the kernel itself.

    The networks are those of ``nh.relu_ntk_moments``: relu, standard parameterization, biases that start at 0, one
    output. The mean of the samples over E[Theta] estimates the dispersion E[Theta^2] / E[Theta]^2 without bias.

    Args:
        key: a JAX random key of any kind.
        n_networks: number m of networks.
        width: units n in each hidden layer.
        depth: number L of hidden layers.
        sigma_w: scale of the weights.
        d_in: input dimension; by default ``width``.
        biases: whether the gradients with respect to the biases are part of the kernel.
        batch_size: networks held in memory at the same time; by default as many as fit in about 256 MB.

    Returns:
        Kernels, shape ``(n_networks,)``, in JAX's default float type. Runs longer than 5 s show a progress bar.

    Raises:
        ValueError: if a size is smaller than 1 or ``sigma_w`` is not positive.
        TypeError: if a size is no integer.

    Example:
        >>> import jax
        >>> settings = dict(width=20, depth=5, sigma_w=2**0.5)
        >>> theta = sample_size_biased_relu_ntk(key=jax.random.key(0), n_networks=100, **settings)
        >>> theta.shape
        (100,)
    """
    depth = _checks.check_positive_int(depth, "depth")
    n = _checks.check_positive_int(width, "width")
    d = n if d_in is None else _checks.check_positive_int(d_in, "d_in")
    a = float(_checks.check_nonnegative(sigma_w, "sigma_w")) ** 2 / 2
    if a == 0:
        raise ValueError(f"sigma_w must be positive, got {sigma_w}")
    size = _batch_sizes(n_networks, batch_size, 12 * n * depth * jnp.zeros(()).dtype.itemsize)
    keys = jax.random.split(key, n_networks)
    draw = partial(_draw, depth, n)
    return _in_batches(lambda batch: draw(batch, a, n / d, float(biases)), keys, size, "size-biased kernels")


@partial(jax.jit, static_argnums=(0, 1))
def _draw(depth: int, n: int, keys: Array, a: Array, r: Array, biases: Array) -> Array:
    layers = jnp.arange(1, depth + 2)
    # Means of B_l F_l and of B_l. What is drawn below has a = 1; powers of a come in at the end.
    weight_means = jnp.where(layers == 1, 1.0, r) * a ** (1.0 * depth)
    bias_means = a ** (depth + 1.0 - layers) * biases
    edges = jnp.cumsum(jnp.concatenate([weight_means, bias_means]))
    s = math.sqrt(2 / n)
    # One draw of normal numbers for all: compiling a draw takes a second.
    shapes = [(1,), (depth, n + 2), (depth, n), (2, depth, n)]

    def one(key: Array) -> Array:
        picked, numbers, switches, fresh = gaussian_arrays(key=key, shapes=shapes, dtype=edges.dtype)
        share = jax.scipy.special.ndtr(picked[0])  # uniform
        term = jnp.searchsorted(edges, share * edges[-1])
        own = term % (depth + 1) + 1  # the layer l of the term
        g, coins, biased_g, biased_coins = _units(numbers, switches)
        k = jnp.arange(1, depth + 1)  # hidden layers
        # Layers below l lie on the term's forward line, which counts for a weight; the others on its backward line.
        biased = ((k >= own) | (term <= depth))[:, None]
        g, on = jnp.where(biased, biased_g, g), jnp.where(biased, biased_coins, coins)
        entry = jnp.where(k == 1, jnp.sqrt(r), 1.0)

        def up(state, layer):
            """x_k from x_{k-1}; c is the cotangent of z_k where k >= l, v_{k-1} = W_k^T c that of h_{k-1}."""
            x, v_below = state
            k, g, on, e, entry, c, v = layer
            length = s * entry * jnp.linalg.norm(x)
            given = _along(c, v_below @ x) + length * _off(c, e)
            h = jnp.where(k < own, length * g, jnp.where(k == own, length * e, given))
            return (on * h, v), (h, x @ x)

        def lines(c_above, layer):
            g, on = layer
            v = s * c_above * g
            c = on * v
            return jnp.linalg.norm(c), (c, v)

        _, (cotangents, pulled) = jax.lax.scan(lines, jnp.ones(()), (g, on), reverse=True)
        start = jnp.zeros(n).at[0].set(1.0)
        inputs = (k, g, on, fresh[0], entry, cotangents, pulled)
        (x, _), (h, squares) = jax.lax.scan(up, (start, jnp.zeros(n)), inputs)

        def down(state, layer):
            """c_k from c_{k+1}, given W_{k+1} x_k = h_{k+1} where k + 1 < l."""
            c_above, h_above = state
            k, _g, on, e, x, h, c_line = layer
            length = s * jnp.linalg.norm(c_above)
            given = _along(x, h_above @ c_above) + length * _off(x, e)
            c = jnp.where(k >= own, c_line, on * jnp.where(k == own - 1, length * e, given))
            return (c, h), c @ c

        activations = on * h
        layered = (k, g, on, fresh[1], activations, h, cotangents)
        _, backward = jax.lax.scan(down, (start, jnp.zeros(n)), layered, reverse=True)
        forward = jnp.concatenate([squares, (x @ x)[None]])
        backward = jnp.concatenate([backward, jnp.ones(1)])
        return jnp.sum(backward * (forward * a ** (1.0 * depth) + a ** (depth + 1.0 - layers) * biases))

    return _over_keys(one, keys)


def _units(numbers: Array, switches: Array) -> tuple[Array, Array, Array, Array]:
    """Normal numbers and fair coins of every unit, and the same biased by sum_i D_i g_i^2 in each layer."""
    n = switches.shape[1]
    g, extra = numbers[:, :n], numbers[:, n:]
    # Sign and size of a normal number are independent: one tosses the coin, the other chooses a unit.
    coins = (switches > 0).astype(g.dtype)
    chosen = jnp.argmax(jnp.abs(switches), axis=1)[:, None] == jnp.arange(n)
    # Density g^2 exp(-g^2 / 2): the length of three normal numbers, with the sign of the first.
    long = jnp.sign(g) * jnp.sqrt(g**2 + jnp.sum(extra**2, axis=1, keepdims=True))
    return g, coins, jnp.where(chosen, long, g), jnp.where(chosen, 1.0, coins)


def _along(direction: Array, product: Array) -> Array:
    """The vector along ``direction`` that has this inner product with it; 0 where the direction is 0."""
    square = direction @ direction
    return direction * (product / jnp.where(square > 0, square, jnp.inf))


def _off(direction: Array, e: Array) -> Array:
    """What is orthogonal to ``direction``."""
    return e - _along(direction, direction @ e)
