"""The two classical ways to the empirical NTK, written without any of the code of the structured one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntk_helpers.finite.tangents.blocks import Mode
from ntk_helpers.finite.tangents.model import Model

__all__ = ["jacobian_kernel", "ntkvp_kernel"]


def _of_trainable(model: Model, leaves: Sequence[Any], example: Sequence[Any]) -> Any:
    """The flat output of one example as a function of the trainable leaves."""

    def function(trained: list[Any]) -> jax.Array:
        merged = list(leaves)
        for position, value in zip(model.trainable, trained, strict=True):
            merged[position] = value
        return jnp.ravel(model.on_example(merged, example))

    return function


def jacobian_kernel(
    models: tuple[Model, Model], leaves: Sequence[Any], x1: Sequence[Any], x2: Sequence[Any] | None, mode: Mode
) -> jax.Array:
    """Explicit Jacobians of shape (N, O, P), leaf by leaf, and one product. For "trace" the sum over outputs."""
    trained = [leaves[i] for i in models[0].trainable]

    def jacobian(model: Model, x: Sequence[Any]) -> list[jax.Array]:
        parts = jax.vmap(lambda *example: jax.jacrev(_of_trainable(model, leaves, example))(trained))(*x)
        return [part.reshape(*part.shape[:2], -1) for part in parts]

    first = jacobian(models[0], x1)
    second = first if x2 is None and models[1] is models[0] else jacobian(models[1], x1 if x2 is None else x2)
    spec = {
        ("full", False): "nok,zpk->nzop",
        ("diagonal", False): "nok,zok->nzo",
        ("trace", False): "nok,zok->nz",
        ("full", True): "nok,npk->nop",
        ("diagonal", True): "nok,nok->no",
        ("trace", True): "nok,nok->n",
    }[mode.output, mode.same]

    def product(a: jax.Array, b: jax.Array) -> jax.Array:
        wide = jnp.promote_types(jnp.result_type(a, b), jnp.float32)
        return jnp.einsum(spec, a, b, precision="highest", preferred_element_type=wide)

    return sum(product(a, b) for a, b in zip(first, second, strict=True))


def ntkvp_kernel(
    models: tuple[Model, Model], leaves: Sequence[Any], x1: Sequence[Any], x2: Sequence[Any] | None, mode: Mode
) -> jax.Array:
    """Column by column: J1 (J2^T e) for each unit vector e of sample and output. For "trace" the sum over outputs."""
    trained = [leaves[i] for i in models[0].trainable]
    second = list(x1 if x2 is None else x2)

    def gradients(example: Sequence[Any]) -> list[jax.Array]:
        out, pull = jax.vjp(_of_trainable(models[1], leaves, example), trained)
        return jax.vmap(lambda cotangent: pull(cotangent)[0])(jnp.eye(out.size, dtype=out.dtype))

    def push(example: Sequence[Any], directions: list[jax.Array]) -> jax.Array:
        _, along = jax.linearize(_of_trainable(models[0], leaves, example), trained)
        return jax.vmap(along, out_axes=1)(directions)

    def reduce(block: jax.Array) -> jax.Array:  # (..., o, p)
        if mode.output == "full":
            return block
        diagonal = jnp.diagonal(block, axis1=-2, axis2=-1)
        return diagonal if mode.output == "diagonal" else diagonal.sum(-1)

    if mode.same:
        return lax.map(lambda pair: reduce(push(pair[0], gradients(pair[1]))), (list(x1), second))
    columns = lax.map(lambda example: reduce(jax.vmap(lambda *other: push(other, gradients(example)))(*x1)), second)
    return jnp.moveaxis(columns, 0, 1)
