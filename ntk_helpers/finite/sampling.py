r"""Outputs of many random networks at once.

Two ways. ``sample_outputs`` draws every weight of any network. ``sample_fcn_law`` samples the outputs of fully
connected Gaussian networks exactly in law without drawing weight matrices, layer by layer.

On a CPU the cost of the first is the random numbers, not the products: on two cores JAX makes about 60 million normal
numbers a second (its default generator; ``jax.random.key(0, impl="rbg")`` is no faster on a CPU),
so one network of width 2048 and depth 4, 12.7 million weights, takes about 0.2 s, almost whatever the number of
inputs. The second needs width x inputs numbers a layer instead of width x width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

from ntk_helpers import _checks
from ntk_helpers._progress import PROGRESS_AFTER
from ntk_helpers.activations import Activation
from ntk_helpers.finite.initializers import gaussian_arrays
from ntk_helpers.finite.networks.fcn import FCNSpec, fcn_spec
from ntk_helpers.finite.networks.network import Network

__all__ = ["sample_fcn_law", "sample_outputs"]

# Memory that one batch of networks may take, in bytes, where batch_size is not given.
BATCH_BYTES = 256 * 2**20
# Equal layers in a row up to which sample_fcn_law compiles each of them.
UNROLLED = 4


def _batch_sizes(n_networks: int, batch_size: int | None, bytes_each: int) -> int:
    """The size of a batch: what the memory allows, then evened out so that the last batch is nearly full."""
    n_networks = _checks.check_positive_int(n_networks, "n_networks")
    if batch_size is not None:
        batch_size = _checks.check_positive_int(batch_size, "batch_size")
    largest = batch_size if batch_size is not None else max(1, BATCH_BYTES // bytes_each)
    return math.ceil(n_networks / math.ceil(n_networks / largest))


def _in_batches(draw: Callable[[Array], Any], keys: Array, batch_size: int, label: str) -> Any:
    """Concatenate ``draw(keys of a batch)``, an array or a tree of them.

    The last batch is filled up with repeated keys, which are dropped.
    """
    n = keys.shape[0]
    batches = math.ceil(n / batch_size)
    keys = keys[jnp.arange(batches * batch_size) % n].reshape(batches, batch_size, *keys.shape[1:])
    parts = []
    with tqdm(total=n, desc=label, unit="net", delay=PROGRESS_AFTER, leave=False) as bar:
        for batch_keys in keys:
            # Waiting keeps the memory of one batch, and makes the bar tell the truth.
            parts.append(jax.block_until_ready(draw(batch_keys)))
            bar.update(min(batch_size, n - bar.n))
    return jax.tree.map(lambda *part: jnp.concatenate(part)[:n], *parts)


def _over_keys(fn: Callable[[Array], Any], keys: Array) -> Any:
    """``fn`` of each key, so that the result for a key does not depend on the other keys.

    ``jax.vmap`` gives that for the default generator; the rbg generators draw a whole batch from one key, so they
    go one by one.
    """
    if "rbg" in str(jax.random.key_impl(keys)):
        return jax.lax.map(fn, keys)
    return jax.vmap(fn)(keys)


def sample_outputs(
    net: Network,
    x: Float[Array | np.ndarray, "n d_in"],
    *,
    key: PRNGKeyArray,
    n_networks: int,
    batch_size: int | None = None,
) -> Float[Array, "m n d_out"]:
    r"""Draw networks independently and return the outputs of each at the same inputs.

    Args:
        net: a network, for example ``nh.fcn(...)``.
        x: inputs, one a row, shape ``(N, d_in)``. The networks are drawn in the type of x.
        key: a JAX random key of any kind. Network i uses the i-th of ``n_networks`` keys split from it, so the networks
            do not depend on ``batch_size``.
        n_networks: number m of networks.
        batch_size: networks held in memory at the same time; by default as many as fit in about 256 MB.

    Returns:
        Outputs, shape ``(n_networks, N, d_out)``. Runs longer than 5 s show a progress bar.

    Raises:
        ValueError: if x has the wrong shape or is not finite, or ``n_networks`` or ``batch_size`` is smaller than 1.
        TypeError: if ``net`` is not a ``Network``, x is not floating point, or a count is not an integer.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=2, width=32, depth=1)
        >>> f = nh.sample_outputs(net, jnp.eye(2), key=jax.random.key(0), n_networks=100)
        >>> f.shape
        (100, 2, 1)
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network (init, apply), got {type(net).__name__}")
    x = _checks.as_samples(x, "x")
    params = jax.tree.leaves(jax.eval_shape(lambda k: net.init(key=k, dtype=x.dtype), key))
    # The parameters, four times for what drawing them takes on the way (measured), and an activation for each of them.
    numbers = sum(4 * math.prod(p.shape) + x.shape[0] * max(p.shape, default=1) for p in params)
    size = _batch_sizes(n_networks, batch_size, numbers * x.dtype.itemsize)
    keys = jax.random.split(key, n_networks)
    return _in_batches(lambda batch: _outputs(net, batch, x), keys, size, "networks")


@partial(jax.jit, static_argnames="net")
def _outputs(net: Network, keys: Array, x: Array) -> Array:
    params = _over_keys(lambda k: net.init(key=k, dtype=x.dtype), keys)
    return jax.vmap(net.apply, in_axes=(0, None))(params, x)


def sample_fcn_law(
    x: Float[Array | np.ndarray, "n d_in"],
    *,
    key: PRNGKeyArray,
    n_networks: int,
    width: int | Sequence[int],
    depth: int,
    d_out: int = 1,
    activation: str | Activation | Callable[[Array], Array] = "relu",
    sigma_w: float | Sequence[float] = 1.0,
    sigma_b: float | Sequence[float] = 0.0,
    biases: Literal["all", "first", "none"] = "all",
    scale_input: bool = True,
    batch_size: int | None = None,
) -> Float[Array, "m n d_out"]:
    r"""Sample the outputs of Gaussian fully connected networks of finite width, exactly in law, without their weights.

    Given the activations :math:`h = \phi(z^l)` of layer l at the N inputs, a matrix of shape (N, n), the columns of the
    next layer's pre-activations are independent and

    .. math:: z^{l+1}_{\cdot j} \sim N\!\left(0,\ \tfrac{\sigma_w^2}{n} h h^\top + \sigma_b^2 1 1^\top\right)
              = R^\top g, \qquad g \sim N(0, I), \qquad
              Q R = \left[\tfrac{\sigma_w}{\sqrt n} h,\ \sigma_b 1\right]^\top .

    The triangular factor R comes from a QR factorization of the activations. It exists for every rank (repeated inputs,
    more inputs than dimensions) and loses no digits to squaring, unlike a Cholesky factor of the covariance. So a layer
    costs N n normal numbers and a factorization of N^2 n operations, not n^2 numbers: 10^5 networks of width 1000 are
    within reach of a CPU. The same law as ``nh.sample_outputs(nh.fcn(...), x, ...)`` with Gaussian weights, in both
    parameterizations, though not the same draws.

    Args:
        x: inputs, one a row, shape ``(N, d_in)``.
        key: a JAX random key of any kind. Draws depend on ``batch_size`` no more than rounding does; where one input's
            activations are a combination of the others' (repeated inputs), rounding chooses R among its equals, and
            only the law is the same.
        n_networks: number m of networks.
        width: units n in each hidden layer, or ``depth`` numbers.
        depth: number of hidden layers.
        d_out: number of outputs.
        activation: as in ``nh.fcn``.
        sigma_w: scale of the weights, a number or one for each layer, as in ``nh.fcn``.
        sigma_b: scale of the biases, likewise.
        biases: ``"all"``, ``"first"`` or ``"none"``, as in ``nh.fcn``.
        scale_input: divide by :math:`\sqrt d` in layer 1.
        batch_size: networks held in memory at the same time; by default as many as fit in about 256 MB.

    Returns:
        Outputs, shape ``(n_networks, N, d_out)``, in the type of x. Runs longer than 5 s show a progress bar.

    Raises:
        ValueError: as ``nh.fcn`` and ``nh.sample_outputs``.
        TypeError: as ``nh.fcn`` and ``nh.sample_outputs``.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> f = nh.sample_fcn_law(jnp.eye(2), key=jax.random.key(0), n_networks=1000, width=512, depth=3)
        >>> f.shape
        (1000, 2, 1)
    """
    x = _checks.as_samples(x, "x")
    spec = fcn_spec(
        d_in=x.shape[1],
        width=width,
        depth=depth,
        d_out=d_out,
        activation=activation,
        sigma_w=sigma_w,
        sigma_b=sigma_b,
        biases=biases,
        scale_input=scale_input,
    )
    # Normal numbers, pre-activations, activations and the factorization's copy of the widest layer.
    size = _batch_sizes(n_networks, batch_size, 4 * x.shape[0] * max(spec.sizes) * x.dtype.itemsize)
    keys = jax.random.split(key, n_networks)
    return _in_batches(lambda batch: _law(spec, batch, x), keys, size, "networks (by law)")


@partial(jax.jit, static_argnames="spec")
def _law(spec: FCNSpec, keys: Array, x: Array) -> Array:
    # The first layer's factor is the same for all networks.
    first = _factor(x, spec.weight_scales[0], spec.bias_scales[0])

    # A factor has one column for each input, or fewer where the layer below is narrower.
    fan_in = [n + (b is not None) for n, b in zip(spec.sizes[:-1], spec.bias_scales, strict=True)]
    shapes = [(min(x.shape[0], n_in), n_out) for n_in, n_out in zip(fan_in, spec.sizes[1:], strict=True)]

    # Layers alike: same sizes, same scales.
    kinds = list(zip(spec.sizes[1:-1], spec.sizes[2:], spec.weight_scales[1:], spec.bias_scales[1:], strict=True))

    def one(key: Array) -> Array:
        g_first, *g_rest = gaussian_arrays(key=key, shapes=shapes, dtype=x.dtype)
        z = jnp.matmul(first, g_first, precision="highest")
        draws = iter(g_rest)
        for (_, _, w_scale, b_scale), group in itertools.groupby(kinds):

            def layer(z: Array, g: Array, w_scale=w_scale, b_scale=b_scale) -> tuple[Array, None]:
                return jnp.matmul(_factor(spec.activation(z), w_scale, b_scale), g, precision="highest"), None

            gs = [next(draws) for _ in group]
            if len(gs) <= UNROLLED:
                for g in gs:
                    z, _ = layer(z, g)
            else:  # one compiled layer for all of them: unrolled, each takes 0.1 s to compile
                z, _ = jax.lax.scan(layer, z, jnp.stack(gs))
        return z

    return _over_keys(one, keys)


def _factor(h: Float[Array, "n i"], w_scale: float, b_scale: float | None) -> Float[Array, "n r"]:
    """A with A A^T = w_scale^2 h h^T + b_scale^2 and at most n columns."""
    a = w_scale * h
    if b_scale is not None:
        a = jnp.concatenate([a, jnp.full((h.shape[0], 1), b_scale, h.dtype)], axis=1)
    # Few columns: a itself is the smaller factor, and the draw is the weight matrix.
    return a if a.shape[1] <= a.shape[0] else jnp.linalg.qr(a.T, mode="r").T
