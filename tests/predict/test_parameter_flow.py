import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

RNG = np.random.default_rng(13)
X, Y = RNG.standard_normal((3, 2)), RNG.standard_normal(3)


@pytest.mark.parametrize(("loss", "half"), [("sum", True), ("mean", False)])
def test_a_linear_model_follows_the_closed_form(x64, loss, half):
    w, times = jnp.array([0.4, -0.3]), [0.2, 1.5]
    found = nh.parameter_flow(lambda p, x: x @ p, w, X, Y, times=times, x_test=2 * X, loss=loss, half=half)
    want = nh.gradient_flow(X @ X.T, Y, times=times, f0_train=X @ w, loss=loss, half=half).train
    np.testing.assert_allclose(found.train, want, atol=1e-7)
    np.testing.assert_allclose(found.test, 2 * want, atol=1e-7)
    np.testing.assert_allclose(X @ found.params.T, want.T, atol=1e-7)


def test_small_steps_of_descent_tend_to_it(x64):
    """Euler's error is of the order of the step: a tenth of the step, about a tenth of the error."""
    net = nh.fcn(d_in=2, width=8, depth=2, activation="tanh", d_out=2)
    params = net.init(key=jax.random.key(0), dtype=jnp.float64)
    y = np.stack([Y, -Y], axis=1)
    flow = nh.parameter_flow(net.apply, params, X, y, times=[0.0, 1.0], loss="mean")
    assert flow.train.shape == (2, 3, 2)
    np.testing.assert_allclose(flow.train[0], net.apply(params, X), atol=1e-12)
    error = []
    for steps in (50, 500):
        log = nh.train(net, X, y, steps=steps, learning_rate=1 / steps, params=params, loss="mean", log_at=[steps])
        error.append(np.abs(log.train[-1] - flow.train[1]).max())
    assert 8 < error[0] / error[1] < 12


def test_bad_input(without_hook):
    f, w = (lambda p, x: x @ p), jnp.ones(2)
    with pytest.raises(ValueError, match="times must be a rising sequence"):
        nh.parameter_flow(f, w, X, Y, times=[1.0, 1.0])
    with pytest.raises(ValueError, match="y must have the shape of the outputs"):
        nh.parameter_flow(f, w, X, np.ones(4), times=[1.0])
    with pytest.raises(ValueError, match="tol must be a positive number"):
        nh.parameter_flow(f, w, X, Y, times=[1.0], tol=0.0)
    with pytest.raises(TypeError, match="floating-point arrays alone"):
        nh.parameter_flow(f, jnp.ones(2, int), X, Y, times=[1.0])
