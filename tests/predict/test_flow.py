import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
from predict.reference import features, flat, kernel

import ntk_helpers as nh
from ntk_helpers.nt import predict as nt_predict

RNG = np.random.default_rng(2)
N, M, P = 6, 4, 20
CASES = [("sum", True), ("mean", True), ("mean_outputs", True), ("sum", False), ("mean_outputs", False)]


def loss_of(f, y, loss, half):
    """The loss, written out."""
    total = np.sum((f - y) ** 2) * (0.5 if half else 1.0)
    outputs = 1 if y.ndim == 1 else y.shape[1]
    return total / {"sum": 1, "mean": len(y), "mean_outputs": len(y) * outputs}[loss]


def setup(outputs):
    phi, phi_test = features(N, M, P, outputs)
    shape = (N,) if outputs is None else (N, outputs)
    y, f0, f0_test = RNG.standard_normal(shape), RNG.standard_normal(shape), RNG.standard_normal((M, *shape[1:]))
    keywords = {"ntk_tx": kernel(phi_test, phi), "f0_train": f0, "f0_test": f0_test}
    return phi, phi_test, y, kernel(phi, phi), keywords


@pytest.mark.parametrize("outputs", [None, 3])
@pytest.mark.parametrize(("loss", "half"), CASES)
def test_flow_is_the_matrix_exponential(outputs, loss, half):
    _, _, y, ntk, keywords = setup(outputs)
    times = [0.0, 0.3, 2.0, 50.0]
    found = nh.gradient_flow(ntk, y, times=times, loss=loss, half=half, **keywords)
    k, k_tx = flat(ntk), flat(keywords["ntk_tx"])
    c = (1 if half else 2) / {"sum": 1, "mean": N, "mean_outputs": y.size}[loss]
    for i, t in enumerate(times):
        decayed = scipy.linalg.expm(-c * t * k) @ (keywords["f0_train"] - y).ravel()
        np.testing.assert_allclose(found.train[i], y + decayed.reshape(y.shape), atol=1e-11)
        moved = k_tx @ np.linalg.solve(k, (y - keywords["f0_train"]).ravel() + decayed)
        np.testing.assert_allclose(found.test[i], keywords["f0_test"] + moved.reshape(found.test[i].shape), atol=1e-10)


@pytest.mark.parametrize(("loss", "half"), CASES)
def test_flow_is_that_of_the_parameters(loss, half):
    """Integrate d theta/dt = -grad loss of a linear model, the gradient by differences of the loss itself."""
    phi, phi_test, y, ntk, keywords = setup(2)
    f0, f0_test = keywords["f0_train"], keywords["f0_test"]
    eye = np.eye(P)

    def velocity(_, theta):  # central differences are exact for a quadratic
        values = [[loss_of(f0 + phi @ (theta + sign * e), y, loss, half) for sign in (1, -1)] for e in eye]
        return -np.array([(up - down) / 2 for up, down in values])

    solution = scipy.integrate.solve_ivp(velocity, (0, 3.0), np.zeros(P), rtol=1e-9, atol=1e-11)
    found = nh.gradient_flow(ntk, y, times=3.0, loss=loss, half=half, **keywords)
    np.testing.assert_allclose(found.train, f0 + phi @ solution.y[:, -1], atol=1e-7)
    np.testing.assert_allclose(found.test, f0_test + phi_test @ solution.y[:, -1], atol=1e-7)


@pytest.mark.parametrize(("loss", "half"), CASES)
@pytest.mark.parametrize("share", [0.02, 0.9, 1.2])
def test_descent_is_that_of_the_parameters(loss, half, share):
    phi, phi_test, y, ntk, keywords = setup(2)
    rate = share * nh.critical_learning_rate(ntk, loss=loss, half=half)
    found = nh.gradient_descent(ntk, y, learning_rate=rate, steps=[0, 1, 7, 40], loss=loss, half=half, **keywords)
    theta, kept = np.zeros(P), {}
    scale = {"sum": 1, "mean": N, "mean_outputs": y.size}[loss]
    for step in range(41):
        f = keywords["f0_train"] + phi @ theta
        kept[step] = f, keywords["f0_test"] + phi_test @ theta
        theta = theta - rate * (1 if half else 2) / scale * np.einsum("nop,no->p", phi, f - y)
    for i, step in enumerate([0, 1, 7, 40]):
        for ours, theirs in zip((found.train[i], found.test[i]), kept[step], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)


def test_small_steps_follow_the_flow():
    _, _, y, ntk, keywords = setup(None)
    gaps = []
    for steps in (100, 200, 400):
        descent = nh.gradient_descent(ntk, y, learning_rate=2.0 / steps, steps=steps, **keywords)
        gaps.append(np.abs(descent.test - nh.gradient_flow(ntk, y, times=2.0, **keywords).test).max())
    # first order in the learning rate; the second order leaves a few per cent at the coarsest
    np.testing.assert_allclose([gaps[0] / gaps[1], gaps[1] / gaps[2]], 2.0, rtol=0.05)


@pytest.mark.parametrize("outputs", [1, 3])
def test_equals_neural_tangents(outputs, x64):
    rng = np.random.default_rng(3)
    phi, phi_test = features(N, M, P)
    ntk, ntk_tx = kernel(phi, phi), kernel(phi_test, phi)
    y, f0, f0_test = (rng.standard_normal((n, outputs)) for n in (N, N, M))
    theirs = nt_predict.gradient_descent_mse(jnp.array(ntk), jnp.array(y))
    for t in (0.5, 20.0, None):
        train, test = theirs(t, jnp.array(f0), jnp.array(f0_test), jnp.array(ntk_tx))
        ours = nh.gradient_flow(
            ntk, y, times=np.inf if t is None else t, ntk_tx=ntk_tx, f0_train=f0, f0_test=f0_test, loss="mean_outputs"
        )
        np.testing.assert_allclose(ours.train, train, atol=1e-9)
        np.testing.assert_allclose(ours.test, test, atol=1e-9)


@pytest.mark.parametrize(("loss", "half"), CASES)
def test_time_is_learning_rate_times_steps_for_a_real_network(loss, half):
    """A wide network, two outputs: a missing 1/2, N or O would be off by a factor of 2 or more in time."""
    net = nh.fcn(d_in=3, width=1024, depth=1, d_out=2, activation="erf", sigma_w=1.5)
    x = jnp.asarray(RNG.standard_normal((5, 3)), jnp.float32)
    y = jnp.asarray(RNG.standard_normal((5, 2)), jnp.float32)
    params = net.init(key=jax.random.key(0))
    ntk = nh.empirical_ntk(net.apply, params, x)
    rate = 0.05 * nh.critical_learning_rate(ntk, loss=loss, half=half)
    log = nh.train(net, x, y, params=params, learning_rate=rate, steps=16, log_at=[0, 4, 16], loss=loss, half=half)
    flow = nh.gradient_flow(ntk, y, times=log.times, f0_train=log.train[0], loss=loss, half=half)
    size = lambda f: np.linalg.norm(f, axis=(1, 2))[1:]  # noqa: E731
    # width: order 1/sqrt(1024) = 3 % of the way; step: order 0.05 of it
    assert (size(log.train - flow.train) < 0.1 * size(flow.train - flow.train[0])).all()
    for factor in (0.5, 2.0):
        wrong = nh.gradient_flow(ntk, y, times=factor * log.times, f0_train=log.train[0], loss=loss, half=half)
        assert (size(log.train - wrong.train) > 3 * size(log.train - flow.train)).all()


def test_singular_kernels_leave_what_they_do_not_reach():
    phi, _ = features(6, 4, 3)  # rank 3 of 6
    y = RNG.standard_normal(6)
    found = nh.gradient_flow(kernel(phi, phi), y, times=[1e12, np.inf])
    fitted = phi @ np.linalg.lstsq(phi, y, rcond=None)[0]
    np.testing.assert_allclose(found.train[1], fitted, atol=1e-10)
    assert np.abs(found.train[0]).max() < 1e3  # finite: an eigenvalue of 0 does not move


def test_slow_modes_keep_their_digits():
    values = np.array([1.0, 1e-13])
    moved = nh.gradient_flow(np.diag(values), np.ones(2), times=3.0).train
    np.testing.assert_allclose(moved, -np.expm1(-3 * values), rtol=1e-13)
    moved = nh.gradient_descent(np.diag(values), np.ones(2), learning_rate=0.1, steps=30).train
    np.testing.assert_allclose(moved[1], 3e-13, rtol=1e-9)


def test_losses():
    f, y = RNG.standard_normal((2, 5, 3))
    for loss, half in CASES:
        assert float(nh.squared_loss(f, y, loss, half=half)) == pytest.approx(loss_of(f, y, loss, half), rel=1e-6)
    assert float(nh.squared_loss(f, y, "mean_outputs", half=False)) == pytest.approx(np.mean((f - y) ** 2), rel=1e-6)
    assert nh.critical_learning_rate(np.diag([4.0, 1.0])) == 0.5
    assert nh.critical_learning_rate(np.diag([4.0, 1.0]), loss="mean_outputs", n_outputs=3) == 3.0


def test_bad_arguments(without_hook):
    k, y = np.diag([4.0, 1.0]), np.ones(2)
    for call, message in (
        (lambda: nh.gradient_flow(k, y, times=-1.0), "times must be not negative, got -1"),
        (lambda: nh.gradient_flow(k, y, times=[[1.0]]), "sequence"),
        (lambda: nh.gradient_flow(k, y, times=np.nan), "times"),
        (lambda: nh.gradient_flow(k, y, times=1.0, loss="mse"), "loss must be one of 'sum', 'mean', 'mean_outputs'"),
        (lambda: nh.gradient_descent(k, y, learning_rate=0.1, steps=1.5), "steps must be whole numbers, got 1.5"),
        (lambda: nh.gradient_descent(k, y, learning_rate=0.0, steps=1), "learning_rate must be one positive number"),
        (
            lambda: nh.gradient_descent(k, y, learning_rate=2.0, steps=[1, 5000]),
            "diverges: after 5000 steps .* must be below 0.5",
        ),
        (lambda: nh.squared_loss(np.ones((2, 1)), np.ones(2)), r"same shape.*\(2, 1\) and \(2,\)"),
        (lambda: nh.loss_factor("sum", n_samples=0), "n_samples"),
        (lambda: nh.critical_learning_rate(k, loss="mean_outputs"), "needs n_outputs"),
        (lambda: nh.critical_learning_rate(np.zeros((2, 2))), "zero"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
