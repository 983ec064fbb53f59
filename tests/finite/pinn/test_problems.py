"""The ready problems: exact solutions put into the equation, and the equation against one written out here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import ntk_helpers as nh

NAMES = ["heat", "wave", "poisson", "burgers", "sine-gordon", "kdv", "schroedinger"]
CONSTANTS = {"burgers": {"viscosity": 0.05}, "heat": {"modes": ((1, 1.0), (3, -0.5))}, "kdv": {"speed": 1.5}}


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_solution_solves_equation_and_conditions(name, x64):
    problem = nh.pde_problem(name, **CONSTANTS.get(name, {}))
    system = problem.system(residual=64, initial=8, boundary=6)
    for rows, residual in system.residuals(lambda _, x: problem.exact(x), None).items():
        # float64 rounding times the largest derivative: (8 pi)^2 for the wave, (4 pi)^2 for Poisson
        assert np.abs(residual).max() < 2e-12, rows
    assert np.isfinite(problem.exact(jnp.array(problem.grid(5)))).all()
    assert problem.relative_error(problem.exact) == 0.0


def difference(f, p, counts, h=1e-2):
    """A partial derivative by central differences of order h^6, up to the third."""
    stencils = {
        1: np.array([-1, 9, -45, 0, 45, -9, 1]) / 60,
        2: np.array([2, -27, 270, -490, 270, -27, 2]) / 180,
        3: np.array([-7, 72, -338, 488, 0, -488, 338, -72, 7]) / 240,
    }
    axis, order = counts
    stencil = stencils[order]
    reach = len(stencil) // 2
    step = np.zeros(p.shape[1])
    step[axis] = h
    return sum(c * np.asarray(f(jnp.array(p + k * step))) for k, c in enumerate(stencil, -reach)) / h**order


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_solution_solves_the_equation_written_out_here(name, x64):
    problem = nh.pde_problem(name, **CONSTANTS.get(name, {}))
    low, high = np.array(problem.domain).T
    p = low + (high - low) * np.random.default_rng(0).uniform(0.2, 0.8, size=(20, len(low)))
    x = len(low) - 1
    f, d = problem.exact, lambda axis, order: difference(problem.exact, p, (axis, order))
    u = np.asarray(f(jnp.array(p)))
    zero = {
        "heat": lambda: d(0, 1) - 0.1 * d(x, 2),
        "wave": lambda: d(0, 2) - 4 * d(x, 2),
        "poisson": lambda: d(x, 2) + (4 * np.pi) ** 2 * np.sin(4 * np.pi * p[:, 0]),
        "burgers": lambda: d(0, 1) + u * d(x, 1) - 0.05 * d(x, 2),
        "sine-gordon": lambda: d(0, 2) - d(x, 2) + np.sin(u),
        "kdv": lambda: d(0, 1) + 6 * u * d(x, 1) + d(x, 3),
        "schroedinger": lambda: 1j * (d(0, 1) @ [1, 1j]) + d(x, 2) @ [1, 1j] / 2 + (u**2).sum(axis=1) * (u @ [1, 1j]),
    }[name]()
    # h^6 times the eighth derivative over a few hundred: (8 pi / 100)^6 (8 pi)^2 / 560 = 3e-4 for the wave's fast mode,
    # whose terms are of size 600; the others are below that
    assert np.abs(zero).max() < 1e-3
    assert np.abs(d(0, 1)).max() > 0.1


def test_burgers_against_a_spectral_solver(x64):
    """-sin(pi x) is odd and has period 2, so Fourier modes keep the sides at zero."""
    viscosity, points = 0.05, 256
    x = -1 + 2 * np.arange(points) / points
    k = 1j * np.pi * np.fft.fftfreq(points, 1 / points)
    keep = np.abs(k) < np.pi * points / 3  # against aliasing

    def velocity(_, u):
        return np.fft.ifft(k * (viscosity * k * np.fft.fft(u) - keep * np.fft.fft(u**2 / 2))).real

    run = solve_ivp(velocity, (0, 1), -np.sin(np.pi * x), t_eval=[0.3, 1.0], method="LSODA", rtol=1e-9, atol=1e-11)
    exact = nh.pde_problem("burgers", viscosity=viscosity).exact
    for t, u in zip(run.t, run.y.T, strict=True):
        # the solver's tolerance 1e-9 over some hundred steps
        np.testing.assert_allclose(exact(jnp.stack([jnp.full(points, t), x], axis=1)), u, atol=1e-6)


def test_points_lie_where_they_should(x64):
    problem = nh.pde_problem("kdv", domain=((0.5, 1.0), (-2.0, 3.0)))
    system = problem.system(residual=100, initial=7, boundary=5)
    assert system.names == ("residual", "initial", "left", "right", "right slope")
    assert [len(rows.points) for rows in system.rows] == [100, 7, 5, 5, 5]
    inside = np.asarray(system["residual"].points)
    assert (inside >= [0.5, -2.0]).all()
    assert (inside <= [1.0, 3.0]).all()
    assert len(np.unique(inside, axis=0)) == 100
    np.testing.assert_array_equal(system["initial"].points[:, 0], 0.5)
    np.testing.assert_array_equal(system["left"].points[:, 1], -2.0)
    np.testing.assert_array_equal(system["right slope"].points[:, 1], 3.0)
    grid = problem.system(residual=(3, 4))["residual"].points
    np.testing.assert_allclose(grid, problem.grid((3, 4)))
    one = nh.pde_problem("poisson").system(residual=8, boundary=4)
    np.testing.assert_array_equal(one["right"].points, np.ones((4, 1)))
    assert problem.system(dtype=jnp.float32)["left"].targets.dtype == jnp.float32


def test_a_key_moves_the_points():
    problem = nh.pde_problem("heat")
    points = [problem.system(key=k)["residual"].points for k in (None, None, jax.random.key(0), jax.random.key(1))]
    np.testing.assert_array_equal(points[0], points[1])
    assert not np.array_equal(points[0], points[2])
    assert not np.array_equal(points[2], points[3])


def test_what_is_wrong_is_said(without_hook):
    with pytest.raises(ValueError, match="name must be one of"):
        nh.pde_problem("navier")
    with pytest.raises(TypeError, match="got 'c'"):
        nh.pde_problem("kdv", c=1.0)
    with pytest.raises(ValueError, match="velocity must lie"):
        nh.pde_problem("sine-gordon", velocity=1.0)
    with pytest.raises(ValueError, match="speed must be positive"):
        nh.pde_problem("kdv", speed=0.0)
    with pytest.raises(ValueError, match="amplitude must be positive"):
        nh.pde_problem("schroedinger", amplitude=-1.0)
    with pytest.raises(ValueError, match="modes must hold"):
        nh.pde_problem("heat", modes=())
    with pytest.raises(ValueError, match="a grid needs"):
        nh.pde_problem("heat").system(residual=(3,))
