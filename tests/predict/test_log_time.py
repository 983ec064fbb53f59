import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

RNG = np.random.default_rng(8)
X = jnp.asarray(RNG.standard_normal((5, 3)), jnp.float32)
Y = np.array([0.0, 1, 1, 0, 1])
KEY = jax.random.key(0)
# A network that is linear in its parameters, so that theory with a fixed kernel is exact.
LINEAR = nh.Network(
    lambda *, key, dtype: jax.random.normal(key, (12,), dtype),
    lambda p, x: (jnp.concatenate([jnp.cos(x), jnp.sin(x), x, jnp.cos(2 * x)], axis=1) @ p)[:, None],
)


@pytest.mark.parametrize(("temperature", "y", "step"), [(1.0, Y, 0.02), (0.5, Y, 0.02), (1.0, 0.1 + 0.8 * Y, 0.1)])
def test_a_linear_model_follows_the_flow(temperature, y, step):
    times = [0.0, 1.0, 10.0, 100.0, 1e6]
    times = times[: 4 if y.min() > 0 else 5]  # with soft labels the last modes take a step each 0.02 of time
    log = nh.train_log_time(
        LINEAR, X, y, times=times, key=KEY, n_seeds=2, temperature=temperature, step=step, x_test=X[:2] + 0.1
    )
    f0, f0_test = log.train[0, 0].astype(float), log.test[0, 0].astype(float)
    phi = [
        np.asarray(jax.jacobian(lambda p, x=x: LINEAR.apply(p, x)[:, 0])(jnp.zeros(12)), float)
        for x in (X, X[:2] + 0.1)
    ]
    flow = nh.cross_entropy_flow(
        phi[0] @ phi[0].T,
        y,
        times=times,
        ntk_tx=phi[1] @ phi[0].T,
        f0_train=f0,
        f0_test=f0_test,
        temperature=temperature,
    )
    # Euler steps that move an output by about `step`, at most: half of one is the error of time
    np.testing.assert_allclose(log.train[0], flow.train, atol=step)
    np.testing.assert_allclose(log.test[0], flow.test, atol=2 * step)
    np.testing.assert_allclose(log.kernels[1, 0], phi[0] @ phi[0].T, rtol=1e-4)
    assert (np.diff(log.steps) >= 0).all()


def test_squared_loss_comes_to_rest():
    log = nh.train_log_time(LINEAR, X, Y, times=[1.0, 1e9], key=KEY, loss="squared", step=1.0)
    np.testing.assert_allclose(log.train[0, -1], Y, atol=3e-5)
    flow = nh.gradient_flow(log.kernels[0, 0].astype(float), Y, times=1e9, f0_train=np.zeros(5))
    np.testing.assert_allclose(flow.train, Y, atol=1e-5)
    assert log.steps[0, -1] < 5000


def test_one_step_is_gradient_descent():
    """A first step that is cut at t = 0.01 is a plain step with this learning rate."""
    net = nh.fcn(d_in=3, width=16, depth=1)
    log = nh.train_log_time(net, X, Y, times=[0.01], key=KEY)
    start = net.init(key=jax.random.split(KEY, 1)[0], dtype=jnp.float32)
    gradient = jax.grad(lambda p: jnp.sum(jnp.logaddexp(0.0, -(2 * Y - 1) * net.apply(p, X)[:, 0])))(start)
    expected = jax.tree.map(lambda p, g: p - 0.01 * g, start, gradient)
    for ours, theirs in zip(jax.tree.leaves(log.params[0]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(log.kernels[0, 0], nh.empirical_ntk(net.apply, expected, X, output="trace"), rtol=1e-4)
    assert log.steps.tolist() == [[1]]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"y": 2 * Y - 1}, r"\(y \+ 1\) / 2"),
        ({"y": Y[:, None]}, "shape"),
        ({"times": [1.0, 0.5]}, "increasing"),
        ({"step": 2.5}, "step"),
        ({"temperature": 0.0}, "temperature"),
        ({"loss": "squared", "temperature": 0.5}, "temperature"),
        ({"loss": "hinge"}, "loss"),
        ({"max_steps": 3, "times": [1e6]}, "t = 1e"),
        ({"net": nh.fcn(d_in=3, width=4, depth=1, d_out=2)}, "one output"),
    ],
)
def test_bad_arguments_are_named(change, word):
    arguments = {"net": LINEAR, "x": X, "y": Y, "times": [1.0], "key": KEY, **change}
    with pytest.raises(ValueError, match=word):
        nh.train_log_time(arguments.pop("net"), arguments.pop("x"), arguments.pop("y"), **arguments)
