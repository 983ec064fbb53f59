import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import ntk_helpers as nh

RNG = np.random.default_rng(3)
X1, X2 = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3))
X1[0] = 0


def by_backward_sums(x, z, depth, alpha):
    """The NTK by the paper's route, a sum over blocks of forward times backward factors, in 40 digits; and S."""
    with mpmath.workdps(40):
        x, z = ([mpmath.mpf(float(v)) for v in row] + [mpmath.mpf(1)] for row in (x, z))
        dot = lambda a, b: mpmath.fsum(p * q for p, q in zip(a, b, strict=True))  # noqa: E731
        size, a2 = mpmath.sqrt(dot(x, x) * dot(z, z)), mpmath.mpf(alpha) ** 2
        s, blocks = dot(x, z), []
        for _ in range(depth):
            c = min(max(s / size, -1), 1)
            k0 = (mpmath.pi - mpmath.acos(c)) / mpmath.pi
            k1 = (c * (mpmath.pi - mpmath.acos(c)) + mpmath.sqrt(1 - c**2)) / mpmath.pi
            blocks.append((s, k0, size * k1))
            s, size = s + a2 * size * k1, size * (1 + a2)
        backward, ntk = mpmath.mpf(1), s
        for below, k0, branch in reversed(blocks):
            ntk += a2 * backward * (branch + 1 + k0 * (below + 1))
            backward *= 1 + a2 * k0
        return float(s), float(ntk + backward * dot(x, z))


@pytest.mark.parametrize(("depth", "alpha"), [(1, 1.0), (3, 0.5), (20, 0.3)])
def test_sums_over_blocks(depth, alpha, x64):
    found = nh.resnet_kernel(X1, X2, depth=depth, alpha=alpha)
    reference = np.array([[by_backward_sums(x, z, depth, alpha) for z in X2] for x in X1])
    np.testing.assert_allclose(found.nngp, reference[..., 0], rtol=1e-12)
    np.testing.assert_allclose(found.ntk, reference[..., 1], rtol=1e-12)


def belfer_sums(x, z, depth, alpha):
    """The kernels of Belfer et al. as their sum over blocks: forward covariance times backward product, in floats."""
    a2, size = alpha**2, np.linalg.norm(x) * np.linalg.norm(z)
    s, blocks = float(np.dot(x, z)), []
    for block in range(depth):
        c = s / (size * (1 + a2) ** block)
        k0 = (np.pi - np.arccos(c)) / np.pi
        branch = size * (1 + a2) ** block * (c * k0 + np.sqrt(1 - c**2) / np.pi)
        blocks.append((s, k0, branch))
        s += a2 * branch
    backward = [np.prod([1 + a2 * k0 for _, k0, _ in blocks[block + 1 :]]) for block in range(depth)]
    return s, a2 * sum(b * (branch + k0 * s) for b, (s, k0, branch) in zip(backward, blocks, strict=True))


@pytest.mark.parametrize(("depth", "alpha"), [(1, 1.0), (3, 0.5), (20, 0.3)])
def test_belfer_sums_over_blocks(depth, alpha, x64):
    found = nh.resnet_kernel(X1[1:], X2, depth=depth, alpha=alpha, variant="belfer2024")
    reference = np.array([[belfer_sums(x, z, depth, alpha) for z in X2] for x in X1[1:]])
    np.testing.assert_allclose(found.nngp, reference[..., 0], rtol=1e-12)
    np.testing.assert_allclose(found.ntk, reference[..., 1], rtol=1e-12)
    zero = nh.resnet_kernel(X1[:1], X2, depth=depth, alpha=alpha, variant="belfer2024")
    assert not np.any(zero.ntk)


def test_one_belfer_block_is_a_network_with_one_hidden_layer(x64):
    """V relu(W x) beside x: the NTK of the block alone, whose two weights are trained."""
    x = X1[1:] / np.linalg.norm(X1[1:], axis=1, keepdims=True)
    block = nh.resnet_kernel(x, depth=1, alpha=0.7, variant="belfer2024", get="ntk")
    plain = nh.fcn_kernel(x, depth=1, sigma_w=2**0.5, sigma_b=0.0, scale_input=False, get="ntk")
    # theirs: input weights of variance 1 and readout of variance 2 carry the same factors, in another place
    np.testing.assert_allclose(block, 0.49 * np.asarray(plain) / 2, rtol=1e-12)


@pytest.mark.parametrize(("depth", "alpha"), [(1, 1.0), (5, 0.5), (40, 1.5)])
def test_zonal_form(depth, alpha, x64):
    angle = np.linspace(0, np.pi, 9)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = nh.resnet_kernel(ring, ring[:1], depth=depth, alpha=alpha, variant="belfer2024")
    for get, values in zip(("nngp", "ntk"), found, strict=True):
        zonal = nh.zonal_resnet_kernel(depth=depth, alpha=alpha, get=get)(angle)
        np.testing.assert_allclose(np.asarray(values)[:, 0] / values[0, 0], zonal, atol=1e-14)
    top = 2 * depth * alpha**2 * (1 + alpha**2) ** (depth - 1)
    np.testing.assert_allclose(found.ntk[0, 0], top, rtol=1e-12)


def test_zonal_form_at_complex_angles():
    """It is analytic: its mean over a circle is its value in the middle."""
    kernel, middle = nh.zonal_resnet_kernel(depth=4, alpha=1.0), 0.2
    circle = middle + 0.15 * np.exp(2j * np.pi * np.arange(64) / 64)
    np.testing.assert_allclose(kernel(circle).mean(), kernel(np.array(middle)), rtol=1e-13)


@pytest.mark.parametrize(
    ("change", "word"), [({"alpha": 0.0}, "alpha"), ({"alpha": -1.0}, "alpha"), ({"get": "both"}, "get")]
)
def test_zonal_arguments_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        nh.zonal_resnet_kernel(**{"depth": 2, **change})


def test_near_equal_and_opposite_inputs(x64):
    """Float32 against 40 digits at pairs whose cosine float32 cannot tell from 1 or, far from 0, from -1."""
    far = np.array([[100.0, 0.0, 0.0], [100.0, 1e-3, 0.0], [-100.0, 1e-3, 0.0]])
    found = np.asarray(nh.resnet_kernel(far.astype(np.float32), depth=3, alpha=0.5, get="ntk"))
    far = far.astype(np.float32).astype(float)
    reference = np.array([[by_backward_sums(x, z, 3, 0.5)[1] for z in far] for x in far])
    np.testing.assert_allclose(found, reference, rtol=0, atol=3e-6 * reference.max())


def test_belfer_near_equal_and_opposite_inputs():
    """Float32 against 40 digits, where the angle is 1e-5 or pi - 1e-5; at L = 1 the kernel there is all angle."""
    far = np.array([[100.0, 0.0], [100.0, 1e-3], [-100.0, 1e-3]], np.float32)
    with mpmath.workdps(40):
        for depth in (1, 4):
            found = np.asarray(nh.resnet_kernel(far, depth=depth, alpha=1.0, variant="belfer2024", get="ntk"))
            for i, j in ((0, 1), (0, 2), (1, 2)):
                x, z = ([mpmath.mpf(float(v)) for v in far[row]] for row in (i, j))
                size = mpmath.sqrt((x[0] ** 2 + x[1] ** 2) * (z[0] ** 2 + z[1] ** 2))
                c, ntk = (x[0] * z[0] + x[1] * z[1]) / size, mpmath.mpf(0)
                for block in range(depth):
                    k0 = 1 - mpmath.acos(c) / mpmath.pi
                    k1 = c * k0 + mpmath.sqrt(1 - c**2) / mpmath.pi
                    ntk = ntk * (1 + k0) + size * 2**block * (k1 + c * k0)
                    c = (c + k1) / 2
                # opposite inputs at L = 1: the kernel is 3e-6 |x||x'|, and float32 rounds at 6e-8 of |x||x'|
                bar = 6e-8 * size if (depth, j) == (1, 2) else 3e-6 * size * 2**depth * depth
                assert abs(found[i, j] - ntk) < bar


def test_two_sides_and_parts_agree():
    x = jnp.asarray(X1, jnp.float32)
    both = nh.resnet_kernel(x, depth=2, alpha=0.8)
    np.testing.assert_allclose(nh.resnet_kernel(x, x + 0, depth=2, alpha=0.8, get="ntk"), both.ntk, rtol=2e-6)
    np.testing.assert_array_equal(nh.resnet_kernel(x, depth=2, alpha=0.8, get="nngp"), both.nngp)
    no_blocks = nh.resnet_kernel(x, depth=2, alpha=0.0)
    np.testing.assert_allclose(no_blocks.ntk, 2 * (x @ x.T + 1), rtol=1e-6)


@pytest.mark.parametrize("variant", ["yu2025", "belfer2024"])
def test_random_networks(variant):
    """Mean tangent kernel and mean product of outputs over networks, 4 standard errors and 3 % for the width."""
    x = X1[1:].astype(np.float32)
    net = nh.resnet(d_in=3, width=128, depth=2, alpha=0.8, d_out=16, variant=variant)

    def one(key):
        params = net.init(key=key, dtype=jnp.float32)
        trained = None if variant == "yu2025" else params._replace(first=False, blocks=True, readout=False)
        f = net.apply(params, x)
        return f @ f.T / 16, nh.empirical_ntk(net.apply, params, x, output="trace", trainable=trained)

    drawn = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(0), 144))
    for values, limit in zip(drawn, nh.resnet_kernel(x, depth=2, alpha=0.8, variant=variant), strict=True):
        error = 4 * values.std(axis=0, ddof=1) / 12
        assert (np.abs(values.mean(axis=0) - limit) < error + 0.03 * np.abs(limit)).all()
        assert (error < 0.25 * np.abs(limit).max()).all()


@pytest.mark.parametrize(
    ("change", "word"), [({"variant": "v2"}, "variant"), ({"alpha": -1.0}, "alpha"), ({"get": "ntks"}, "get")]
)
def test_bad_arguments_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        nh.resnet_kernel(jnp.ones((2, 2)), **{"depth": 1, **change})
