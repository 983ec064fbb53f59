import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

import ntk_helpers as nh

ANGLES = np.array([0.0, 1e-9, 1e-4, 0.02, 0.5, 1.3, 2.0, 3.0, np.pi - 1e-6, np.pi])
SETTINGS = [
    {"depth": 1},
    {"depth": 4, "sigma_w": [1.0, 1.5, 1.2, 0.7, 1.1], "sigma_b": [0.3, 0.0, 0.5, 0.2, 0.1]},
    {"depth": 3, "sigma_w": 1.3, "sigma_b": 0.6, "biases": "first"},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_relu_agrees_with_fcn_kernel(settings, x64):
    circle = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    both = nh.fcn_kernel(circle[:1], circle, scale_input=False, **{"sigma_w": 2**0.5, **settings})
    for get in ("nngp", "ntk"):
        # the coordinates of a point round its angle by 1e-16, and the NTK has a slope of order depth in it
        np.testing.assert_allclose(
            nh.zonal_kernel(**settings, get=get)(ANGLES), np.asarray(getattr(both, get))[0], rtol=1e-14, atol=1e-14
        )


@pytest.mark.parametrize("power", [0, 1, 2, 3])
def test_arc_cosine_against_the_integral(power):
    # in polar coordinates both u = r cos(t) and v = r cos(t - angle) are positive on a wedge
    norm = quad(lambda t: np.cos(t) ** (2 * power), -np.pi / 2, np.pi / 2)[0]
    for angle in (0.0, 0.4, 1.7, 2.9, np.pi):
        wedge = quad(lambda t, a=angle: (np.cos(t) * np.cos(t - a)) ** power, angle - np.pi / 2, np.pi / 2)[0]
        assert abs(wedge / norm - nh.arc_cosine(angle, power)) < 1e-13


def test_powers_of_relu_agree_with_the_layer_maps(x64):
    circle = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
    dual = nh.dual_activation(lambda z: jnp.maximum(z, 0) ** 2, nodes=200)
    both = nh.fcn_kernel(circle[:1], circle, depth=2, activation=dual, sigma_w=0.9, sigma_b=0.4, scale_input=False)
    for get in ("nngp", "ntk"):
        ours = nh.zonal_kernel(depth=2, power=2, sigma_w=0.9, sigma_b=0.4, get=get)(ANGLES)
        # Gauss-Hermite with 200 nodes: the kink leaves an error of the order of 1/nodes^(3/2) in the derivative
        np.testing.assert_allclose(ours, np.asarray(getattr(both, get))[0], rtol=2e-3)


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("settings", SETTINGS)
def test_complex_angles_continue_the_real_ones(settings, opposite):
    # the mean over a circle is the value in its centre, for an analytic function only
    for get in ("nngp", "ntk"):
        kernel = nh.zonal_kernel(**settings, get=get)
        centre = np.pi - 0.01 if opposite else 0.01
        ring = kernel(centre + 0.05 * np.exp(2j * np.pi * np.arange(32) / 32))
        assert abs(ring.mean() - kernel(centre)) < 1e-14 * abs(ring).max() * 32


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="power must be a positive integer, got 0"):
        nh.zonal_kernel(depth=1, power=0)
    with pytest.raises(ValueError, match='biases="none" needs sigma_b=0'):
        nh.zonal_kernel(depth=1, sigma_b=0.1, biases="none")
    with pytest.raises(ValueError, match="sigma_w of the first layer must be positive"):
        nh.zonal_kernel(depth=1, sigma_w=[0.0, 1.0])
    with pytest.raises(ValueError, match="get must be one of"):
        nh.zonal_kernel(depth=1, get="both")
