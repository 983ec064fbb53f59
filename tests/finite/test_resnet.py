import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
NET = nh.resnet(d_in=3, width=8, depth=2, d_out=2, alpha=0.7)


def test_the_formula():
    """The network written out in NumPy, with biases that are not zero, as after training."""
    params = NET.init(key=jax.random.key(0))
    params = jax.tree.map(lambda p: p + 0.1, params)
    host = jax.tree.map(lambda p: np.asarray(p, float), params)
    h = (X.astype(float) @ host.first.w.T + host.first.b) / np.sqrt(8)
    for (w, b), (v, d) in host.blocks:
        h = h + 0.7 / np.sqrt(8) * (np.sqrt(2 / 8) * np.maximum(h @ w.T + b, 0) @ v.T + d)
    np.testing.assert_allclose(NET.apply(params, X), h @ host.readout.w.T, rtol=2e-5, atol=2e-5)


def test_without_biases():
    """The variant of Belfer et al.: the same network where the biases are zero, and it has none."""
    plain = nh.resnet(d_in=3, width=8, depth=2, d_out=2, alpha=0.7, variant="belfer2024")
    params, biased = plain.init(key=jax.random.key(0)), NET.init(key=jax.random.key(0))
    assert {p.ndim for p in jax.tree.leaves(params)} == {2}
    zero = jax.tree.map(lambda p: p if p.ndim == 2 else 0 * p, biased)
    own = params._replace(
        first=params.first._replace(w=zero.first.w), readout=zero.readout,
        blocks=tuple(b._replace(inner=b.inner._replace(w=z.inner.w), outer=b.outer._replace(w=z.outer.w))
                     for b, z in zip(params.blocks, zero.blocks, strict=True)))  # fmt: skip
    np.testing.assert_allclose(plain.apply(own, X), NET.apply(zero, X), rtol=1e-6)


def test_start():
    params = NET.init(key=jax.random.key(1), dtype=jnp.float32)
    assert {p.dtype.name for p in jax.tree.leaves(params)} == {"float32"}
    for (w, b), (v, d) in params.blocks:
        assert not b.any()
        assert not d.any()
        assert w.shape == v.shape == (8, 8)
    assert params.first.b.any()  # the first bias is drawn, the others start at 0
    numbers = np.concatenate([p.ravel() for p in jax.tree.leaves(nh.resnet(d_in=9, width=99, depth=2).init(
        key=jax.random.key(2)))])  # fmt: skip
    numbers = numbers[numbers != 0]
    assert abs(numbers.std() - 1) < 4 / np.sqrt(2 * numbers.size)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"variant": "resnet50"}, "variant"),
        ({"alpha": -1.0}, "alpha"),
        ({"depth": 0}, "depth"),
        ({"width": 0}, "width"),
    ],
)
def test_bad_hyperparameters_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        nh.resnet(**{"d_in": 3, "width": 8, "depth": 2, **change})


def test_bad_inputs_are_named():
    params = NET.init(key=jax.random.key(0))
    with pytest.raises(ValueError, match="d_in = 3"):
        NET.apply(params, X[:, :2])
    with pytest.raises(ValueError, match="depth = 2"):
        NET.apply(params._replace(blocks=params.blocks[:1]), X)
