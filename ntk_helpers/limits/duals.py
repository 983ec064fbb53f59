r"""Dual activations: :math:`E[\phi(u) \phi(v)]` and :math:`E[\phi'(u) \phi'(v)]` for jointly Gaussian u and v.

The layer recursions of infinitely wide networks need nothing else of an activation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.activations import Activation, resolve_activation
from ntk_helpers.limits import _closed_forms, _quadrature
from ntk_helpers.limits._angle import safe_sqrt

__all__ = ["DualActivation", "dual_activation"]

# Quadrature nodes where none are asked for. tanh, sigmoid and softplus with variances up to about 2 then have an error
# below 1e-9 (tests/limits/test_duals.py).
DEFAULT_NODES = 160
# Relative difference between two node counts above which fcn_kernel and activation_layer warn.
WARN_ERROR = 1e-3


@dataclass(frozen=True)
class DualActivation:
    r"""The Gaussian expectations of one activation; made by ``dual_activation``.

    Attributes:
        activation: the activation.
        method: ``"closed form"`` or ``"quadrature"``.
        nodes: number of quadrature nodes, None for a closed form.
    """

    activation: Activation
    method: str
    nodes: int | None
    _form: _closed_forms.ClosedForm

    def variance(self, q: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        r"""Return :math:`E[\phi(u)^2]` for :math:`u \sim N(0, q)`.

        Args:
            q: variances, any shape.

        Returns:
            The second moments, the same shape.

        Example:
            >>> float(dual_activation("relu").variance(jnp.array(2.0)))
            1.0
        """
        return self._form.variance(q)

    def value(self, q11: ArrayLike, q22: ArrayLike, q12: ArrayLike) -> Float[Array, ...]:
        r"""Return :math:`E[\phi(u) \phi(v)]` for (u, v) normal with mean 0 and covariance [[q11, q12], [q12, q22]].

        Args:
            q11: variances of u, any shape.
            q22: variances of v; the three broadcast.
            q12: covariances, at most sqrt(q11 q22) in size (larger ones, by rounding, count as equal to it).

        Returns:
            The expectations, of the broadcast shape.

        Raises:
            TypeError: if an argument is not a real number or array.
            ValueError: if a variance is negative, an entry is not finite or a covariance is impossible.

        Example:
            >>> dual = dual_activation("relu")
            >>> round(float(dual.value(1.0, 1.0, 0.0)), 6)  # 1 / (2 pi)
            0.159155
        """
        q11, q22, s1, s2, cosine, gap = _prepare(q11, q22, q12)
        correlation, _, _ = self._form.pair(s1, s2, cosine, gap, False)
        return correlation * safe_sqrt(self.variance(q11)) * safe_sqrt(self.variance(q22))

    def derivative(self, q11: ArrayLike, q22: ArrayLike, q12: ArrayLike) -> Float[Array, ...]:
        r"""Return :math:`E[\phi'(u) \phi'(v)]`; arguments, result and errors as in ``value``.

        Args:
            q11: variances of u, any shape.
            q22: variances of v.
            q12: covariances.

        Returns:
            The expectations, of the broadcast shape.

        Raises:
            TypeError: see ``value``.
            ValueError: see ``value``.

        Example:
            >>> dual = dual_activation("relu")
            >>> round(float(dual.derivative(1.0, 1.0, 0.0)), 6)  # both positive with probability 1/4
            0.25
        """
        _, _, s1, s2, cosine, gap = _prepare(q11, q22, q12)
        return self._form.pair(s1, s2, cosine, gap, True)[2]

    def error_estimate(self, q11: ArrayLike, q22: ArrayLike, q12: ArrayLike) -> tuple[float, float]:
        r"""Estimate the largest quadrature error of ``value`` and of ``derivative``.

        It is the largest difference to the result with half as many nodes. For analytic activations the true error is
        far smaller. A kink (a step of :math:`\phi'`) makes the error of ``value`` fall like 1/nodes and that of
        ``derivative`` like 1/sqrt(nodes) at equal inputs; the true error is then a few times the estimate at most.

        Args:
            q11: variances of u, any shape.
            q22: variances of v.
            q12: covariances.

        Returns:
            The two absolute differences; (0.0, 0.0) for a closed form.

        Raises:
            TypeError: see ``value``.
            ValueError: see ``value``.

        Example:
            >>> value_error, derivative_error = dual_activation("tanh").error_estimate(1.0, 1.0, 0.5)
            >>> value_error < 1e-5
            True
        """
        if self.nodes is None:
            return 0.0, 0.0
        coarse = dual_activation(self.activation, nodes=max(self.nodes // 2, 1))
        pairs = ((self.value, coarse.value), (self.derivative, coarse.derivative))
        return tuple(float(jnp.max(jnp.abs(fine(q11, q22, q12) - rough(q11, q22, q12)))) for fine, rough in pairs)


def dual_activation(
    phi: str | Activation | Callable[[jax.Array], jax.Array], *, nodes: int | None = None
) -> DualActivation:
    r"""Return the Gaussian expectations of an activation.

    identity, relu, leaky_relu, abs, erf, sin, cos and gelu have closed forms; every other activation, also any
    callable, uses Gauss-Hermite quadrature, whose error ``error_estimate`` reports.

    Args:
        phi: a name, an ``Activation``, or a callable that maps an array to one of the same shape entry by entry.
        nodes: number of quadrature nodes; default 160. Given for an activation with a closed form, it asks for the
            quadrature all the same.

    Returns:
        A ``DualActivation``.

    Raises:
        TypeError: if ``phi`` is none of these, or ``nodes`` is no integer.
        ValueError: if the name is not known, ``nodes`` is not between 1 and 300, or the callable gives values that are
            not finite, so that its expectation does not exist or is out of the floating-point range.

    Example:
        >>> dual_activation("erf").method, dual_activation("tanh").method
        ('closed form', 'quadrature')
    """
    act = resolve_activation(phi)
    if nodes is not None and _checks.check_positive_int(nodes, "nodes") > 300:
        raise ValueError(f"nodes must be at most 300, beyond which the weights underflow, got {nodes}")
    return _build(act, nodes)


@lru_cache(maxsize=256)
def _build(act: Activation, nodes: int | None) -> DualActivation:
    forms = {
        "identity": lambda: _closed_forms.piecewise_linear(1.0),
        "relu": lambda: _closed_forms.piecewise_linear(0.0),
        "leaky_relu": lambda: _closed_forms.piecewise_linear(act["negative_slope"]),
        "abs": lambda: _closed_forms.piecewise_linear(-1.0),
        "erf": lambda: _closed_forms.erf(act["scale"]),
        "sin": lambda: _closed_forms.sine_or_cosine(act["scale"], odd=True),
        "cos": lambda: _closed_forms.sine_or_cosine(act["scale"], odd=False),
        "gelu": _closed_forms.gelu,
    }
    if nodes is None and act.name in forms:
        return DualActivation(act, "closed form", None, forms[act.name]())
    nodes = DEFAULT_NODES if nodes is None else nodes
    return DualActivation(act, "quadrature", nodes, _quadrature.quadrature(act.fn, nodes))


def check_quadrature(dual: DualActivation, q: jax.Array) -> None:
    """Raise where the expectation is not finite at these (concrete) variances, warn where its error is large."""
    if dual.nodes is None or not _checks.is_concrete(q):
        return
    q = jnp.stack([jnp.min(q), jnp.max(q)])
    value = np.asarray(dual.variance(q))
    slope = np.asarray(dual.derivative(q, q, q))
    if not (np.isfinite(value).all() and np.isfinite(slope).all()):
        raise ValueError(
            f"activation {dual.activation.name!r}: E[phi(u)^2] or E[phi'(u)^2] is not finite for u ~ N(0, q) with q "
            f"between {float(q[0]):.3g} and {float(q[1]):.3g}; the function grows too fast for these variances, or is "
            "not defined everywhere"
        )
    rough = dual_activation(dual.activation, nodes=max(dual.nodes // 2, 1))
    error = np.max(np.abs(np.asarray(rough.variance(q)) - value) / np.maximum(np.abs(value), 1e-30))
    if error > WARN_ERROR:
        warnings.warn(
            f"activation {dual.activation.name!r}: {dual.nodes} and {rough.nodes} quadrature nodes differ by the share "
            f"{error:.1g} of E[phi(u)^2]; kinks and large variances (here up to {float(q[1]):.3g}) converge slowly. "
            "Pass dual_activation(phi, nodes=...) more nodes, or an activation with a closed form",
            stacklevel=3,
        )


def _prepare(q11, q22, q12):
    """Broadcast, check, and return variances, standard deviations, the correlation and its gap."""
    q11, q22, q12 = (_checks.as_real(q, name) for q, name in ((q11, "q11"), (q22, "q22"), (q12, "q12")))
    dtype = jnp.result_type(q11, q22, q12)
    q11, q22, q12 = (q.astype(dtype) for q in jnp.broadcast_arrays(q11, q22, q12))
    for q, name in ((q11, "q11"), (q22, "q22")):
        if _checks.is_concrete(q) and bool(jnp.any(q < 0)):
            raise ValueError(f"{name} is a variance and must not be negative, got {float(jnp.min(q)):.6g}")
    s1, s2 = safe_sqrt(q11), safe_sqrt(q22)
    size = jnp.abs(q12)
    if all(map(_checks.is_concrete, (q11, q22, q12))) and bool(
        jnp.any(size > s1 * s2 * (1 + 64 * jnp.finfo(dtype).eps))
    ):
        raise ValueError("q12 must not exceed sqrt(q11 q22) in size: no pair of random variables has that covariance")
    sign = jnp.where(q12 < 0, -1.0, 1.0)
    cosine = _closed_forms.safe_ratio(_closed_forms.safe_ratio(q12, s1), s2)
    # Near +-1 the gap comes from q11 q22 / q12^2 - 1, which is exactly 0 for equal entries.
    excess = _closed_forms.safe_ratio(q11, q12) * _closed_forms.safe_ratio(q22, q12) - 1.0
    excess = jnp.where((sign * cosine > 0.5) & (excess > 0), excess, 0.0)
    near = excess / (1.0 + excess + jnp.sqrt(1.0 + excess))
    gap = jnp.where(sign * cosine > 0.5, near, 1.0 - sign * cosine)
    return q11, q22, s1, s2, sign * (1.0 - gap), gap
