import numpy as np
import pytest

import ntk_helpers as nh


def brownian(x):
    """min(x, x') on [0, 1], uniform: eigenvalues ((i - 1/2) pi)^-2."""
    return np.minimum(x[:, None], x[None, :])


def exact(n):
    return ((np.arange(1, n + 1) - 0.5) * np.pi) ** -2.0


def test_bias_of_random_samples_is_estimated():
    # x ~ N(0, diag(4, 2, 1)), K = x x': to order 1/N the largest eigenvalue of x^T x / N is high by
    # 4/N (2/(4-2) + 1/(4-1)) and the smallest low by 1/N (4/(4-1) + 2/(2-1)) (perturbation theory)
    n, biases = 120, []
    for seed in range(600):
        x = np.random.default_rng(seed).standard_normal((n, 3)) * [2.0, 2**0.5, 1.0]
        biases.append(nh.empirical_spectrum(x @ x.T, seed=seed, splits=2).bias[:3])
    mean, se = np.mean(biases, axis=0), np.std(biases, axis=0) / np.sqrt(600)
    expected = np.array([4 * (1 + 1 / 3), 2 * (1 - 2), -(4 / 3 + 2)]) / n
    assert (np.abs(mean - expected) < 4 * se + 20 / n**2).all()  # the next order: at N = 60 it is 0.006 above this one
    assert (np.abs(expected) > 6 * se)[[0, 2]].all()


def test_grid_and_trusted_number():
    x = (np.arange(200) + 0.5) / 200
    found = nh.empirical_spectrum(brownian(x), halves="alternate", rtol=0.02)
    relative = np.abs(found.eigenvalues[:100] / exact(100) - 1)
    assert 5 < found.trusted < 60
    assert (relative[: found.trusted] < 0.02).all()
    assert relative[99] > 0.02
    np.testing.assert_allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(200), atol=1e-12)
    np.testing.assert_allclose(
        brownian(x) / 200, (found.eigenvectors * found.eigenvalues) @ found.eigenvectors.T, atol=1e-14
    )


def test_rounding_is_not_trusted():
    x = np.linspace(-1, 1, 60)
    found = nh.empirical_spectrum(np.exp(-((x[:, None] - x[None, :]) ** 2)), halves="alternate", rtol=0.5)
    assert found.trusted < 16  # the rest is below 1e-14 of the first


def test_power_law_with_interval_and_sensitivity():
    x = np.arange(1.0, 201.0)
    bent = 2 * x**-1.5 * (1 + 3 / x)
    fit = nh.fit_power_law(x, bent, window=(10, 200))
    assert fit.interval is None
    assert fit.points == 191
    assert fit.window == (10.0, 200.0)
    local = -1.5 - 3 / (x + 3)  # the derivative of log y by log x
    assert local[9] < fit.exponent < local[199]
    assert fit.sensitivity == (fit.halves[0], fit.halves[1])
    assert fit.halves[0] < fit.exponent < fit.halves[1]
    # the interval holds the truth as often as it says: 2 in 40 outside on average, 8 would be 4 sigma
    missed = 0
    for seed in range(40):
        noise = np.random.default_rng(seed).exponential(size=(50, 200))
        fit = nh.fit_power_law(x, 5 * x**-2.0 * noise, window=(10, 200), n_bootstrap=300)
        missed += not fit.interval[0] <= -2 <= fit.interval[1]
        assert fit.interval[1] - fit.interval[0] < 0.2
    assert missed <= 8


@pytest.mark.parametrize(
    ("x", "y", "window", "message"),
    [
        (np.arange(1.0, 20.0), np.ones(18), (1, 10), "do not fit"),
        (np.arange(1.0, 20.0), np.ones(19), (1, 5), "holds 5 of the points"),
        (np.arange(1.0, 20.0), np.arange(19.0), (1, 19), "y must be positive in the window, it is not at x = 1"),
        (np.arange(1.0, 20.0), np.ones(19), (5, 2), "window must be"),
        (np.arange(1.0, 20.0)[::-1], np.ones(19), (1, 19), "x must be positive, finite and rising"),
        (np.append(1.0, np.arange(50.0, 60.0)), np.ones(11), (1, 60), "each half"),
    ],
)
def test_bad_fits_are_named(x, y, window, message):
    with pytest.raises(ValueError, match=message):
        nh.fit_power_law(x, y, window=window)


def test_bad_matrices_are_named():
    with pytest.raises(ValueError, match=r"shape \(N, N\)"):
        nh.empirical_spectrum(np.ones((4, 5)))
    with pytest.raises(ValueError, match="symmetric"):
        nh.empirical_spectrum(np.triu(np.ones((4, 4))))
    with pytest.raises(ValueError, match="finite"):
        nh.empirical_spectrum(np.full((4, 4), np.nan))
    with pytest.raises(TypeError, match="real floating-point"):
        nh.empirical_spectrum(np.ones((4, 4), int))
