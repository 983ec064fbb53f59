"""The empirical NTK of models of Equinox, neural-tangents' stax, JAX's stax, and plain functions.

Each has a convolution, a norm layer where the library has one, and dense layers. Those of Flax: test_entk_flax.py.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from finite.tangents.libraries import IMAGES, check
from jax import lax
from jax.example_libraries import stax as jax_stax

import ntk_helpers as nh
from ntk_helpers.nt import stax


def test_equinox(x64):
    keys = jax.random.split(jax.random.key(0), 3)
    model = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(2, 4, 3, padding=1, key=keys[0]),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.GroupNorm(2, 4),
            eqx.nn.AvgPool2d(2, 2),
            eqx.nn.Lambda(jnp.ravel),
            eqx.nn.Linear(36, 5, key=keys[1]),
            eqx.nn.LayerNorm(5),
            eqx.nn.Lambda(jnp.tanh),
            eqx.nn.RMSNorm(5),
            eqx.nn.Linear(5, 2, key=keys[2]),
        ]
    )
    params, static = eqx.partition(model, eqx.is_inexact_array)
    ways = {}
    for layer in (0, 2, 5, 6, 8, 9):
        ways[f".layers[{layer}].weight"] = "structured" if layer in (0, 5, 9) else "direct"
        ways[f".layers[{layer}].bias"] = "direct"
    x = jnp.moveaxis(jnp.asarray(IMAGES), -1, 1)  # Equinox has channels first
    check(lambda params, x: jax.vmap(eqx.combine(params, static))(x), params, x, ways)


def test_a_part_of_an_equinox_model(x64):
    """A filter of eqx.partition chooses what is trained: here the last layer alone."""
    model = eqx.nn.MLP(3, 2, width_size=4, depth=1, key=jax.random.key(1))
    last = eqx.tree_at(lambda m: m.layers[-1].weight, jax.tree.map(lambda _: False, model), True)
    params, static = eqx.partition(model, last)
    x = jnp.asarray(IMAGES[:, 0, :3, 0])
    kernel = check(
        lambda params, x: jax.vmap(eqx.combine(params, static))(x), params, x, {".layers[1].weight": "structured"}
    )
    hidden = jax.nn.relu(x @ model.layers[0].weight.T + model.layers[0].bias)
    assert jnp.allclose(kernel, jnp.einsum("nh,mh,op->nmop", hidden, hidden, jnp.eye(2)), atol=1e-12)


def test_stax_of_neural_tangents_through_the_door(x64):
    init, apply, _ = stax.serial(
        stax.Conv(4, (3, 3), padding="SAME", W_std=1.4, b_std=0.3),
        stax.LayerNorm(),
        stax.Relu(),
        stax.AvgPool((2, 2), (2, 2)),
        stax.Flatten(),
        stax.Dense(5, b_std=0.1),
        stax.Erf(),
        stax.Dense(2, b_std=0.1, parameterization="standard"),
    )
    x = jnp.asarray(IMAGES)
    params = init(jax.random.key(0), x.shape)[1]
    ways = {f"[{layer}][{i}]": ("structured", "direct")[i] for layer in (0, 5, 7) for i in (0, 1)}
    check(apply, params, x, ways)


def jax_stax_network():
    return jax_stax.serial(
        jax_stax.Conv(4, (3, 3), padding="SAME"),
        jax_stax.Relu,
        jax_stax.AvgPool((2, 2), (2, 2)),
        jax_stax.Flatten,
        jax_stax.FanOut(2),
        jax_stax.parallel(jax_stax.Identity, jax_stax.Dense(36)),
        jax_stax.FanInSum,
        jax_stax.Dense(2),
    )


def test_stax_of_jax(x64):
    x = jnp.asarray(IMAGES)
    init, apply = jax_stax_network()
    params = init(jax.random.key(0), x.shape)[1]
    ways = {f"{layer}[{i}]": ("structured", "direct")[i] for layer in ("[0]", "[5][1]", "[7]") for i in (0, 1)}
    check(apply, params, x, ways)


def test_batch_norm_of_jax_stax_couples_the_batch(x64):
    """It always uses the statistics of the batch: no kernel of pairs of samples exists, and that is said."""
    x = jnp.asarray(IMAGES)
    init, apply = jax_stax.serial(jax_stax.Conv(2, (3, 3)), jax_stax.BatchNorm(), jax_stax.Flatten)
    with pytest.raises(ValueError, match="mixes the samples"):
        nh.empirical_ntk(apply, init(jax.random.key(0), x.shape)[1], x)


def plain(params, x):
    """No library: a convolution, a layer norm, a residual block and a readout in a dictionary of arrays."""
    conv = lax.conv_general_dilated(
        x, params["conv"]["kernel"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    h = jax.nn.gelu(conv + params["conv"]["bias"]).reshape(x.shape[0], -1)
    mean, var = h.mean(-1, keepdims=True), h.var(-1, keepdims=True)
    h = (h - mean) * lax.rsqrt(var + 1e-6) * params["norm"]["scale"] + params["norm"]["bias"]
    h = h + jnp.tanh(h @ params["dense"]["kernel"] + params["dense"]["bias"])
    return h @ params["readout"]


def test_plain_function(x64):
    shapes = {
        "conv": {"kernel": (3, 3, 2, 4), "bias": (4,)},
        "norm": {"scale": (36,), "bias": (36,)},
        "dense": {"kernel": (36, 36), "bias": (36,)},
        "readout": (36, 2),
    }
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda shape: isinstance(shape, tuple))
    keys = jax.random.split(jax.random.key(0), len(leaves))
    params = jax.tree.unflatten(
        tree, [jax.random.normal(key, shape) / shape[0] ** 0.5 for key, shape in zip(keys, leaves, strict=True)]
    )
    ways = {f"['{layer}']['kernel']": "structured" for layer in ("conv", "dense")} | {"['readout']": "structured"}
    ways |= {f"['{layer}']['bias']": "direct" for layer in ("conv", "dense", "norm")} | {"['norm']['scale']": "direct"}
    check(plain, params, jnp.asarray(IMAGES), ways)
