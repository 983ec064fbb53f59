"""The kernel from explicit Jacobians of the batch, without any code of the package."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def flat_jacobian(f, params, x):
    """Jacobian of f(., x) in all floating-point leaves, shape (N, O, P)."""
    leaves, tree = jax.tree.flatten(params)
    moving = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)]

    def of_moving(values):
        merged = list(leaves)
        for i, value in zip(moving, values, strict=True):
            merged[i] = value
        out = f(jax.tree.unflatten(tree, merged), x)
        return out.reshape(out.shape[0], -1)

    parts = jax.jit(jax.jacrev(of_moving))([jnp.asarray(leaves[i]) for i in moving])
    return jnp.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=-1)


def explicit_kernel(f, params, x1, x2):
    """Full kernel, shape (N1, N2, *out, *out)."""
    j1, j2 = flat_jacobian(f, params, x1), flat_jacobian(f, params, x2)
    out = jax.eval_shape(f, params, x1).shape[1:] if not _has_static(params) else f(params, x1).shape[1:]
    kernel = jnp.einsum("nok,zpk->nzop", j1, j2, precision="highest")
    return kernel.reshape(*kernel.shape[:2], *out, *out)


def _has_static(params):
    return any(not hasattr(leaf, "dtype") for leaf in jax.tree.leaves(params))
