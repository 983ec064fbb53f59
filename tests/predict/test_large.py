"""Blocked products, matrices and solves against NumPy's and SciPy's with the whole matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from jax.sharding import Mesh
from predict.large_problem import BLOCK, POINTS, RIDGE, SETTINGS, TOLERANCE, X_TEST, X, Y, kernel

import ntk_helpers as nh
from ntk_helpers.predict.large.preconditioner import Woodbury

pytestmark = pytest.mark.usefixtures("x64")


def linear(a, b):
    return a @ b.T


@pytest.fixture(scope="module")
def dense():
    """The matrix, its smallest and largest eigenvalue with the ridge, and SciPy's solution."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    matrix = np.asarray(kernel(X, X))
    jax.config.update("jax_enable_x64", before)
    shifted = matrix + RIDGE * np.eye(POINTS)
    values = np.linalg.eigvalsh(shifted)
    return matrix, values[0], values[-1], scipy.linalg.solve(shifted, Y, assume_a="pos")


def error_allowed(smallest):
    """|a - a*| <= |residual| / lambda_min, column by column."""
    return TOLERANCE * np.linalg.norm(Y, axis=0).max() / smallest


def test_matrix_from_tiles(dense):
    np.testing.assert_allclose(nh.large_gram(kernel, X, block=BLOCK), dense[0], rtol=1e-13)
    rectangle = nh.large_gram(kernel, X_TEST, X, block=BLOCK)
    np.testing.assert_allclose(rectangle, np.asarray(kernel(X_TEST, X)), rtol=1e-13)
    # a tile larger than the data, and points with more than one axis
    images = X.reshape(-1, 3, 1)[:20]
    flat = lambda a, b: linear(a[:, :, 0], b[:, :, 0])  # noqa: E731
    np.testing.assert_allclose(nh.large_gram(flat, images, block=100), X[:20] @ X[:20].T, rtol=1e-13, atol=1e-15)


def test_product_without_the_matrix(dense):
    np.testing.assert_allclose(nh.large_product(kernel, X, None, Y, block=BLOCK), dense[0] @ Y, rtol=0, atol=1e-12)
    found = nh.large_product(kernel, X_TEST, X, Y[:, 0], block=BLOCK)
    np.testing.assert_allclose(found, np.asarray(kernel(X_TEST, X)) @ Y[:, 0], rtol=0, atol=1e-12)
    axes = Mesh(np.array(jax.devices()).reshape(1, 1, -1), ("one", "two", "three"))
    np.testing.assert_allclose(nh.large_product(linear, X, None, Y, block=7, mesh=axes), X @ (X.T @ Y), atol=1e-12)


@pytest.mark.parametrize("features", [None, "nystroem"])
def test_conjugate_gradients_solve(dense, features):
    _, smallest, largest, exact = dense
    asked = None if features is None else nh.nystroem_features(kernel, X[:40])
    found = nh.large_ridge(kernel, X, Y, method="cg", features=asked, **SETTINGS)
    assert np.linalg.norm(found.coefficients - exact, axis=0).max() < error_allowed(smallest)
    true = np.linalg.norm(Y - (dense[0] + RIDGE * np.eye(POINTS)) @ found.coefficients, axis=0)
    assert (true <= TOLERANCE * np.linalg.norm(Y, axis=0) * (1 + 1e-3)).all()
    assert found.residual <= TOLERANCE
    assert found.history.shape == (found.iterations, 2)
    assert found.plan.method == "cg"
    # Chebyshev's bound on the error in the energy norm, turned into one on the residual
    condition = largest / smallest
    if features is None:
        bound = 0.5 * np.sqrt(condition) * np.log(2 * np.sqrt(condition) / TOLERANCE)
    else:
        z = np.asarray(asked(X))
        inner = z @ z.T + RIDGE * np.eye(POINTS)
        values = scipy.linalg.eigvalsh(dense[0] + RIDGE * np.eye(POINTS), inner)
        assert values[0] > 1 - 1e-6  # Nystroem never exceeds the kernel
        better = values[-1] / values[0]
        bound = 0.5 * np.sqrt(better) * np.log(2 * np.sqrt(better * np.linalg.cond(inner)) / TOLERANCE)
    assert found.iterations <= np.ceil(bound)


def test_preconditioner_saves_iterations(dense):
    plain = nh.large_ridge(kernel, X, Y, method="cg", **SETTINGS)
    helped = nh.large_ridge(kernel, X, Y, method="cg", features=nh.nystroem_features(kernel, X[:40]), **SETTINGS)
    assert helped.iterations < plain.iterations / 2
    exact = nh.large_ridge(linear, X, Y, method="cg", features=lambda x: np.asarray(x), **SETTINGS)
    assert exact.iterations <= 2  # its features are those of the kernel itself


def test_cholesky_solves(dense):
    found = nh.large_ridge(kernel, X, Y[:, 0], method="cholesky", **SETTINGS)
    np.testing.assert_allclose(found.coefficients, dense[3][:, 0], rtol=0, atol=1e-10)
    assert found.iterations == 0
    assert found.residual < 1e-12
    assert nh.large_ridge(kernel, X, Y, **SETTINGS).plan.method == "cholesky"  # it fits
    small = nh.large_ridge(kernel, X, Y, host_memory=100_000, device_memory=10**9, **SETTINGS)
    assert small.plan.method == "cg"  # 8 n^2 bytes are 180 000


def test_columns_are_independent():
    """A column that is solved at once does not disturb the others; zero stays zero."""
    y = np.stack([Y[:, 0], np.zeros(POINTS), 1e6 * Y[:, 1]], axis=1)
    together = nh.large_ridge(kernel, X, y, method="cg", **SETTINGS)
    for i in (0, 2):
        alone = nh.large_ridge(kernel, X, y[:, i], method="cg", **SETTINGS)
        scale = np.abs(alone.coefficients).max()
        np.testing.assert_allclose(together.coefficients[:, i], alone.coefficients, rtol=0, atol=1e-6 * scale)
    assert (together.coefficients[:, 1] == 0).all()
    assert nh.large_ridge(kernel, X, 0 * Y, method="cg", **SETTINGS).iterations == 0


def test_woodbury_is_the_inverse():
    z = X[:, :2]
    expected = np.linalg.solve(z @ z.T + 0.3 * np.eye(POINTS), Y)
    np.testing.assert_allclose(Woodbury(z, 0.3)(Y), expected, rtol=0, atol=1e-12)


def test_nystroem_is_exact_where_the_rank_is_enough():
    z = nh.nystroem_features(linear, X[:5])  # five landmarks, of rank three: singular
    np.testing.assert_allclose(z(X) @ z(X).T, X @ X.T, atol=1e-6)


def test_single_precision_says_where_it_ends():
    x, y = X.astype(np.float32), Y.astype(np.float32)
    found = nh.large_ridge(kernel, x, y, ridge=1.0, tolerance=1e-4, method="cg", block=BLOCK)
    matrix = np.asarray(kernel(x, x), float)
    residual = np.linalg.norm(y - matrix @ found.coefficients - found.coefficients, axis=0)
    assert (residual <= 1.1e-4 * np.linalg.norm(y, axis=0)).all()
    with pytest.raises(nh.NotConverged, match="rounding of the float32") as caught:
        nh.large_ridge(kernel, x, y, ridge=1e-3, tolerance=2e-6, method="cg", block=BLOCK)
    assert 2e-6 < caught.value.residual < 1
    with pytest.raises(nh.NotConverged, match="rounding of the float32"):
        nh.large_ridge(kernel, x, y, ridge=1e-3, tolerance=2e-6, method="cholesky", block=BLOCK)
    with pytest.raises(ValueError, match="tolerance = 1e-12 is below the rounding of float32"):
        nh.large_ridge(kernel, x, y, ridge=1.0, tolerance=1e-12, method="cg", block=BLOCK)


def test_no_convergence_is_an_error():
    with pytest.raises(nh.NotConverged, match=r"max_iterations = 3: the residual is .*preconditioner") as caught:
        nh.large_ridge(kernel, X, Y, method="cg", max_iterations=3, **SETTINGS)
    assert caught.value.iterations == 3
    indefinite = lambda a, b: linear(a, b) - 0.5 * jnp.exp(-jnp.sum((a[:, None] - b) ** 2, -1))  # noqa: E731
    for method, error in (("cg", nh.NotConverged), ("cholesky", ValueError)):
        with pytest.raises(error, match="positive definite"):
            nh.large_ridge(indefinite, 3 * X, Y, method=method, **SETTINGS)


def test_plan_counts_what_is_held():
    def planned(n=10**6, d=10, **options):
        limits = {"device_memory": 10**9, "host_memory": 2 * 10**10}
        return nh.plan_ridge(linear, n, d, **{"features": 1000, "dtype": "float64"} | limits | options)

    plan = planned()
    assert (plan.method, plan.devices) == ("cg", jax.device_count())
    assert plan.entries == 10**6 * (10**6 + 1) // 2
    assert plan.host_bytes > 8 * 10**6 * 1010  # features and points
    assert plan.host_bytes < 10**10
    assert 8 * 10**7 < plan.device_bytes < 10**9
    assert planned(device_memory=2 * 10**8, block=None).block < plan.block or plan.device_bytes < 2 * 10**8
    dense = planned(n=10**4)
    assert dense.method == "cholesky"
    assert 8e8 < dense.host_bytes < 9e8
    assert planned(n=10**4, method="cg").host_bytes < dense.host_bytes
    with pytest.raises(ValueError, match=r'cholesky needs .* method="cg" needs less'):
        planned(method="cholesky")
    with pytest.raises(ValueError, match=r"a device needs .* take fewer columns"):
        planned(device_memory=10**7)
    with pytest.raises(ValueError, match=r"cg needs .* fewer features"):
        planned(host_memory=10**9)


def test_tile_fits_where_the_plan_says_so():
    """Two of the numbers of the plan, measured: the tile of a linear kernel is one matrix."""
    one, two = (
        nh.plan_ridge(linear, 4096, 2, dtype="float64", block=b, device_memory=10**9, host_memory=10**10)
        for b in (512, 1024)
    )
    tile = 8 * (1024**2 - 512**2)
    assert tile <= two.device_bytes - one.device_bytes < 3 * tile


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": X[0]}, ValueError, "x must have shape"),
        ({"x": X.astype(int)}, TypeError, "x must be float32 or float64"),
        ({"x": np.where(X > 2, np.nan, X)}, ValueError, "x must be finite"),
        ({"y": Y[:-1]}, ValueError, "y must have one row for each of the 150 points"),
        ({"y": Y * np.inf}, ValueError, "y must be finite"),
        ({"ridge": 0.0}, ValueError, "ridge must be positive"),
        ({"ridge": -1.0}, ValueError, "ridge must be finite and not negative"),
        ({"tolerance": 2.0}, ValueError, "tolerance must be between 0 and 1"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be a positive integer"),
        ({"block": 0}, ValueError, "block must be a positive integer"),
        ({"method": "lu"}, ValueError, "method must be one of"),
        ({"mesh": 8}, TypeError, "mesh must be a jax.sharding.Mesh"),
        ({"kernel": lambda a, b: nh.fcn_kernel(a, b, depth=1)}, TypeError, 'get="ntk"'),
        ({"kernel": lambda a, b: jnp.sum(a) + jnp.sum(b)}, ValueError, r"real array \(n1, n2\)"),
        ({"kernel": 3}, TypeError, "kernel must be a function"),
        ({"kernel": lambda a, b: a @ b.T + jnp.sum(a * a, 1)[:, None]}, ValueError, "kernel must be symmetric"),
        ({"kernel": lambda a, b: -a @ b.T}, ValueError, "kernel must not be negative on the diagonal"),
        ({"kernel": lambda a, b: jnp.log(a @ b.T)}, ValueError, "kernel returned NaN"),
        ({"features": lambda x: np.ones(3)}, ValueError, "features must map points"),
        ({"features": lambda x: np.full((len(x), 2), np.nan)}, ValueError, "features returned NaN"),
        ({"features": lambda x: x, "method": "cholesky"}, ValueError, "features are a preconditioner"),
    ],
)
def test_bad_input(without_hook, change, error, message):
    given = {"kernel": linear, "x": X, "y": Y, "ridge": RIDGE, "method": "cg", "block": BLOCK} | change
    with pytest.raises(error, match=message):
        nh.large_ridge(given.pop("kernel"), given.pop("x"), given.pop("y"), **given)


def test_bad_input_of_the_others(without_hook):
    with pytest.raises(ValueError, match="x1 and x2 must differ in the number of points only"):
        nh.large_gram(linear, X, X[:, :2])
    with pytest.raises(ValueError, match="v must have one row for each of the 150 points"):
        nh.large_product(linear, X_TEST, X, Y[:3])
    with pytest.raises(TypeError, match="not inside jit"):
        jax.jit(lambda x: nh.large_gram(linear, x))(X)
    # NaN that the probe of eight points does not meet is found in the tile
    holes = lambda a, b: jnp.where(a[:, :1] == X[3, 0], jnp.nan, a @ b.T)  # noqa: E731
    with pytest.raises(ValueError, match="NaN or infinite entries in rows 0 to 31, columns 0 to 31"):
        nh.large_gram(holes, X, block=BLOCK)
    with pytest.raises(ValueError, match="at row 3 of the matrix"):
        nh.large_product(holes, X, None, Y, block=BLOCK)
