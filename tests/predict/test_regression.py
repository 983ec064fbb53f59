import jax
import numpy as np
import pytest
from predict.reference import features, kernel
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

import ntk_helpers as nh

RNG = np.random.default_rng(1)
X, X_TEST = RNG.standard_normal((12, 3)), RNG.standard_normal((5, 3))
RBF_KERNEL = RBF(1.3)
K, K_TX, K_TT = RBF_KERNEL(X), RBF_KERNEL(X_TEST, X), RBF_KERNEL(X_TEST)
Y = RNG.standard_normal((12, 2))
RIDGES = [1e-3, 0.1, 2.0]


def test_a_path_of_ridges_equals_sklearn_at_each():
    path = nh.kernel_ridge(K, Y, ridge=RIDGES, ntk_tx=K_TX)
    assert path.train.shape == (3, 12, 2)
    for ridge, train, test in zip(RIDGES, *path, strict=True):
        other = KernelRidge(alpha=ridge, kernel="precomputed").fit(K, Y)
        np.testing.assert_allclose(test, other.predict(K_TX), rtol=0, atol=1e-9)
        np.testing.assert_allclose(train, other.predict(K), rtol=0, atol=1e-9)
    one = nh.kernel_ridge(K, Y[:, 0], ridge=0.1, ntk_tx=K_TX)
    np.testing.assert_allclose(one.test, path.test[1, :, 0], rtol=0, atol=1e-12)
    again = nh.kernel_ridge(nh.kernel_spectrum(K), Y, ridge=RIDGES, ntk_tx=K_TX)
    np.testing.assert_array_equal(again.test, path.test)


def test_posterior_equals_sklearn():
    gp = GaussianProcessRegressor(RBF_KERNEL, alpha=0.3, optimizer=None).fit(X, Y[:, 0])
    mean, cov = gp.predict(X_TEST, return_cov=True)
    ours = nh.gp_posterior(K, Y[:, 0], nngp_tx=K_TX, nngp_tt=K_TT, noise_variance=0.3)
    np.testing.assert_allclose(ours.mean, mean, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.cov, cov, rtol=0, atol=1e-10)
    assert ours.jitter == 0
    assert ours.condition > 1
    for tt in (K_TT, np.diag(K_TT)):
        diagonal = nh.gp_posterior(K, Y, nngp_tx=K_TX, nngp_tt=tt, noise_variance=0.3, cov="diagonal")
        np.testing.assert_allclose(diagonal.cov, np.diag(cov), rtol=0, atol=1e-10)
        np.testing.assert_allclose(diagonal.mean[:, 0], mean, rtol=0, atol=1e-10)


def test_posterior_mean_is_ridge_regression():
    ours = nh.gp_posterior(K, Y, nngp_tx=K_TX, nngp_tt=K_TT, noise_variance=0.1)
    np.testing.assert_allclose(ours.mean, nh.kernel_ridge(K, Y, ridge=0.1, ntk_tx=K_TX).test, atol=1e-10)


def test_ridgeless_is_the_smallest_interpolant():
    phi, phi_test = features(6, 4, 20)
    y = RNG.standard_normal(6)
    found = nh.kernel_ridge(kernel(phi, phi), y, ridge=0, ntk_tx=kernel(phi_test, phi))
    weights = np.linalg.lstsq(phi, y, rcond=None)[0]  # of least norm
    np.testing.assert_allclose(found.train, y, atol=1e-12)
    np.testing.assert_allclose(found.test, phi_test @ weights, atol=1e-11)


def test_equal_inputs_are_fitted_by_their_mean():
    x = np.concatenate([X, X[:1]])
    y = np.concatenate([Y[:, 0], [9.0]])
    found = nh.kernel_ridge(RBF_KERNEL(x), y, ridge=[0.0, 1e-9])
    assert found.train[0, 0] == pytest.approx((y[0] + 9) / 2, abs=1e-8)
    assert found.train[0, -1] == pytest.approx((y[0] + 9) / 2, abs=1e-8)


@pytest.mark.parametrize("outputs", [None, 2])
def test_f0_and_output_axes(outputs):
    phi, phi_test = features(6, 4, 20, outputs)
    shape = (6,) if outputs is None else (6, outputs)
    y, f0, f0_test = RNG.standard_normal(shape), RNG.standard_normal(shape), RNG.standard_normal((4, *shape[1:]))
    found = nh.kernel_ridge(kernel(phi, phi), y, ridge=0.3, ntk_tx=kernel(phi_test, phi), f0_train=f0, f0_test=f0_test)
    # ridge regression of the parameters, in the primal
    rows = phi.reshape(-1, 20)
    weights = np.linalg.solve(rows.T @ rows + 0.3 * np.eye(20), rows.T @ (y - f0).ravel())
    np.testing.assert_allclose(found.train, f0 + phi @ weights, atol=1e-11)
    np.testing.assert_allclose(found.test, f0_test + phi_test @ weights, atol=1e-11)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": Y[:5]}, r"y must have one row for each of the 12 training inputs, got shape \(5, 2\)"),
        ({"f0_train": Y[:, 0]}, r"f0_train must have the shape \(12, 2\) of y"),
        ({"y": Y[:, 0], "f0_train": Y[:, :1]}, "shapes are never broadcast"),
        ({"ntk_tx": K_TX.T}, r"ntk_tx must have shape \(M, 12\), test inputs first"),
        ({"f0_test": Y}, "f0_test is given without ntk_tx"),
        ({"ridge": -0.1}, "ridge must be finite and not negative, got -0.1"),
        ({"ridge": [0.1, np.inf]}, "ridge must be finite"),
        ({"ridge": []}, "empty"),
        ({"y": Y * np.nan}, "y must be finite"),
        ({"ntk_xx": np.einsum("nm,op->nmop", K, np.eye(3))}, r"y must have shape \(N, 3\)"),
    ],
)
def test_bad_arguments(change, message, without_hook):
    arguments = {"ntk_xx": K, "y": Y, "ridge": 0.1} | change
    with pytest.raises(ValueError, match=message):
        nh.kernel_ridge(arguments.pop("ntk_xx"), arguments.pop("y"), **arguments)


def test_bad_arguments_of_the_posterior(without_hook):
    good = {"nngp_tx": K_TX, "nngp_tt": K_TT}
    for change, message in (
        ({"nngp_tx": K_TX.T}, "nngp_tx must have shape"),
        ({"nngp_tt": K}, "nngp_tt must have 5 rows"),
        ({"cov": "none"}, "cov must be one of"),
        ({"noise_variance": -1}, "noise_variance"),
    ):
        with pytest.raises(ValueError, match=message):
            nh.gp_posterior(K, Y, **(good | change))
    with pytest.raises(TypeError, match="host"):
        jax.jit(lambda k: nh.gp_posterior(k, Y, **good))(K)
