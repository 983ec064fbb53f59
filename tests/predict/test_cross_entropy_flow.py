import numpy as np
import pytest
import scipy.integrate
from predict.reference import features, kernel
from scipy.special import expit, lambertw, softmax

import ntk_helpers as nh

RNG = np.random.default_rng(5)
N, M, P = 6, 4, 20
LABELS = np.array([0.0, 1, 1, 0, 1, 0])
SOFT = np.array([0.1, 0.9, 0.6, 0.1, 0.8, 0.3])


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_one_point_is_lambert_w(temperature):
    """K = k, label 1: with g = f/T, g + e^g = g_0 + e^g_0 + k t / T^2, solved by Lambert's W."""
    times, k, f0 = np.array([0.0, 0.1, 3.0, 1e3, 1e6]), 2.5, -0.4
    found = nh.cross_entropy_flow(
        np.array([[k]]), np.ones(1), times=times, f0_train=np.array([f0]), temperature=temperature
    ).train[:, 0]
    c = f0 / temperature + np.exp(f0 / temperature) + k * times / temperature**2
    with np.errstate(over="ignore"):
        expected = np.array([v - lambertw(np.exp(v)).real if v < 700 else _root(v) for v in c])
    np.testing.assert_allclose(found / temperature, expected, atol=2e-7)


def _root(c):
    """The solution of g + e^g = c by Newton's method, where e^c overflows."""
    g = np.log(c)
    for _ in range(20):
        g -= (g + np.exp(g) - c) / (1 + np.exp(g))
    return g


@pytest.mark.parametrize("y", [LABELS, SOFT])
@pytest.mark.parametrize("loss", ["sum", "mean"])
def test_is_the_flow_of_the_parameters(y, loss):
    phi, phi_test = features(N, M, P, None)
    f0, f0_test = RNG.standard_normal(N), RNG.standard_normal(M)

    def velocity(_, theta):
        return phi.T @ (y - expit(f0 + phi @ theta)) / (1 if loss == "sum" else N)

    end = scipy.integrate.solve_ivp(velocity, (0, 20.0), np.zeros(P), rtol=1e-10, atol=1e-12).y[:, -1]
    found = nh.cross_entropy_flow(
        kernel(phi, phi), y, times=20.0, ntk_tx=kernel(phi_test, phi), f0_train=f0, f0_test=f0_test, loss=loss
    )
    np.testing.assert_allclose(found.train, f0 + phi @ end, atol=2e-6)
    np.testing.assert_allclose(found.test, f0_test + phi_test @ end, atol=2e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_many_classes(shared):
    """Softmax, with a kernel that couples the outputs, and with one for all outputs; order of times kept."""
    phi, phi_test = features(N, M, P, 3)
    y = RNG.dirichlet(np.ones(3), size=N)
    y[:3] = np.eye(3)
    if shared:
        flat, flat_test = features(N, M, P, None)
        phi, phi_test = (np.einsum("np,oq->noqp", f, np.eye(3)).reshape(*f.shape[:1], 3, -1) for f in (flat, flat_test))
    size = phi.shape[-1]
    f0 = RNG.standard_normal((N, 3))

    def velocity(_, theta):
        return np.einsum("nop,no->p", phi, y - softmax(f0 + phi @ theta, axis=1))

    end = scipy.integrate.solve_ivp(velocity, (0, 8.0), np.zeros(size), rtol=1e-10, atol=1e-12).y[:, -1]
    grams = (kernel(flat, flat), kernel(flat_test, flat)) if shared else (kernel(phi, phi), kernel(phi_test, phi))
    found = nh.cross_entropy_flow(grams[0], y, times=[8.0, 0.0, 1e5], ntk_tx=grams[1], f0_train=f0)
    np.testing.assert_allclose(found.train[0], f0 + phi @ end, atol=2e-6)
    np.testing.assert_allclose(found.test[0], phi_test @ end, atol=2e-6)
    np.testing.assert_array_equal(found.train[1], f0)
    if not shared:  # 18 free outputs: soft labels are reached
        np.testing.assert_allclose(softmax(found.train[2], axis=1)[3:], y[3:], atol=1e-2)


def test_hard_labels_grow_like_the_logarithm():
    """Far beyond the times at which 1 - p is lost by rounding."""
    phi, _ = features(N, M, P, None)
    times = np.logspace(6, 80, 5)
    margins = (2 * LABELS - 1) * nh.cross_entropy_flow(kernel(phi, phi), LABELS, times=times).train
    assert (margins > 0).all()
    # The loss falls like 1/t: the smallest margin grows with ln t, and those of no weight in the limit grow faster.
    gains = np.diff(margins, axis=0) / np.diff(np.log(times))[:, None]
    np.testing.assert_allclose(np.sort(gains, axis=1)[:, :3], 1.0, atol=1e-5)
    assert (gains > 1 - 1e-5).all()


@pytest.mark.parametrize(
    ("y", "change", "word"),
    [
        (2 * LABELS - 1, {}, r"\(y \+ 1\) / 2"),
        (LABELS[:, None], {}, "two or more columns"),
        (np.full((N, 2), 0.7), {}, "sum 1"),
        (LABELS, {"temperature": 0.0}, "temperature"),
        (LABELS, {"loss": "mean_outputs"}, "loss"),
        (LABELS, {"times": np.inf}, "times"),
    ],
)
def test_bad_arguments_are_named(y, change, word):
    with pytest.raises(ValueError, match=word):
        nh.cross_entropy_flow(np.eye(N), y, **{"times": 1.0, **change})
