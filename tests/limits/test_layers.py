from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def test_layers_by_hand_equal_the_whole_network():
    @jax.jit
    def network(x):
        state = nh.input_layer(x, sigma_w=1.2, sigma_b=0.3)
        for sigma_w, sigma_b in ((0.9, 0.1), (1.1, 0.0)):
            state = nh.dense_layer(nh.activation_layer(state, "erf"), sigma_w=sigma_w, sigma_b=sigma_b)
        return nh.kernels(state)

    whole = nh.fcn_kernel(X, depth=2, activation="erf", sigma_w=(1.2, 0.9, 1.1), sigma_b=(0.3, 0.1, 0.0))
    for by_hand, kernel in zip(network(X), whole, strict=True):
        np.testing.assert_allclose(by_hand, kernel, rtol=0, atol=1e-6)


def test_first_layer_is_the_affine_kernel():
    state = jax.jit(partial(nh.input_layer, sigma_w=1.5, sigma_b=0.5))(X, X[:2])
    np.testing.assert_allclose(state.nngp, 2.25 * X @ X[:2].T / 3 + 0.25, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(state.ntk, state.nngp)
    bare = jax.jit(partial(nh.input_layer, scale_input=False, with_ntk=False))(X)
    np.testing.assert_allclose(bare.nngp, X @ X.T, rtol=0, atol=1e-5)
    assert bare.ntk is None
    with pytest.raises(ValueError, match="carries no tangent kernel"):
        nh.kernels(bare)


def test_linear_network_in_closed_form():
    # identity activation: S = <x, x'> / d for every depth at sigma_w = 1, T = (depth + 1) S
    nngp, ntk = nh.fcn_kernel(X, depth=4, activation="identity")
    np.testing.assert_allclose(nngp, X @ X.T / 3, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ntk, 5 * X @ X.T / 3, rtol=0, atol=5e-6)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_bias_on_opposite_and_equal_inputs(sign, dtype):
    x = X.astype(dtype)
    state = jax.jit(partial(nh.input_layer, sigma_w=1.0, sigma_b=0.7))(x, sign * x)
    expected = (sign * x.astype(float) @ x.T.astype(float)) / 3 + 0.49
    np.testing.assert_allclose(state.nngp, expected, rtol=0, atol=8 * np.finfo(dtype).eps)
    variance = np.asarray(state.variance1, float)
    np.testing.assert_allclose(
        np.diag(state.gap),
        1 - np.abs(np.diag(expected)) / variance,
        rtol=0,
        atol=8 * np.finfo(dtype).eps,
    )


def test_bad_layers():
    state = nh.input_layer(X)
    with pytest.raises(ValueError, match="sigma_w must be finite and not negative, got -2"):
        nh.dense_layer(state, sigma_w=-2.0)
    with pytest.raises(ValueError, match="unknown name 'nope'"):
        nh.activation_layer(state, "nope")
    with pytest.raises(TypeError, match="x1 must be a real floating-point array"):
        nh.input_layer(X.astype(int))
    with pytest.raises(ValueError, match="same number of columns"):
        nh.input_layer(X, jnp.ones((2, 2)))
