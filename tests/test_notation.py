"""What book/notation.md states as a formula, against explicit Jacobians and the papers' formulas written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_helpers as nh

D, N, DEPTH = 3, 5, 2
SIGMA_W, SIGMA_B = 1.3, 0.4


def _parts(net, params, x):
    """The tangent kernel's part of every parameter, by its explicit Jacobian: {(layer, name): (N, N)}."""
    jacobian = jax.jacobian(lambda p: net.apply(p, x)[:, 0])(params)
    flat = {}
    for layer, leaves in enumerate(jacobian):
        for name, leaf in leaves._asdict().items():
            if leaf is not None:
                rows = leaf.reshape(len(x), -1)
                flat[layer, name] = rows @ rows.T
    return flat


@pytest.mark.parametrize("scale_input", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_parameterizations_agree_at_initialization_and_their_kernels_differ_by_the_table(scale_input, seed):
    width = 6
    options = {
        "d_in": D, "width": width, "depth": DEPTH, "activation": "erf", "sigma_w": SIGMA_W, "sigma_b": SIGMA_B,
        "scale_input": scale_input,
    }  # fmt: skip
    x = jax.random.normal(jax.random.key(10 + seed), (N, D))
    nets = [nh.fcn(**options, parameterization=name) for name in ("ntk", "standard")]
    both = [net.init(key=jax.random.key(seed)) for net in nets]
    outputs = [net.apply(params, x) for net, params in zip(nets, both, strict=True)]
    # The same numbers multiplied in another order: float32 rounding over three layers.
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)

    ntk, standard = (_parts(net, params, x) for net, params in zip(nets, both, strict=True))
    assert ntk.keys() == standard.keys()
    assert len(ntk) == 2 * (DEPTH + 1)
    fan_in = {0: D if scale_input else 1, 1: width, 2: width}
    for (layer, name), part in ntk.items():
        ratio = 1 / SIGMA_B**2 if name == "b" else fan_in[layer] / SIGMA_W**2
        # A few roundings in sums of at most 36 terms.
        np.testing.assert_allclose(standard[layer, name], ratio * part, rtol=2e-4, atol=1e-5 * ratio)


def test_bias_of_zero_scale_is_trained_in_the_standard_parameterization_only():
    options = {"d_in": D, "width": 4, "depth": 1, "sigma_b": 0.0}
    x = jax.random.normal(jax.random.key(0), (N, D))
    for parameterization, biases, trained in [("ntk", "all", 0), ("standard", "all", 2), ("standard", "none", 0)]:
        net = nh.fcn(**options, parameterization=parameterization, biases=biases)
        parts = _parts(net, net.init(key=jax.random.key(1)), x)
        assert sum(name == "b" for _, name in parts) == trained


def test_paper_with_root_two_after_the_activation():
    """Yu, Tian and Chen, eq. (2.1): a = sqrt(2/m) relu(W a + b), f = W a, all parameters standard normal."""
    width, depth = 8, 3
    root2 = 2**0.5
    net = nh.fcn(
        d_in=2,
        width=width,
        depth=depth,
        sigma_w=[1.0, *[root2] * depth],
        sigma_b=[*[1.0] * depth, 0.0],
        scale_input=False,
    )
    params = net.init(key=jax.random.key(3))
    x = jax.random.normal(jax.random.key(4), (N, 2))
    a = x
    for layer in params[:-1]:
        a = (2 / width) ** 0.5 * jnp.maximum(a @ layer.w.T + layer.b, 0)
    # The factors stand elsewhere: float32 rounding over four layers.
    np.testing.assert_allclose(net.apply(params, x), a @ params[-1].w.T, rtol=1e-4, atol=1e-5)


def test_its_kernel_without_biases_on_the_circle():
    """Three hidden layers, unit vectors, no biases: k0 and k1 composed by hand. Theta(x, x) = L + 1 = 4."""
    angles = np.pi * np.arange(6) / 3
    x = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    nngp, ntk = nh.fcn_kernel(x, depth=3, sigma_w=[1.0, 2**0.5, 2**0.5, 2**0.5], scale_input=False)
    s = t = np.clip(np.cos(angles[:4]), -1, 1)
    for _ in range(3):
        k0 = (np.pi - np.arccos(s)) / np.pi
        k1 = (s * (np.pi - np.arccos(s)) + np.sqrt(1 - s**2)) / np.pi
        t, s = t * k0 + k1, np.minimum(k1, 1)
    assert (t[0], s[0]) == pytest.approx((4.0, 1.0))
    # float32 kernels of entries up to 4
    np.testing.assert_allclose(nngp[0, :4], s, atol=1e-5)
    np.testing.assert_allclose(ntk[0, :4], t, atol=1e-5)
