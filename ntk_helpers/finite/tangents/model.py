"""The function f(params, x) as a function of flat lists for one example, and the checks of what users pass."""

from __future__ import annotations

import dataclasses
import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Model", "batch_leaves", "build_model", "mask_of", "output_of"]

# Outputs already found, for each function: tracing it anew would take longer than many a kernel.
_OUTPUTS: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()


@dataclasses.dataclass(frozen=True)
class Model:
    """A function of parameters and a batch, with everything about its arguments that is not an array.

    Hashable if the function and the leaves that are no arrays are, so that compiled kernels are reused.
    """

    function: Callable[[Any, Any], Any]
    params_def: Any
    x_def: Any
    static: tuple[tuple[int, Any], ...]
    arrays: tuple[int, ...]
    trainable: tuple[int, ...]
    names: tuple[str, ...]

    def on_batch(self, leaves: Sequence[Any], x_leaves: Sequence[Any]) -> Any:
        """``function`` on a batch, from the array leaves of the parameters and of x."""
        merged: dict[int, Any] = dict(self.static)
        merged.update(zip(self.arrays, leaves, strict=True))
        params = jax.tree.unflatten(self.params_def, [merged[i] for i in range(len(merged))])
        # Recent GPUs round float32 matrix products to TF32 by default; a user's own choice stands.
        if jax.config.jax_default_matmul_precision is not None:
            return self.function(params, jax.tree.unflatten(self.x_def, x_leaves))
        with jax.default_matmul_precision("highest"):
            return self.function(params, jax.tree.unflatten(self.x_def, x_leaves))

    def on_example(self, leaves: Sequence[Any], example: Sequence[Any]) -> Any:
        """``function`` on a batch of one example, without the batch axis."""
        return self.on_batch(leaves, [jnp.asarray(part)[None] for part in example])[0]


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray, np.generic, float, complex)) and not isinstance(leaf, bool)


def mask_of(trainable: Any, params: Any) -> list[bool]:
    """For each leaf of ``params``, whether the mask, a pytree or a prefix of one, says that it is trained."""
    count = len(jax.tree.leaves(params))
    if trainable is None:
        return [True] * count
    if isinstance(trainable, (bool, np.bool_)):
        return [bool(trainable)] * count
    mask: list[bool] = []

    def spread(flag: Any, part: Any) -> None:
        if not isinstance(flag, (bool, np.bool_)):
            raise TypeError(f"trainable must be a pytree of True and False, got a leaf {flag!r}")
        mask.extend([bool(flag)] * len(jax.tree.leaves(part)))

    try:
        jax.tree.map(spread, trainable, params)
    except ValueError as error:
        raise ValueError(
            "trainable must have the tree structure of params or of an upper part of it, got "
            f"{jax.tree.structure(trainable)} for params {jax.tree.structure(params)}"
        ) from error
    return mask


def batch_leaves(x: Any, name: str) -> tuple[list[Any], Any, int]:
    """Leaves, tree structure and number of samples of a batch of inputs."""
    leaves, tree = jax.tree.flatten(x)
    if not leaves:
        raise ValueError(f"{name} must hold at least one array, got {x!r}")
    arrays = []
    for leaf in leaves:
        if not isinstance(leaf, (jax.Array, np.ndarray)):
            raise TypeError(f"{name} must be an array or a pytree of arrays, got a leaf of type {type(leaf).__name__}")
        concrete = not isinstance(leaf, jax.core.Tracer)
        if concrete and jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(np.asarray(leaf)).all():
            raise ValueError(f"{name} must be finite, it holds NaN or infinity")
        arrays.append(jnp.asarray(leaf))
    sizes = {array.shape[0] if array.ndim else None for array in arrays}
    if len(sizes) != 1 or None in sizes or 0 in sizes:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"{name} must have samples along a first axis of one length, at least 1, got shapes {shapes}")
    return arrays, tree, sizes.pop()


def build_model(
    function: Callable[[Any, Any], Any], params: Any, x_tree: Any, trainable: Any, name: str = "f"
) -> tuple[Model, list[Any]]:
    """The model and the array leaves of the parameters."""
    if not callable(function):
        raise TypeError(f"{name} must be a function of params and x, got {type(function).__name__}")
    with_paths, tree = jax.tree.flatten_with_path(params)
    flags = mask_of(trainable, params)
    arrays, trained, static, leaves, names = [], [], [], [], []
    for i, ((path, leaf), flag) in enumerate(zip(with_paths, flags, strict=True)):
        if not _is_array(leaf):
            static.append((i, leaf))
            continue
        array = jnp.asarray(leaf)
        if flag and jnp.issubdtype(array.dtype, jnp.complexfloating):
            raise TypeError(f"params{jax.tree_util.keystr(path)} is complex; only real parameters are supported")
        if flag and jnp.issubdtype(array.dtype, jnp.floating):
            trained.append(len(arrays))
            names.append(jax.tree_util.keystr(path) or "params")
        arrays.append(i)
        leaves.append(array)
    if not trained:
        raise ValueError("params must hold at least one trainable array of floating-point numbers, got none")
    model = Model(function, tree, x_tree, tuple(static), tuple(arrays), tuple(trained), tuple(names))
    return model, leaves


def output_of(model: Model, leaves: Sequence[Any], x_leaves: Sequence[Any], name: str = "f") -> Any:
    """Shape and dtype of the output for one example; raises where f does not keep samples on the first axis."""
    arrays = tuple((part.shape, str(part.dtype)) for part in (*leaves, *x_leaves))
    key = (model.params_def, model.x_def, model.static, model.arrays, arrays, jax.config.jax_enable_x64)
    try:
        known = _OUTPUTS.setdefault(model.function, {})
        found = known.get(key)
    except TypeError:  # not hashable, or it cannot be referred to weakly: look each time
        return _output_of(model, leaves, x_leaves, name)
    if found is None:
        found = known[key] = _output_of(model, leaves, x_leaves, name)
    return found


def _output_of(model: Model, leaves: Sequence[Any], x_leaves: Sequence[Any], name: str) -> Any:
    samples = x_leaves[0].shape[0]
    out = jax.eval_shape(model.on_batch, list(leaves), list(x_leaves))
    if not hasattr(out, "shape"):
        raise TypeError(f"{name}(params, x) must return one array, got {jax.tree.structure(out)}")
    if len(out.shape) < 1 or out.shape[0] != samples:
        raise ValueError(
            f"{name}(params, x) must return an array whose first axis is the {samples} samples of x, "
            f"got shape {tuple(out.shape)}"
        )
    if not jnp.issubdtype(out.dtype, jnp.floating):
        raise TypeError(f"{name}(params, x) must return real floating-point numbers, got dtype {out.dtype}")
    if math.prod(out.shape[1:]) == 0:
        raise ValueError(f"{name}(params, x) must have at least one output, got shape {tuple(out.shape)}")
    return jax.ShapeDtypeStruct(out.shape[1:], out.dtype)
