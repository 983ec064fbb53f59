import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_helpers as nh
from ntk_helpers.predict import adaptive_weights

NET = nh.fcn(d_in=1, width=8, depth=1, activation="tanh", sigma_b=1.0, parameterization="standard")
KEY = jax.random.key(3)
SYSTEM = nh.pde_problem("poisson", frequency=1.0).system(residual=6, boundary=2)
ROWS, POINTS = nh.point_residuals(SYSTEM, NET.apply)
ADAM = optax.adam(1e-3)
OPTIONS = {"steps": 25, "optimizer": ADAM, "every": 10}


def start(seeds=None):
    if seeds is None:
        return NET.init(key=KEY, dtype=jnp.float32)
    return jax.vmap(lambda k: NET.init(key=k, dtype=jnp.float32))(jax.random.split(KEY, seeds))


def pair(p, x):
    """A residual of two numbers a point."""
    return jnp.stack([x @ p, 2 * (x @ p)])


def single(p, x):
    return 3 * x[0] * p[0] ** 2


def test_weights_are_traces_of_explicit_jacobians():
    p = jnp.array([0.5, -1.0])
    points = [jnp.array([[1.0, 2.0], [0.0, 1.0]]), jnp.array([[2.0, 0.0], [1.0, 1.0], [0.5, 0.0]])]
    # |J|^2 by hand: (1 + 4)(5 + 1) = 30 for the pairs; 6 x p = 3 x at p = 1/2, so 9 (4 + 1 + 1/4) = 47.25
    np.testing.assert_allclose(nh.ntk_weights([pair, single], points, p), [77.25 / 30, 77.25 / 47.25], rtol=1e-6)
    assert nh.ntk_weights(single, points[1], p).tolist() == [1.0]


def test_weights_of_a_system_are_those_of_its_jacobian():
    params = start()
    jacobian = np.asarray(nh.pde_jacobian(SYSTEM, NET.apply, params))
    traces = np.array([np.sum(jacobian[a:b] ** 2) for a, b in ((0, 6), (6, 8), (8, 10))])
    np.testing.assert_allclose(nh.ntk_weights(ROWS, POINTS, params), traces.sum() / traces, rtol=1e-4)


def test_point_residuals_are_the_rows_of_the_system():
    params = start()
    rows = [jax.vmap(lambda q, f=f: f(params, q))(block) for f, block in zip(ROWS, POINTS, strict=True)]
    np.testing.assert_allclose(np.concatenate(rows), SYSTEM.vector(NET.apply, params), rtol=1e-5, atol=1e-5)
    assert nh.point_residuals(SYSTEM, NET.apply)[0] == ROWS  # equal, so that compiled functions are found again


def test_only_systems_have_point_residuals(without_hook):
    with pytest.raises(TypeError, match="system must be a PDESystem, got list"):
        nh.point_residuals([SYSTEM], NET.apply)


def test_training_is_the_plain_loop_with_the_weights_it_logs():
    log = nh.train_residuals(ROWS, POINTS, start(), weights="ntk", **OPTIONS)
    assert log.steps.tolist() == [0, 10, 20, 25]
    params = start()
    state = ADAM.init(params)
    loss = jax.jit(jax.value_and_grad(lambda p, w: SYSTEM.loss(NET.apply, p, dict(zip(SYSTEM.names, w, strict=True)))))
    for step in range(25):
        if step % 10 == 0:
            weights = nh.ntk_weights(ROWS, POINTS, params)
            np.testing.assert_allclose(log.weights[step // 10], weights, rtol=1e-3)
            value, _ = loss(params, weights)
            assert value == pytest.approx(float(log.weights[step // 10] @ log.losses[step // 10]), rel=1e-3)
        updates, state = ADAM.update(loss(params, weights)[1], state, params)
        params = optax.apply_updates(params, updates)
    for ours, theirs in zip(jax.tree.leaves(log.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)  # float32, 25 steps of at most 1e-3
    assert np.ptp(log.weights[:, 1]) > 0
    np.testing.assert_array_equal(log.weights[-1], log.weights[-2])  # step 25 is no multiple of 10


def test_many_seeds_are_single_runs():
    many = nh.train_residuals(ROWS, POINTS, start(3), weights="ntk", n_seeds=3, **OPTIONS)
    assert (many.losses.shape, many.weights.shape) == ((3, 4, 3), (3, 4, 3))
    one = nh.train_residuals(ROWS, POINTS, jax.tree.map(lambda p: p[1], start(3)), weights="ntk", **OPTIONS)
    np.testing.assert_allclose(many.losses[1], one.losses, rtol=1e-3)
    np.testing.assert_allclose(many.weights[1], one.weights, rtol=1e-3)
    assert np.ptp(many.losses[:, 0, 0]) > 0


def test_fixed_weights():
    first = nh.train_residuals(ROWS, POINTS, start(), weights=[1.0, 5.0, 5.0], **OPTIONS)
    np.testing.assert_array_equal(first.weights, np.tile([1.0, 5.0, 5.0], (4, 1)).astype(first.weights.dtype))
    plain = nh.train_residuals(ROWS, POINTS, start(), **OPTIONS)
    assert (plain.weights == 1).all()
    assert plain.losses[-1, 1] != first.losses[-1, 1]


def test_interrupted_and_resumed_is_uninterrupted(monkeypatch):
    whole = nh.train_residuals(ROWS, POINTS, start(), weights="ntk", **OPTIONS)
    rung = []

    class Watched(adaptive_weights.tqdm):
        def update(self, n=1):
            if not rung:
                rung.append(n)
                raise KeyboardInterrupt
            return super().update(n)

    monkeypatch.setattr(adaptive_weights, "tqdm", Watched)
    with pytest.warns(RuntimeWarning, match="interrupted after 10 of 25 steps; resume=log"):
        part = nh.train_residuals(ROWS, POINTS, start(), weights="ntk", **OPTIONS)
    assert (part.interrupted, part.steps_done, part.steps.tolist()) == (True, 10, [0, 10])
    rest = nh.train_residuals(ROWS, POINTS, None, weights="ntk", resume=part, **OPTIONS)
    for name in ("steps", "losses", "weights"):
        np.testing.assert_array_equal(getattr(rest, name), getattr(whole, name))
    with pytest.raises(ValueError, match="at least the 25 that resume has done"):
        nh.train_residuals(ROWS, POINTS, None, resume=whole, **(OPTIONS | {"steps": 5}))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps"),
        ({"every": 0}, ValueError, "every"),
        ({"n_seeds": 0}, ValueError, "n_seeds"),
        ({"n_seeds": 2}, ValueError, "the 2 seeds as first axis"),
        ({"optimizer": "adam"}, TypeError, "optimizer must be an optax optimizer, got str"),
        ({"weights": "trace"}, ValueError, "weights must be one of 'ntk'"),
        ({"weights": [1.0]}, ValueError, "one number for each of 3 blocks"),
        ({"points": POINTS[:1]}, ValueError, "one entry for each of 3 blocks, got 1"),
    ],
)
def test_bad_arguments(change, error, message, without_hook):
    arguments = {"residuals": ROWS, "points": POINTS, "params": start(), **OPTIONS} | change
    with pytest.raises(error, match=message):
        nh.train_residuals(**arguments)


def test_rows_without_a_kernel_or_a_value(without_hook):
    with pytest.raises(ValueError, match="positive trace"):
        nh.ntk_weights([single, lambda p, x: x[0]], [jnp.ones((2, 1))] * 2, jnp.ones(1))
    with pytest.raises(ValueError, match=r"residuals\[1\] at params must be finite"):
        nh.train_residuals(
            [single, lambda p, x: jnp.log(x[0] - p[0])], [jnp.ones((2, 1))] * 2, 2 * jnp.ones(1), **OPTIONS
        )
