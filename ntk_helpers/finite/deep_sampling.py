r"""Very deep random networks, exactly in law, without their weights: plain and residual ones in one recursion.

Everything is a special case of

.. math:: z^{l+1} = a\, z^l + \tfrac{b}{\sqrt n}\, W^{l+1} \phi(z^l), \qquad W^{l+1}_{ij} \sim N(0, 1),

with the skip a and the branch b. Given :math:`z^l` at N inputs, the columns of :math:`W \phi(z^l)^\top` are independent
and normal with the N x N covariance :math:`\phi(z^l) \phi(z^l)^\top`, so a layer takes N n normal numbers, no matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from tqdm import tqdm

from ntk_helpers import _checks
from ntk_helpers._progress import PROGRESS_AFTER
from ntk_helpers.activations import Activation, resolve_activation

__all__ = ["DeepDraws", "sample_deep_law"]

# Bytes of one batch's pre-activations. On a CPU a batch should stay in the cache; an accelerator wants much at once.
CPU_BYTES, DEVICE_BYTES = 2 * 2**20, 64 * 2**20
MAX_INPUTS = 16  # the factorization is unrolled over the inputs
# An input whose activations are a combination of the earlier ones' up to this share of their norm counts as one.
DEPENDENT = 1e-6


class DeepDraws(NamedTuple):
    r"""What is seen of random networks at some of their layers; m networks, K layers, N inputs, width n.

    Attributes:
        gram: :math:`\tfrac1n z^l (z^l)^\top`, shape (m, K, N, N).
        active: share of the units with z > 0, shape (m, K, N).
        energy: :math:`\tfrac1n |\phi(z^l)|^2`, shape (m, K, N).
    """

    gram: Float[Array, "m K N N"]
    active: Float[Array, "m K N"]
    energy: Float[Array, "m K N"]


def sample_deep_law(
    start: Float[Array | np.ndarray, "m N n"],
    *,
    key: PRNGKeyArray,
    depth: int,
    skip: float,
    branch: float,
    activation: str | Activation | Callable[[Array], Array] = "relu",
    balanced: bool = False,
    layers: Sequence[int] | None = None,
    batch_size: int | None = None,
) -> DeepDraws:
    r"""Draw deep random networks layer by layer, exactly in law, and return what their layers look like.

    The recursion is that at the top of this module. Plain relu networks at their critical point: ``skip=0``,
    ``branch=sqrt(2)``. Residual networks with scaled branches: ``skip=1``, ``branch=1/sqrt(depth)``; with a fixed
    width these are also the Euler scheme, with time step ``1/depth``, of
    :math:`dX = \tfrac1{\sqrt n} |\phi(X)|\, dB` on the time interval from 0 to 1.

    Args:
        start: pre-activations of layer 0, shape (m, N, n): one network a row, N inputs, n units. For a Gaussian first
            layer draw them as :math:`W x / \sqrt d`; any other law will do.
        key: a JAX random key of any kind. The draws depend on ``batch_size``, their law does not.
        depth: number L of layers after layer 0.
        skip: a, a finite number.
        branch: b, a finite number.
        activation: as in ``nh.fcn``.
        balanced: multiply the pre-activations of each unit by a random sign before the activation, a new one in each
            layer, the same at all inputs: the Balanced ResNets of Li, Nica and Roy (2021).
        layers: at which layers, between 0 and ``depth``, in increasing order; by default ``(depth,)``.
        batch_size: networks computed at the same time; by default what suits the device.

    Returns:
        DeepDraws, in the order of ``start`` and ``layers``. Runs longer than 5 s show a progress bar.

    Raises:
        ValueError: if ``start`` has the wrong shape, more than 16 inputs or is not finite, ``layers`` are not
            increasing or out of range, or a number is not finite.
        TypeError: if ``start`` is not floating point, or a count is not an integer.

    Example:
        >>> import jax, ntk_helpers as nh
        >>> start = jax.random.normal(jax.random.key(0), (500, 1, 64))
        >>> draws = nh.sample_deep_law(start, key=jax.random.key(1), depth=64, skip=1.0, branch=64**-0.5)
        >>> draws.gram.shape, bool(abs(draws.gram.mean() - 1.64) < 0.2)  # the limit is sqrt(e) = 1.649
        ((500, 1, 1, 1), True)
    """
    start = _checks.as_real(start, "start")
    if start.ndim != 3 or 0 in start.shape:
        raise ValueError(f"start must have shape (networks, inputs, units), no axis of length 0, got {start.shape}")
    m, inputs, width = start.shape
    if inputs > MAX_INPUTS:
        raise ValueError(f"start must have at most {MAX_INPUTS} inputs, got {inputs}")
    depth = _checks.check_positive_int(depth, "depth")
    stops = _stops(layers, depth)
    act = resolve_activation(activation)
    scales = []
    for value, name in ((skip, "skip"), (branch, "branch")):
        scale = _checks.as_real(value, name)
        if scale.ndim != 0:
            raise ValueError(f"{name} must be one number, got shape {scale.shape}")
        scales.append(scale.astype(start.dtype))

    bytes_each = inputs * width * start.dtype.itemsize
    limit = CPU_BYTES if jax.default_backend() == "cpu" else DEVICE_BYTES
    size = max(1, limit // bytes_each) if batch_size is None else _checks.check_positive_int(batch_size, "batch_size")
    batches = math.ceil(m / size)
    size = math.ceil(m / batches)
    parts = []
    with tqdm(total=m, desc="deep networks (by law)", unit="net", delay=PROGRESS_AFTER, leave=False) as bar:
        for i, k in enumerate(jax.random.split(key, batches)):
            rows = jnp.arange(i * size, (i + 1) * size) % m  # the last batch is filled up, and cut below
            parts.append(jax.block_until_ready(_run(act, bool(balanced), start[rows], k, *scales, stops)))
            bar.update(min(size, m - bar.n))
    return DeepDraws(*(jnp.concatenate(p)[:m] for p in zip(*parts, strict=True)))


def _stops(layers: Sequence[int] | None, depth: int) -> Array:
    """The layers to look at, checked."""
    chosen = np.asarray((depth,) if layers is None else tuple(layers))
    if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu":
        raise ValueError(f"layers must be a sequence of integers, got {layers!r}")
    if (np.diff(chosen) <= 0).any() or chosen[0] < 0 or chosen[-1] > depth:
        raise ValueError(f"layers must increase and lie between 0 and depth = {depth}, got {layers!r}")
    return jnp.asarray(chosen)


@partial(jax.jit, static_argnames=("act", "balanced"))
def _run(
    act: Activation, balanced: bool, z: Array, key: Array, skip: Array, branch: Array, stops: Array
) -> tuple[Array, Array, Array]:
    """Gram matrices, active shares and energies at the layers ``stops``; networks first."""
    m, inputs, width = z.shape
    scale = branch / math.sqrt(width)

    def layer(number: Array, z: Array) -> Array:
        key_g, key_s = jax.random.split(jax.random.fold_in(key, number))
        g = jax.random.normal(key_g, z.shape, z.dtype)
        flipped = z * jax.random.rademacher(key_s, (m, 1, width), z.dtype) if balanced else z
        rows = _triangle(act(flipped))
        branch_out = [sum(c[:, None] * g[:, j] for j, c in enumerate(row)) for row in rows]
        return skip * z + scale * jnp.stack(branch_out, axis=1)

    def to_stop(state: tuple[Array, Array], stop: Array) -> tuple[tuple[Array, Array], tuple[Array, Array, Array]]:
        z, done = state
        z = jax.lax.fori_loop(done, stop, layer, z)
        gram = jnp.stack([jnp.mean(z * z[:, i : i + 1], axis=-1) for i in range(inputs)], axis=-1)
        return (z, stop), (gram, jnp.mean(z > 0, axis=-1, dtype=z.dtype), jnp.mean(act(z) ** 2, axis=-1))

    _, seen = jax.lax.scan(to_stop, (z, jnp.zeros((), stops.dtype)), stops)
    return tuple(jnp.moveaxis(s, 0, 1) for s in seen)


def _triangle(h: Float[Array, "m N n"]) -> list[list[Array]]:
    """Rows of a lower triangular A with A A^T = h h^T for each network, by modified Gram-Schmidt.

    From the activations themselves, not from their Gram matrix, so that no digits are lost to squaring.
    """
    basis, rows = [], []
    for i in range(h.shape[1]):
        v, row = h[:, i], []
        size = jnp.sqrt(jnp.sum(v * v, axis=-1))
        for q in basis:
            c = jnp.sum(q * v, axis=-1)
            v = v - c[:, None] * q
            row.append(c)
        rest = jnp.sqrt(jnp.sum(v * v, axis=-1))
        rest = jnp.where(rest > DEPENDENT * size, rest, 0.0)
        basis.append(v * jnp.where(rest > 0, 1.0 / jnp.where(rest > 0, rest, 1.0), 0.0)[:, None])
        rows.append([*row, rest])
    return rows
