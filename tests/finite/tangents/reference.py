"""The kernel from explicit Jacobians of the batch, without any code of the package.

Each function compiles one program: compiling is what takes the time.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


def _split(params):
    """The floating-point leaves, and the function that puts them back among the others."""
    leaves, tree = jax.tree.flatten(params)
    moving = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)]

    def merge(values):
        merged = list(leaves)
        for i, value in zip(moving, values, strict=True):
            merged[i] = value
        return jax.tree.unflatten(tree, merged)

    return [jnp.asarray(leaves[i]) for i in moving], merge


def _jacobian(f, merge, values, x):
    """Jacobian of f(., x) in all values, shape (N, O, P), and the shape of an output."""
    out = jax.eval_shape(lambda values: f(merge(values), x), values)

    def rows(values):
        return f(merge(values), x).reshape(out.shape[0], -1)

    parts = jax.jacrev(rows)(values)
    return jnp.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=-1), out.shape[1:]


def flat_jacobian(f, params, x):
    """Jacobian of f(., x) in all floating-point leaves, shape (N, O, P)."""
    values, merge = _split(params)
    return jax.jit(lambda values, x: _jacobian(f, merge, values, x)[0])(values, x)


def explicit_kernel(f, params, x1, x2):
    """Full kernel, shape (N1, N2, *out, *out)."""
    values, merge = _split(params)
    x2 = None if x2 is x1 else x2

    @jax.jit
    def kernel(values, x1, x2):
        j1, out = _jacobian(f, merge, values, x1)
        j2 = j1 if x2 is None else _jacobian(f, merge, values, x2)[0]
        matrix = jnp.einsum("nok,zpk->nzop", j1, j2, precision="highest")
        return matrix.reshape(*matrix.shape[:2], *out, *out)

    return kernel(values, x1, x2)
