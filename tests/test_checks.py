import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntk_helpers import _checks


def test_samples_pass_through_under_jit():
    seen = jax.jit(lambda x: _checks.as_samples(x, "x"))(jnp.full((2, 2), jnp.nan))
    assert seen.shape == (2, 2)  # values cannot be checked there
    assert _checks.as_samples([[1.0, 2.0]], "x").shape == (1, 2)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (None, TypeError, "x must be an array of shape .*, got NoneType"),
        ("abc", TypeError, "got str"),
        ([[1.0], [1.0, 2.0]], TypeError, "different lengths"),
        (np.ones(3), ValueError, r"one sample is x\[None, :\]"),
        (np.ones((1, 2, 3)), ValueError, r"got shape \(1, 2, 3\)"),
        (np.ones((2, 0)), ValueError, r"got shape \(2, 0\)"),
        (np.ones((2, 2), bool), TypeError, "got dtype bool"),
    ],
)
def test_bad_samples(x, error, message):
    with pytest.raises(error, match=message):
        _checks.as_samples(x, "x")


def test_numbers():
    assert _checks.check_positive_int(np.int64(3), "depth") == 3
    assert _checks.check_nonnegative(2, "sigma") == 2.0
    assert _checks.per_layer(np.array([1.0, 2.0]), "sigma", 2) == (1.0, 2.0)
    for value, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError), ("3", TypeError)):
        with pytest.raises(error, match="depth must be a positive integer"):
            _checks.check_positive_int(value, "depth")
    for value, error in ((-1.0, ValueError), (float("inf"), ValueError), ("1", TypeError), (1j, TypeError)):
        with pytest.raises(error, match="sigma must be"):
            _checks.check_nonnegative(value, "sigma")
    with pytest.raises(ValueError, match="one for each of the 3 layers, got 2 values"):
        _checks.per_layer([1.0, 2.0], "sigma", 3)
