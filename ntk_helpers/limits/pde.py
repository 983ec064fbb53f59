r"""Linear differential operators applied to the kernels of infinitely wide networks: the limits of PINN kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers._derivatives import Fields, check_variables, partial_derivatives, required_fields
from ntk_helpers.activations import Activation, resolve_activation
from ntk_helpers.limits._angle import safe_sqrt
from ntk_helpers.limits._smooth_duals import KINKED, STEIN_ERROR, TAIL_SHARE, SmoothDual, series_error, smooth_dual
from ntk_helpers.limits.layers import Kernels

__all__ = ["fcn_pde_kernel"]

Equation = Callable[[Fields], Any]
Embedding = Callable[[jax.Array], jax.Array]

# Terms of Mehler's series for activations without a closed form: the first of these that is enough at the given points.
_TERMS = (256, 512, 1024, 2048)
_TERMS_IF_TRACED = 1024
# Pairs of points done together: with 50 moments a pair (second order in both points) they fill 26 MB in float64.
_PAIRS_AT_ONCE = 2**16


def fcn_pde_kernel(
    x1: ArrayLike,
    x2: ArrayLike | None = None,
    *,
    equation1: Equation | None = None,
    equation2: Equation | None = None,
    variables: str | Sequence[str] = "tx",
    depth: int,
    activation: str | Activation | Callable[[jax.Array], jax.Array] = "tanh",
    sigma_w: float | Sequence[float] | Float[Array, ...] = 1.0,
    sigma_b: float | Sequence[float] | Float[Array, ...] = 0.0,
    biases: str = "all",
    scale_input: bool = True,
    embed: Embedding | None = None,
    get: str = "ntk",
) -> Kernels | Float[Array, "N1 N2"]:
    r"""Return the infinite-width tangent kernel of linear differential equations for a fully connected network.

    For the network u of ``fcn_kernel`` and linear operators A and B, the covariance of Au(x) and Bu(x') at
    initialization tends to :math:`A_x B_{x'} \Sigma(x, x')`, and

    .. math::
        \sum_p \frac{\partial\, Au(x)}{\partial\theta_p} \frac{\partial\, Bu(x')}{\partial\theta_p}
        \;\to\; A_x B_{x'} \Theta(x, x'),

    because A and B commute with expectations and with derivatives in the parameters. These are the blocks
    :math:`K_{rr}, K_{ru}, K_{uu}` of the kernel of a physics-informed network (Wang, Yu and Perdikaris 2022); at finite
    width ``pde_kernel`` gives them. An equation is written as there, and a source term in it changes nothing.

    The kernel is written in covariances and not in angles, so that its derivatives are right at equal points too.
    Derivatives lose digits: float64 is advised. Compiling takes seconds; calls with the same ``equation1``,
    ``equation2``, ``activation`` and ``embed`` (the same objects) share it. Under ``jax.jit`` the series of an
    activation without a closed form has 1024 terms, unchecked.

    Args:
        x1: N1 points as rows, (N1, d), float32 or float64. The result has that precision.
        x2: N2 points, (N2, d); None means ``x1``.
        equation1: function of ``d``, which holds u and its derivatives at one point as ``d.u``, ``d.u_xx``, ... and the
            coordinates as ``d.x``, ...; returns one number, linear in u. None is u itself.
        equation2: the equation at the second point, likewise; None is u itself.
        variables: names of the columns of the points, one letter each.
        depth: number L of hidden layers, at least 1.
        activation: a smooth one by name (``"tanh"``, ``"erf"``, ``"sin"``, ``"gelu"``, ``"softplus"``, ...) or any
            smooth callable.
        sigma_w: standard deviation of the weights, one number or one for each of the depth + 1 layers.
        sigma_b: standard deviation of the biases, likewise.
        biases: ``"all"``, ``"first"`` or ``"none"``, as in ``fcn_kernel``.
        scale_input: divide the first layer's inner product by the number of the network's inputs.
        embed: map of a point, shape (d,), to the network's input, for example ``lambda x: (x - mean) / scale``;
            derivatives are in the coordinates of the point. None is the identity.
        get: ``"ntk"``, ``"nngp"`` or ``"both"``.

    Returns:
        One array (N1, N2), or ``Kernels(nngp, ntk)`` for ``get="both"``.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if an argument has a wrong shape or value, an equation is not linear in u, or the activation is not
            smooth enough for the equations; the message says which.
        AttributeError: if an equation asks for what is no derivative.
        NotImplementedError: if the result is differentiated and the activation has no closed form.

    Example:
        The kernel of u_xx for a network with one erf layer:

        >>> x = jnp.array([[0.0], [0.5]])
        >>> second = lambda d: d.u_xx
        >>> options = dict(variables="x", depth=1, activation="erf", sigma_b=1.0)
        >>> fcn_pde_kernel(x, equation1=second, equation2=second, **options).shape
        (2, 2)
    """
    depth = _checks.check_positive_int(depth, "depth")
    _checks.check_choice(get, "get", ("both", "nngp", "ntk"))
    _checks.check_choice(biases, "biases", ("all", "first", "none"))
    act = _smooth_activation(activation)
    weights, offsets = (
        _checks.per_layer(sigma, name, depth + 1) for sigma, name in ((sigma_w, "sigma_w"), (sigma_b, "sigma_b"))
    )
    if biases == "none" and any(not _checks.is_concrete(b) or float(b) != 0.0 for b in offsets):
        raise ValueError(f'biases="none" needs sigma_b=0, got sigma_b={sigma_b}')
    x1 = _checks.as_samples(x1, "x1")
    same_points = x2 is None
    x2 = x1 if same_points else _checks.as_samples(x2, "x2")
    _checks.same_features(x1, x2)
    dtype = jnp.result_type(x1, x2)
    x1, x2 = x1.astype(dtype), x2.astype(dtype)
    if x1.shape[1] != len(variables := check_variables(variables)):
        raise ValueError(f"x1 must have a column for each of the variables {variables}, got shape {x1.shape}")
    rows = [
        _linear_row(equation, variables, name, x[0])
        for equation, name, x in ((equation1, "equation1", x1), (equation2, "equation2", x2))
    ]
    scales = tuple(jnp.stack([jnp.asarray(s, dtype) ** 2 for s in sigmas]) for sigmas in (weights, offsets))
    has_bias = np.array([biases == "all" or (biases == "first" and i == 0) for i in range(depth + 1)])
    scales = (scales[0], scales[1] * has_bias.astype(dtype))
    if embed is not None and not callable(embed):
        raise TypeError(f"embed must be a function of a point, got {type(embed).__name__}")
    terms = _enough_terms(act, [row.order for row in rows], x1, x2, embed, scales, scale_input)
    wanted = ("nngp", "ntk") if get == "both" else (get,)
    results = []
    for kind in wanted:
        result = _compiled(*rows, act, embed, bool(scale_input), kind, terms)(x1, x2, scales)
        results.append(0.5 * (result + result.T) if same_points and rows[0] == rows[1] else result)
        if _checks.is_concrete(results[-1]) and not bool(jnp.isfinite(results[-1]).all()):
            raise ValueError(
                f"the kernel is not finite: an equation, embed or activation {act.name!r} gives NaN or infinity"
            )
    return Kernels(*results) if get == "both" else results[0]


def _kernels(x1, x2, variances, dual: SmoothDual, embed: Embedding | None, scale_input: bool) -> Kernels:
    """Both kernels at all pairs of points, from covariances: smooth in the points."""
    if embed is not None:
        x1, x2 = jax.vmap(embed)(x1), jax.vmap(embed)(x2)
    weight, offset = variances
    first = weight[0] / x1.shape[1] if scale_input else weight[0]
    q1, q2 = (first * jnp.sum(x * x, axis=1) + offset[0] for x in (x1, x2))
    nngp = first * jnp.matmul(x1, x2.T, precision=jax.lax.Precision.HIGHEST) + offset[0]
    ntk = nngp
    for w, b in zip(weight[1:], offset[1:], strict=True):
        covariances = q1[:, None], q2[None, :], nngp
        slope = dual.slope(*covariances)
        nngp = w * dual.value(*covariances) + b
        ntk = nngp + w * ntk * slope
        q1, q2 = (w * dual.variance(q) + b for q in (q1, q2))
    return Kernels(nngp, ntk)


class _Row(NamedTuple):
    """The linear part of an equation: what it maps derivatives of u to."""

    equation: Equation
    variables: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def order(self) -> int:
        return max((len(name) - 2 for name in self.names if name != "u"), default=0)

    def __call__(self, values: dict[str, Any], point: jax.Array) -> Any:
        """Equation at the derivatives minus equation at u = 0, both at the same point."""
        coordinates = dict(zip(self.variables, point, strict=True))
        zero = {name: jnp.zeros_like(value) for name, value in values.items()}
        return self.equation(Fields((values | coordinates).__getitem__)) - self.equation(
            Fields((zero | coordinates).__getitem__)
        )


@lru_cache(maxsize=256)
def _compiled(row1: _Row, row2: _Row, act, embed, scale_input, kind, terms):
    """The compiled kernel of two equations."""
    dual = smooth_dual(act, terms, (row1.order, row2.order))

    def block(x1, x2, variances):
        def in_second(x1):
            """Derivatives in the second point at all pairs, those of one pair together: (N1, N2 * names)."""

            def columns(x2):
                return getattr(_kernels(x1, x2, variances, dual, embed, scale_input), kind).T

            found = partial_derivatives(columns, x2, row2.names, row2.variables, mode="forward")
            return jnp.stack([found[name].T for name in row2.names], axis=2).reshape(x1.shape[0], -1)

        found = partial_derivatives(in_second, x1, row1.names, row1.variables, mode="forward")
        shape = (x1.shape[0], x2.shape[0], len(row2.names))
        both = {name: value.reshape(shape) for name, value in found.items()}

        def pair(both, p1, p2):
            second = {name: row2(dict(zip(row2.names, v, strict=True)), p2) for name, v in both.items()}
            return row1(second, p1)

        return jax.vmap(lambda both, p1: jax.vmap(pair, (0, None, 0))(both, p1, x2))(both, x1)

    def every(x1, x2, variances):
        rows = max(1, _PAIRS_AT_ONCE // x2.shape[0])
        if x1.shape[0] <= rows:
            return block(x1, x2, variances)
        return jax.lax.map(lambda p: block(p[None], x2, variances)[0], x1, batch_size=rows)

    return jax.jit(every if dual.used_order is None else _without_derivative(every))


def _without_derivative(function):
    """The same function, which raises when it is differentiated: its polynomials hold the orders asked for only."""
    guarded = jax.custom_jvp(function)

    @guarded.defjvp
    def _(primals, tangents):
        raise NotImplementedError(
            "fcn_pde_kernel can be differentiated for activations with a closed form only ('erf', 'sin', 'cos', "
            "'gelu', 'identity'); to differentiate in the points, write the derivative into equation1 or equation2"
        )

    return guarded


def _smooth_activation(activation) -> Activation:
    act = resolve_activation(activation)
    if act.name in KINKED and not (act.name == "leaky_relu" and act["negative_slope"] == 1.0):
        raise ValueError(
            f"activation {act.name!r} has a kink: its second derivative is a point mass that automatic differentiation "
            "takes for 0, and the kernel of a second derivative does not exist. Use a smooth one: 'tanh', 'erf', "
            "'sin', 'gelu', 'softplus'"
        )
    return act


def _linear_row(equation: Equation | None, variables: tuple[str, ...], name: str, like: jax.Array) -> _Row:
    """Check an equation: what it asks for, that its values are scalars and that it is linear up to a source."""
    if equation is None:
        return _Row(_value, variables, ("u",))
    if not callable(equation):
        raise TypeError(
            f"{name} must be a function of the derivatives, for example lambda d: d.u_xx; got {type(equation).__name__}"
        )
    names = required_fields(equation, variables, jnp.zeros((), like.dtype))
    if not names:
        raise ValueError(f"{name} asks for no derivative of u, and not for u: its kernel would be 0")
    row = _Row(equation, variables, names)
    rng = np.random.default_rng(0)
    first, second = (rng.uniform(0.5, 2.0, len(names)).astype(like.dtype) for _ in range(2))
    values = [row(dict(zip(names, v, strict=True)), like) for v in (first, second, 2 * first - 3 * second)]
    if any(jnp.shape(v) != () for v in values):
        raise ValueError(f"{name} must give one number for a point, got shape {jnp.shape(values[0])}")
    if all(map(_checks.is_concrete, values)):
        one, two, both = map(float, values)
        size = 2 * abs(one) + 3 * abs(two) + abs(both) + abs(float(equation(_at_zero(row, like))))
        if not abs(both - 2 * one + 3 * two) <= 1e3 * float(jnp.finfo(like.dtype).eps) * size:
            raise ValueError(
                f"{name} must be linear in u, up to a source: it maps 2u - 3v to {both:.6g} where 2 times its value at "
                f"u minus 3 times that at v is {2 * one - 3 * two:.6g}. The tangent kernel of a nonlinear operator is "
                "random at infinite width; nh.pde_kernel gives that of one network"
            )
    return row


def _value(d: Fields) -> jax.Array:
    """The equation of a row that prescribes u itself."""
    return d.u


def _at_zero(row: _Row, point: jax.Array) -> Fields:
    zeros = dict.fromkeys(row.names, jnp.zeros((), point.dtype))
    return Fields((zeros | dict(zip(row.variables, point, strict=True))).__getitem__)


def _enough_terms(act: Activation, orders, x1, x2, embed, scales, scale_input) -> int:
    """Follow the variances through the layers and see how many terms of the activation's series they need."""
    order = smooth_dual(act, _TERMS[0], tuple(orders)).used_order
    if order is None:
        return 0
    if not all(map(_checks.is_concrete, (x1, x2, *scales))):
        return _TERMS_IF_TRACED
    inputs = jnp.concatenate([x1, x2])
    inputs = inputs if embed is None else jax.vmap(embed)(inputs)
    q = jnp.sum(inputs**2, axis=1) / (inputs.shape[1] if scale_input else 1)
    q = jnp.stack([q.min(), q.max()])
    for terms in _TERMS:
        dual, variances = smooth_dual(act, terms, (0, 0)), [scales[0][0] * q + scales[1][0]]
        for w, b in zip(scales[0][1:-1], scales[1][1:-1], strict=True):
            variances.append(w * dual.variance(variances[-1]) + b)
        variances = jnp.concatenate(variances)
        share, stein = series_error(act, order, safe_sqrt(variances), terms)
        if share <= TAIL_SHARE and stein <= STEIN_ERROR:
            return terms
    raise ValueError(
        f"activation {act.name!r} is not smooth enough, or varies too fast: these equations need {order} derivatives "
        f"of it at z ~ N(0, q), q up to {float(variances.max()):.3g}, and after {terms} terms of the series the share "
        f"{share:.1g} is missing and integration by parts fails by {stein:.1g}. Use a smooth activation ('erf', 'sin' "
        "and 'gelu' have closed forms), smaller inputs or a smaller sigma_w"
    )
