import numpy as np
import pytest
from scipy import special

import ntk_helpers as nh


def test_energies_on_the_circle():
    angle = 2 * np.pi * np.arange(64) / 64
    f = np.stack([3 + 2 * np.cos(5 * angle) - np.sin(5 * angle), np.sin(7 * angle + 0.3)])
    found = nh.harmonic_energy(f, d=1, max_degree=10)
    expected = np.zeros((2, 11))
    expected[0, 0], expected[0, 5], expected[1, 7] = 9.0, (4 + 1) / 2, 0.5  # means of squares
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_energies_on_the_sphere_against_scipy():
    rng = np.random.default_rng(0)
    grid = nh.sphere_grid(12)
    np.testing.assert_allclose((grid**2).sum(-1), 1.0, rtol=1e-14)
    polar, longitude = np.arccos(grid[..., 2]), np.arctan2(grid[..., 1], grid[..., 0])
    f, expected = np.zeros(grid.shape[:2]), np.zeros(12)
    harmonic = getattr(special, "sph_harm_y", None) or (lambda k, m, t, p: special.sph_harm(m, k, p, t))
    for k in (0, 1, 4, 11):
        for m in range(k + 1):
            a, b = rng.standard_normal(2) * [1, m > 0]
            y = np.sqrt(4 * np.pi) * harmonic(k, m, polar, longitude)  # mean square 1
            f += a * y.real + b * y.imag
            expected[k] += (a * a + b * b) * (0.5 if m else 1.0)
    np.testing.assert_allclose(nh.harmonic_energy(f[None], d=2, max_degree=11)[0], expected, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2])
def test_all_energies_sum_to_the_mean_square_and_turning_changes_none(d):
    direction = np.array([[0.6, 0.8, 0.0], [0.48, 0.6, 0.64]])[:, : d + 1]
    points = nh.circle(64) if d == 1 else nh.sphere_grid(32)
    f = np.moveaxis((points @ direction.T) ** 5, -1, 0) + 0.5
    if d == 1:
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        f = (points @ direction.T).T ** 5 + 0.5
    energy = nh.harmonic_energy(f, d=d, max_degree=8)
    np.testing.assert_allclose(energy[0], energy[1], atol=1e-14)
    # mean of (x^5 + 1/2)^2: E x^10 is 63/256 on the circle, 1/11 on the sphere
    np.testing.assert_allclose(energy.sum(-1), (63 / 256 if d == 1 else 1 / 11) + 0.25, rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((16,), {"d": 3, "max_degree": 2}, "d must be 1 or 2, got 3"),
        ((16,), {"d": 1, "max_degree": 8}, "max_degree must be at most 7"),
        ((4, 7), {"d": 2, "max_degree": 2}, r"\(..., n, 2 n\), got \(4, 7\)"),
        ((4, 8), {"d": 2, "max_degree": 4}, "max_degree must be at most 3"),
    ],
)
def test_bad_arguments_are_named(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        nh.harmonic_energy(np.ones(shape), **arguments)
    with pytest.raises(ValueError, match="n must be at least 2"):
        nh.sphere_grid(1)
    with pytest.raises(ValueError, match="finite"):
        nh.harmonic_energy(np.full(8, np.nan), d=1, max_degree=2)
