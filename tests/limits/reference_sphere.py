"""Spectra on the sphere with 50 digits, by mpmath: Gauss-Legendre in the angle, kernels from their definition."""

from functools import lru_cache

import mpmath as mp
import numpy as np

mp.mp.dps = 50


@lru_cache
def nodes(n):
    """Gauss-Legendre nodes and weights on [0, pi], by Newton's method from those of NumPy."""
    found = []
    for start in np.polynomial.legendre.leggauss(n)[0][: (n + 1) // 2]:
        x = mp.mpf(float(start))
        for _ in range(3):  # 16, 32, 64 digits
            before, now = mp.mpf(1), x
            for k in range(1, n):
                before, now = now, ((2 * k + 1) * x * now - k * before) / (k + 1)
            slope = n * (x * now - before) / (x * x - 1)
            x -= now / slope
        found.append((x, 2 / ((1 - x * x) * slope * slope)))
    both = found + [(-x, w) for x, w in found if abs(x) > mp.mpf(10) ** -30]
    return [((1 + x) * mp.pi / 2, w * mp.pi / 2) for x, w in both]


def relu_network(depth, *, get, bias=0):
    """Kernel of depth relu layers at unit inputs, weights of variance 2, biases of this variance in the first layer."""
    b = mp.mpf(bias)

    def kernel(angle):
        q = 2 + b
        s = t = 2 * mp.cos(angle) + b
        for _ in range(depth):
            inner = mp.acos(min(max(s / q, -1), 1))
            slope = (mp.pi - inner) / mp.pi
            s = q * (mp.sin(inner) + (mp.pi - inner) * mp.cos(inner)) / mp.pi
            t = s + t * slope
        return t if get == "ntk" else s

    return kernel


def spectrum(kernel, d, largest, n=240):
    """Eigenvalues of degree 0 to largest with respect to the uniform probability on S^d."""
    constant = mp.gamma(mp.mpf(d + 1) / 2) / (mp.sqrt(mp.pi) * mp.gamma(mp.mpf(d) / 2))
    rule = nodes(n)
    cosines = [mp.cos(angle) for angle, _ in rule]
    density = [constant * w * kernel(angle) * mp.sin(angle) ** (d - 1) for angle, w in rule]
    before, now, found = [mp.mpf(0)] * len(rule), [mp.mpf(1)] * len(rule), []
    for k in range(largest + 1):
        found.append(mp.fsum(f * p for f, p in zip(density, now, strict=True)))
        if k == 0:
            after = cosines
        else:
            after = [
                ((2 * k + d - 1) * t * p - k * q) / (k + d - 1) for t, p, q in zip(cosines, now, before, strict=True)
            ]
        before, now = now, after
    return found


def half_line_power(m, d, k):
    """Coefficient of degree k > m of max(t, 0)^m on S^d: the Rodrigues formula and k - m - 1 differentiations at 0."""
    j, alpha = k - m - 1, mp.mpf(d - 2) / 2
    if j % 2:
        return mp.mpf(0)
    constant = mp.gamma(mp.mpf(d + 1) / 2) / (mp.sqrt(mp.pi) * mp.gamma(mp.mpf(d) / 2))
    middle = mp.factorial(j) / (mp.factorial(j // 2) * mp.gamma(k + alpha + 1 - j // 2))
    return constant * mp.factorial(m) * mp.mpf(2) ** -k * mp.gamma(alpha + 1) * middle


def arc_cosine(m, d, k):
    """Eigenvalue of degree k > m of the normalized arc-cosine kernel: it averages max(w x, 0)^m max(w x', 0)^m."""
    radius = mp.fprod(d + 1 + 2 * i for i in range(m))  # E |w|^(2m) for a standard normal w in R^(d+1)
    return half_line_power(m, d, k) ** 2 * 2 * radius / mp.fprod(range(1, 2 * m, 2))


def two_layer_ntk(d, k):
    """Eigenvalue of t kappa_0 + kappa_1, degree k > 1, by (2k+d-1) t P_k = (k+d-1) P_(k+1) + k P_(k-1)."""
    shifted = ((k + d - 1) * arc_cosine(0, d, k + 1) + k * arc_cosine(0, d, k - 1)) / mp.mpf(2 * k + d - 1)
    return shifted + arc_cosine(1, d, k)
