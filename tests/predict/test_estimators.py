"""Estimators of the exact kernels against scikit-learn's own kernel ridge regression with the same matrix."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.utils.estimator_checks import parametrize_with_checks

import ntk_helpers as nh

RNG = np.random.default_rng(0)
X, TEST = RNG.standard_normal((50, 3)).astype(np.float32), RNG.standard_normal((20, 3)).astype(np.float32)


@pytest.mark.parametrize("kernel", ["ntk", "nngp"])
def test_regression_equals_sklearn_s_with_the_same_matrix(kernel):
    y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
    options = {"depth": 2, "activation": "erf", "sigma_w": 1.5, "sigma_b": 0.3}
    matrix, cross = (np.asarray(nh.fcn_kernel(a, X, get=kernel, **options), float) for a in (X, TEST))
    reference = KernelRidge(alpha=0.2, kernel="precomputed").fit(matrix, y).predict(cross)
    model = nh.NTKRegressor(kernel=kernel, ridge=0.2, **options).fit(X, y)
    np.testing.assert_allclose(model.predict(TEST), reference, atol=2e-4)  # float32 kernels, condition below 1000
    np.testing.assert_allclose(
        nh.NTKRegressor(kernel=kernel, ridge=0.2, **options).fit(X, y[:, 1]).predict(TEST), reference[:, 1], atol=2e-4
    )


def test_classification_is_regression_of_signs():
    y = np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)]
    model = nh.NTKClassifier(ridge=0.5).fit(X, y)
    values = nh.NTKRegressor(ridge=0.5).fit(X, 2.0 * (X[:, 0] > 0) - 1).predict(TEST)
    np.testing.assert_allclose(model.decision_function(TEST), values, atol=1e-5)
    assert (model.predict(TEST) == np.where(values > 0, "yes", "no")).all()
    assert np.mean((model.predict(TEST) == "yes") == (TEST[:, 0] > 0)) >= 0.8
    three = np.argmax(X, axis=1) * 10
    model = nh.NTKClassifier(ridge=0.5).fit(X, three)
    assert model.decision_function(TEST).shape == (20, 3)
    assert np.mean(model.predict(TEST) == 10 * np.argmax(TEST, axis=1)) >= 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "rbf"}, "kernel"),
        ({"ridge": -1.0}, "ridge"),
        ({"depth": 0}, "depth"),
        ({"sigma_b": -1.0}, "sigma_b"),
    ],
)
def test_bad_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        nh.NTKRegressor(**options).fit(X, X[:, 0])


@parametrize_with_checks([nh.NTKRegressor(), nh.NTKClassifier()])
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)
