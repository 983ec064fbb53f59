import numpy as np
import pytest
from scipy.stats import kstest

import ntk_helpers as nh


def paths(rho, time, strength, count=20_000, steps=400, seed=0):
    """The diffusion of rho itself, not of its artanh, by the Euler scheme."""
    rng, dt = np.random.default_rng(seed), time / steps
    r = np.full(count, rho)
    for _ in range(steps):
        nu = strength / (2 * np.pi) * (np.sqrt(1 - r**2) - r * np.arccos(r))
        r = r + (nu - r * (1 - r**2) / 2) * dt + (1 - r**2) * np.sqrt(dt) * rng.standard_normal(count)
        r = np.clip(r, -1 + 1e-12, 1 - 1e-12)
    return r


@pytest.mark.parametrize(
    ("rho", "time", "c"), [(0.3, 0.5, (0.0, -1.0)), (-0.5, 0.3, (2.0, -2.0)), (0.0, 1.0, (1.0, 1.0))]
)
def test_the_law_is_that_of_paths(rho, time, c):
    law = nh.shaped_relu_correlation(rho, time=time, c_plus=c[0], c_minus=c[1])
    sample = paths(rho, time, (c[0] - c[1]) ** 2)
    # 20 000 paths: 0.016 at p = 1e-4; the Euler scheme's weak error is of order dt, below 0.003
    assert kstest(sample, law.probability).statistic < 0.016


def test_only_the_difference_counts():
    a = nh.shaped_relu_correlation(0.2, time=0.5, c_plus=0.0, c_minus=-1.5)
    b = nh.shaped_relu_correlation(0.2, time=0.5, c_plus=2.5, c_minus=1.0)
    np.testing.assert_array_equal(a.cdf, b.cdf)


def test_a_linear_network_is_symmetric():
    law = nh.shaped_relu_correlation(0.0, time=0.7, c_plus=0.0, c_minus=0.0)
    rho = np.linspace(0, 0.999, 50)
    assert np.abs(law.probability(rho) + law.probability(-rho) - 1).max() < 1e-4  # lines between the grid's points


@pytest.mark.parametrize("strength", [0.0, 6.0])
def test_extreme_starts_and_long_times(strength):
    for rho, time in ((-0.99, 0.1), (0.99, 0.1), (0.3, 6.0)):
        law = nh.shaped_relu_correlation(rho, time=time, c_plus=strength, c_minus=0.0)
        assert np.isfinite(law.cdf).all()
        mean, sd = law.moments()
        assert -1 < mean < 1
        assert 0 < sd < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [({"correlation": 1.0}, "correlation"), ({"time": 0.0}, "time"), ({"c_plus": np.inf}, "c_plus")],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        nh.shaped_relu_correlation(**({"correlation": 0.1, "time": 1.0, "c_plus": 0.0, "c_minus": 0.0} | change))
