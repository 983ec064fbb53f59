"""The windows of a convolution: its patches, their inner products, and one offset of the window at a time.

Patches repeat every pixel once for each offset of the window. Neither of the two fast ways forms them: inner products
of patches are sums of inner products of pixels, and a gradient is computed offset by offset.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["Window", "patch_gram"]


@dataclasses.dataclass(frozen=True)
class Window:
    """How a convolution moves over an image; one entry for each spatial axis.

    Attributes:
        axes: the axes of the operand in the order sample, channel, spatial axes.
        groups: number of groups of channels.
        image: sizes of the image.
        sizes: sizes of the window.
        steps: how far the window moves from one position to the next.
        gaps: distance of neighbouring offsets of the window.
        padding: zeros before, after and between pixels.
        positions: how many positions there are.
    """

    axes: tuple[int, ...]
    groups: int
    image: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    gaps: tuple[int, ...]
    padding: tuple[tuple[int, int, int], ...]
    positions: tuple[int, ...]

    @property
    def pixels(self) -> int:
        """Number of pixels of the image, without padding."""
        return math.prod(self.image)

    def arrange(self, operand: jax.Array) -> jax.Array:
        """The operand as (groups, samples, spatial axes, channels of a group)."""
        image = jnp.transpose(operand, (self.axes[1], self.axes[0], *self.axes[2:]))
        image = image.reshape(self.groups, -1, *image.shape[1:])
        return jnp.moveaxis(image, 1, -1)

    def pad(self, image: jax.Array, first: int) -> jax.Array:
        """Pad the spatial axes, which begin at axis ``first``."""
        rest = image.ndim - first - len(self.padding)
        config = [*[(0, 0, 0)] * first, *self.padding, *[(0, 0, 0)] * rest]
        return lax.pad(image, jnp.zeros((), image.dtype), config)

    def extents(self) -> list[int]:
        """For each spatial axis, how many pixels the positions of one offset span."""
        return [(count - 1) * step + 1 for count, step in zip(self.positions, self.steps, strict=True)]

    def at_offset(self, padded: jax.Array, offset: Sequence[Any], first: int) -> jax.Array:
        """The pixels under one offset of the window, at all positions; the offset may be traced."""
        starts: list[Any] = [0] * padded.ndim
        sizes, strides = list(padded.shape), [1] * padded.ndim
        for axis, (place, gap, extent, step) in enumerate(
            zip(offset, self.gaps, self.extents(), self.steps, strict=True), start=first
        ):
            starts[axis], sizes[axis], strides[axis] = place * gap, extent, step
        part = lax.dynamic_slice(padded, starts, sizes)
        return lax.slice(part, [0] * part.ndim, part.shape, strides)

    def patches(self, operand: jax.Array) -> jax.Array:
        """All windows: (samples, groups, channels of a group, window offsets, positions)."""
        image = jnp.moveaxis(self.arrange(operand), (1, -1), (0, 2))
        padded = self.pad(image, 3)
        pieces = [self.at_offset(padded, offset, 3) for offset in np.ndindex(*self.sizes)]
        return jnp.stack(pieces, axis=3).reshape(*image.shape[:3], *self.sizes, *self.positions)


def patch_gram(first: tuple[jax.Array, Window], second: tuple[jax.Array, Window], same: bool) -> jax.Array:
    r"""Inner products of all patches of two sets of images, from those of their pixels.

    .. math:: \langle P_t, P_s\rangle = \sum_{\delta} \langle X_{t+\delta}, X_{s+\delta}\rangle

    The sum over the offsets of the window is a sum over one spatial axis after the other.

    Args:
        first: images (N, groups, samples, spatial axes, channels) and their window.
        second: likewise, with the same sizes of the window.
        same: only pairs of images with the same index.

    Returns:
        (N, groups, T, Z, S), or (N, groups, T, S) for ``same``; t runs over samples and positions.
    """
    (x1, w1), (x2, w2) = first, second
    dims = len(w1.sizes)
    flat1, flat2 = (x.reshape(*x.shape[:3], -1, x.shape[-1]) for x in (x1, x2))
    spec = "ngiac,ngjbc->ngiajb" if same else "ngiac,zgjbc->ngiazjb"
    wide = jnp.promote_types(jnp.result_type(x1, x2), jnp.float32)
    gram = jnp.einsum(spec, flat1, flat2, precision="highest", preferred_element_type=wide)
    between = gram.shape[4:-1]  # samples of the second set
    gram = gram.reshape(*gram.shape[:3], *w1.image, *between, *w2.image)
    start1, start2 = 3, 3 + dims + len(between)
    gram = w2.pad(w1.pad(gram, start1), start2)
    for d in range(dims):
        total: Any = 0.0
        for offset in range(w1.sizes[d]):
            part = gram
            for window, axis in ((w1, start1 + d), (w2, start2 + d)):
                begin = offset * window.gaps[d]
                part = lax.slice_in_dim(part, begin, begin + window.extents()[d], window.steps[d], axis)
            total = total + part
        gram = total
    lead = gram.shape[:2]
    rows = (x1.shape[2] * math.prod(w1.positions),)
    columns = (x2.shape[2] * math.prod(w2.positions),)
    return gram.reshape(*lead, *rows, *(() if same else (x2.shape[0],)), *columns)
