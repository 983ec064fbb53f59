r"""Ready problems with exact solutions: heat, wave, Poisson, Burgers, sine-Gordon, Korteweg-de Vries, Schroedinger."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.stats import qmc

from ntk_helpers import _checks
from ntk_helpers.finite.pinn.residual import Equation, pde_residual
from ntk_helpers.finite.pinn.system import PDESystem, Rows

__all__ = ["PDEProblem", "pde_problem"]


@dataclass(frozen=True)
class Condition:
    """``equation(u) = equation(exact)`` on one side of the domain: where ``variable`` has ``value``."""

    name: str
    equation: Equation
    variable: str
    value: float


@dataclass(frozen=True)
class PDEProblem:
    """An equation, a box, conditions on its sides and the exact solution. Made by ``nh.pde_problem``.

    Attributes:
        name: the name of the equation.
        variables: names of the columns of points, one letter each; time first.
        domain: ``(low, high)`` for each variable.
        equation: the equation as a function of ``d``, zero where it holds (see ``nh.pde_residual``).
        conditions: initial and boundary conditions.
        exact: maps points ``(N, d)`` to u, ``(N,)`` or ``(N, O)``; made of JAX operations, so it can be differentiated.
        parameters: the constants of the problem.
    """

    name: str
    variables: tuple[str, ...]
    domain: tuple[tuple[float, float], ...]
    equation: Equation
    conditions: tuple[Condition, ...]
    exact: Callable[[Array], Array]
    parameters: tuple[tuple[str, object], ...] = ()

    def system(
        self,
        *,
        residual: int | Sequence[int] = 256,
        initial: int = 64,
        boundary: int = 32,
        key: PRNGKeyArray | None = None,
        dtype: jax.typing.DTypeLike = float,
    ) -> PDESystem:
        """Rows for training: the residual inside, and each condition on its side, with targets from ``exact``.

        Args:
            residual: number of points inside, from a Sobol sequence, or one number for each
                variable for a regular grid that includes the sides.
            initial: points for each initial condition, evenly spaced with the ends.
            boundary: points for each boundary condition, evenly spaced in time; copies of the end point for an
                equation without time.
            key: shifts the Sobol sequence at random (modulo the box); without it the points are always the same.
            dtype: of the points.

        Returns:
            The block ``"residual"`` and one for each condition, by its name.

        Raises:
            ValueError: if a number of points is smaller than 1 or a grid has the wrong number of axes.
        """
        low, high = np.array(self.domain).T
        if np.ndim(residual) == 0:
            count = _checks.check_positive_int(residual, "residual")
            # The sequence starts in a corner of the box, which is no interior point: leave it out.
            unit = qmc.Sobol(len(self.variables), scramble=False).random_base2(math.ceil(math.log2(count + 1)))
            shift = 0.0 if key is None else np.asarray(jax.random.uniform(key, (len(self.variables),)))
            inside = low + (high - low) * ((unit[1 : count + 1] + shift) % 1.0)
        else:
            inside = self.grid(residual)
        rows = [Rows("residual", self.equation, jnp.asarray(inside, dtype))]
        for condition in self.conditions:
            name = "initial" if condition.variable == "t" else "boundary"
            count = _checks.check_positive_int(initial if name == "initial" else boundary, name)
            points = jnp.asarray(self._side(condition, count), dtype)
            targets = pde_residual(lambda _, x: self.exact(x), condition.equation, self.variables)(None, points)
            rows.append(Rows(condition.name, condition.equation, points, targets))
        return PDESystem(self.variables, tuple(rows))

    def grid(self, counts: int | Sequence[int]) -> Float[np.ndarray, "n d"]:
        """A regular grid over the box with its sides, as rows in the order of ``numpy.meshgrid(indexing="ij")``."""
        numbers = (counts,) * len(self.variables) if np.ndim(counts) == 0 else tuple(counts)
        if len(numbers) != len(self.variables):
            raise ValueError(f"a grid needs a number for each of {self.variables}, got {numbers}")
        numbers = [_checks.check_positive_int(n, "number of grid points") for n in numbers]
        axes = [np.linspace(*ends, n) for ends, n in zip(self.domain, numbers, strict=True)]
        return np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)

    def relative_error(self, u: Callable[[Array], Array], counts: int | Sequence[int] = 64) -> float:
        """The relative L2 error of ``u(points)`` on a regular grid, all components together."""
        points = jnp.asarray(self.grid(counts))
        exact = np.asarray(self.exact(points), dtype=np.float64)
        error = np.asarray(u(points), dtype=np.float64).reshape(exact.shape) - exact
        return float(np.linalg.norm(error) / np.linalg.norm(exact))

    def _side(self, condition: Condition, count: int) -> np.ndarray:
        axes = [
            [condition.value] if name == condition.variable else np.linspace(*ends, count)
            for name, ends in zip(self.variables, self.domain, strict=True)
        ]
        points = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        return np.repeat(points, count // len(points), axis=0)


def _dirichlet(domain: tuple[tuple[float, float], ...]) -> tuple[Condition, ...]:
    """Values of u at the start, if there is time, and at both ends in x."""
    start = (Condition("initial", _value, "t", domain[0][0]),) if len(domain) == 2 else ()
    left, right = domain[-1]
    return (*start, Condition("left", _value, "x", left), Condition("right", _value, "x", right))


# At module level, so that two problems have equal equations and compiled kernels are found again.
def _value(d):
    return d.u


def _velocity(d):
    return d.u_t


def _slope(d):
    return d.u_x


def _modes(modes: Sequence[Sequence[float | int]]) -> tuple[tuple[float, float], ...]:
    pairs = tuple((float(k), float(a)) for k, a in modes)
    if not pairs:
        raise ValueError("modes must hold at least one pair (frequency, amplitude)")
    return pairs


def _heat(*, diffusivity: float = 0.1, modes=((1, 1.0),)) -> dict:
    """u_t = diffusivity u_xx on 0 <= t, x <= 1; u = sum of a sin(k pi x) exp(-diffusivity k^2 pi^2 t)."""
    pairs = _modes(modes)

    def exact(p: Array) -> Array:
        t, x = p[:, 0], p[:, 1]
        return sum(a * jnp.sin(k * math.pi * x) * jnp.exp(-diffusivity * (k * math.pi) ** 2 * t) for k, a in pairs)

    domain = ((0.0, 1.0), (0.0, 1.0))
    return {
        "domain": domain,
        "equation": lambda d: d.u_t - diffusivity * d.u_xx,
        "conditions": _dirichlet(domain),
        "exact": exact,
    }


def _wave(*, speed: float = 2.0, modes=((1, 1.0), (4, 0.5))) -> dict:
    """u_tt = speed^2 u_xx on 0 <= t, x <= 1; u = sum of a sin(k pi x) cos(k pi speed t), at rest at the start."""
    pairs = _modes(modes)

    def exact(p: Array) -> Array:
        t, x = p[:, 0], p[:, 1]
        return sum(a * jnp.sin(k * math.pi * x) * jnp.cos(k * math.pi * speed * t) for k, a in pairs)

    domain = ((0.0, 1.0), (0.0, 1.0))
    start, *ends = _dirichlet(domain)
    return {
        "domain": domain,
        "equation": lambda d: d.u_tt - speed**2 * d.u_xx,
        "conditions": (start, Condition("velocity", _velocity, "t", 0.0), *ends),
        "exact": exact,
    }


def _poisson(*, frequency: float = 4.0) -> dict:
    """u_xx = -(frequency pi)^2 sin(frequency pi x) on 0 <= x <= 1; u = sin(frequency pi x)."""
    a = frequency * math.pi
    domain = ((0.0, 1.0),)
    return {
        "variables": ("x",),
        "domain": domain,
        "equation": lambda d: d.u_xx + a**2 * jnp.sin(a * d.x),
        "conditions": _dirichlet(domain),
        "exact": lambda p: jnp.sin(a * p[:, 0]),
    }


def _burgers(*, viscosity: float = 0.01 / math.pi, nodes: int = 200) -> dict:
    r"""u_t + u u_x = viscosity u_xx on 0 <= t <= 1, -1 <= x <= 1, u = -sin(pi x) at the start.

    The exact solution is the quotient of two integrals (Cole and Hopf), by Gauss and Hermite with ``nodes`` nodes.
    """
    _checks.check_positive_int(nodes, "nodes")
    z, w = np.polynomial.hermite.hermgauss(nodes)
    # Weights below the smallest positive number count for nothing.
    z, w = z[w > 0], w[w > 0]

    def exact(p: Array) -> Array:
        t, x = p[:, 0], p[:, 1]
        # sqrt is not differentiable at 0; there the quotient is -sin(pi x) already.
        reach = jnp.sqrt(4 * viscosity * jnp.maximum(t, 1e-12))
        y = x[:, None] - reach[:, None] * jnp.asarray(z, p.dtype)
        exponent = -jnp.cos(math.pi * y) / (2 * math.pi * viscosity) + jnp.asarray(np.log(w), p.dtype)
        weight = jax.nn.softmax(exponent, axis=1)
        return -jnp.sum(weight * jnp.sin(math.pi * y), axis=1)

    domain = ((0.0, 1.0), (-1.0, 1.0))
    return {
        "domain": domain,
        "equation": lambda d: d.u_t + d.u * d.u_x - viscosity * d.u_xx,
        "conditions": _dirichlet(domain),
        "exact": exact,
    }


def _sine_gordon_equation(d):
    return d.u_tt - d.u_xx + jnp.sin(d.u)


def _sine_gordon(*, velocity: float = 0.5, domain=((0.0, 2.0), (-4.0, 4.0))) -> dict:
    """u_tt - u_xx + sin u = 0; the kink u = 4 arctan exp((x - velocity t) / sqrt(1 - velocity^2))."""
    if not abs(velocity) < 1:
        raise ValueError(f"velocity must lie between -1 and 1, got {velocity}")
    start, *ends = _dirichlet(domain)
    return {
        "domain": domain,
        "equation": _sine_gordon_equation,
        "conditions": (start, Condition("velocity", _velocity, "t", domain[0][0]), *ends),
        "exact": lambda p: 4 * jnp.arctan(jnp.exp((p[:, 1] - velocity * p[:, 0]) / math.sqrt(1 - velocity**2))),
    }


def _kdv_equation(d):
    return d.u_t + 6 * d.u * d.u_x + d.u_xxx


def _kdv(*, speed: float = 2.0, domain=((0.0, 1.0), (-5.0, 5.0))) -> dict:
    """u_t + 6 u u_x + u_xxx = 0; the soliton u = speed/2 sech^2(sqrt(speed)/2 (x - speed t))."""
    if not speed > 0:
        raise ValueError(f"speed must be positive, got {speed}")
    start, *ends = _dirichlet(domain)

    def exact(p: Array) -> Array:
        return speed / 2 / jnp.cosh(math.sqrt(speed) / 2 * (p[:, 1] - speed * p[:, 0])) ** 2

    # Three derivatives in x need three conditions at the sides; waves leave to the left, so the slope is given right.
    slope = Condition("right slope", _slope, "x", domain[1][1])
    return {"domain": domain, "equation": _kdv_equation, "conditions": (start, *ends, slope), "exact": exact}


def _schroedinger_equation(d):
    re, im = d.u
    square = re**2 + im**2
    return -d.u_t[1] + d.u_xx[0] / 2 + square * re, d.u_t[0] + d.u_xx[1] / 2 + square * im


def _schroedinger(*, amplitude: float = 1.0, velocity: float = 1.0, domain=((0.0, 1.0), (-5.0, 5.0))) -> dict:
    """I psi_t + psi_xx / 2 + |psi|^2 psi = 0, u = (Re psi, Im psi).

    The soliton psi = a sech(a (x - v t)) exp(i (v x + (a^2 - v^2) t / 2)), a the amplitude and v the velocity.
    """
    if not amplitude > 0:
        raise ValueError(f"amplitude must be positive, got {amplitude}")

    def exact(p: Array) -> Array:
        t, x = p[:, 0], p[:, 1]
        size = amplitude / jnp.cosh(amplitude * (x - velocity * t))
        phase = velocity * x + (amplitude**2 - velocity**2) / 2 * t
        return jnp.stack([size * jnp.cos(phase), size * jnp.sin(phase)], axis=1)

    return {
        "domain": domain,
        "equation": _schroedinger_equation,
        "conditions": _dirichlet(domain),
        "exact": exact,
    }


_PROBLEMS: dict[str, Callable[..., dict]] = {
    "heat": _heat,
    "wave": _wave,
    "poisson": _poisson,
    "burgers": _burgers,
    "sine-gordon": _sine_gordon,
    "kdv": _kdv,
    "schroedinger": _schroedinger,
}


def pde_problem(name: str, **parameters: object) -> PDEProblem:
    r"""A ready problem with its exact solution.

    ================  ==========================================  ============================================
    name              equation                                    exact solution; parameters
    ================  ==========================================  ============================================
    ``heat``          :math:`u_t = D u_{xx}`                      sines; ``diffusivity``, ``modes``
    ``wave``          :math:`u_{tt} = c^2 u_{xx}`                 standing waves; ``speed``, ``modes``
    ``poisson``       :math:`u_{xx} = f(x)`                       one sine; ``frequency``
    ``burgers``       :math:`u_t + u u_x = \nu u_{xx}`            Cole and Hopf; ``viscosity``, ``nodes``
    ``sine-gordon``   :math:`u_{tt} - u_{xx} + \sin u = 0`        kink; ``velocity``, ``domain``
    ``kdv``           :math:`u_t + 6 u u_x + u_{xxx} = 0`         soliton; ``speed``, ``domain``
    ``schroedinger``  :math:`i\psi_t + \psi_{xx}/2 + |\psi|^2     soliton, two real components; ``amplitude``,
                      \psi = 0`                                   ``velocity``, ``domain``
    ================  ==========================================  ============================================

    ``modes`` are pairs (frequency k, amplitude), a wave :math:`\sin k\pi x` each.

    Args:
        name: as in the table.
        **parameters: constants of the problem; defaults otherwise.

    Returns:
        A ``PDEProblem``: ``.equation``, ``.exact``, ``.domain``, ``.conditions``, ``.system(...)``, ``.grid(...)``,
        ``.relative_error(...)``.

    Raises:
        ValueError: if the name or the value of a constant is wrong.
        TypeError: if there is no such constant.

    Example:
        >>> import ntk_helpers as nh
        >>> kdv = nh.pde_problem("kdv", speed=2.0)
        >>> kdv.system(residual=100, initial=20, boundary=10).names
        ('residual', 'initial', 'left', 'right', 'right slope')
    """
    _checks.check_choice(name, "name", tuple(_PROBLEMS))
    make = _PROBLEMS[name]
    known = inspect.signature(make).parameters
    if unknown := sorted(set(parameters) - set(known)):
        raise TypeError(f"{name} has the parameters {', '.join(known)}, got {unknown[0]!r}")
    values = {key: parameters.get(key, known[key].default) for key in known}
    made = {"variables": ("t", "x"), **make(**values)}
    return PDEProblem(name=name, parameters=tuple(values.items()), **made)
