"""The empirical NTK of models of Flax: Linen and NNX.

Flax brings about 100 MB of packages for checkpoints, so it is in no lock. This file runs by name only, and in the
weekly workflow:

    pip install -e ".[libraries]"
    python -m pytest tests/finite/tangents/test_entk_flax.py
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from finite.tangents.libraries import IMAGES, check
from running import BLOCKS, run_block

try:
    from flax import linen, nnx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f'{error}; these tests need Flax: pip install -e ".[libraries]"') from error


class Linen(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.Conv(4, (3, 3), param_dtype=jnp.float64)(x)
        x = linen.BatchNorm(use_running_average=True, param_dtype=jnp.float64)(x)
        x = linen.relu(x)
        x = linen.avg_pool(x, (2, 2), (2, 2))
        x = linen.GroupNorm(num_groups=2, param_dtype=jnp.float64)(x)
        x = linen.tanh(x.reshape(x.shape[0], -1))
        x = linen.Dense(5, param_dtype=jnp.float64)(x)
        x = linen.LayerNorm(param_dtype=jnp.float64)(x)
        return linen.Dense(2, param_dtype=jnp.float64)(linen.gelu(x))


def test_linen(x64):
    x = jnp.asarray(IMAGES)
    model = Linen()
    variables = model.init(jax.random.key(0), x)
    statistics = variables["batch_stats"]  # fixed; only what stands in "params" is trained
    ways = {}
    for layer in ("Conv_0", "Dense_0", "Dense_1"):
        ways |= {f"['{layer}']['kernel']": "structured", f"['{layer}']['bias']": "direct"}
    for layer in ("GroupNorm_0", "LayerNorm_0", "BatchNorm_0"):
        ways |= {f"['{layer}']['scale']": "direct", f"['{layer}']['bias']": "direct"}
    check(lambda params, x: model.apply({"params": params, "batch_stats": statistics}, x), variables["params"], x, ways)


class Nnx(nnx.Module):
    def __init__(self, rngs):
        options = {"rngs": rngs, "param_dtype": jnp.float64}
        self.conv = nnx.Conv(2, 4, (3, 3), **options)
        self.batch_norm = nnx.BatchNorm(4, use_running_average=True, **options)
        self.dense = nnx.Linear(36, 5, **options)
        self.layer_norm = nnx.LayerNorm(5, **options)
        self.readout = nnx.Linear(5, 2, **options)

    def __call__(self, x):
        x = nnx.relu(self.batch_norm(self.conv(x)))
        x = nnx.avg_pool(x, (2, 2), (2, 2)).reshape(x.shape[0], -1)
        return self.readout(nnx.tanh(self.layer_norm(self.dense(x))))


def test_nnx(x64):
    graphdef, params, rest = nnx.split(Nnx(nnx.Rngs(0)), nnx.Param, ...)
    ways = {}
    for layer in ("conv", "dense", "readout"):
        ways |= {f"['{layer}']['kernel'].value": "structured", f"['{layer}']['bias'].value": "direct"}
    for layer in ("batch_norm", "layer_norm"):
        ways |= {f"['{layer}']['scale'].value": "direct", f"['{layer}']['bias'].value": "direct"}
    check(lambda params, x: nnx.merge(graphdef, params, rest)(x), params, jnp.asarray(IMAGES), ways)


@pytest.mark.parametrize("block", [block for block in BLOCKS if "flax" in block], ids=["linen", "nnx"])
def test_the_examples_of_the_book(block):
    assert run_block(block).shape == (4, 4, 2, 2)
