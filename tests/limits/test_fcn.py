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


def sides(dtype, d, ratio):
    rng = np.random.default_rng(0)
    pairs = [pair_at_angle(rng, d, angle, 1.7, 1.7 * ratio, dtype) for angle in ANGLES]
    x1, x2 = (np.array(side) for side in zip(*pairs, strict=True))
    if ratio == 1:
        x2[0], x2[-1] = x1[0], -x1[-1]
    return x1, x2


@pytest.mark.parametrize(
    ("activation", "d", "sigma_b", "ratio"),
    [
        ("relu", 3, 0.0, 1),
        ("relu", 784, 0.0, 1),
        ("relu", 20, 0.5, 1.0003),
        ("leaky_relu", 20, 0.5, 1),
        ("abs", 20, 0.0, 0.3),
        ("erf", 20, 0.3, 1),
        ("erf", 20, 0.0, 1.0003),
        ("sin", 20, 0.3, 1),
        ("cos", 20, 0.3, 1),
    ],
)
def test_against_fifty_digits_at_every_angle(activation, d, sigma_b, ratio, dtype):
    x1, x2 = sides(dtype, d, ratio)
    sigma_w, depth = 2**0.5, 3
    got = nh.fcn_kernel(x1, x2, depth=depth, activation=activation, sigma_w=sigma_w, sigma_b=sigma_b, scale_input=False)
    # the squares as the kernel rounds them
    w2 = [exact(dtype.type(sigma_w**2))] * (depth + 1)
    b2 = [exact(dtype.type(sigma_b**2))] * (depth + 1)
    for i, angle in enumerate(ANGLES):
        nngp, ntk = reference.fcn(x1[i], x2[i], DUALS[activation], depth=depth, w2=w2, b2=b2, scale_input=False)
        own = [
            reference.fcn(x, x, DUALS[activation], depth=depth, w2=w2, b2=b2, scale_input=False) for x in (x1[i], x2[i])
        ]
        for result, expected, diagonal in zip(got, (nngp, ntk), zip(*own, strict=True), strict=True):
            error = float(abs(exact(result[i, i]) - expected) / mp.sqrt(diagonal[0] * diagonal[1]))
            # Bound of book/numerics.md: angle error 6 eps, times the slope of the normalized kernel in the angle
            # (below depth / pi for relu, twice that for abs), plus about 4 roundings a layer: 24 eps.
            assert error <= 24 * np.finfo(dtype).eps, (angle, error)
            # and the bars: 1e-6 in float32 above 0.1, 1e-12 in float64 above 0.01
            if dtype == np.float32 and angle > 0.1:
                assert error <= 1e-6, (angle, error)


@pytest.mark.parametrize("activation", ["relu", "erf", "abs"])
def test_diagonal_and_equal_rows_are_exact_to_rounding(activation, dtype):
    x = np.random.default_rng(3).normal(size=(30, 11)).astype(dtype)
    x = np.concatenate([x, x[:3]])
    for x2 in (None, x.copy()):
        got = nh.fcn_kernel(x, x2, depth=3, activation=activation, sigma_w=1.5, sigma_b=0.25)
        for i, j in ((0, 0), (7, 7), (0, 30), (32, 2)):
            expected = reference.fcn(x[i], x[j], DUALS[activation], depth=3, w2=[2.25] * 4, b2=[0.0625] * 4)
            for result, value in zip(got, expected, strict=True):
                assert abs(exact(result[i, j]) - value) <= 12 * np.finfo(dtype).eps * value


@pytest.mark.parametrize(
    ("activation", "biases"),
    [
        *(("relu", "all"), ("relu", "first"), ("relu", "none"), ("erf", "first")),
        *((name, "all") for name in ("erf", "gelu", "sin", "cos", "abs", "leaky_relu")),
    ],
)
def test_equals_neural_tangents(activation, biases, x64):
    from ntk_helpers.nt import stax

    layers = {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu, "sin": stax.Sin, "cos": stax.Cos, "abs": stax.Abs}
    layers["leaky_relu"] = lambda: stax.LeakyRelu(0.01)
    sigma_w, sigma_b = (1.1, 1.3, 0.9), (0.2, 0.4, 0.3)
    if biases == "none":
        sigma_b = (0.0, 0.0, 0.0)
    used = sigma_b if biases == "all" else (sigma_b[0], 0.0, 0.0)
    dense = [stax.Dense(1, W_std=w, b_std=b) for w, b in zip(sigma_w, used, strict=True)]
    _, _, kernel_fn = stax.serial(dense[0], layers[activation](), dense[1], layers[activation](), dense[2])
    rng = np.random.default_rng(4)
    x1, x2 = jnp.asarray(rng.normal(size=(6, 5))), jnp.asarray(rng.normal(size=(4, 5)))
    expected = kernel_fn(x1, x2, ("nngp", "ntk"))
    got = nh.fcn_kernel(x1, x2, depth=2, activation=activation, sigma_w=sigma_w, sigma_b=sigma_b, biases=biases)
    # its own rounding: it takes arccos and arcsin of cosines with errors of eps; angles here are above 0.3
    np.testing.assert_allclose(got.nngp, expected.nngp, rtol=0, atol=1e-14)
    np.testing.assert_allclose(got.ntk, expected.ntk, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("activation", "sigma_b"),
    [("relu", 0.0), ("relu", 0.3), ("erf", 0.0), ("erf", 0.3), ("sin", 0.0), ("gelu", 0.3), ("tanh", 0.3)],
)
def test_extreme_norms_and_zero_vectors_stay_finite(activation, sigma_b):
    direction = np.array([[1.0, 2.0, -2.0], [1.0, 2.0, -2.00001], [-1.0, -2.0, 2.0], [2.0, 1.0, 2.0]]) / 3
    x = np.concatenate([0 * direction[:1], *(norm * direction for norm in (1e-15, 1.0, 1e15))]).astype(np.float32)
    phi = nh.dual_activation(activation)
    if activation == "tanh":  # quadrature cannot see the step that tanh is at 1e15, and says so
        x = x[:9]
    for k in nh.fcn_kernel(x, depth=2, activation=phi, sigma_b=sigma_b):
        assert bool(jnp.isfinite(k).all())
        np.testing.assert_allclose(k, k.T, rtol=1e-4, atol=0)

    def total(x):
        return nh.fcn_kernel(x, depth=2, activation=phi, sigma_b=sigma_b).ntk.sum()

    assert bool(jnp.isfinite(jax.grad(total)(jnp.asarray(x[:9]))).all())


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


def test_get_and_equal_arrays_agree(dtype):
    x = np.random.default_rng(5).normal(size=(12, 4)).astype(dtype)
    both = nh.fcn_kernel(x, depth=2, sigma_b=0.1)
    tolerance = {"rtol": 0, "atol": 16 * np.finfo(dtype).eps}
    np.testing.assert_allclose(nh.fcn_kernel(x, depth=2, sigma_b=0.1, get="nngp"), both.nngp, **tolerance)
    np.testing.assert_allclose(nh.fcn_kernel(x, depth=2, sigma_b=0.1, get="ntk"), both.ntk, **tolerance)
    np.testing.assert_allclose(nh.fcn_kernel(x, x.copy(), depth=2, sigma_b=0.1).ntk, both.ntk, **tolerance)


@pytest.mark.parametrize("rows", [400, 1201])
def test_blocks_of_rows_change_nothing(rows):
    rng = np.random.default_rng(6)
    x1, x2 = (rng.normal(size=(n, 3)).astype(np.float32) for n in (rows, 700))
    x1[5] = x2[3]
    whole = nh.fcn_kernel(x1, x2, depth=2, sigma_b=0.1)
    some = nh.fcn_kernel(x1[-40:], x2, depth=2, sigma_b=0.1)
    np.testing.assert_allclose(whole.ntk[-40:], some.ntk, rtol=0, atol=2e-6)
    own = nh.fcn_kernel(x1, depth=2, sigma_b=0.1)
    np.testing.assert_allclose(own.ntk[-40:], nh.fcn_kernel(x1[-40:], x1, depth=2, sigma_b=0.1).ntk, rtol=0, atol=2e-6)


def test_peak_memory_is_below_six_results():
    n = 1500
    x = jnp.asarray(np.random.default_rng(8).normal(size=(n, 30)), jnp.float32)
    one = 4 * n * n
    for x2 in (None, x + 1):
        compiled = jax.jit(lambda a, b: tuple(nh.fcn_kernel(a, b, depth=3, sigma_b=0.1))).lower(x, x2).compile()
        memory = compiled.memory_analysis()
        assert memory.output_size_in_bytes >= 2 * one  # the two results themselves are counted
        assert memory.temp_size_in_bytes + memory.output_size_in_bytes <= 6 * one


def test_jit_vmap_and_second_derivatives(x64):
    rng = np.random.default_rng(9)
    x = jnp.asarray(rng.normal(size=(3, 4, 2)))
    kernel = lambda x: nh.fcn_kernel(x, depth=2, activation="erf", sigma_w=1.5, sigma_b=0.3).nngp  # noqa: E731
    np.testing.assert_allclose(jax.vmap(kernel)(x), jnp.stack([kernel(v) for v in x]), rtol=1e-13)
    np.testing.assert_allclose(jax.jit(kernel)(x[0]), kernel(x[0]), rtol=1e-13)

    def pair(a, b):
        return nh.fcn_kernel(a[None], b[None], depth=2, activation="erf", sigma_w=1.5, sigma_b=0.3, get="nngp")[0, 0]

    # d^2 K / (da db) at equal points, which kernels of differential operators need, against central differences
    a, h = x[0, 0], 1e-4
    mixed = jax.jacfwd(jax.grad(pair, argnums=1), argnums=0)(a, a)
    e = h * jnp.eye(2)
    for i in range(2):
        for j in range(2):
            differences = (
                pair(a + e[i], a + e[j])
                - pair(a - e[i], a + e[j])
                - pair(a + e[i], a - e[j])
                + pair(a - e[i], a - e[j])
            ) / (4 * h * h)
            # the formula's error h^2 and the kernel's rounding over h^2: 1e-8 each
            np.testing.assert_allclose(mixed[j, i], differences, rtol=0, atol=1e-6)


def test_sigmas_may_be_traced(x64):
    x = jnp.asarray(np.random.default_rng(10).normal(size=(3, 2)))

    def entry(sigma_w, sigma_b):
        return nh.fcn_kernel(x, depth=1, sigma_w=sigma_w, sigma_b=sigma_b).nngp[0, 1]

    h = 1e-6
    for argument in (0, 1):
        point = np.array([1.3, 0.4])
        step = h * np.eye(2)[argument]
        expected = (entry(*(point + step)) - entry(*(point - step))) / (2 * h)
        np.testing.assert_allclose(jax.grad(entry, argnums=argument)(*point), expected, rtol=1e-8)


samples = st.integers(0, 10_000).map(lambda seed: np.random.default_rng(seed).normal(size=(9, 4)).astype(np.float32))


@settings(max_examples=10, deadline=None)
@given(samples, st.sampled_from(["relu", "erf", "cos"]))
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
        ({"x1": GOOD.astype(int)}, TypeError, "x1 must be real and floating-point, got dtype int64; convert"),
        ({"x1": GOOD.astype(complex)}, TypeError, "x1 must be real and floating-point, got dtype complex128"),
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
