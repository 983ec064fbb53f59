import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import ntk_helpers as nh
from ntk_helpers.activations import ACTIVATIONS, resolve_activation

Z = np.linspace(-3, 3, 13)
BY_HAND = {
    "identity": Z,
    "relu": np.where(Z > 0, Z, 0),
    "leaky_relu": np.where(Z > 0, Z, 0.01 * Z),
    "abs": np.abs(Z),
    "erf": scipy.special.erf(Z),
    "sin": np.sin(Z),
    "cos": np.cos(Z),
    "gelu": Z * scipy.special.ndtr(Z),
    "tanh": np.tanh(Z),
    "sigmoid": scipy.special.expit(Z),
    "softplus": np.log1p(np.exp(Z)),
}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_values(name):
    np.testing.assert_allclose(nh.activation(name)(jnp.asarray(Z, jnp.float32)), BY_HAND[name], rtol=0, atol=1e-6)


def test_parameters():
    assert float(nh.activation("leaky_relu", negative_slope=-0.5)(jnp.array(-2.0))) == 1.0
    assert float(nh.activation("sin", scale=2.0)(jnp.array(0.25))) == pytest.approx(np.sin(0.5), rel=1e-6)
    phi = nh.activation("erf", scale=3.0)
    assert phi["scale"] == 3.0
    again = nh.activation("erf", scale=3)
    assert phi is again  # the same object, or jit would compile every kernel again
    assert phi == again
    assert hash(phi) == hash(again)
    assert phi != nh.activation("erf", scale=2.0)


def test_resolve():
    assert resolve_activation("relu") is nh.activation("relu")
    assert resolve_activation(nh.activation("cos")).name == "cos"
    custom = resolve_activation(jnp.tanh)
    assert custom.name == "custom"
    assert custom == resolve_activation(jnp.tanh)


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        ("rleu", {}, "unknown name 'rleu'; known are abs, cos"),
        ("relu", {"slope": 1.0}, "'relu' has no parameter 'slope'; its parameters: none"),
        ("erf", {"b": 1.0}, "'erf' has no parameter 'b'; its parameters: scale"),
        ("sin", {"scale": float("inf")}, "scale of 'sin' must be a finite number, got inf"),
    ],
)
def test_bad_names_and_parameters(arguments, parameters, message):
    with pytest.raises(ValueError, match=message):
        nh.activation(arguments, **parameters)


def test_bad_type(without_hook):
    with pytest.raises(TypeError, match="must be a name, an Activation or a callable, got int"):
        resolve_activation(3)
