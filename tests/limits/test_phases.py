"""Phases against scipy's quadrature and closed forms; dispersions and the report against real draws."""

import math

import jax
import numpy as np
import pytest
from scipy import integrate, optimize, special

import ntk_helpers as nh
from ntk_helpers.limits.dispersion import second_moment

SLOPES = {
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (special.expit, lambda z: special.expit(z) * special.expit(-z)),
    "erf": (special.erf, lambda z: 2 / math.sqrt(math.pi) * np.exp(-(z**2))),
}


def expectation(f, q):
    def weighted(g):
        return f(math.sqrt(q) * g) * math.exp(-g * g / 2) / math.sqrt(2 * math.pi)

    return integrate.quad(weighted, -12, 12, points=[0], limit=400)[0]


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"), [("tanh", 0.8, 0.2), ("tanh", 2.0, 0.3), ("erf", 1.5, 0.1), ("sigmoid", 3.0, 0.0)]
)
def test_fixed_point_and_chi_against_quadrature(name, sigma_w, sigma_b):
    phi, slope = SLOPES[name]
    found = nh.order_chaos(name, sigma_w=sigma_w, sigma_b=sigma_b)
    q = optimize.brentq(lambda q: sigma_w**2 * expectation(lambda z: phi(z) ** 2, q) + sigma_b**2 - q, 1e-3, 50)
    chi = sigma_w**2 * expectation(lambda z: slope(z) ** 2, q)
    # function values in float32, and a root in them: the map's slope at the fixed point is up to 0.9, so ten times eps
    assert found.variance == pytest.approx(q, rel=1e-5)
    assert found.chi == pytest.approx(chi, rel=1e-5)
    assert found.phase == ("ordered" if chi < 1 else "chaotic")
    assert found.depth_scale == pytest.approx(1 / abs(math.log(chi)), rel=1e-3)


@pytest.mark.parametrize(("name", "sigma_b", "bracket"), [("tanh", 0.5, (1e-2, 8)), ("sigmoid", 0.0, (1, 500))])
def test_edge_of_chaos_against_quadrature(name, sigma_b, bracket):
    phi, slope = SLOPES[name]

    def excess(q):
        return expectation(lambda z: phi(z) ** 2, q) / expectation(lambda z: slope(z) ** 2, q) + sigma_b**2 - q

    q = optimize.brentq(excess, *bracket)
    expected = 1 / expectation(lambda z: slope(z) ** 2, q)
    assert nh.edge_of_chaos(name, sigma_b=sigma_b) ** 2 == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("phi", "edge"),
    [
        ("relu", 2.0),
        ("abs", 1.0),
        ("identity", 1.0),
        (nh.activation("leaky_relu", negative_slope=0.5), 2 / 1.25),
        ("tanh", 1.0),  # 1 / phi'(0)
        (nh.activation("erf", scale=0.5), math.pi),  # phi'(0) = 2 b / sqrt(pi)
    ],
)
def test_edge_without_biases_in_closed_form(phi, edge):
    # Near sigma_b = 0, chi - 1 is of second order in the distance to the edge, so float32's 1e-7 becomes 3e-4.
    assert nh.edge_of_chaos(phi) ** 2 == pytest.approx(edge, rel=1e-3)


def test_relu_in_closed_form():
    assert nh.order_chaos("relu", sigma_w=1.0, sigma_b=0.5)[:3] == ("ordered", pytest.approx(0.5), pytest.approx(0.5))
    assert nh.order_chaos("relu", sigma_w=1.0).variance == 0
    critical = nh.order_chaos("relu", sigma_w=math.sqrt(2), mean_square=3.0)
    assert critical.phase == "critical"
    assert critical.variance == pytest.approx(6.0)  # the first layer's variance is kept
    assert critical.depth_scale == math.inf
    assert nh.order_chaos("relu", sigma_w=math.sqrt(2), sigma_b=0.1).variance == math.inf
    assert nh.order_chaos("relu", sigma_w=2.0).variance == math.inf


def relu_parts(n, depth, draws, seed=0):
    """F_l B_l and B_l, weight by weight, sigma_w^2 = 2, |x| = 1, d = n: (draws, depth + 1)."""
    rng = np.random.default_rng(seed)
    h, masks, weights = np.eye(n)[0] * np.ones((draws, 1)), [], []
    forward = [np.ones(draws)]
    for _ in range(depth):
        weights.append(rng.normal(size=(draws, n, n)) * math.sqrt(2 / n))
        z = np.einsum("sij,sj->si", weights[-1], h)
        masks.append(z > 0)
        h = z * masks[-1]
        forward.append(np.sum(h**2, axis=1))
    delta = rng.normal(size=(draws, n)) * math.sqrt(2 / n) * masks[-1]
    backward = [np.ones(draws), np.sum(delta**2, axis=1)]
    for w, mask in zip(weights[:0:-1], masks[-2::-1], strict=True):
        delta = np.einsum("sij,si->sj", w, delta) * mask
        backward.append(np.sum(delta**2, axis=1))
    B = np.array(backward[::-1]).T
    return np.array(forward).T * B, B


@pytest.mark.parametrize("a", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("r", [0.0, 1.0, 10.0])
def test_relu_dispersion_against_networks(a, r):
    n, depth, draws = 12, 4, 20000
    weights, biases = relu_parts(n, depth, draws)
    above = np.arange(depth, -1, -1)
    T = r * a**depth * weights.sum(axis=1) + (biases * a**above).sum(axis=1)
    means = np.full(depth + 1, r * a**depth), a ** above.astype(float)
    expected = second_moment(*means, n) / np.sum(means) ** 2
    powers = np.stack([T**2, T])
    ratio, sample = np.mean(T**2) / np.mean(T) ** 2, powers / powers.mean(axis=1, keepdims=True)
    se = ratio * np.std(sample[0] - 2 * sample[1]) / math.sqrt(draws)  # delta method
    assert abs(ratio - expected) < 4 * se
    assert se < 0.1 * (expected - 1)  # else nothing is tested


@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_report_against_the_mean_kernel_of_networks(parameterization):
    """Centred fraction and output's sd against the limits of fcn_kernel, or the mean kernel over networks."""
    net = {"depth": 2, "sigma_w": 1.2, "sigma_b": 0.4, "activation": "erf"}
    report = nh.trust_report(width=200, d_in=2, parameterization=parameterization, n_samples=2, cosine=0.0, **net)
    x = np.sqrt(2.0) * np.eye(2, dtype=np.float32)
    nngp = nh.fcn_kernel(x, get="nngp", **net)
    assert report.output_sd == pytest.approx(float(nngp[0, 0]) ** 0.5, rel=1e-4)
    if parameterization == "ntk":
        ntk, rel = np.asarray(nh.fcn_kernel(x, get="ntk", **net), float), 1e-4
    else:
        model = nh.fcn(d_in=2, width=200, parameterization="standard", **net)

        def own_kernel(key):
            return nh.empirical_ntk(model.apply, model.init(key=key), x, output="trace")

        kernels = jax.lax.map(own_kernel, jax.random.split(jax.random.key(0), 200))
        ntk, rel = np.asarray(kernels, float).mean(axis=0), 0.03  # sampling 0.5 %, finite width 2/200 a few times
    apart, constant = (ntk[0, 0] - ntk[0, 1]), ntk[0, 0] + ntk[0, 1]
    assert report.centred_fraction == pytest.approx(apart / math.hypot(apart, constant), rel=rel)
    assert report.steps == pytest.approx(constant / apart, rel=rel)


def test_report_says_yes_no_and_that_it_does_not_know():
    critical = 2**0.5
    assert nh.trust_report(depth=3, width=4000, sigma_w=critical).verdict == "yes"
    assert nh.trust_report(depth=20, width=64, sigma_w=1.6).verdict == "no"
    ordered = {"depth": 20, "width": 64, "sigma_w": 1.0, "parameterization": "standard"}
    assert nh.trust_report(**ordered, sigma_b=0.0).dispersion < 1.1
    assert nh.trust_report(**ordered, target_rms=1.0).verdict == "no"  # the outputs would have to grow a thousand times
    assert nh.trust_report(**{**ordered, "parameterization": "ntk"}).verdict == "no"  # no biases to concentrate it
    unknown = nh.trust_report(depth=20, width=64, activation="tanh", sigma_w=1.5)
    assert unknown.verdict == "not known"
    assert unknown.dispersion is None
    assert unknown.change is None
    assert "no formula" in str(unknown)
    assert nh.trust_report(depth=20, width=64, sigma_w=critical, sigma_b=0.1).dispersion is None
    hardly = nh.trust_report(depth=20, width=2000, activation="tanh", sigma_w=0.6, sigma_b=0.3)
    assert hardly.verdict == "yes, but it hardly trains"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nh.order_chaos("cos", sigma_w=1.0), "falls"),
        (lambda: nh.order_chaos("tanh", sigma_w=0.0), "sigma_w must be positive"),
        (lambda: nh.order_chaos("tanh", sigma_w=1.0, sigma_b=-1.0), "sigma_b"),
        (lambda: nh.trust_report(depth=0, width=3), "depth"),
        (lambda: nh.trust_report(depth=2, width=3, cosine=1.0), "cosine"),
        (lambda: nh.trust_report(depth=2, width=3, n_samples=1), "n_samples"),
        (lambda: nh.trust_report(depth=2, width=3, parameterization="mup"), "parameterization"),
    ],
)
def test_bad_input(without_hook, call, words):
    with pytest.raises(ValueError, match=words):
        call()
