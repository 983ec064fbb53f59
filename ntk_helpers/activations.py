"""Activation functions by name: the one table that the limits and the finite networks share.

An activation is a name, a function and, where the infinite-width limit has a closed form, the parameters of that form.
Any callable is accepted too; its infinite-width expectations are then computed by quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

__all__ = ["ACTIVATIONS", "Activation", "activation", "resolve_activation"]


@dataclass(frozen=True)
class Activation:
    """A scalar function applied entry by entry.

    Attributes:
        name: the name in ``ACTIVATIONS``, or ``"custom"`` for a callable of the user's.
        fn: maps an array of any shape to an array of the same shape.
        params: the values of the named parameters, sorted by name, as ``((name, value), ...)``.
    """

    name: str
    fn: Callable[[jax.Array], jax.Array]
    params: tuple[tuple[str, float], ...] = ()

    def __call__(self, z: ArrayLike) -> jax.Array:
        """Apply the function to every entry of ``z``."""
        return self.fn(z)

    def __getitem__(self, parameter: str) -> float:
        return dict(self.params)[parameter]


def _leaky_relu(z: jax.Array, negative_slope: float) -> jax.Array:
    return jnp.where(z > 0, z, negative_slope * z)


# name -> (function of (z, **params), default parameters)
ACTIVATIONS: dict[str, tuple[Callable[..., jax.Array], dict[str, float]]] = {
    "identity": (lambda z: z, {}),
    "relu": (lambda z: jnp.maximum(z, 0), {}),
    "leaky_relu": (_leaky_relu, {"negative_slope": 0.01}),
    "abs": (jnp.abs, {}),
    "erf": (lambda z, scale: jax.lax.erf(scale * z), {"scale": 1.0}),
    "sin": (lambda z, scale: jnp.sin(scale * z), {"scale": 1.0}),
    "cos": (lambda z, scale: jnp.cos(scale * z), {"scale": 1.0}),
    "gelu": (lambda z: 0.5 * z * (1 + jax.lax.erf(z / math.sqrt(2.0))), {}),
    "tanh": (jnp.tanh, {}),
    "sigmoid": (jax.nn.sigmoid, {}),
    "softplus": (jax.nn.softplus, {}),
}


def activation(name: str, **params: float | int) -> Activation:
    r"""Return a named activation with its parameters set.

    Args:
        name: a key of ``ACTIVATIONS``, for example ``"relu"`` or ``"erf"``.
        **params: the activation's parameters: ``negative_slope`` of ``"leaky_relu"`` (default 0.01);
            ``scale`` :math:`b` of ``"erf"``, ``"sin"`` and ``"cos"``, as in :math:`\mathrm{erf}(b z)` (default 1).

    Returns:
        The ``Activation``; call it on an array.

    Raises:
        ValueError: if the name or a parameter is not known, or a parameter is not finite.

    Example:
        >>> phi = activation("leaky_relu", negative_slope=0.25)
        >>> float(phi(jnp.array(-4.0)))
        -1.0
    """
    if name not in ACTIVATIONS:
        known = ", ".join(sorted(ACTIVATIONS))
        raise ValueError(f"activation: unknown name {name!r}; known are {known}, or any callable")
    _, defaults = ACTIVATIONS[name]
    unknown = sorted(set(params) - set(defaults))
    if unknown:
        takes = ", ".join(defaults) or "none"
        raise ValueError(f"activation: {name!r} has no parameter {unknown[0]!r}; its parameters: {takes}")
    values = {key: float(params.get(key, default)) for key, default in defaults.items()}
    for key, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"activation: {key} of {name!r} must be a finite number, got {value}")
    return _build(name, tuple(sorted(values.items())))


@lru_cache(maxsize=1024)
def _build(name: str, params: tuple[tuple[str, float], ...]) -> Activation:
    """Return the same object for the same parameters, so that jit does not compile a kernel again."""
    fn, values = ACTIVATIONS[name][0], dict(params)
    return Activation(name, (lambda z: fn(z, **values)) if values else fn, params)


def resolve_activation(phi: str | Activation | Callable[[jax.Array], jax.Array]) -> Activation:
    """Turn a name, an ``Activation`` or a callable into an ``Activation``.

    Args:
        phi: what the user passed as ``activation``.

    Returns:
        The ``Activation``; a callable gets the name ``"custom"``.

    Raises:
        ValueError: if it is a name that is not known.
        TypeError: if it is none of the three.

    Example:
        >>> resolve_activation("relu").name
        'relu'
    """
    if isinstance(phi, Activation):
        return phi
    if isinstance(phi, str):
        return activation(phi)
    if callable(phi):
        return Activation("custom", phi)
    raise TypeError(f"activation must be a name, an Activation or a callable, got {type(phi).__name__}")
