"""50-digit references for the limits, by mpmath; they share no code and no variables with the package."""

import mpmath as mp
import numpy as np

mp.mp.dps = 50


def exact(x):
    """The number that the float stands for."""
    return mp.mpf(float(x))


def relu_family(a):
    """phi(z) = z for z > 0, a z below: by the orthant moments of relu(u), relu(-u)."""

    def j1(q1, q2, q12):  # E[relu(u) relu(v)]
        n = mp.sqrt(q1 * q2)
        if n == 0:
            return mp.mpf(0)
        t = mp.acos(max(min(q12 / n, 1), -1))
        return n / (2 * mp.pi) * (mp.sin(t) + (mp.pi - t) * mp.cos(t))

    def j0(q1, q2, q12):  # P(u > 0, v > 0)
        n = mp.sqrt(q1 * q2)
        t = mp.acos(max(min(q12 / n, 1), -1)) if n else mp.pi / 2
        return (mp.pi - t) / (2 * mp.pi)

    def value(q1, q2, q12):  # relu(u) - a relu(-u)
        return (1 + a * a) * j1(q1, q2, q12) - 2 * a * j1(q1, q2, -q12)

    def derivative(q1, q2, q12):
        return (1 + a * a) * j0(q1, q2, q12) + 2 * a * j0(q1, q2, -q12)

    return value, derivative


def erf(b):
    t = 2 * mp.mpf(b) ** 2

    def value(q1, q2, q12):
        return 2 / mp.pi * mp.asin(t * q12 / mp.sqrt((1 + t * q1) * (1 + t * q2)))

    def derivative(q1, q2, q12):
        return 2 * t / mp.pi / mp.sqrt((1 + t * q1) * (1 + t * q2) - (t * q12) ** 2)

    return value, derivative


def sin(b):
    b = mp.mpf(b)

    def both(q1, q2, q12):
        minus, plus = (mp.exp(-b * b * (q1 + q2 + s * 2 * q12) / 2) for s in (-1, 1))
        return (minus - plus) / 2, b * b * (minus + plus) / 2

    return lambda *q: both(*q)[0], lambda *q: both(*q)[1]


def cos(b):
    value, derivative = sin(b)
    b = mp.mpf(b)
    return lambda *q: derivative(*q) / b**2, lambda *q: value(*q) * b**2


def by_quadrature(phi, q1, q2, q12, cuts=()):
    """E[phi(u) phi(v)] as an iterated integral over two independent normals; `cuts` are phi's kinks."""
    s1 = mp.sqrt(q1)
    slope = q12 / s1
    rest = mp.sqrt(max(q2 - slope**2, 0))

    def normal(z):
        return mp.exp(-z * z / 2) / mp.sqrt(2 * mp.pi)

    def inner(z):
        ends = sorted({-9.0, 9.0, *[float((c - slope * z) / rest) for c in cuts if abs((c - slope * z) / rest) < 9]})
        return phi(s1 * z) * normal(z) * mp.quad(lambda y: phi(slope * z + rest * y) * normal(y), ends)

    ends = sorted({-9.0, 0.0, 9.0, *[float(c / s1) for c in cuts]})
    return mp.quad(inner, ends)


def fcn(x1, x2, dual, *, depth, w2, b2, scale_input=True):
    """(nngp, ntk) at one pair of rows; w2, b2: one squared sigma a layer, as exact numbers."""
    value, derivative = dual
    a, b = [exact(v) for v in x1], [exact(v) for v in x2]
    d = len(a) if scale_input else 1
    dot = [mp.fsum(p * q for p, q in zip(*pair, strict=True)) / d for pair in ((a, a), (b, b), (a, b))]
    s = [w2[0] * v + b2[0] for v in dot]
    t = s[2]
    for w, c in zip(w2[1:], b2[1:], strict=True):
        e = [value(s[0], s[0], s[0]), value(s[1], s[1], s[1]), value(*s)]
        t = w * t * derivative(*s)
        s = [w * v + c for v in e]
        t += s[2]
    return s[2], t


def pair_at_angle(rng, d, angle, norm1, norm2, dtype):
    """Two rows at an angle, up to rounding of the entries; angle 0 gives equal rows for equal norms."""
    u, v = rng.normal(size=(2, d))
    u /= np.linalg.norm(u)
    v -= u * (u @ v)
    v /= np.linalg.norm(v)
    return (norm1 * u).astype(dtype), (norm2 * (np.cos(angle) * u + np.sin(angle) * v)).astype(dtype)


def true_angle(x1, x2):
    a, b = [exact(v) for v in x1], [exact(v) for v in x2]
    na, nb = (mp.sqrt(mp.fsum(v * v for v in c)) for c in (a, b))
    return float(2 * mp.asin(mp.sqrt(mp.fsum((p / na - q / nb) ** 2 for p, q in zip(a, b, strict=True))) / 2))
