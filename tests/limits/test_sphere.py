import mpmath as mp
import numpy as np
import pytest
from limits import reference_sphere as reference

import ntk_helpers as nh

# Two depths, with and without a bias; a bias of 0.01 leaves a singularity close to the interval.
NETWORKS = [
    (1, "nngp", 2, 0.0),
    (2, "ntk", 1, 0.0),
    (3, "nngp", 5, 0.5),
    (5, "ntk", 3, 0.01),
    (10, "nngp", 2, 0.0),
    (20, "ntk", 2, 0.0),
    (20, "nngp", 3, 0.01),
]


@pytest.mark.parametrize(("d", "get", "depth", "bias"), NETWORKS)
def test_relu_networks_against_fifty_digits(d, get, depth, bias):
    exact = reference.spectrum(reference.relu_network(depth, get=get, bias=bias), d, 130)
    kernel = nh.zonal_kernel(depth=depth, get=get, sigma_b=bias**0.5, biases="first")
    for expand in (True, False):
        found = nh.sphere_spectrum(kernel, d=d, degrees=130, expand=expand)
        error = np.array([abs(float(mp.mpf(v) - e)) for v, e in zip(found.eigenvalues, exact, strict=True)])
        assert (error <= found.errors).all()
        if not expand:  # nor is the estimate an idle one
            assert np.median(found.errors / np.maximum(error, 1e-300)) < 1e3
        size = np.array([abs(float(e)) for e in exact])
        size = np.max([size, np.append(size[1:], 0.0), np.append(0.0, size[:-1])], axis=0)  # parities may vanish
        trusted = found.degrees <= found.trusted_degree
        assert (error[trusted] <= 1e-3 * size[trusted]).all()
        if expand and bias != 0.01:
            assert found.trusted_degree == 130
        if not expand and (d, get) == (10, "nngp"):  # float64 quadrature ends here; the expansion does not
            assert 50 < found.trusted_degree < 100


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 10, 15, 20])
def test_two_layer_networks_against_closed_forms_to_degree_a_million(d):
    degrees = np.array([4, 5, 6, 10, 11, 20, 28, 31, 32, 50, 101, 200, 201, 1000, 1001, 30000, 999999, 10**6])
    kernels = {
        "nngp": (nh.zonal_kernel(depth=1, get="nngp", sigma_w=[1, 2**0.5]), lambda k: reference.arc_cosine(1, d, k)),
        "ntk": (nh.zonal_kernel(depth=1, sigma_w=[1, 2**0.5]), lambda k: reference.two_layer_ntk(d, k)),
        "square": (lambda angle: nh.arc_cosine(angle, 2), lambda k: reference.arc_cosine(2, d, k)),
    }
    for name, (kernel, closed) in kernels.items():
        found = nh.sphere_spectrum(kernel, d=d, degrees=degrees, rtol=1e-3)
        exact = [closed(int(k)) for k in degrees]
        error = np.array([abs(float(mp.mpf(v) - e)) for v, e in zip(found.eigenvalues, exact, strict=True)])
        assert (error <= found.errors).all(), name
        assert found.trusted_degree == 10**6, name
        even = np.array([e != 0 for e in exact])
        assert even.sum() >= 6  # the other parity vanishes
        relative = np.array(
            [float(abs(v / e - 1)) for v, e in zip(found.eigenvalues[even], np.array(exact)[even], strict=False)]
        )
        # quadrature at degree 20 on S^20 is the worst: 1e-16 of the kernel against an eigenvalue of 1e-12 of it
        assert relative.max() < (1e-7 if d <= 10 else 1e-4), name
        assert relative[-4:].max() < 1e-11, name  # far out the expansion has all digits


def test_polynomials_have_the_coefficients_of_their_harmonics():
    # cos^2 on S^d is 1/(d+1) + d/(d+1) P_2, so that lambda_2 N_2 = d/(d+1)
    for d in (1, 2, 6):
        found = nh.sphere_spectrum(lambda angle: np.cos(angle) ** 2, d=d, degrees=6)
        expected = np.array([1 / (d + 1), 0, d / (d + 1), 0, 0, 0, 0])
        np.testing.assert_allclose(found.eigenvalues * found.multiplicities, expected, atol=1e-13)


def test_the_sum_over_all_harmonics_is_the_kernel_at_angle_zero():
    kernel = nh.zonal_kernel(depth=3, get="nngp")
    found = nh.sphere_spectrum(kernel, d=2, degrees=20000)
    total = (found.eigenvalues * found.multiplicities).sum()
    tail = found.multiplicities[-1] * found.eigenvalues[-1] * 20000 / 3  # the terms fall like k^-4
    assert abs(total + tail - kernel(0.0)) < 1e-12


def test_smooth_kernel_has_no_end_point_terms_and_decays_to_rounding():
    # exp(cos) on the circle: the modified Bessel functions I_k(1)
    found = nh.sphere_spectrum(lambda angle: np.exp(np.cos(angle)), d=1, degrees=40)
    exact = np.array([float(mp.besseli(k, 1)) for k in range(41)])
    assert (np.abs(found.eigenvalues - exact) <= found.errors).all()
    assert 8 <= found.trusted_degree <= 14  # I_12(1) = 5e-13, I_14(1) = 7e-16


def test_degrees_may_be_sparse():
    kernel = nh.zonal_kernel(depth=2)
    every = nh.sphere_spectrum(kernel, d=3, degrees=300)
    some = nh.sphere_spectrum(kernel, d=3, degrees=[0, 7, 40, 299])
    np.testing.assert_allclose(some.eigenvalues, every.eigenvalues[[0, 7, 40, 299]], rtol=1e-9)
    np.testing.assert_array_equal(some.shifted_degrees, [1, 8, 41, 300])
    assert some.trusted_degree == 299


@pytest.mark.parametrize("d", [1, 2, 3, 8, 20])
def test_multiplicities_count_the_harmonics(d):
    k = np.arange(30)
    exact = [mp.binomial(j + d, d) - (mp.binomial(j + d - 2, d) if j > 1 else 0) for j in range(30)]
    np.testing.assert_allclose(nh.harmonic_multiplicity(k, d), [float(e) for e in exact], rtol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d": 0, "degrees": 3}, "d must be a positive integer, got 0"),
        ({"d": 21, "degrees": 3}, "d must be at most 20, got 21"),
        ({"d": 2, "degrees": [3, 2]}, "degrees must be rising"),
        ({"d": 2, "degrees": [-1, 2]}, "degrees must not be negative, got -1"),
        ({"d": 2, "degrees": 3, "rtol": 2.0}, "rtol must be between 0 and 1, got 2.0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        nh.sphere_spectrum(np.cos, **arguments)


def test_bad_kernels_are_named():
    with pytest.raises(ValueError, match="shape of its argument"):
        nh.sphere_spectrum(lambda angle: angle[:2], d=2, degrees=3)
    with pytest.raises(ValueError, match="real and finite"):
        nh.sphere_spectrum(lambda angle: np.where(angle > 1, np.nan, angle), d=2, degrees=3)
    with pytest.raises(ValueError, match=r"near 0.*expand=False"):  # real part: not analytic
        nh.sphere_spectrum(lambda angle: np.cos(np.real(angle)), d=2, degrees=3)
    with pytest.raises(ValueError, match=r"near pi.*expand=False"):
        nh.sphere_spectrum(lambda angle: np.sqrt(1 + np.cos(angle)) ** 0.5, d=2, degrees=3)
