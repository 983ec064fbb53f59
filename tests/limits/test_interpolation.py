import numpy as np
import pytest

import ntk_helpers as nh

K = np.arange(1.0, 2001.0)


def test_partial_sums():
    eigenvalues = K**-2
    sums = nh.interpolation_sums(K**-4, eigenvalues, 1.5)
    np.testing.assert_allclose(sums, np.cumsum(1 / K), rtol=1e-13)  # harmonic: at s = 3/2 the terms are 1/k
    np.testing.assert_allclose(nh.interpolation_sums(K**-4, eigenvalues, 0)[-1], np.pi**4 / 90, rtol=1e-9)
    # s = 1 is the norm of the kernel's own space: f = sum_j alpha_j K(., x_j) has f^T K^-1 f = alpha^T K alpha
    rng = np.random.default_rng(0)
    root = rng.standard_normal((30, 30))
    matrix, alpha = root @ root.T, rng.standard_normal(30)
    values, vectors = np.linalg.eigh(matrix)
    energies = (vectors.T @ (matrix @ alpha)) ** 2
    np.testing.assert_allclose(nh.interpolation_sums(energies, values, 1.0)[-1], alpha @ matrix @ alpha, rtol=1e-10)


def test_no_energy_counts_nothing_however_small_the_eigenvalue():
    np.testing.assert_array_equal(nh.interpolation_sums([[1.0, 0.0]], [1.0, 1e-300], 5), [[1.0, 1.0]])


@pytest.mark.parametrize(("p", "b"), [(-4.0, 2.0), (-4.0, 3.0), (-3.5, 1.2)])
def test_critical_smoothness_is_where_the_growth_changes(p, b):
    found = nh.critical_smoothness(K, K**p, K**-b, window=(20, 2000))
    assert found.interval is None
    assert found.s == pytest.approx((-1 - p) / b, rel=1e-9)
    # the definition: below s a doubling of K adds less and less, above s more and more
    for s, grows in ((found.s - 0.1, False), (found.s + 0.1, True)):
        sums = nh.interpolation_sums(K**p, K**-b, s)
        assert (sums[1999] - sums[999] > sums[999] - sums[499]) == grows


def test_critical_smoothness_of_samples():
    noise = np.random.default_rng(1).exponential(size=(100, K.size))
    found = nh.critical_smoothness(K, K**-4 * noise, K**-2 * (1 + 5 / K), window=(20, 2000))
    assert found.interval[0] < found.s < found.interval[1]
    assert found.interval[1] - found.interval[0] < 0.02
    assert found.sensitivity[0] <= found.s <= found.sensitivity[1]
    # the bend of the eigenvalues shows in the lower half
    assert found.sensitivity[1] - found.sensitivity[0] > 0.02


def test_smoothness_of_labels():
    # Brownian motion's kernel min(x, x'), beta = 2. A jump has coefficients 1/i, tails 1/i: s = 1/2.
    # min(x, 1/3) has a kink: coefficients 1/i^2, tails 1/i^3, s = 3/2. All oscillate with cos((i - 1/2) a pi), which a
    # window of a decade leaves in the slope by about a tenth.
    x = (np.arange(300) + 0.5) / 300
    kernel = np.minimum(x[:, None], x[None, :])
    jump = np.sign(x - 0.3)
    for decay in (2.0, None):
        found = nh.label_smoothness(kernel, jump, window=(4, 40), decay=decay)
        assert found.s == pytest.approx(0.5, abs=0.06)
    smooth = nh.label_smoothness(kernel, kernel[:, 100], window=(4, 40), decay=2.0)
    assert smooth.s == pytest.approx(1.5, abs=0.15)
    both = nh.label_smoothness(kernel, np.stack([jump, kernel[:, 100]], axis=1), window=(4, 40), decay=2.0)
    assert both.s == pytest.approx(0.5, abs=0.06)
    np.testing.assert_allclose(found.tails[0], (jump**2).mean(), rtol=1e-12)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="do not fit"):
        nh.interpolation_sums([1.0], [1.0, 2.0], 1.0)
    with pytest.raises(ValueError, match="finite and positive, the smallest is 0"):
        nh.interpolation_sums([1.0, 1.0], [1.0, 0.0], 1.0)
    with pytest.raises(ValueError, match="s must be finite"):
        nh.interpolation_sums([1.0], [1.0], np.inf)
    with pytest.raises(ValueError, match="eigenvalues must fall"):
        nh.critical_smoothness(K, K**-2, K, window=(10, 100))
    with pytest.raises(ValueError, match="labels must have shape"):
        nh.label_smoothness(np.eye(20), np.ones(19), window=(1, 20))
    with pytest.raises(ValueError, match="decay must be positive"):
        nh.label_smoothness(np.eye(20), np.ones(20), window=(1, 20), decay=0.0)
