import numpy as np
import pytest
import scipy.integrate

import ntk_helpers as nh

I = np.arange(1, 401.0)  # noqa: E741
VALUES, ENERGY, NOISE, N = I**-1.5, I**-2.0, 0.3, 60
RIDGES = [0.0, 0.1, 3.0]
TIMES = [0.01, 0.1, 1.0, 10.0, np.inf]


@pytest.fixture(scope="module")
def simulated():
    """Bias and noise of ridge and of flow on Gaussian features, a run each: (2, runs, ridges), (2, runs, times)."""
    rng, runs = np.random.default_rng(0), 500
    ridge, flow = np.empty((2, runs, 3)), np.empty((2, runs, 5))
    for run in range(runs):
        z = rng.standard_normal((N, I.size))
        target = np.sqrt(ENERGY) * rng.choice([-1, 1], I.size)
        values, vectors = np.linalg.eigh((z * VALUES) @ z.T)
        labels = np.stack([z @ target, np.sqrt(NOISE) * rng.standard_normal(N)])
        rotated = labels @ vectors
        filters = [1 / (values + r) for r in RIDGES] + [-np.expm1(-t * values) / values for t in TIMES]
        for i, g in enumerate(filters):
            learned = (rotated * g) @ vectors.T @ z * VALUES
            errors = ((learned[0] - target) ** 2).sum(), (learned[1] ** 2).sum()
            (ridge if i < 3 else flow)[:, run, i - (0 if i < 3 else 3)] = errors
    return ridge, flow


@pytest.mark.parametrize("kind", ["ridge", "flow"])
def test_agrees_with_simulated_training_sets(simulated, kind):
    if kind == "ridge":
        samples = simulated[0]
        curve = nh.ridge_risk(VALUES, ENERGY, n=N, ridge=RIDGES, noise_variance=NOISE)
    else:
        samples = simulated[1]
        curve = nh.flow_risk(VALUES, ENERGY, n=N, times=TIMES, noise_variance=NOISE)
    error = samples.std(1) / np.sqrt(samples.shape[1])
    # 4 standard errors, and 1 % for what the equivalent leaves out at n = 60 (its error is of the order 1/n)
    for part, found in enumerate((curve.bias, curve.variance)):
        assert (np.abs(samples[part].mean(0) - found) < 4 * error[part] + 0.01 * found).all()
    np.testing.assert_allclose(curve.risk, curve.bias + curve.variance)


def test_isotropic_features_have_closed_forms():
    """All eigenvalues equal: ridgeless regression, and the flow's integral over the Marchenko-Pastur law."""
    d, n, value, energy = 300, 120, 0.7, 2.0
    arguments = {"n": n, "noise_variance": NOISE, "multiplicities": np.array([float(d)])}
    curve = nh.ridge_risk(np.array([value]), np.array([energy]), ridge=0.0, **arguments)
    assert curve.bias == pytest.approx(energy * (1 - n / d), rel=1e-10)
    assert curve.variance == pytest.approx(NOISE * n / (d - n), rel=1e-10)
    shape = d / n
    low, high = (1 - np.sqrt(shape)) ** 2, (1 + np.sqrt(shape)) ** 2
    for tau in (0.3, 2.0, 15.0):
        found = nh.flow_risk(np.array([value]), np.array([energy]), times=tau / n, **arguments)

        def over_the_law(fn):
            density = lambda u: np.sqrt((high - u) * (u - low)) / (2 * np.pi * shape * u)  # noqa: E731
            return scipy.integrate.quad(lambda u: density(u) * fn(u), low, high, epsabs=1e-12)[0]

        mass = 1 - 1 / shape  # eigenvalues 0
        bias = energy * (mass + over_the_law(lambda u, tau=tau: np.exp(-2 * tau * value * u)))
        variance = NOISE * d / n * over_the_law(lambda u, tau=tau: (1 - np.exp(-tau * value * u)) ** 2 / u)
        assert found.bias == pytest.approx(bias, rel=1e-7)
        assert found.variance == pytest.approx(variance, rel=1e-7)


def test_loss_and_time():
    times = np.array([0.5, 3.0])
    base = nh.flow_risk(VALUES, ENERGY, n=N, times=times, noise_variance=NOISE)
    mean = nh.flow_risk(VALUES, ENERGY, n=N, times=times * N / 2, noise_variance=NOISE, loss="mean", half=False)
    np.testing.assert_allclose(base.risk, mean.risk, rtol=1e-10)
    start = nh.flow_risk(VALUES, ENERGY, n=N, times=0.0, noise_variance=NOISE)
    assert start.risk == pytest.approx(ENERGY.sum())
    late = nh.flow_risk(VALUES, ENERGY, n=N, times=[1e7, np.inf], noise_variance=NOISE)
    assert late.risk[0] == pytest.approx(late.risk[1], rel=1e-6)


def test_multiplicities_are_repeated_eigenvalues():
    mult = np.array([3.0, 5.0, 400.0])
    values, energy = np.array([1.0, 0.2, 1e-3]), np.array([1.0, 0.5, 0.1])
    repeated = {"eigenvalues": np.repeat(values, 3 + 0 * mult.astype(int)), "target_energy": np.repeat(energy / 3, 3)}
    thirds = {"n": 50, "noise_variance": NOISE, "multiplicities": np.repeat(mult / 3, 3)}
    for risk, path in ((nh.ridge_risk, {"ridge": 0.1}), (nh.flow_risk, {"times": 2.0})):
        whole = risk(values, energy, n=50, noise_variance=NOISE, multiplicities=mult, **path)
        assert whole.risk == pytest.approx(risk(**repeated, **thirds, **path).risk, rel=1e-10)


def test_the_bias_is_linear_in_the_target():
    head, tail = np.where(I < 50, ENERGY, 0.0), np.where(I < 50, 0.0, ENERGY)
    for risk, path in ((nh.ridge_risk, {"ridge": [0.1, 1.0]}), (nh.flow_risk, {"times": [0.3, 2.0]})):
        parts = [risk(VALUES, energy, n=[20, 60], **path).bias for energy in (head, tail, ENERGY)]
        assert parts[0].shape == (2, 2)
        np.testing.assert_allclose(parts[0] + parts[1], parts[2], rtol=1e-9)


def test_a_known_rate_at_sizes_no_simulation_reaches():
    """Noise-free ridgeless regression of a target with energy i^-b on eigenvalues i^-a, b < 2 a + 1: slope -(b - 1)."""
    i = np.arange(1, 2e6)
    curve = nh.ridge_risk(i**-2.0, i**-2.0, n=[1e3, 1e4], ridge=0.0)
    slope = np.log10(curve.risk[1] / curve.risk[0])
    assert slope == pytest.approx(-1, abs=0.01)


def test_bad_arguments(without_hook):
    for call, message in (
        (lambda: nh.ridge_risk(VALUES, ENERGY[:5], n=5, ridge=1.0), "target_energy must have the shape"),
        (lambda: nh.ridge_risk(-VALUES, ENERGY, n=5, ridge=1.0), "eigenvalues must not be negative"),
        (
            lambda: nh.ridge_risk(VALUES, ENERGY, n=5, ridge=1.0, multiplicities=0 * I),
            "multiplicities must be positive",
        ),
        (lambda: nh.ridge_risk(VALUES, ENERGY, n=400, ridge=0.0), "needs more than n eigenvalues, got 400"),
        (lambda: nh.ridge_risk(VALUES, ENERGY, n=0.5, ridge=1.0), "n must be at least 1"),
        (lambda: nh.flow_risk(VALUES, ENERGY, n=5, times=-1.0), "times must be not negative"),
        (lambda: nh.flow_risk(VALUES, ENERGY, n=5, times=1.0, noise_variance=-1.0), "noise_variance"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
