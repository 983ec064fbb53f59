"""neural-tangents through the door: values against closed forms and explicit Jacobians, and no trace left on JAX."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from ntk_helpers.nt import PATCHES, stax
from ntk_helpers.nt import neural_tangents as nt

ROOT = Path(__file__).resolve().parent.parent
RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3)).astype(np.float32)
X_TEST = RNG.normal(size=(2, 3)).astype(np.float32)
Y = RNG.normal(size=(5, 2)).astype(np.float32)
W, B = 1.4, 0.3


def architecture(activation, width=16, d_out=1, depth=2):
    layers = []
    for _ in range(depth):
        layers += [stax.Dense(width, W_std=W, b_std=B), activation]
    return stax.serial(*layers, stax.Dense(d_out, W_std=W, b_std=B))


def closed_form(x, activation, depth=2):
    """NNGP and NTK of the architecture in float64: arc-cosine (Cho and Saul 2009) or arcsine (Williams 1997)."""
    x = np.asarray(x, dtype=float)
    nngp = ntk = W**2 * x @ x.T / x.shape[1] + B**2
    for _ in range(depth):
        q = np.diag(nngp)
        if activation == "relu":
            norms = np.sqrt(np.outer(q, q))
            angle = np.arccos(np.clip(nngp / norms, -1, 1))
            value = norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
            derivative = (np.pi - angle) / (2 * np.pi)
        else:
            value = 2 / np.pi * np.arcsin(2 * nngp / np.sqrt(np.outer(1 + 2 * q, 1 + 2 * q)))
            derivative = 4 / np.pi / np.sqrt(np.outer(1 + 2 * q, 1 + 2 * q) - 4 * nngp**2)
        nngp, ntk = W**2 * value + B**2, W**2 * value + B**2 + W**2 * ntk * derivative
    return nngp, ntk


@pytest.mark.parametrize(("name", "activation"), [("relu", stax.Relu()), ("erf", stax.Erf())])
def test_analytic_kernels_are_the_closed_forms(name, activation):
    kernel = architecture(activation)[2](X, None, ("nngp", "ntk"))
    nngp, ntk = closed_form(X, name)
    # float32; neural-tangents' diagonals are off by about 2e-4 of themselves where arccos meets 1
    np.testing.assert_allclose(kernel.nngp, nngp, rtol=5e-4)
    np.testing.assert_allclose(kernel.ntk, ntk, rtol=5e-4)
    off = ~np.eye(len(X), dtype=bool)
    np.testing.assert_allclose(kernel.nngp[off], nngp[off], rtol=0, atol=5e-6 * nngp.max())


def explicit_kernel(apply, params, x1, x2):
    """K[i, j, a, b] from Jacobians, accumulated in float64."""

    def rows(x):
        leaves = jax.tree.leaves(jax.jit(jax.jacrev(apply))(params, x))
        return np.concatenate([np.asarray(leaf, dtype=float).reshape(*leaf.shape[:2], -1) for leaf in leaves], axis=-1)

    return np.einsum("iap,jbp->ijab", rows(x1), rows(x2))


def convolutional():
    return stax.serial(
        stax.Conv(3, (3, 3), padding="SAME", W_std=W, b_std=B),
        stax.Relu(),
        stax.Conv(3, (2, 2), padding="CIRCULAR", W_std=W),
        stax.Gelu(),
        stax.AvgPool((2, 2)),
        stax.Flatten(),
        stax.Dense(2, W_std=W, b_std=B),
    )


IMAGES = RNG.normal(size=(3, 4, 4, 2)).astype(np.float32)


def handwritten(params, x):
    """Not made of stax: a gate, a softmax, a jitted part, a parameter used twice."""
    h = jax.nn.relu(x @ params["w"]) + jnp.tanh(x @ params["w"] * params["gate"])
    h = jax.jit(jax.nn.softmax)(h)
    return jnp.where(h > 0.1, h, 0.5 * h) @ params["v"]


METHODS = ["JACOBIAN_CONTRACTION", "NTK_VECTOR_PRODUCTS", "STRUCTURED_DERIVATIVES"]


@pytest.fixture(scope="module", params=["dense", "convolutional", "handwritten"])
def model(request):
    """A network, its parameters, inputs and explicit kernel, worked out once for the three methods."""
    if request.param == "handwritten":
        x = jnp.array(X)
        shapes = {"w": (3, 4), "v": (4, 2), "gate": (4,)}
        params = {name: jnp.array(RNG.normal(size=shape), dtype=jnp.float32) for name, shape in shapes.items()}
        apply = handwritten
    else:
        dense = request.param == "dense"
        x = jnp.array(X if dense else IMAGES)
        init, apply, _ = architecture(stax.Erf(), width=6, d_out=2) if dense else convolutional()
        params = jax.jit(lambda key: init(key, x.shape)[1])(jax.random.PRNGKey(0))
    return apply, params, x, explicit_kernel(apply, params, x, x[:2])


@pytest.mark.parametrize("method", METHODS)
def test_empirical_kernels_are_the_explicit_jacobians(method, model):
    apply, params, x, expected = model
    kernel_fn = nt.empirical_ntk_fn(apply, trace_axes=(), implementation=nt.NtkImplementation[method])
    kernel = jax.jit(kernel_fn)(x, x[:2], params)
    # float32 sums of up to a few hundred products
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_structured_derivatives_outside_jit():
    init, apply, _ = architecture(stax.Relu(), width=4, depth=1)
    params = init(jax.random.PRNGKey(1), X.shape)[1]
    kernel = nt.empirical_ntk_fn(apply, implementation=3)(X, None, params)
    expected = explicit_kernel(apply, params, jnp.array(X), jnp.array(X))[..., 0, 0]
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_the_automatic_choice_of_a_method(capsys):
    """It compares the operations that XLA counts, and prints them."""
    init, apply, _ = architecture(stax.Erf(), width=2, depth=1)
    params = init(jax.random.PRNGKey(1), X.shape)[1]
    kernel = nt.empirical_ntk_fn(apply, implementation=nt.NtkImplementation.AUTO)(X, None, params)
    expected = explicit_kernel(apply, params, jnp.array(X), jnp.array(X))[..., 0, 0]
    np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert capsys.readouterr().out.count("flops=") == 3


@pytest.mark.parametrize("seed", [0, 1])
def test_monte_carlo_kernels_average_to_the_nngp(seed):
    """One hidden layer: the expected covariance is the NNGP at every width."""
    init, apply, _ = architecture(stax.Relu(), width=8, depth=1)
    groups, size = 20, 20
    kernel_fn = nt.monte_carlo_kernel_fn(
        init, apply, jax.random.PRNGKey(seed), n_samples=range(size, (groups + 1) * size, size)
    )
    running = np.stack([np.asarray(k, dtype=float) for k in kernel_fn(X, None, "nngp")])
    counts = np.arange(1, groups + 1)[:, None, None]
    means = np.diff(running * counts, axis=0, prepend=0)
    z = (means.mean(0) - closed_form(X, "relu", depth=1)[0]) / (means.std(0, ddof=1) / np.sqrt(groups))
    assert np.abs(z).max() < 4


def test_predict_is_the_flow_of_squared_loss():
    """f_t = f_0 + (I - exp(-K t / (N d_out))) (y - f_0) in training: the loss is half a mean over all outputs."""
    kernel = jnp.array(closed_form(X, "erf")[1], dtype=jnp.float32)
    f0 = RNG.normal(size=Y.shape).astype(np.float32)
    f0_test = RNG.normal(size=(2, 2)).astype(np.float32)
    cross = RNG.normal(size=(2, 5)).astype(np.float32)
    predict = nt.predict.gradient_descent_mse(kernel, Y)
    for t in (0.5, 20.0):
        decay = np.eye(5) - scipy.linalg.expm(-np.asarray(kernel, dtype=float) * t / Y.size)
        train, test = predict(t, f0, f0_test, cross)
        np.testing.assert_allclose(train, f0 + decay @ (Y - f0), atol=2e-5)
        expected = f0_test + cross @ np.linalg.solve(np.asarray(kernel, dtype=float), decay @ (Y - f0))
        np.testing.assert_allclose(test, expected, atol=2e-3)  # float32 eigenvectors over the smallest eigenvalue
    step = nt.predict.max_learning_rate(kernel, y_train_size=Y.size)
    np.testing.assert_allclose(step, 2 * Y.size / np.linalg.eigvalsh(np.asarray(kernel, dtype=float))[-1], rtol=1e-4)


def test_predict_of_an_ensemble_is_the_gaussian_posterior():
    kernel_fn = architecture(stax.Erf())[2]
    predict = nt.predict.gradient_descent_mse_ensemble(kernel_fn, X, Y, diag_reg=0.0)
    posterior = predict(x_test=X_TEST, get="nngp", compute_cov=True)
    k = closed_form(np.concatenate([X, X_TEST]), "erf")[0]
    weights = np.linalg.solve(k[:5, :5], k[:5, 5:])
    np.testing.assert_allclose(posterior.mean, weights.T @ Y, atol=1e-3)
    np.testing.assert_allclose(posterior.covariance, k[5:, 5:] - k[5:, :5] @ weights, atol=1e-3)


def test_batching():
    kernel_fn = architecture(stax.Relu())[2]
    # no two inputs alike: there neural-tangents' float32 arccos is off by 2e-4, one way or the other
    whole = kernel_fn(X[:4], X_TEST, "ntk")
    np.testing.assert_allclose(
        nt.batch(kernel_fn, batch_size=2, device_count=0)(X[:4], X_TEST, "ntk"), whole, rtol=1e-5
    )


def test_experimental_says_what_it_needs():
    with pytest.raises(ImportError, match="TensorFlow"):
        _ = nt.experimental.empirical_ntk_fn_tf


def test_every_patch_has_a_reason():
    assert len({(patch.where, patch.name) for patch in PATCHES}) == len(PATCHES)
    assert all(len(patch.why) > 10 for patch in PATCHES)
    assert all(patch.make() is not None for patch in PATCHES)


def in_fresh_python(code):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


NO_TRACE = """
import importlib, sys, types
import jax, jax.core, jax.extend.core, jax.interpreters.ad, scipy.linalg
modules = [sys.modules[name] for name in ("jax", "jax.core", "jax.interpreters.ad", "jax.numpy", "scipy.linalg")]
modules += [m for m in [sys.modules.get("jax.util")] if m]
import warnings
try:  # a user's own attempt comes first, and fails on a current JAX
    with warnings.catch_warnings(action="ignore"):
        import neural_tangents
    raise SystemExit("neural_tangents imports without the door: is the door still needed?")
except (ImportError, AttributeError):
    pass
before = [dict(vars(m)) for m in modules]
util_before = sys.modules.get("jax.util")
import ntk_helpers.nt as door
first = door.neural_tangents
importlib.reload(door)
assert door.neural_tangents is first
import neural_tangents
assert neural_tangents is first
for module, old in zip(modules, before):
    for name, value in vars(module).items():
        if name not in old:  # a submodule that was imported on the way may appear, nothing else
            assert isinstance(value, types.ModuleType) and f"{module.__name__}.{name}" in sys.modules, (module, name)
        else:
            assert value is old[name], (module, name)
    assert set(old) <= set(vars(module))
assert sys.modules.get("jax.util") is util_before
assert not [name for name in sys.modules if name.startswith(("tensorflow", "tf2jax"))]
print("clean")
"""


def test_the_door_leaves_no_trace_on_jax_and_imports_no_tensorflow():
    assert in_fresh_python(NO_TRACE).strip() == "clean"


MISSING = """
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "neural_tangents" else find_spec(name, *a)
try:
    import ntk_helpers.nt
except ModuleNotFoundError as error:
    print(error)
"""


def test_where_it_is_missing_the_error_gives_the_pip_line():
    message = in_fresh_python(MISSING)
    assert "pip install --no-deps neural-tangents" in message
    assert "frozendict" in message
    assert "pip install --no-deps -r requirements-nt.txt" in message
