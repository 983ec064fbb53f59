r"""The law of a diffusion on the line, by its Fokker-Planck equation instead of by sampled paths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve_banded

from ntk_helpers import _checks

__all__ = ["LineLaw", "diffusion_law"]

EDGE_MASS = 1e-6  # more probability than this in the outermost cells: the interval is too short


class LineLaw(NamedTuple):
    """A law on the line, by its distribution function at increasing points and straight lines between them.

    Attributes:
        points: increasing, shape (k,).
        cdf: probability up to each point, from 0 to 1, shape (k,).
    """

    points: Float[np.ndarray, " k"]
    cdf: Float[np.ndarray, " k"]

    def probability(self, at: Float[np.ndarray, "*shape"] | float) -> Float[np.ndarray, "*shape"]:
        """Return the probability of values up to ``at``.

        Args:
            at: where, any shape.

        Returns:
            Probabilities, the same shape.
        """
        return np.interp(at, self.points, self.cdf)

    def density(self) -> tuple[Float[np.ndarray, " k-1"], Float[np.ndarray, " k-1"]]:
        """Return the middles of the intervals between the points, and the density on each.

        Returns:
            Two arrays of shape (k - 1,).
        """
        return (self.points[1:] + self.points[:-1]) / 2, np.diff(self.cdf) / np.diff(self.points)

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation.

        Returns:
            Two numbers, in the unit of the points.
        """
        middle, mass = (self.points[1:] + self.points[:-1]) / 2, np.diff(self.cdf)
        mean = float(mass @ middle)
        return mean, math.sqrt(float(mass @ (middle - mean) ** 2 + mass @ np.diff(self.points) ** 2 / 12))


def diffusion_law(
    drift: Callable[[np.ndarray], np.ndarray],
    start: float,
    time: float,
    *,
    lower: float,
    upper: float,
    cells: int = 1500,
    steps: int = 200,
) -> LineLaw:
    r"""Law at one time of :math:`dY = b(Y)\,dt + dB`, :math:`Y_0 = y_0`, with one-dimensional Brownian motion B.

    The density p obeys :math:`\partial_t p = -\partial_y (b p) + \tfrac12 \partial_y^2 p`. Finite volumes with
    exponential fitting (Scharfetter and Gummel) keep p positive and its mass exact; time steps are TR-BDF2, of
    second order and stable however stiff b is. No probability leaves the interval. The error of the distribution
    function falls as ``cells**-2 + steps**-2``.

    Args:
        drift: b, maps an array of points to an array of the same shape.
        start: y_0, inside the interval.
        time: positive.
        lower: left end of the interval.
        upper: right end.
        cells: number of cells.
        steps: number of time steps.

    Returns:
        LineLaw at the cells' edges.

    Raises:
        ValueError: the interval does not hold the start or is too short (more than 1e-6 of the probability reaches its
            last cells), a number is out of range, or the drift is not finite.
        TypeError: a number is of the wrong type.

    Example:
        >>> law = diffusion_law(lambda y: -y, 1.0, 0.5, lower=-5.0, upper=5.0)
        >>> mean, sd = law.moments()  # Ornstein-Uhlenbeck: exp(-1/2) and sqrt((1 - exp(-1)) / 2)
        >>> round(mean, 3), round(sd, 3)
        (0.607, 0.562)
    """
    cells, steps = _checks.check_positive_int(cells, "cells"), _checks.check_positive_int(steps, "steps")
    if not (math.isfinite(time) and time > 0):
        raise ValueError(f"time must be positive and finite, got {time}")
    if not lower < start < upper or not math.isfinite(upper - lower):
        raise ValueError(f"start must lie between lower and upper, got {start}, {lower} and {upper}")
    edges = np.linspace(lower, upper, cells + 1)
    h = (upper - lower) / cells
    b = np.asarray(drift(edges[1:-1]), dtype=float)
    if b.shape != (cells - 1,) or not np.isfinite(b).all():
        raise ValueError(f"drift must give one finite number for each point, got shape {b.shape}")

    # Flux through an inner edge: right[i] p_i - left[i] p_(i+1), by Bernoulli's x / (e^x - 1) of the Peclet number.
    peclet = 2 * h * b
    right, left = _bernoulli(-peclet) / (2 * h), _bernoulli(peclet) / (2 * h)
    diagonal = np.zeros(cells)
    diagonal[:-1] -= right / h
    diagonal[1:] -= left / h
    generator = np.array([np.append(0.0, left / h), diagonal, np.append(right / h, 0.0)])  # bands: upper, middle, lower

    # All mass at the start: shared by the two nearest cells so that the mean is right.
    position = np.clip((start - lower) / h - 0.5, 0.0, cells - 1.000001)
    first = int(position)
    p = np.zeros(cells)
    p[first], p[first + 1] = 1 - (position - first), position - first

    dt, gamma = time / steps, 2 - math.sqrt(2)
    implicit = -gamma / 2 * dt * generator
    implicit[1] += 1
    for _ in range(steps):  # trapezoidal rule to t + gamma dt, then the backward formula of second order
        middle = solve_banded((1, 1), implicit, p + gamma / 2 * dt * _apply(generator, p))
        p = solve_banded((1, 1), implicit, (middle - (1 - gamma) ** 2 * p) / (gamma * (2 - gamma)))
    p = np.maximum(p, 0.0)  # rounding
    if max(p[0], p[-1]) > EDGE_MASS:
        raise ValueError(f"the interval from {lower} to {upper} is too short: widen lower and upper")
    cdf = np.append(0.0, np.cumsum(p))
    return LineLaw(edges, cdf / cdf[-1])


def _apply(bands: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Product of a tridiagonal matrix, stored as ``solve_banded`` wants it, with a vector."""
    out = bands[1] * p
    out[:-1] += bands[0, 1:] * p[1:]
    out[1:] += bands[2, :-1] * p[:-1]
    return out


def _bernoulli(x: np.ndarray) -> np.ndarray:
    """Return x / (e^x - 1), and 1 at 0, without overflow."""
    small = np.abs(x) < 1e-8
    safe = np.where(small, 1.0, np.clip(x, -700.0, 700.0))
    return np.where(small, 1 - x / 2, np.where(x > 700, 0.0, np.where(x < -700, -x, safe / np.expm1(safe))))
