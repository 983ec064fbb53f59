from functools import partial

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import reference
from limits.reference import exact, pair_at_angle

import ntk_helpers as nh
from ntk_helpers.limits.duals import DualActivation

ANGLES = [0.0, 1e-12, 1e-7, 1e-5, 3e-4, 3e-3, 0.02, 0.11, 0.3, 0.44, 0.46, 1.0, 1.5, 2.0, 3.0, np.pi - 1e-4, np.pi]
DUALS = {
    "relu": reference.relu_family(0),
    "leaky_relu": reference.relu_family(mp.mpf(0.01)),
    "abs": reference.relu_family(-1),
    "erf": reference.erf(1),
    "sin": reference.sin(1),
    "cos": reference.cos(1),
}


RATIOS = [1, 1.0003, 0.3]


def sides(dtype, d):
    """Pairs at every angle, with equal, nearly equal and different norms; angles 0 and pi of the first are exact."""
    rng = np.random.default_rng(0)
    pairs = [pair_at_angle(rng, d, angle, 1.7, 1.7 * ratio, dtype) for ratio in RATIOS for angle in ANGLES]
    x1, x2 = (np.array(side) for side in zip(*pairs, strict=True))
    x2[0], x2[len(ANGLES) - 1] = x1[0], -x1[len(ANGLES) - 1]
    return x1, x2


def references(x1, x2, activation, **options):
    """(nngp, ntk) at rows x1[i], x2[i], and sqrt(K(x, x) K(x', x')) of both kernels, 50 digits each."""
    for a, b in zip(x1, x2, strict=True):
        pair, own1, own2 = (reference.fcn(u, v, DUALS[activation], **options) for u, v in ((a, b), (a, a), (b, b)))
        yield pair, [mp.sqrt(p * q) for p, q in zip(own1, own2, strict=True)]


# A sigma_b of 0 in one layer leaves the bias out there, as sigma_b = 0 does in all.
@pytest.mark.optimized
@pytest.mark.parametrize(
    ("activation", "d", "sigma_b"),
    [
        ("relu", 784, (0.0, 0.0, 0.0, 0.0)),
        ("relu", 20, (0.5, 0.0, 0.5, 0.1)),
        ("abs", 20, (0.0, 0.0, 0.0)),
        ("leaky_relu", 20, (0.5, 0.5, 0.5)),
        ("erf", 20, (0.0, 0.0, 0.3, 0.3)),
        ("sin", 20, (0.3, 0.3, 0.3)),
        ("cos", 20, (0.3, 0.0, 0.3)),
    ],
)
def test_against_fifty_digits_at_every_angle(activation, d, sigma_b, dtype):
    x1, x2 = sides(dtype, d)
    sigma_w, depth = 2**0.5, len(sigma_b) - 1
    got = nh.fcn_kernel(x1, x2, depth=depth, activation=activation, sigma_w=sigma_w, sigma_b=sigma_b, scale_input=False)
    got = [np.diag(kernel) for kernel in got]
    # the squares as the kernel rounds them
    w2 = [exact(dtype.type(sigma_w**2))] * (depth + 1)
    b2 = [exact(dtype.type(s**2)) for s in sigma_b]
    every = references(x1, x2, activation, depth=depth, w2=w2, b2=b2, scale_input=False)
    for i, (pair, diagonal) in enumerate(every):
        angle = ANGLES[i % len(ANGLES)]
        for result, expected, own in zip(got, pair, diagonal, strict=True):
            error = float(abs(exact(result[i]) - expected) / own)
            # Bound of book/numerics.md: angle error 6 eps, times the slope of the normalized kernel in the angle
            # (below depth / pi for relu, twice that for abs), plus about 4 roundings a layer: 24 eps.
            # Equal inputs have no angle error, and half of it.
            assert error <= (12 if i == 0 else 24) * np.finfo(dtype).eps, (i, angle, error)
            # and the bars: 1e-6 in float32 above 0.1, 1e-12 in float64 above 0.01
            if angle > (0.1 if dtype == np.float32 else 0.01):
                assert error <= (1e-6 if dtype == np.float32 else 1e-12), (i, angle, error)


@pytest.mark.optimized
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_errors_relative_to_the_norms(activation, dtype):
    """The bars for errors over |x||x'| itself, where the kernels are of that size: depth 1, weights of He.

    A kernel of depth 3 at sigma_w^2 = 2 is 4 to 8 times |x||x'|, and so is its rounding.
    """
    x1, x2 = sides(dtype, 20)
    w2 = exact(dtype.type((2**0.5) ** 2)) if activation == "relu" else mp.mpf(1)
    sigma_w = 2**0.5 if activation == "relu" else 1.0
    got = nh.fcn_kernel(x1, x2, depth=1, activation=activation, sigma_w=(1.0, sigma_w), scale_input=False)
    got = [np.diag(kernel) for kernel in got]
    every = references(x1, x2, activation, depth=1, w2=[mp.mpf(1), w2], b2=[mp.mpf(0)] * 2, scale_input=False)
    for i, (pair, _) in enumerate(every):
        if ANGLES[i % len(ANGLES)] > (0.1 if dtype == np.float32 else 0.01):
            norms = mp.sqrt(mp.fsum(exact(v) ** 2 for v in x1[i]) * mp.fsum(exact(v) ** 2 for v in x2[i]))
            for result, expected in zip(got, pair, strict=True):
                assert abs(exact(result[i]) - expected) <= (1e-6 if dtype == np.float32 else 1e-12) * norms


@pytest.mark.optimized
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_deep_networks_against_fifty_digits(activation, x64):
    """Layers beyond the third run in a loop, biases that are off among them."""
    x1, x2 = sides(np.float64, 20)
    sigma_w, sigma_b = (1.25, 1.5, 1.0, 1.5, 1.25, 1.5, 1.0, 0.75), (0.5, 0.0, 0.25, 0.0, 0.5, 0.0, 0.125, 0.0)
    got = nh.fcn_kernel(x1, x2, depth=7, activation=activation, sigma_w=sigma_w, sigma_b=sigma_b, scale_input=False)
    got = [np.diag(kernel) for kernel in got]
    w2, b2 = ([exact(s**2) for s in sigmas] for sigmas in (sigma_w, sigma_b))
    every = references(x1, x2, activation, depth=7, w2=w2, b2=b2, scale_input=False)
    for i, (pair, diagonal) in enumerate(every):
        for result, expected, own in zip(got, pair, diagonal, strict=True):
            # 24 eps at depth 3; angle error and roundings both grow with the layers
            assert abs(exact(result[i]) - expected) <= 24 * 7 / 3 * np.finfo(float).eps * own, i


@pytest.mark.optimized
def test_diagonal_and_equal_rows_are_exact_to_rounding(dtype):
    x = np.random.default_rng(3).normal(size=(30, 11)).astype(dtype)
    x = np.concatenate([x, x[:3]])
    got = nh.fcn_kernel(x, depth=3, sigma_w=1.5, sigma_b=0.25)
    for i, j in ((0, 0), (7, 7), (0, 30), (32, 2)):
        expected = reference.fcn(x[i], x[j], DUALS["relu"], depth=3, w2=[2.25] * 4, b2=[0.0625] * 4)
        for result, value in zip(got, expected, strict=True):
            assert abs(exact(result[i, j]) - value) <= 12 * np.finfo(dtype).eps * value


STAX = {"relu": "Relu", "erf": "Erf", "gelu": "Gelu", "sin": "Sin", "cos": "Cos", "abs": "Abs"}


def by_neural_tangents(x1, x2, activations, sigma_w, sigma_b):
    from ntk_helpers.nt import stax

    layers = [stax.Dense(1, W_std=sigma_w[0], b_std=sigma_b[0])]
    for name, w, b in zip(activations, sigma_w[1:], sigma_b[1:], strict=True):
        phi = stax.LeakyRelu(0.01) if name == "leaky_relu" else getattr(stax, STAX[name])()
        layers += [phi, stax.Dense(1, W_std=w, b_std=b)]
    kernel_fn = stax.serial(*layers)[2]
    return jax.jit(lambda a, b: tuple(kernel_fn(a, b, ("nngp", "ntk"))))(x1, x2)


def assert_within_their_rounding(got, expected):
    # neural-tangents takes arccos and arcsin of cosines with errors of eps; angles here are above 0.3
    np.testing.assert_allclose(got[0], expected[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(got[1], expected[1], rtol=0, atol=1e-13)


def gaussian_rows():
    rng = np.random.default_rng(4)
    return jnp.asarray(rng.normal(size=(6, 5))), jnp.asarray(rng.normal(size=(4, 5)))


@pytest.mark.parametrize("biases", ["all", "first", "none"])
def test_equals_neural_tangents(biases, x64):
    sigma_w, sigma_b = (1.1, 1.3, 0.9), (0.2, 0.4, 0.3)
    if biases == "none":
        sigma_b = (0.0, 0.0, 0.0)
    used = sigma_b if biases == "all" else (sigma_b[0], 0.0, 0.0)
    x1, x2 = gaussian_rows()
    expected = by_neural_tangents(x1, x2, ("relu", "relu"), sigma_w, used)
    got = nh.fcn_kernel(x1, x2, depth=2, sigma_w=sigma_w, sigma_b=sigma_b, biases=biases)
    assert_within_their_rounding(got, expected)


@pytest.mark.parametrize("activations", [("erf", "gelu", "cos"), ("abs", "sin", "leaky_relu")])
def test_networks_of_several_activations_equal_neural_tangents(activations, x64):
    sigma_w, sigma_b = (1.1, 1.3, 0.9, 1.2), (0.2, 0.4, 0.3, 0.1)
    x1, x2 = gaussian_rows()

    @jax.jit
    def ours(x1, x2):
        state = nh.input_layer(x1, x2, sigma_w=sigma_w[0], sigma_b=sigma_b[0])
        for name, w, b in zip(activations, sigma_w[1:], sigma_b[1:], strict=True):
            state = nh.dense_layer(nh.activation_layer(state, name), sigma_w=w, sigma_b=b)
        return tuple(nh.kernels(state))

    assert_within_their_rounding(ours(x1, x2), by_neural_tangents(x1, x2, activations, sigma_w, sigma_b))


@pytest.mark.parametrize(
    ("activation", "sigma_b"),
    [
        ("relu", 0.0),
        ("erf", 0.0),
        ("relu", 0.3),
        ("sin", 0.0),
        ("gelu", 0.0),
        ("tanh", 0.3),
    ],
)
def test_extreme_norms_and_zero_vectors_stay_finite(activation, sigma_b):
    direction = np.array([[1.0, 2.0, -2.0], [1.0, 2.0, -2.00001], [-1.0, -2.0, 2.0], [2.0, 1.0, 2.0]]) / 3
    # quadrature cannot see the step that tanh is at 1e15, and says so
    norms = (1e-15, 1.0, 3.0 if activation == "tanh" else 1e15)
    x = jnp.asarray(np.concatenate([0 * direction[:1], *(norm * direction for norm in norms)]), jnp.float32)

    def total(x):
        k = nh.fcn_kernel(x, depth=1, activation=activation, sigma_b=sigma_b)
        return k.ntk[:9, :9].sum(), k  # without 1e15: entries near the largest number would overflow in the sum

    (_, got), slope = jax.jit(jax.value_and_grad(total, has_aux=True))(x)
    for k in got:
        assert bool(jnp.isfinite(k).all())
        np.testing.assert_allclose(k, k.T, rtol=1e-4, atol=0)
    assert bool(jnp.isfinite(slope[:9]).all())


def test_nngp_alone_never_asks_for_the_derivative():
    relu = nh.dual_activation("relu")
    asked = []

    def pair(s1, s2, cosine, gap, derivative):
        asked.append(derivative)
        return relu._form.pair(s1, s2, cosine, gap, derivative)

    spy = DualActivation(relu.activation, relu.method, None, relu._form._replace(pair=pair))
    x = np.ones((3, 2), np.float32)
    nh.fcn_kernel(x, depth=2, activation=spy, get="nngp")
    assert asked
    assert not any(asked)
    asked.clear()
    nh.fcn_kernel(x, depth=2, activation=spy, get="both")
    assert all(asked)


def test_get_and_equal_arrays_agree(x64):
    x = np.random.default_rng(5).normal(size=(12, 4))
    both = nh.fcn_kernel(x, depth=1, sigma_b=0.1)
    tolerance = {"rtol": 0, "atol": 16 * np.finfo(float).eps}
    np.testing.assert_allclose(nh.fcn_kernel(x, depth=1, sigma_b=0.1, get="nngp"), both.nngp, **tolerance)
    np.testing.assert_allclose(nh.fcn_kernel(x, depth=1, sigma_b=0.1, get="ntk"), both.ntk, **tolerance)
    np.testing.assert_allclose(nh.fcn_kernel(x, x.copy(), depth=1, sigma_b=0.1).ntk, both.ntk, **tolerance)


@pytest.mark.optimized
def test_blocks_of_rows_change_nothing():
    rng = np.random.default_rng(6)
    x1, x2 = (rng.normal(size=(n, 3)).astype(np.float32) for n in (1201, 700))  # the last block reaches back
    x1[5] = x2[3]
    kernel = partial(nh.fcn_kernel, depth=1, sigma_b=0.1, get="ntk")
    whole, some = kernel(x1, x2), np.concatenate([kernel(x1[:40], x2), kernel(x1[-40:], x2)])
    np.testing.assert_allclose(np.concatenate([whole[:40], whole[-40:]]), some, rtol=0, atol=2e-6)
    own = kernel(x1)
    np.testing.assert_allclose(own[-40:, :700], kernel(x1[-40:], x1[:700]), rtol=0, atol=2e-6)
    np.testing.assert_allclose(own[-40:, -700:], kernel(x1[-40:], x1[-700:]), rtol=0, atol=2e-6)


@pytest.mark.optimized
def test_peak_memory_is_below_six_results():
    n = 1500
    x = jnp.asarray(np.random.default_rng(8).normal(size=(n, 30)), jnp.float32)
    one = 4 * n * n
    for x2 in (None, x + 1):
        compiled = jax.jit(lambda a, b: tuple(nh.fcn_kernel(a, b, depth=3, sigma_b=0.1))).lower(x, x2).compile()
        memory = compiled.memory_analysis()
        assert memory.output_size_in_bytes >= 2 * one  # the two results themselves are counted
        assert memory.temp_size_in_bytes + memory.output_size_in_bytes <= 6 * one


def test_jit_and_vmap(x64):
    x = jnp.asarray(np.random.default_rng(9).normal(size=(3, 4, 2)))
    kernel = partial(nh.fcn_kernel, depth=1, sigma_w=1.5, sigma_b=0.3, get="nngp")
    plain = jnp.stack([kernel(v) for v in x])
    np.testing.assert_allclose(jax.vmap(kernel)(x), plain, rtol=1e-13)
    np.testing.assert_allclose(jax.jit(kernel)(x[0]), plain[0], rtol=1e-13)


@pytest.mark.parametrize("activation", ["erf", "gelu"])
def test_second_derivatives_at_equal_inputs(activation, x64):
    """d^2 K / (da db) at a = b, which kernels of differential operators need, against central differences."""

    @jax.jit
    def pair(a, b):
        options = {"depth": 1, "activation": activation, "sigma_w": 1.5, "sigma_b": 0.3, "get": "nngp"}
        return nh.fcn_kernel(a[None], b[None], **options)[0, 0]

    @jax.jit
    def mixed(a, u, v):
        along_v = lambda s: jax.jvp(lambda t: pair(a + s * u, a + t * v), (0.0,), (1.0,))[1]  # noqa: E731
        return jax.jvp(along_v, (0.0,), (1.0,))[1]

    h = 1e-4
    for a, u, v in np.random.default_rng(9).normal(size=(12, 3, 2)):
        differences = sum(s * t * pair(a + s * h * u, a + t * h * v) for s in (1, -1) for t in (1, -1)) / (4 * h * h)
        # the formula's error h^2 and the kernel's rounding over h^2: 1e-8 each, times derivatives of size 10
        np.testing.assert_allclose(mixed(a, u, v), differences, rtol=0, atol=1e-6)


def test_sigmas_may_be_traced(x64):
    x = jnp.asarray(np.random.default_rng(10).normal(size=(3, 2)))

    @jax.jit
    def entry(sigma_w, sigma_b):
        return nh.fcn_kernel(x, depth=1, sigma_w=sigma_w, sigma_b=sigma_b, get="nngp")[0, 1]

    point, h = np.array([1.3, 0.4]), 1e-6
    got = jax.jit(jax.grad(entry, argnums=(0, 1)))(*point)
    for slope, step in zip(got, h * np.eye(2), strict=True):
        expected = (entry(*(point + step)) - entry(*(point - step))) / (2 * h)
        np.testing.assert_allclose(slope, expected, rtol=1e-8)


samples = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(9, 4)).astype(np.float32))


@settings(max_examples=10, deadline=None)
@given(samples, st.sampled_from(["relu", "erf"]))
def test_symmetric_positive_permuted_rotated(x, activation):
    both = nh.fcn_kernel(x, depth=2, activation=activation, sigma_b=0.2)
    order = np.random.default_rng(0).permutation(len(x))
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0].astype(np.float32)
    for k, permuted, rotated in zip(
        both,
        nh.fcn_kernel(x[order], depth=2, activation=activation, sigma_b=0.2),
        nh.fcn_kernel(x @ rotation, depth=2, activation=activation, sigma_b=0.2),
        strict=True,
    ):
        k = np.asarray(k)
        scale = np.abs(k).max()
        np.testing.assert_allclose(k, k.T, rtol=0, atol=1e-6 * scale)
        assert np.linalg.eigvalsh(k.astype(float)).min() > -1e-6 * scale
        np.testing.assert_allclose(permuted, k[order][:, order], rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(rotated, k, rtol=0, atol=5e-6 * scale)  # the rotated inputs are rounded too


@settings(max_examples=10, deadline=None)
@given(samples, st.floats(0.01, 100.0))
def test_relu_without_biases_is_homogeneous(x, factor):
    whole, scaled = (nh.fcn_kernel(v, depth=2) for v in (x, np.float32(factor) * x))
    for k, ks in zip(whole, scaled, strict=True):
        np.testing.assert_allclose(ks, factor**2 * k, rtol=0, atol=3e-6 * factor**2 * float(jnp.abs(k).max()))


GOOD = np.ones((3, 2), np.float32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x1": GOOD[0]}, ValueError, r"x1 must have shape \(N, d\).*got shape \(2,\)"),
        ({"x1": GOOD[:0]}, ValueError, "x1 must have at least one row"),
        ({"x1": GOOD.astype(int)}, TypeError, "x1 must be a real floating-point array, got dtype int64; convert"),
        ({"x1": GOOD.astype(complex)}, TypeError, "x1 must be a real floating-point array, got dtype complex128"),
        ({"x1": GOOD.astype(np.float16)}, TypeError, "x1 must be float32 or float64, got dtype float16"),
        ({"x1": np.array([[1.0, np.nan]])}, ValueError, r"x1 must be finite, got 1 entries.*\[0, 1\]"),
        ({"x2": np.full((2, 2), np.inf)}, ValueError, "x2 must be finite, got 4"),
        ({"x2": np.ones((3, 5))}, ValueError, "x1 and x2 must have the same number of columns"),
        ({"depth": 0}, ValueError, "depth must be a positive integer, got 0"),
        ({"activation": "rleu"}, ValueError, "unknown name 'rleu'; known are abs, cos"),
        ({"sigma_w": -1.0}, ValueError, "sigma_w must be finite and not negative, got -1"),
        ({"sigma_b": float("nan")}, ValueError, "sigma_b must be finite and not negative, got nan"),
        ({"sigma_w": (1.0, 1.0)}, ValueError, "sigma_w must be one number or one for each of the 2|3 layers"),
        ({"sigma_b": (0.1, -0.2, 0.1)}, ValueError, r"sigma_b\[1\] must be finite and not negative"),
        ({"biases": "last"}, ValueError, "biases must be one of 'all', 'first', 'none', got 'last'"),
        ({"biases": "none", "sigma_b": 0.1}, ValueError, 'biases="none" needs sigma_b=0'),
        ({"get": "kernel"}, ValueError, "get must be one of 'both', 'nngp', 'ntk'"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"x1": GOOD, "x2": None, "depth": 2} | change
    with pytest.raises(error, match=message):
        nh.fcn_kernel(arguments.pop("x1"), arguments.pop("x2"), **arguments)
