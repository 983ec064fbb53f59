import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import ntk_helpers as nh

RNG = np.random.default_rng(12)
N, M = 3, 2
PHI = RNG.standard_normal((N + M, 5))
# tensors without any symmetry but K_2's: the order of the arguments counts
ALL = [PHI @ PHI[:N].T, 0.3 * RNG.standard_normal((N + M, N, N)), 0.2 * RNG.standard_normal((N + M, N, N, N))]
TRAIN, TEST = [k[:N] for k in ALL], [k[N:] for k in ALL]
Y, F0 = RNG.standard_normal(N), RNG.standard_normal(N + M)


def chain(p, times, factor):
    """The hierarchy as it is written, f and every kernel a state of its own; outputs and K_2 at the times."""
    ks = ALL[: p - 1]
    shapes = [(N + M,), *(k.shape for k in ks)]
    ends = np.cumsum([int(np.prod(s)) for s in shapes])

    def rate(_, state):
        parts = [part.reshape(s) for part, s in zip(np.split(state, ends[:-1]), shapes, strict=True)]
        r = factor * (parts[0][:N] - Y)
        return np.concatenate([*(-(k @ r).ravel() for k in parts[1:]), np.zeros(ks[-1].size)])

    start = np.concatenate([F0, *(k.ravel() for k in ks)])
    found = solve_ivp(rate, (0, times[-1]), start, t_eval=times, rtol=1e-11, atol=1e-12, method="LSODA").y
    return found[: N + M].T, found[ends[0] : ends[1]].T.reshape(-1, N + M, N)


@pytest.mark.parametrize("p", [2, 3, 4])
@pytest.mark.parametrize(("loss", "half", "factor"), [("sum", True, 1.0), ("mean", False, 2 / N)])
def test_iterated_integrals_solve_the_chain_of_equations(p, loss, half, factor):
    times = [0.0, 0.1, 0.5]
    options = {"times": times, "loss": loss, "half": half}
    found = nh.hierarchy_flow(
        TRAIN, Y, order=p, kernels_test=TEST, f0_train=F0[:N], f0_test=F0[N:], **options, rtol=1e-10, atol=1e-12
    )
    outputs, moved = chain(p, times, factor)
    # two integrators with relative tolerances 1e-10 and 1e-11 over a few hundred steps
    np.testing.assert_allclose(found.train, outputs[:, :N], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(found.test, outputs[:, N:], rtol=1e-6, atol=1e-7)
    integrals = nh.hierarchy_integrals(TRAIN[: p - 1], Y, f0=F0[:N], **options)
    for at, want in zip(integrals, moved, strict=True):
        np.testing.assert_allclose(nh.hierarchy_kernel(ALL[: p - 1], at), want, rtol=1e-6, atol=1e-6)


def test_order_two_is_training_with_a_fixed_kernel():
    options = {"times": [0.0, 0.7, 3.0], "f0_train": F0[:N], "f0_test": F0[N:], "loss": "mean"}
    want = nh.gradient_flow(TRAIN[0], Y, ntk_tx=TEST[0], **options)
    found = nh.hierarchy_flow(TRAIN, Y, order=2, kernels_test=TEST, **options)
    np.testing.assert_allclose(found.train, want.train, atol=1e-7)
    np.testing.assert_allclose(found.test, want.test, atol=1e-7)
    one = nh.hierarchy_flow(TRAIN[:1], Y, times=0.7, f0_train=F0[:N], loss="mean")
    np.testing.assert_allclose(one.train, want.train[1], atol=1e-7)
    assert one.test is None


def test_order_three_with_one_sample_in_closed_form():
    """n = 1: K is linear in the integral of the residual, and f quadratic."""
    k, k3 = 1.3, 0.4
    found = nh.hierarchy_flow([np.array([[k]]), np.array([[[k3]]])], np.array([1.0]), times=2.0)
    # with S = integral of r: K = k - k3 S and r = -1 - k S + k3 S^2 / 2, an ODE in S alone
    s = solve_ivp(lambda _, s: -1 - k * s + k3 * s**2 / 2, (0, 2), [0.0], rtol=1e-11, atol=1e-12).y[0, -1]
    assert np.isclose(found.train[0], -k * s + k3 * s**2 / 2, atol=1e-7)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_wide_network_follows(x64, depth):
    """From its own K_2, K_3, K_4 the hierarchy predicts a network: p = 4 is far nearer than p = 2."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((4, 3)), rng.standard_normal(3)
    net = nh.fcn(d_in=3, width=256, depth=depth, activation="tanh")
    params = net.init(key=jax.random.key(5), dtype=jnp.float64)
    kernels = nh.tangent_hierarchy(net.apply, params, x, x[:3])
    f0 = np.asarray(net.apply(params, x)[:, 0])
    flow = jax.jit(lambda p: nh.parameter_flow(net.apply, p, x[:3], y, times=[0.5, 2.0], x_test=x[3:]))(params)
    error = {}
    for p in (2, 3, 4):
        found = nh.hierarchy_flow(
            [k[:3] for k in kernels],
            y,
            times=[0.5, 2.0],
            order=p,
            kernels_test=[k[3:] for k in kernels],
            f0_train=f0[:3],
            f0_test=f0[3:],
        )
        error[p] = max(np.abs(found.train - flow.train).max(), np.abs(found.test - flow.test).max())
    # Theory: a ratio of order 1/width, the constant unknown. A wrong sign or order of arguments leaves it near 1.
    assert error[4] < 0.3 * error[2]


def test_bad_input(without_hook):
    k2 = np.eye(2)
    with pytest.raises(ValueError, match=r"kernels\[0\] must be square"):
        nh.hierarchy_flow([np.ones((2, 3))], np.ones(2), times=1.0)
    with pytest.raises(ValueError, match=r"kernels\[1\] must be K_3 of shape \(2, 2, 2\)"):
        nh.hierarchy_flow([k2, np.ones((2, 2, 3))], np.ones(2), times=1.0)
    with pytest.raises(ValueError, match="order must be from 2 to 2 with 1 kernels, got 3"):
        nh.hierarchy_flow([k2, None], np.ones(2), times=1.0, order=3)
    with pytest.raises(ValueError, match=r"y must have shape \(2,\)"):
        nh.hierarchy_flow([k2], np.ones(3), times=1.0)
    with pytest.raises(ValueError, match="f0_test needs kernels_test"):
        nh.hierarchy_flow([k2], np.ones(2), times=1.0, f0_test=np.ones(2))
    with pytest.raises(ValueError, match="times must be finite"):
        nh.hierarchy_flow([k2], np.ones(2), times=np.inf)
    with pytest.raises(ValueError, match="kernels must hold K_2 to K_3"):
        nh.hierarchy_flow([k2, np.zeros((2, 2, 2))], np.ones(2), times=1.0, kernels_test=[k2])


def test_a_solution_that_runs_off_says_so():
    """K = 1 + 40 S falls below zero and takes f away from its target: S' = -1 - S - 20 S^2 blows up in finite time."""
    with pytest.raises(nh.HierarchyDiverged, match="too narrow or the time too late"):
        nh.hierarchy_flow([np.array([[1.0]]), np.array([[[-40.0]]])], np.array([1.0]), times=50.0)
