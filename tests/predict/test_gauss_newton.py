import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import ntk_helpers as nh
from ntk_helpers.predict import gauss_newton

RNG = np.random.default_rng(15)


def linear(w, point):
    return point[0] @ w["a"] + w["b"] - point[1]


def curve(p, point):
    """A nonlinear residual of two numbers: a circle of unknown centre and radius, seen from angles."""
    angle, seen = point
    return p["centre"] + p["radius"] * jnp.stack([jnp.cos(angle), jnp.sin(angle)]) - seen


def radius(p, point):
    return p["radius"] * point - 1.0


def valley(p, point):
    """Rosenbrock's two residuals."""
    return 10 * (p[1] - p[0] ** 2) * point[0] + (1 - p[0]) * point[1]


VALLEY = {"residuals": valley, "params": np.array([-1.2, 1.0]), "points": np.eye(2)}


def problem(rows, columns, dtype):
    a, b = RNG.standard_normal((rows, columns)).astype(dtype), RNG.standard_normal(rows).astype(dtype)
    return (a, b), {"a": jnp.zeros(columns, dtype), "b": jnp.zeros((), dtype)}, np.column_stack([a, np.ones(rows)])


def stacked(w):
    return np.concatenate([np.asarray(w["a"]), [float(w["b"])]])


@pytest.mark.parametrize(("rows", "columns"), [(5, 8), (12, 3)])
def test_a_linear_problem_takes_one_step(rows, columns, dtype):
    data, start, matrix = problem(rows, columns, dtype)
    # numpy's solution of smallest norm is the step from zero, for more and for fewer rows than parameters
    expected = np.linalg.lstsq(matrix.astype(float), data[1].astype(float), rcond=None)[0]
    step = nh.gauss_newton_step(linear, data, start, damping=0.0)
    tolerance = 1e-10 if dtype == np.float64 else 2e-4  # condition numbers below 100, squared in the normal equations
    np.testing.assert_allclose(stacked(step), expected, rtol=0, atol=tolerance)
    assert step["a"].dtype == dtype
    log = nh.levenberg_marquardt(linear, data, start, steps=1, damping=1e-12 if dtype == np.float64 else 1e-6)
    np.testing.assert_allclose(stacked(log.params), expected, rtol=0, atol=tolerance)
    assert log.steps_done == 1


@pytest.mark.parametrize("damping", [1e-3, 1.0, 100.0])
def test_both_forms_are_the_damped_least_squares_solution(damping, x64):
    data, start, matrix = problem(9, 6, float)
    big = np.vstack([matrix, np.sqrt(damping) * np.eye(7)])
    expected = np.linalg.lstsq(big, np.concatenate([data[1], np.zeros(7)]), rcond=None)[0]
    for form in ("kernel", "parameters", "auto"):
        step = nh.gauss_newton_step(linear, data, start, damping=damping, form=form)
        np.testing.assert_allclose(stacked(step), expected, rtol=1e-9, atol=1e-12)


def test_weights_blocks_and_vector_residuals(x64):
    """Two blocks, one of them with two numbers a point, against the dense Jacobian of the whole."""
    angles = jnp.linspace(0.0, 2.0, 7)
    seen = jnp.asarray(RNG.standard_normal((7, 2)))
    blocks, sizes = [(angles, seen), jnp.array([1.0, 2.0])], jnp.array([1.0] * 14 + [1.0] * 2)
    params = {"centre": jnp.array([0.3, -0.2]), "radius": jnp.array(1.5)}

    def everything(vector, weights):
        p = {"centre": vector[:2], "radius": vector[2]}
        both = [jax.vmap(lambda q: curve(p, q))(blocks[0]).ravel(), jax.vmap(lambda q: radius(p, q))(blocks[1])]
        return jnp.concatenate(both) * jnp.sqrt(sizes * jnp.repeat(weights, jnp.array([14, 2]), total_repeat_length=16))

    at = jnp.array([0.3, -0.2, 1.5])
    for weights in (None, [0.5, 30.0]):
        scale = jnp.ones(2) if weights is None else jnp.asarray(weights)
        j, r = jax.jacobian(everything)(at, scale), everything(at, scale)
        expected = -jnp.linalg.solve(j.T @ j + 0.7 * jnp.eye(3), j.T @ r)
        for form in ("kernel", "parameters"):
            step = nh.gauss_newton_step([curve, radius], blocks, params, damping=0.7, weights=weights, form=form)
            found = jnp.concatenate([step["centre"], step["radius"][None]])
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        log = nh.levenberg_marquardt([curve, radius], blocks, params, steps=3, weights=weights)
        assert log.losses[0] == pytest.approx(0.5 * float(r @ r), rel=1e-12)


@pytest.mark.parametrize("form", ["kernel", "parameters"])
def test_a_nonlinear_problem_ends_where_scipy_ends(form, x64):
    data = (jnp.linspace(0.0, 3.0, 11), jnp.asarray(RNG.standard_normal((11, 2))))
    start = {"centre": jnp.array([5.0, 5.0]), "radius": jnp.array(0.1)}

    def rows(v):
        return np.asarray(jax.vmap(lambda q: curve({"centre": v[:2], "radius": v[2]}, q))(data)).ravel()

    theirs = scipy.optimize.least_squares(rows, [5.0, 5.0, 0.1], method="lm")
    ours = nh.levenberg_marquardt(curve, data, start, steps=40, form=form)
    found = np.concatenate([ours.params["centre"], ours.params["radius"][None]])
    np.testing.assert_allclose(found, theirs.x, rtol=0, atol=1e-6)  # scipy's tolerances are 1e-8
    assert ours.losses[-1] == pytest.approx(theirs.cost, rel=1e-12)


def test_steps_that_raise_the_loss_are_rejected(x64):
    """Rosenbrock's valley from its classical start: undamped steps leave it, accepted losses fall all the same."""
    log = nh.levenberg_marquardt(**VALLEY, steps=60, damping=1e-8)
    assert log.rejections.sum() > 0
    assert (np.diff(log.losses) < 0).all()
    np.testing.assert_allclose(log.params, [1.0, 1.0], rtol=0, atol=1e-8)
    # one number of rejections for each doubling of the damping from 1e-8
    assert log.damping[0] == pytest.approx(1e-8 * 2.0 ** log.rejections[0])


def test_why_a_run_ends(x64):
    data, start, _ = problem(12, 3, float)

    def run(**options):
        return nh.levenberg_marquardt(linear, data, start, **options)

    assert run(steps=2).reason == "steps"
    minimum = run(steps=200, patience=5)
    assert minimum.reason == "patience"
    assert minimum.steps_done < 200
    reached = run(steps=200, tolerance=1.01 * minimum.losses[-1])
    assert reached.reason == "tolerance"
    assert reached.steps_done < minimum.steps_done
    assert reached.losses[-1] <= 1.01 * minimum.losses[-1] < reached.losses[-2]


def test_snapshots_are_the_parameters_on_the_way(x64):
    data = (jnp.linspace(0.0, 3.0, 11), jnp.asarray(RNG.standard_normal((11, 2))))
    start = {"centre": jnp.array([5.0, 5.0]), "radius": jnp.array(0.1)}
    log = nh.levenberg_marquardt(curve, data, start, steps=4, log_at=[0, 2, 4])
    assert log.steps == (0, 2, 4)
    for step, params in zip(log.steps, log.snapshots, strict=True):
        rows = jax.vmap(lambda q, params=params: curve(params, q))(data)
        assert 0.5 * float(jnp.sum(rows**2)) == pytest.approx(log.losses[step], rel=1e-12)


def test_interrupted_and_resumed_is_uninterrupted(monkeypatch, x64):
    options = {"steps": 12, "log_at": [0, 5, 12]}
    whole = nh.levenberg_marquardt(**VALLEY, **options)
    calls = []

    class Watched(gauss_newton.tqdm):
        def update(self, n=1):
            calls.append(n)
            if len(calls) == 8:
                raise KeyboardInterrupt
            return super().update(n)

    monkeypatch.setattr(gauss_newton, "tqdm", Watched)
    with pytest.warns(RuntimeWarning, match=r"interrupted after 8 of 12 steps; resume=log"):
        part = nh.levenberg_marquardt(**VALLEY, **options)
    assert (part.interrupted, part.steps_done, part.steps) == (True, 8, (0, 5))
    rest = nh.levenberg_marquardt(**VALLEY, resume=part, **options)
    np.testing.assert_array_equal(rest.losses, whole.losses)
    np.testing.assert_array_equal(rest.params, whole.params)
    assert (rest.reason, rest.steps) == ("steps", (0, 5, 12))
    with pytest.raises(ValueError, match="at least the 12 that resume has done"):
        nh.levenberg_marquardt(**VALLEY, steps=3, resume=whole)


def test_the_first_order_law_of_a_step(x64):
    """J applied to the step multiplies the residual by lambda/(lambda_i + lambda) along each eigenvector of K."""
    data, start, matrix = problem(6, 9, float)
    step = stacked(nh.gauss_newton_step(linear, data, start, damping=0.5))
    values, vectors = np.linalg.eigh(matrix @ matrix.T)
    before, after = -data[1], matrix @ step - data[1]
    np.testing.assert_allclose(vectors.T @ after, 0.5 / (values + 0.5) * (vectors.T @ before), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps"),
        ({"patience": 0}, ValueError, "patience"),
        ({"damping": 0.0}, ValueError, "damping must be positive"),
        ({"damping": -1.0}, ValueError, "damping must be finite and not negative"),
        ({"tolerance": -1.0}, ValueError, "tolerance"),
        ({"form": "qr"}, ValueError, "form must be one of"),
        ({"weights": [1.0, 2.0]}, ValueError, "one number for each of 1 blocks"),
        ({"weights": [-1.0]}, ValueError, "weights must be finite and not negative"),
        ({"log_at": [9]}, ValueError, "log_at must lie between 0 and steps = 2"),
        ({"log_at": [0.5]}, TypeError, "log_at must be a sequence of integers"),
        ({"residuals": "f"}, TypeError, "residuals must be a function"),
        ({"residuals": [linear, linear, linear]}, ValueError, "one entry for each of 3 blocks"),
        ({"residuals": lambda p, q: p["a"] * jnp.ones((2, 3))}, ValueError, "a number or a vector"),
        (
            {"residuals": lambda p, q: jnp.log(p["b"] - 1.0)},
            ValueError,
            r"residuals\[0\] at params must be finite",
        ),
        ({"points": (np.ones((4, 3)), np.ones(3))}, ValueError, "share a first axis"),
        ({"points": (np.ones((0, 3)), np.ones(0))}, ValueError, "share a first axis of at least one point"),
        ({"params": {"a": np.zeros(3, int), "b": 0}}, TypeError, "floating-point arrays of one dtype"),
    ],
)
def test_bad_arguments(change, error, message, without_hook):
    start = {"a": np.zeros(3, np.float32), "b": np.float32(0)}
    points = (np.ones((4, 3), np.float32), np.ones(4, np.float32))
    arguments = {"residuals": linear, "params": start, "points": points, "steps": 2} | change
    with pytest.raises(error, match=message):
        nh.levenberg_marquardt(**arguments)


def test_a_singular_system_is_an_error_not_a_nan():
    points = (np.ones((2, 3), np.float32), np.ones(2, np.float32))  # two equal rows
    with pytest.raises(ValueError, match="damping = 0 is too small"):
        nh.gauss_newton_step(linear, points, {"a": np.zeros(3, np.float32), "b": np.float32(0)}, damping=0.0)
