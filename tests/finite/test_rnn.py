import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

X = np.random.default_rng(0).normal(size=(3, 5, 2)).astype(np.float32)
LENGTHS = np.array([5, 3, 1])
SIGMAS = {"sigma_w": 1.2, "sigma_u": 0.8, "sigma_b": 0.3, "sigma_v": 1.1}


def by_hand(params, x, pooling, phi, width):
    """One network on one sequence, in NumPy."""
    hidden = [np.zeros(width) for _ in params.layers]
    states = []
    for x_t in x:
        below = x_t
        for i, (w, u, b) in enumerate(params.layers):
            g = 1.2 / np.sqrt(width) * w @ hidden[i] + 0.8 / np.sqrt(len(below)) * u @ below + 0.3 * b
            hidden[i] = below = phi(g)
        states.append(below)
    scale = 1.1 / np.sqrt(width)
    if pooling == "steps":
        return scale * sum(v @ h for v, h in zip(params.readout, states, strict=False)) / np.sqrt(len(x))
    return scale * params.readout @ (states[-1] if pooling == "last" else np.mean(states, axis=0))


@pytest.mark.parametrize(
    ("pooling", "depth", "both_ways"), [("last", 2, False), ("steps", 1, True), ("shared", 1, False)]
)
def test_the_formula(pooling, depth, both_ways):
    """The network written out in NumPy, sequence by sequence, each as long as it is."""
    net = nh.rnn(d_in=2, width=6, depth=depth, d_out=2, activation="tanh", pooling=pooling, bidirectional=both_ways,
                 steps=7 if pooling == "steps" else None, **SIGMAS)  # fmt: skip
    params = net.init(key=jax.random.key(0), dtype=jnp.float32)
    found = jax.jit(net.apply)(params, X, LENGTHS)
    host = jax.tree.map(lambda p: np.asarray(p, float), params)
    for x, length, f in zip(X.astype(float), LENGTHS, found, strict=True):
        ways = [(host[0], x[:length]), (host[1], x[:length][::-1])] if both_ways else [(host, x[:length])]
        np.testing.assert_allclose(f, sum(by_hand(p, s, pooling, np.tanh, 6) for p, s in ways), rtol=2e-5, atol=2e-6)


def test_parameterizations_are_one_function():
    nets = [nh.rnn(d_in=2, width=6, depth=2, parameterization=p, **SIGMAS) for p in ("ntk", "standard")]
    first, second = (net.apply(net.init(key=jax.random.key(1)), X, LENGTHS) for net in nets)
    np.testing.assert_allclose(first, second, rtol=2e-5)
    no_bias = nh.rnn(d_in=2, width=6)
    assert no_bias.init(key=jax.random.key(0)).layers[0].b is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"width": 0}, "width"),
        ({"depth": 0}, "depth"),
        ({"sigma_u": -1.0}, "sigma_u"),
        ({"pooling": "mean"}, "pooling"),
        ({"pooling": "steps"}, "steps"),
        ({"steps": 3}, "steps"),
        ({"parameterization": "mup"}, "parameterization"),
    ],
)
def test_bad_hyperparameters_are_named(change, word, without_hook):
    with pytest.raises(ValueError, match=word):
        nh.rnn(**{"d_in": 2, "width": 6, **change})


def test_bad_inputs_are_named(without_hook):
    net = nh.rnn(d_in=2, width=6, pooling="steps", steps=4)
    params = net.init(key=jax.random.key(0))
    with pytest.raises(ValueError, match="at most steps = 4"):
        net.apply(params, X)
    with pytest.raises(ValueError, match="d_in = 2"):
        net.apply(params, X[:, :4, :1])
    with pytest.raises(ValueError, match="depth = 1"):
        net.apply(params._replace(layers=params.layers * 2), X[:, :4])
    with pytest.raises(ValueError, match="lengths must be between 1 and T = 4"):
        net.apply(params, X[:, :4], LENGTHS)
    with pytest.raises(TypeError, match="integers"):
        net.apply(params, X[:, :4], np.ones(3))
    with pytest.raises(ValueError, match=r"\(N, T, m\)"):
        net.apply(params, X[0])
