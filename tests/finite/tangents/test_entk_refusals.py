"""What is refused, and that the message names the argument."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh


def f(p, x):
    return jnp.tanh(x @ p["w"])


PARAMS = {"w": np.ones((3, 2), np.float32)}
X = np.arange(12, dtype=np.float32).reshape(4, 3)


def batch_norm(p, x):
    z = x @ p["w"]
    return (z - z.mean(0)) / jnp.sqrt(z.var(0) + 1e-5)


def weakly_coupled(p, x):
    z = x @ p["w"]
    return z + 1e-2 * jnp.roll(z, 1, axis=0)


def reversed_order(p, x):
    return (x @ p["w"])[::-1]


@pytest.mark.parametrize("coupled", [batch_norm, weakly_coupled, reversed_order])
@pytest.mark.parametrize("method", ["structured", "jacobian", "ntkvp"])
def test_coupled_samples_are_refused(coupled, method):
    with pytest.raises(ValueError, match="mixes the samples"):
        nh.empirical_ntk(coupled, PARAMS, X, method=method)


def test_coupled_samples_are_refused_for_one_sample_and_under_jit():
    with pytest.raises(ValueError, match="mixes the samples"):
        nh.empirical_ntk(batch_norm, PARAMS, X[:1])
    with pytest.raises(ValueError, match="mixes the samples"):
        jax.jit(lambda p: nh.empirical_ntk(batch_norm, p, X))(PARAMS)
    with pytest.raises(ValueError, match="mixes the samples"):
        jax.jit(lambda p, x: nh.empirical_ntk(batch_norm, p, x))(PARAMS, X)
    with pytest.raises(ValueError, match="h\\(params, x\\) mixes"):
        nh.tangent_kernel(f, batch_norm, PARAMS, X, X)


def test_outputs_that_cancel_are_no_mixing(x64):
    # The two halves of a mirrored network cancel: its outputs at the start are rounding, which the batch changes.
    net = nh.fcn(d_in=3, width=48, depth=2, activation="tanh", scale_input=False)
    params = net.init(key=jax.random.key(8), dtype=jnp.float64)
    x = np.random.default_rng(0).normal(size=(4, 3))
    kernel = nh.empirical_ntk(nh.mirrored(net).apply, (params, params), x, output="trace")
    assert jnp.allclose(kernel, nh.empirical_ntk(net.apply, params, x, output="trace"), rtol=1e-10)


def test_batch_norm_in_evaluation_mode_is_fine():
    def evaluated(p, x):
        return (x @ p["w"] - p["mean"]) / jnp.sqrt(p["var"] + 1e-5)

    params = {**PARAMS, "mean": jnp.ones(2), "var": jnp.ones(2)}
    mask = {"w": True, "mean": False, "var": False}
    assert nh.empirical_ntk(evaluated, params, X, trainable=mask).shape == (4, 4, 2, 2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x1": X[:, 0] * np.nan}, ValueError, "x1 must be finite"),
        ({"x1": np.float32(1.0) * np.ones(())}, (ValueError, TypeError), "x1"),
        ({"x1": X[:0]}, ValueError, "x1 must have samples"),
        ({"x1": [1.0, 2.0]}, TypeError, "x1 must be an array"),
        ({"x1": {"a": X, "b": X[:2]}}, ValueError, "first axis of one length"),
        ({"x2": X[:, :2]}, ValueError, "same shapes"),
        ({"output": "half"}, ValueError, "output must be"),
        ({"pairs": "some"}, ValueError, "pairs must be"),
        ({"method": "fast"}, ValueError, "method must be"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"batch_size": 2.5}, TypeError, "batch_size"),
        ({"pairs": "same", "x2": X[:2]}, ValueError, "as many samples"),
        ({"trainable": {"v": True}}, ValueError, "trainable must have the tree structure"),
        ({"trainable": {"w": 1.0}}, TypeError, "trainable must be a pytree of True and False"),
        ({"trainable": False}, ValueError, "at least one trainable"),
        ({"params": {"w": np.ones((3, 2), np.int32)}}, ValueError, "at least one trainable"),
        ({"params": {"w": np.ones((3, 2), np.complex64)}}, TypeError, "complex"),
        ({"f": lambda p, x: (x @ p["w"]).sum()}, ValueError, "first axis is the 4 samples"),
        ({"f": lambda p, x: (x @ p["w"]).T}, ValueError, "first axis is the 4 samples"),
        ({"f": lambda p, x: (x @ p["w"], x)}, TypeError, "must return one array"),
        ({"f": lambda p, x: jnp.argmax(x @ p["w"], 1)}, TypeError, "real floating-point"),
        ({"f": lambda p, x: (x @ p["w"])[:, :0]}, ValueError, "at least one output"),
    ],
)
def test_bad_arguments(change, error, message, without_hook):
    arguments = {"f": f, "params": PARAMS, "x1": X, **change}
    positional = [arguments.pop(name) for name in ("f", "params", "x1")]
    with pytest.raises(error, match=message):
        nh.empirical_ntk(*positional, **arguments)


def test_other_bad_arguments(without_hook):
    with pytest.raises(TypeError, match="f must be a function"):
        nh.empirical_ntk(3, PARAMS, X)
    with pytest.raises(ValueError, match="vector must have the shape"):
        nh.ntk_vector_product(f, PARAMS, X, None, jnp.ones((4, 3)))
    with pytest.raises(ValueError, match="equal output shapes"):
        nh.tangent_kernel(f, lambda p, x: x @ p["w"][:, :1], PARAMS, X, output="trace")
    with pytest.raises(TypeError, match="primitive must be the name"):
        nh.register_rule(jnp.sin, lambda call: call.view)
    with pytest.raises(TypeError, match="rule must be a function"):
        nh.register_rule("sin", "view")
