import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

X = np.random.default_rng(0).uniform(-1, 1, size=(4, 2))


def wave(p):
    return jnp.sin(2 * p[:, 0]) * jnp.exp(3 * p[:, 1])


def wave_derivative(times_t, times_x):
    """Closed form: sin(2t) shifted by a quarter period and exp(3x), each with its factor."""
    return 2**times_t * np.sin(2 * X[:, 0] + times_t * np.pi / 2) * 3**times_x * np.exp(3 * X[:, 1])


@pytest.mark.parametrize("mode", ["auto", "taylor", "forward"])
def test_derivatives_of_any_order_against_the_closed_form(mode, x64):
    orders = {"u": (0, 0), "u_t": (1, 0), "u_xx": (0, 2), "u_xxx": (0, 3), "u_tt": (2, 0), "u_xxxxx": (0, 5)}
    orders |= {"u_tx": (1, 1), "u_xt": (1, 1), "u_xtx": (1, 2), "u_ttxx": (2, 2)}
    values = nh.partial_derivatives(wave, jnp.array(X), list(orders), "tx", mode=mode)
    assert list(values) == list(orders)
    for name, order in orders.items():
        # rounding of some ten operations on numbers that are as large as the largest of them
        expected = wave_derivative(*order)
        np.testing.assert_allclose(values[name], expected, rtol=0, atol=1e-13 * np.abs(expected).max(), err_msg=name)


def test_vector_valued_functions_keep_their_components(x64):
    values = nh.partial_derivatives(
        lambda p: jnp.stack([p[:, 0] ** 3, p[:, 0] * p[:, 1]], axis=1), jnp.array(X), ["u_tt", "u_tx"], "tx"
    )
    np.testing.assert_allclose(values["u_tt"], np.stack([6 * X[:, 0], 0 * X[:, 0]], axis=1), atol=1e-14)
    np.testing.assert_allclose(values["u_tx"], np.stack([0 * X[:, 0], 1 + 0 * X[:, 0]], axis=1), atol=1e-14)


def test_an_operation_without_taylor_rule_is_differentiated_all_the_same(x64):
    def f(p):
        return jax.nn.softplus(p[:, 0])

    s = 1 / (1 + np.exp(-X[:, 0]))
    values = nh.partial_derivatives(f, jnp.array(X), ["u_ttt"], "tx")
    np.testing.assert_allclose(values["u_ttt"], s * (1 - s) * (1 - 2 * s), atol=1e-14)
    with pytest.raises(NotImplementedError, match="mode='forward'"):
        nh.partial_derivatives(f, jnp.array(X), ["u_ttt"], "tx", mode="taylor")


def test_bad_names_and_variables_are_explained(without_hook):
    x = jnp.array(X)
    for name in ("u_y", "v", "u_", "ut"):
        with pytest.raises(AttributeError, match=f"got '{name}'"):
            nh.partial_derivatives(wave, x, [name], "tx")
    for variables in ("tt", "tu", "t1", ""):
        with pytest.raises(ValueError, match="variables must be"):
            nh.partial_derivatives(wave, x, ["u_t"], variables)
    with pytest.raises(TypeError, match="variables must be"):
        nh.partial_derivatives(wave, x, ["u_t"], 2)
    with pytest.raises(ValueError, match="a column for each"):
        nh.partial_derivatives(wave, x, ["u_t"], "txy")
    with pytest.raises(ValueError, match="mode must be"):
        nh.partial_derivatives(wave, x, ["u_t"], "tx", mode="reverse")
