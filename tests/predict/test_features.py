"""Random features of tangent kernels against closed forms, exact variances and the polynomial they sketch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import ntk_helpers as nh
from ntk_helpers.predict.features import _base, sketches

ANGLES = np.array([0.0, 0.3, np.pi / 2, 2.5, np.pi])


def kappa(angle):
    """kappa_0 and kappa_1, written out (Cho and Saul 2009)."""
    return 1 - angle / np.pi, (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi


def ntk(angle, depth):
    """The NTK of unit vectors by the scalar recursion, written out; sigma_w^2 = 2, no division by d."""
    s = t = np.cos(angle)
    for _ in range(depth):
        zero, one = kappa(np.arccos(np.clip(s, -1, 1)))
        s, t = one, one + t * zero
    return 2 * t


def fan(d):
    """e_1 of length 1, and vectors of length 1/2 at ANGLES to it."""
    x = np.zeros((1 + len(ANGLES), d), np.float32)
    x[0, 0] = 1.0
    x[1:, 0], x[1:, 1] = np.cos(ANGLES) / 2, np.sin(ANGLES) / 2
    return x


def means_and_errors(make, x, times):
    """First row of z z^T: mean over seeds, standard error."""
    rows = []
    for seed in range(times):
        z = make(seed).fit_transform(x).astype(float)
        rows.append(z[1:] @ z[0])
    return np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1) / np.sqrt(times)


@pytest.mark.parametrize("d", [2, 5])
@pytest.mark.parametrize(("order", "directions"), [(1, "gaussian"), (1, "sphere"), (0, "gaussian")])
def test_mean_and_variance_of_arc_cosine_features_are_exact(order, directions, d):
    m, x = 100_000, fan(d)
    z = nh.ArcCosineFeatures(order=order, n_components=m, directions=directions, random_state=d).fit_transform(x)
    products = 2 * m * z[1:].astype(float) * z[0]  # of unit vectors, one number for each feature
    zero, one = kappa(ANGLES)
    s, c = np.sin(ANGLES), np.cos(ANGLES)
    factor = d / (d + 2) if directions == "sphere" else 1
    second = factor * 2 / np.pi * (3 * s * c + (np.pi - ANGLES) * (1 + 2 * c**2))
    mean, variance = (one, np.maximum(second - one**2, 0)) if order == 1 else (zero, 2 * zero - zero**2)
    assert (abs(products.mean(axis=1) - mean) <= 4 * np.sqrt(variance / m) + 1e-6).all()
    of_variance = np.sqrt(np.var((products - mean[:, None]) ** 2, axis=1) / m)
    assert (abs(((products - mean[:, None]) ** 2).mean(axis=1) - variance) <= 4 * of_variance + 1e-5).all()


@pytest.mark.parametrize("sketch", ["srht", "count"])
def test_one_hidden_layer_is_unbiased(sketch):
    options = {"depth": 1, "n_components": 64, "sketch": sketch}
    mean, error = means_and_errors(lambda seed: nh.NTKRandomFeatures(**options, random_state=seed), fan(3), 300)
    assert (error < 0.1).all()
    assert (abs(mean - ntk(ANGLES, 1) / 2) <= 4 * error + 1e-5).all()


@pytest.mark.parametrize("directions", ["gaussian", "sphere"])
def test_two_hidden_layers_are_right_up_to_a_bias_of_order_one_over_m(directions):
    options = {"depth": 2, "n_components": 512, "directions": directions}
    mean, error = means_and_errors(lambda seed: nh.NTKRandomFeatures(**options, random_state=seed), fan(3), 60)
    # The bias is a second derivative of kappa_0 or kappa_1 times a variance of about 5/256, over 2.
    assert (abs(mean - ntk(ANGLES, 2) / 2) <= 4 * error + 0.04).all()
    assert (error < 0.06).all()


def test_closed_form_of_the_target_is_the_package_s_kernel():
    x = fan(3)
    for depth in (1, 2):
        kernel = nh.fcn_kernel(x, depth=depth, sigma_w=2**0.5, scale_input=False, get="ntk")
        np.testing.assert_allclose(kernel[0, 1:], ntk(ANGLES, depth) / 2, atol=2e-3)  # float32 angles near pi


def test_sketches_keep_inner_products_of_tensor_products_on_average():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 7)), rng.standard_normal((2, 5))
    exact = (a @ a.T) * (b @ b.T)
    srht = jax.jit(lambda pair: sketches.real_parts(sketches.tensor_srht(jnp.asarray(a), jnp.asarray(b), pair)))
    count = jax.jit(lambda pair: sketches.tensor_count(jnp.asarray(a), jnp.asarray(b), pair, 16))
    for sketch, draw in ((srht, sketches.srht_pair), (count, sketches.count_pair)):
        random = np.random.RandomState(1)
        found = [np.asarray(sketch(draw(random, 7, 5, 16)), float) for _ in range(600)]
        found = np.array([z @ z.T for z in found])
        error = found.std(axis=0) / np.sqrt(len(found))
        assert (abs(found.mean(axis=0) - exact) <= 4 * error).all()
        assert (error < 0.1 * abs(np.diag(exact)).max()).all()


@pytest.mark.parametrize("depth", [1, 3])
def test_polynomial_is_the_least_squares_optimum_with_nonnegative_coefficients(depth):
    c = nh.ntk_polynomial(depth=depth, degree=8)
    angle = np.linspace(0, np.pi, 1000)
    powers = np.cos(angle)[:, None] ** np.arange(9)
    gradient = powers.T @ (powers @ c - ntk(angle, depth)) / 1000
    assert (c >= 0).all()
    assert (gradient > -1e-8).all()
    assert abs(gradient[c > 0]).max() < 1e-8


def test_ntk_sketch_is_unbiased_for_its_polynomial():
    options = {"depth": 2, "degree": 4, "n_components": 128}
    mean, error = means_and_errors(lambda seed: nh.NTKSketch(**options, random_state=seed), fan(3), 200)
    polynomial = np.polynomial.polynomial.polyval(np.cos(ANGLES), nh.ntk_polynomial(depth=2, degree=4))
    assert (abs(mean - polynomial / 2) <= 4 * error + 1e-5).all()
    assert (error < 0.2).all()


def test_fewer_features_than_are_computed_are_unbiased_too():
    """Six features of eight; four of nine."""
    mean, error = means_and_errors(lambda seed: nh.NTKRandomFeatures(n_components=6, random_state=seed), fan(3), 400)
    assert (abs(mean - ntk(ANGLES, 1) / 2) <= 4 * error).all()
    assert (error < 0.4).all()
    options = {"depth": 1, "degree": 4, "n_components": 4}
    mean, error = means_and_errors(lambda seed: nh.NTKSketch(**options, random_state=seed), fan(3), 400)
    polynomial = np.polynomial.polynomial.polyval(np.cos(ANGLES), nh.ntk_polynomial(depth=1, degree=4))
    assert (abs(mean - polynomial / 2) <= 4 * error).all()
    assert (error < 0.6).all()


def test_ntk_sketch_of_many_features_is_near_its_polynomial():
    x = fan(3)
    z = nh.NTKSketch(depth=1, degree=8, n_components=8192, random_state=0).fit_transform(x).astype(float)
    polynomial = np.polynomial.polynomial.polyval(np.cos(ANGLES), nh.ntk_polynomial(depth=1, degree=8))
    np.testing.assert_allclose(z[1:] @ z[0], polynomial / 2, atol=0.2)


MAPS = [
    nh.ArcCosineFeatures(n_components=16, random_state=0),
    nh.NTKRandomFeatures(n_components=16, n_gates=8, random_state=0),
    nh.NTKSketch(depth=1, degree=2, n_components=16, random_state=0),
]


@pytest.mark.parametrize("features", MAPS, ids=lambda f: type(f).__name__)
def test_sparse_input_blocks_and_lengths(features, monkeypatch):
    x = np.random.default_rng(0).standard_normal((40, 3)) * (np.arange(40) % 3)[:, None]  # some rows are 0
    whole = features.fit_transform(x)
    assert whole.shape == (40, 16)
    assert (whole[::3] == 0).all()
    np.testing.assert_allclose(features.fit(x).transform(sparse.csr_matrix(x)), whole, atol=1e-6)
    # relu and steps may fall to the other side where w.x rounds differently: nothing here is that close to 0
    np.testing.assert_allclose(features.transform(3 * x), 3 * whole, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(_base, "BLOCK_NUMBERS", 7 * features._numbers_per_row())
    np.testing.assert_allclose(features.transform(x), whole, atol=1e-6)


@pytest.mark.parametrize(
    "features", [*MAPS, nh.NTKRandomFeatures(n_components=16, sketch="count", random_state=0)], ids=repr
)
def test_nothing_inside_is_double_precision_where_x64_is_on(features, x64):
    x = np.eye(3, dtype=np.float32)
    drawn, fold = jax.tree.map(jnp.asarray, features.fit(x).random_numbers_)
    program = str(jax.make_jaxpr(lambda: features._features(drawn, x))())
    assert "f32[" in program
    assert "f64[" not in program
    assert "c128[" not in program
    assert fold is None or fold[0].dtype == np.float32
    assert features.transform(x).dtype == np.float32


def test_a_pipeline_has_the_error_of_the_exact_kernel_s_regression():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((300, 2))
    y = x[:, 0] * x[:, 1] / np.linalg.norm(x, axis=1) + 0.1 * rng.standard_normal(300)
    features = nh.NTKRandomFeatures(n_components=2048, random_state=0)
    model = make_pipeline(features, Ridge(alpha=0.5, fit_intercept=False)).fit(x[:100], y[:100])
    exact = nh.NTKRegressor(ridge=0.5, scale_input=False).fit(x[:100], y[:100])
    assert list(features.get_feature_names_out()[:1]) == ["ntkrandomfeatures0"]
    errors = [np.mean((m.predict(x[100:]) - y[100:]) ** 2) for m in (model, exact)]
    assert errors[1] < 0.5 * y.var()  # it has learnt something
    assert errors[0] == pytest.approx(errors[1], rel=0.3)  # 2048 features: 1/sqrt(2048) times a few


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (nh.ArcCosineFeatures(order=2), "order must be 0 or 1, got 2"),
        (nh.ArcCosineFeatures(directions="cube"), "directions"),
        (nh.ArcCosineFeatures(n_components=0), "n_components"),
        (nh.NTKRandomFeatures(n_gates=0), "n_gates"),
        (nh.NTKRandomFeatures(depth=0), "depth"),
        (nh.NTKRandomFeatures(sketch="fold"), "sketch"),
        (nh.NTKSketch(degree=6), "degree must be a power of 2, got 6"),
        (nh.NTKSketch(inner=0), "inner"),
    ],
)
def test_bad_parameters_are_named(features, message):
    with pytest.raises(ValueError, match=message):
        features.fit(np.ones((3, 2)))


def test_bad_input_is_named():
    features = nh.ArcCosineFeatures(n_components=8).fit(np.ones((3, 2)))
    with pytest.raises(ValueError, match="row 1 has not"):
        features.transform(np.array([[1.0, 1.0], [1e30, 0.0]]))
    with pytest.raises(TypeError, match="depth"):
        nh.ntk_polynomial(depth=1.5, degree=2)


@parametrize_with_checks(MAPS)
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)
