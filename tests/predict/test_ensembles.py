import jax
import jax.numpy as jnp
import numpy as np
import pytest
from predict.reference import features, kernel

import ntk_helpers as nh
from ntk_helpers.nt import neural_tangents as nt
from ntk_helpers.nt import stax

RNG = np.random.default_rng(4)
N, M = 6, 4
PHI, PHI_TEST = features(N, M, 20)
PSI, PSI_TEST = features(N, M, 15, seed=5)
NTK = {"ntk_xx": kernel(PHI, PHI), "ntk_tx": kernel(PHI_TEST, PHI)}
NNGP = {"nngp_xx": kernel(PSI, PSI), "nngp_tx": kernel(PSI_TEST, PSI), "nngp_tt": kernel(PSI_TEST, PSI_TEST)}
Y = RNG.standard_normal(N)
TIMES = [0.0, 0.7, 5.0, np.inf]


def test_moments_are_those_of_flows_from_samples():
    """Monte Carlo over f_0, drawn with the known square root of the covariance; 4 standard errors."""
    m = 20_000
    draws = RNG.standard_normal((m, 15))
    f0, f0_test = draws @ PSI.T, draws @ PSI_TEST.T
    # the flow is linear, so that the draws can stand as outputs
    flow = nh.gradient_flow(
        NTK["ntk_xx"],
        np.repeat(Y[:, None], m, axis=1),
        times=TIMES,
        ntk_tx=NTK["ntk_tx"],
        f0_train=f0.T.copy(),
        f0_test=f0_test.T.copy(),
    )
    test = nh.ensemble_flow(**NTK, **NNGP, y=Y, times=TIMES)
    train = nh.ensemble_flow(NTK["ntk_xx"], NNGP["nngp_xx"], Y, times=TIMES)
    for found, samples in ((train, flow.train), (test, flow.test)):
        for mean, cov, sample in zip(found.mean, found.cov, samples, strict=True):
            sd = np.sqrt(np.diag(cov))
            assert (np.abs(sample.mean(1) - mean) <= 4 * sd / np.sqrt(m) + 1e-10).all()
            # Var of a product of two Gaussians is cov_ij^2 + cov_ii cov_jj
            error = np.sqrt((cov**2 + np.outer(sd, sd) ** 2) / m)
            assert (np.abs(np.cov(sample) - cov) <= 4.5 * error + 1e-10).all()


def test_moments_after_steps_are_those_of_descents_from_samples():
    """The descent is affine in f_0, so its map at the unit vectors gives the covariance exactly."""
    steps, rate = [0, 2, 9], 1.5 / np.linalg.eigvalsh(NTK["ntk_xx"])[-1]
    found = nh.ensemble_descent(**NTK, **NNGP, y=Y, learning_rate=rate, steps=steps)
    draws = {"f0_train": PSI, "f0_test": PSI_TEST}  # the 15 columns of the root of the covariance
    descent = nh.gradient_descent(
        NTK["ntk_xx"], np.zeros((N, 15)), learning_rate=rate, steps=steps, ntk_tx=NTK["ntk_tx"], **draws
    )
    np.testing.assert_allclose(found.cov, descent.test @ descent.test.transpose(0, 2, 1), atol=1e-12)
    mean = nh.gradient_descent(NTK["ntk_xx"], Y, learning_rate=rate, steps=steps, ntk_tx=NTK["ntk_tx"])
    np.testing.assert_allclose(found.mean, mean.test, atol=1e-12)
    last = nh.ensemble_descent(NTK["ntk_xx"], NNGP["nngp_xx"], Y, learning_rate=rate, steps=9, cov="diagonal")
    assert last.cov.shape == (N,)


def test_equals_neural_tangents(x64):
    _, _, kernel_fn = stax.serial(stax.Dense(1, 1.5, 0.2), stax.Erf(), stax.Dense(1, 1.5, 0.2))
    x, x_test, y = RNG.standard_normal((5, 3)), RNG.standard_normal((3, 3)), RNG.standard_normal((5, 2))
    theirs = nt.predict.gradient_descent_mse_ensemble(kernel_fn, jnp.array(x), jnp.array(y))
    k = lambda a, b, get: nh.fcn_kernel(a, b, depth=1, activation="erf", sigma_w=1.5, sigma_b=0.2, get=get)  # noqa: E731
    for t in (0.8, None):
        mean, cov = theirs(t, jnp.array(x_test), get="ntk", compute_cov=True)
        ours = nh.ensemble_flow(
            k(x, None, "ntk"),
            k(x, None, "nngp"),
            y,
            times=np.inf if t is None else t,
            ntk_tx=k(x_test, x, "ntk"),
            nngp_tx=k(x_test, x, "nngp"),
            nngp_tt=k(x_test, None, "nngp"),
            loss="mean_outputs",
        )
        np.testing.assert_allclose(ours.mean, mean, atol=1e-9)
        np.testing.assert_allclose(ours.cov, cov, atol=1e-9)


def test_the_diagonal_is_that_of_the_full_covariance():
    full = nh.ensemble_flow(**NTK, **NNGP, y=Y, times=TIMES)
    for tt in (NNGP["nngp_tt"], np.diag(NNGP["nngp_tt"])):
        kernels = NTK | NNGP | {"nngp_tt": tt}
        diagonal = nh.ensemble_flow(**kernels, y=Y, times=TIMES, cov="diagonal")
        np.testing.assert_allclose(diagonal.cov, np.einsum("tii->ti", full.cov), atol=1e-12)
    one = nh.ensemble_flow(**NTK, **NNGP, y=np.stack([Y, -Y], axis=1), times=0.7)
    np.testing.assert_allclose(one.mean, np.stack([full.mean[1], -full.mean[1]], axis=1), atol=1e-12)
    np.testing.assert_allclose(one.cov, full.cov[1], atol=1e-12)


def test_samples_have_the_covariance():
    cov = NNGP["nngp_xx"]
    draws = nh.sample_gp(cov, key=jax.random.key(0), n_samples=20_000)
    error = np.sqrt((cov**2 + np.outer(np.diag(cov), np.diag(cov))) / 20_000)
    assert (np.abs(draws.T @ draws / 20_000 - cov) < 4.5 * error).all()
    low = np.ones((5, 5))
    flat = nh.sample_gp(low, key=jax.random.key(1), n_samples=3)
    np.testing.assert_allclose(flat, np.repeat(flat[:, :1], 5, axis=1), atol=1e-6)
    assert np.abs(flat).max() > 0.01


def test_bad_arguments(without_hook):
    good = {**NTK, **NNGP, "y": Y, "times": 1.0}
    for change, message in (
        ({"nngp_tt": None}, "go together"),
        ({"nngp_xx": np.eye(5)}, r"nngp_xx must have shape \(6, 6\)"),
        ({"nngp_tx": NTK["ntk_tx"].T}, "nngp_tx must have the shape"),
        ({"nngp_tt": np.eye(5)}, "nngp_tt must have 4 rows"),
        ({"ntk_xx": np.einsum("nm,op->nmop", NTK["ntk_xx"], np.eye(2))}, "all outputs share one kernel"),
        ({"cov": "no"}, "cov must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            nh.ensemble_flow(**(good | change))
    with pytest.raises(ValueError, match=r"kernel must have shape \(N, N\)"):
        nh.sample_gp(np.ones((2, 2, 1, 1)), key=jax.random.key(0), n_samples=1)
    with pytest.raises(ValueError, match="kernel must be positive semi-definite"):
        nh.sample_gp(-np.eye(2) + 2, key=jax.random.key(0), n_samples=1)
