import jax
import numpy as np
import pytest

import ntk_helpers as nh

RNG = np.random.default_rng(0)
A = RNG.standard_normal((8, 12))
K = A @ A.T
B = RNG.standard_normal((8, 2))


def test_spectrum_and_its_condition():
    spectrum = nh.kernel_spectrum(K)
    np.testing.assert_allclose(spectrum.values, np.linalg.svd(A, compute_uv=False) ** 2, rtol=1e-12)
    np.testing.assert_allclose(spectrum.vectors * spectrum.values @ spectrum.vectors.T, K, atol=1e-12)
    assert spectrum.condition == pytest.approx(np.linalg.cond(K), rel=1e-9)
    assert nh.kernel_spectrum(spectrum) is spectrum
    assert spectrum.rank == 8


def test_output_axes_stand_for_pairs_of_sample_and_output():
    wide = np.einsum("nm,op->nmop", K, np.array([[2.0, 1.0], [1.0, 2.0]]))
    spectrum = nh.kernel_spectrum(wide)
    expected = np.sort(np.outer(np.linalg.eigvalsh(K), [3.0, 1.0]).ravel())[::-1]
    np.testing.assert_allclose(spectrum.values, expected, rtol=1e-10)
    assert spectrum.outputs == 2


def test_solve_reports_its_condition():
    solution = nh.solve_psd(K, B, ridge=0.5)
    np.testing.assert_allclose(solution.x, np.linalg.inv(K + 0.5 * np.eye(8)) @ B, rtol=1e-9)
    assert solution.jitter == 0
    exact = np.linalg.cond(K + 0.5 * np.eye(8), 1)
    assert exact / 3 < solution.condition <= exact * (1 + 1e-9)  # LAPACK's estimate never exceeds it
    np.testing.assert_allclose(solution.factor @ solution.factor.T, K + 0.5 * np.eye(8), atol=1e-12)


def test_singular_matrices_get_a_small_reported_jitter():
    low = A[:, :3] @ A[:, :3].T  # rank 3 of 8
    b = low @ B
    solution = nh.solve_psd(low, b)
    assert 0 < solution.jitter < 1e-11 * np.trace(low)
    np.testing.assert_allclose(low @ solution.x, b, rtol=0, atol=1e-9)
    spectrum = nh.kernel_spectrum(low)
    assert spectrum.rank == 3
    assert spectrum.condition == np.inf
    assert (spectrum.values >= 0).all()


def test_float32_kernels_are_trusted_to_float32():
    """A matrix of rank 3 rounded to float32 has negative eigenvalues that rounding explains."""
    rows = RNG.standard_normal((40, 3))
    ntk = (rows @ rows.T).astype(np.float32)
    values = np.linalg.eigvalsh(np.asarray(ntk, float))
    assert values[0] < 0
    spectrum = nh.kernel_spectrum(ntk)
    assert spectrum.values.min() >= 0
    assert -values[0] < spectrum.rounding < 1e-3 * values[-1]
    solution = nh.solve_psd(ntk, np.ones(40))
    assert 0 < solution.jitter <= 2 * spectrum.rounding
    with pytest.raises(ValueError, match=r"positive semi-definite.*rounding of its entries explains"):
        nh.kernel_spectrum(np.asarray(ntk, float))  # the same numbers, said to be float64


@pytest.mark.parametrize("solve", [nh.kernel_spectrum, lambda k: nh.solve_psd(k, np.ones(len(k)))])
def test_what_is_no_kernel_is_refused(solve, without_hook):
    indefinite = K - 1.1 * np.linalg.eigvalsh(K)[0] * np.eye(8)
    with pytest.raises(ValueError, match="must be positive semi-definite, got the eigenvalue -"):
        solve(indefinite)
    lopsided = K.copy()
    lopsided[1, 2] += 1e-6
    with pytest.raises(ValueError, match=r"must be symmetric, got .* at \((1, 2|2, 1)\)"):
        solve(lopsided)
    for bad, message in ((K[:3], "square"), (K * np.nan, "finite"), (K[0], "axes"), (K[:0, :0], "empty")):
        with pytest.raises(ValueError, match=message):
            solve(bad)
    with pytest.raises(TypeError, match="complex"):
        solve(K + 0j)
    with pytest.raises(TypeError, match="host"):
        jax.jit(solve)(K)


def test_a_stated_error_of_the_entries_widens_what_is_accepted():
    indefinite = K - 1.1 * np.linalg.eigvalsh(K)[0] * np.eye(8)
    size = 0.2 * np.linalg.eigvalsh(K)[0]
    assert nh.kernel_spectrum(indefinite, rounding=size).values[-1] == 0
    assert nh.solve_psd(indefinite, B, rounding=size).jitter > 0


def test_bad_right_hand_sides(without_hook):
    with pytest.raises(ValueError, match=r"b must have 8 rows like kernel, got shape \(7,\)"):
        nh.solve_psd(K, np.ones(7))
    with pytest.raises(ValueError, match="ridge must be finite and not negative"):
        nh.solve_psd(K, B, ridge=-1.0)
    with pytest.raises(ValueError, match="nothing to solve"):
        nh.solve_psd(np.zeros((2, 2)), np.ones(2))
