import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from limits import reference
from limits.reference import exact

import ntk_helpers as nh

POWERS = [0.0, 0.5, 1.0, 1.5, 2.0, np.inf]
HE = {"depth": 3, "sigma_w": 2**0.5, "scale_input": False}


def example(d=2, m=7, seed=0):
    rng = np.random.default_rng(seed)
    return nh.fourier_features(rng.normal(size=(m, d)), rng.uniform(0.1, 1, m)), rng.uniform(-1, 1, (9, d))


def test_features_are_sines_then_cosines_of_length_one(dtype):
    features, x = example()
    got = np.asarray(features(x.astype(dtype)))
    assert got.dtype == dtype
    assert got.shape == (9, features.n_features)
    for row, point in zip(got, x.astype(dtype), strict=True):
        products = [[exact(b) * exact(c) for b, c in zip(bs, point, strict=True)] for bs in features.frequencies]
        phases = [2 * mp.pi * mp.fsum(product) for product in products]
        norm = mp.sqrt(mp.fsum(exact(a) ** 2 for a in features.amplitudes))
        waves = list(zip(features.amplitudes, phases, strict=True))
        parts = [exact(a) / norm * f(t) for f in (mp.sin, mp.cos) for a, t in waves]
        # periods up to 3 are rounded at 2 eps, times 2 pi; frequencies are rounded once more in float32
        assert max(abs(exact(g) - p) for g, p in zip(row, parts, strict=True)) < 60 * np.finfo(dtype).eps
    assert np.allclose(np.sum(got**2, axis=1), 1, atol=10 * np.finfo(dtype).eps)


def test_kernel_is_the_inner_product_of_features(x64):
    features, x = example()
    lags = x[:, None] - x[None]
    gram = np.asarray(features(x)) @ np.asarray(features(x)).T
    assert np.allclose(features.kernel(lags), gram, atol=1e-13)
    assert features.kernel(lags).shape == (9, 9)
    assert features.kernel(np.zeros(2)) == 1


def test_small_lags_keep_their_digits():
    """1 - h at a lag of 1e-9 is 1e-16, below rounding of h; the kink of the NTK there is its square root."""
    features = nh.power_features(5, 1.0)
    ntk = nh.composed_kernel(features, nh.zonal_kernel(depth=1))
    lag = 1e-9
    # depth 1: Theta = 2 (2 - 2 s lag (1 + o(1))), L (L + 1) = 2; the next term is of order lag^2
    slope = (4 - float(ntk([lag]))) / lag
    assert slope == pytest.approx(2 * 2 * features.rms_frequency, rel=1e-5)  # 4 eps / 1e-9 of cancellation


@pytest.mark.parametrize("p", POWERS)
def test_composed_kernel_against_the_network_kernel_on_the_features(p, x64):
    features = nh.power_features(16, p)
    x = np.random.default_rng(1).uniform(size=(12, 1))
    for get in ("ntk", "nngp"):
        kernel = nh.composed_kernel(features, nh.zonal_kernel(depth=3, get=get))
        on_features = nh.fcn_kernel(features(x), get=get, **HE)
        assert np.allclose(kernel(x[:, None] - x[None]), on_features, atol=1e-11)


def test_composed_kernel_in_fifty_digits():
    """The recursion in mpmath on h, which shares no code with the package."""
    features = nh.power_features(4, 1.0)
    for lag in (0.0, 0.11, 0.37, 0.5):
        weights = [mp.mpf(1) / (j * j) for j in range(1, 5)]
        waves = [w * mp.cos(2 * mp.pi * j * exact(lag)) for j, w in enumerate(weights, start=1)]
        h = mp.fsum(waves) / mp.fsum(weights)
        nngp, ntk = mp.mpf(2) * h, mp.mpf(2) * h  # sigma_w^2 h
        for _ in range(3):
            value, derivative = reference.relu_family(0)
            slope = derivative(mp.mpf(2), mp.mpf(2), nngp)
            nngp = 2 * value(mp.mpf(2), mp.mpf(2), nngp)
            ntk = nngp + 2 * ntk * slope
        got = float(nh.composed_kernel(features, nh.zonal_kernel(depth=3))([lag]))
        assert abs(exact(got) - ntk) < 1e-13 * 8


def test_composed_kernel_against_wide_networks(x64):
    """The mean of the empirical kernels of random networks on the features; fluctuations are width^-1/2."""
    features, x = nh.power_features(3, 1.0), np.array([[0.0], [0.1], [0.45]])
    net, inputs = nh.fcn(d_in=6, width=400, depth=2, sigma_w=2**0.5, scale_input=False), features(x)
    keys = jax.random.split(jax.random.key(0), 40)
    kernels = np.asarray(
        jax.vmap(lambda key: nh.empirical_ntk(net.apply, net.init(key=key), inputs, output="trace"))(keys)
    )
    expected = nh.composed_kernel(features, nh.zonal_kernel(depth=2))(x[:, None] - x[None])
    se = kernels.std(axis=0, ddof=1) / np.sqrt(40)
    # 4 standard errors, and a shift of order 1/width: a few per cent of K(0) = 6
    assert (np.abs(kernels.mean(axis=0) - expected) < 4 * se + 6 * 3 / 400).all()
    assert se.max() < 0.15


@pytest.mark.parametrize("p", POWERS)
def test_spectrum_on_the_grid_is_that_of_the_matrix(p, x64):
    features = nh.power_features(16, p)
    kernel = nh.composed_kernel(features, nh.zonal_kernel(depth=3))
    x = np.arange(32)[:, None] / 32
    matrix = np.asarray(nh.fcn_kernel(features(x), get="ntk", **HE))
    found = nh.stationary_spectrum(kernel, 32)
    assert np.allclose(np.sort(found)[::-1], np.linalg.eigvalsh(matrix / 32)[::-1], atol=1e-12)
    wave = np.cos(2 * np.pi * 5 * x[:, 0] + 0.3)
    assert np.allclose(matrix / 32 @ wave, found[5] * wave, atol=1e-12)
    assert np.allclose(found[1:], found[1:][::-1], atol=1e-14)


def test_spectrum_of_the_features_is_half_the_squared_amplitudes():
    features = nh.fourier_features([[2.0, 0.0], [1.0, -3.0]], amplitudes=[3.0, 4.0])
    found = nh.stationary_spectrum(features.kernel, 8, d=2)
    expected = np.zeros((8, 8))
    expected[2, 0] = expected[-2, 0] = 0.5 * 9 / 25
    expected[1, -3] = expected[-1, 3] = 0.5 * 16 / 25
    assert np.allclose(found, expected, atol=1e-15)


def test_grid_folds_frequencies():
    """A frequency of 9 looks like 1 on eight points."""
    assert np.allclose(
        nh.stationary_spectrum(nh.fourier_features([[9.0]]).kernel, 8),
        nh.stationary_spectrum(nh.basic_features(1).kernel, 8),
        atol=1e-14,
    )


def test_white_features_have_a_flat_ntk_spectrum_on_their_grid():
    """With 1, ..., n/2 at equal weight h is 1 at lag 0, 0 at even and -2/n at odd points: waves 1 to n/2 - 1 agree."""
    kernel = nh.composed_kernel(nh.power_features(16, 0.0), nh.zonal_kernel(depth=3))
    level = nh.stationary_spectrum(kernel, 32)[1:16]
    zonal = nh.zonal_kernel(depth=3)
    assert np.allclose(level, (zonal(0.0) - zonal(np.pi / 2)) / 32, rtol=1e-12)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0])
def test_high_frequencies_are_set_by_the_rms_frequency(p):
    """The kink -2 L (L + 1) s |lag| gives lambda_k = L (L + 1) s / (pi^2 k^2), whatever the amplitudes."""
    features = nh.power_features(8, p)
    kernel = nh.composed_kernel(features, nh.zonal_kernel(depth=2))
    found = nh.stationary_spectrum(kernel, 2**14)[1000:1100]
    k = np.arange(1000, 1100)
    # relative corrections (largest frequency / k)^2 = 6e-5 times a few, and folding, (k / n)^2 pi^2 / 3 = 1.5 %
    folded = (np.pi * k / 2**14 / np.sin(np.pi * k / 2**14)) ** 2
    assert np.allclose(found * np.pi**2 * k**2 / folded / (6 * features.rms_frequency), 1, rtol=5e-3)


def test_constructors():
    assert nh.basic_features(3).frequencies.tolist() == np.eye(3).tolist()
    ladder = nh.positional_features(2, 5, 4.0)
    assert ladder.frequencies[:, 0].tolist() == [0, 1, 3, 7, 15, 0, 0, 0, 0, 0]
    assert ladder.frequencies[:, 1].tolist() == [0, 0, 0, 0, 0, 0, 1, 3, 7, 15]
    assert np.allclose(nh.power_features(2, 2.0).amplitudes ** 2, [16 / 17, 1 / 17])
    assert nh.power_features(4, np.inf).amplitudes.tolist() == [1, 0, 0, 0]
    assert nh.fourier_features([[1e200], [1.0]], [1e200, 1e-200]).amplitudes.tolist() == [1, 0]


def test_gaussian_features_have_the_gaussian_kernel_in_the_limit():
    features = nh.gaussian_features(2, 20000, 0.7, key=jax.random.key(1))
    lag = np.array([[0.1, 0.2], [0.0, -0.4], [0.3, 0.0]])
    expected = np.exp(-2 * np.pi**2 * 0.49 * np.sum(lag**2, axis=1))
    assert np.allclose(features.kernel(lag), expected, atol=4 * np.sqrt(0.5 / 20000))
    assert features.rms_frequency == pytest.approx(0.7, rel=4 / np.sqrt(2 * 40000))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nh.fourier_features([1.0, 2.0]), ValueError, r"frequencies must have shape \(m, d\)"),
        (lambda: nh.fourier_features([[np.nan]]), ValueError, "frequencies must be finite"),
        (lambda: nh.fourier_features([["a"]]), TypeError, "frequencies must be a real array"),
        (
            lambda: nh.fourier_features([[1.0]], [1.0, 2.0]),
            ValueError,
            "amplitudes must be one number",
        ),
        (lambda: nh.fourier_features([[1.0]], [0.0]), ValueError, "amplitudes must not all be zero"),
        (lambda: nh.basic_features(0), ValueError, "d must be a positive integer"),
        (lambda: nh.basic_features(2)(jnp.zeros((3, 1))), ValueError, "x must have d = 2 columns"),
        (lambda: nh.basic_features(1).kernel(0.5), ValueError, r"lag must have shape \(..., 1\)"),
        (lambda: nh.basic_features(1).kernel([np.inf]), ValueError, "lag must be finite"),
        (lambda: nh.basic_features(1).kernel([1j]), TypeError, "lag must be a real array"),
        (lambda: nh.positional_features(1, 1, 3.0), ValueError, "per_axis must be at least 2"),
        (lambda: nh.positional_features(1, 4, 0.0), ValueError, "octaves must be positive"),
        (
            lambda: nh.gaussian_features(1, 4, -1.0, key=jax.random.key(0)),
            ValueError,
            "sigma must be finite",
        ),
        (lambda: nh.power_features(4, -1.0), ValueError, "p must not be negative"),
        (lambda: nh.power_features(4, np.nan), ValueError, "p must not be negative"),
        (lambda: nh.power_features(4, "1"), TypeError, "p must be a number"),
        (lambda: nh.composed_kernel([[1.0]], np.cos), TypeError, "features must be FourierFeatures"),
        (lambda: nh.composed_kernel(nh.basic_features(1), 1.0), TypeError, "kernel_of_angle must be a function"),
        (lambda: nh.stationary_spectrum(nh.basic_features(1).kernel, 1), ValueError, "n must be at least 2"),
        (lambda: nh.stationary_spectrum(np.ones(3), 4), TypeError, "kernel must be a function of the lag"),
        (lambda: nh.stationary_spectrum(lambda t: t, 4), ValueError, "kernel must map lags"),
        (lambda: nh.stationary_spectrum(lambda t: t[..., 0] * np.nan, 4), ValueError, "kernel must be finite"),
        (lambda: nh.stationary_spectrum(nh.fourier_features([[0.5]]).kernel, 4), ValueError, "period one"),
        (lambda: nh.stationary_spectrum(lambda t: 1 + np.sin(2 * np.pi * t[..., 0]), 8), ValueError, "must be even"),
    ],
)
def test_bad_input(call, error, message, without_hook):
    with pytest.raises(error, match=message):
        call()
