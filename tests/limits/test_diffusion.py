import math

import numpy as np
import pytest
from scipy.stats import norm

import ntk_helpers as nh


def test_ornstein_uhlenbeck():
    """Y = -k Y dt + dB is normal with mean y0 exp(-k t) and variance (1 - exp(-2 k t)) / 2 k."""
    k, start, time = 1.5, 0.8, 0.6
    law = nh.diffusion_law(lambda y: -k * y, start, time, lower=-5.0, upper=5.0)
    exact = norm(start * math.exp(-k * time), math.sqrt(-math.expm1(-2 * k * time) / (2 * k)))
    # second order in the cell 1/150 and the step 1/333: measured with half as many of both below
    assert np.abs(law.cdf - exact.cdf(law.points)).max() < 1e-4
    assert np.allclose(law.moments(), (exact.mean(), exact.std()), atol=1e-4)


@pytest.mark.parametrize("start", [0.0, 0.7])
def test_tanh_drift(start):
    """Brownian motion that leaves with drift +1 or -1, with the odds e^(2 y0), has the drift tanh(y)."""
    time, up = 1.3, 1 / (1 + math.exp(-2 * start))
    law = nh.diffusion_law(np.tanh, start, time, lower=-9.0, upper=9.0)
    sd = math.sqrt(time)
    exact = up * norm.cdf(law.points, start + time, sd) + (1 - up) * norm.cdf(law.points, start - time, sd)
    assert np.abs(law.cdf - exact).max() < 1e-4


def test_the_error_is_of_second_order():
    exact = norm(1.0, 1.0)
    errors = []
    for size in (100, 200, 400):
        law = nh.diffusion_law(np.ones_like, 0.0, 1.0, lower=-8.0, upper=8.0, cells=size, steps=size // 4)
        errors.append(np.abs(law.cdf - exact.cdf(law.points)).max())
    assert 3 < errors[0] / errors[1] < 5
    assert 3 < errors[1] / errors[2] < 5


def test_a_stiff_drift_stays_positive_and_keeps_its_mass():
    law = nh.diffusion_law(lambda y: np.exp(-4 * y), 1.0, 1.0, lower=-6.0, upper=9.0)  # up to 3e10
    assert (np.diff(law.cdf) >= 0).all()
    assert law.cdf[0] == 0
    assert law.cdf[-1] == 1


def test_bad_input(without_hook):
    options = {"lower": -5.0, "upper": 5.0}
    for arguments, change, message in [
        ((np.tanh, 6.0, 1.0), {}, "start must lie"),
        ((np.tanh, 0.0, -1.0), {}, "time"),
        ((np.tanh, 0.0, 1.0), {"cells": 0}, "cells"),
        ((np.tanh, 0.0, 9.0), {}, "too short"),
        ((lambda y: np.full_like(y, np.inf), 0.0, 1.0), {}, "drift"),
        ((lambda y: 1.0, 0.0, 1.0), {}, "drift"),
    ]:
        with pytest.raises(ValueError, match=message):
            nh.diffusion_law(*arguments, **(options | change))
