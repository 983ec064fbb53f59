"""A polynomial with no negative coefficient for the NTK of a relu network, as a function of the cosine."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from ntk_helpers import _checks
from ntk_helpers.limits.zonal import zonal_kernel

__all__ = ["ntk_polynomial"]


def ntk_polynomial(*, depth: int, degree: int) -> Float[np.ndarray, " coefficients"]:
    r"""Return the coefficients c of the polynomial nearest to the NTK of a relu network on the unit sphere.

    .. math::
        \sum_{j=0}^q c_j \cos^j\theta \approx \Theta(\theta), \qquad c_j \ge 0,

    in least squares over 1000 angles spread evenly from 0 to pi. Only a polynomial without negative coefficients is a
    kernel in every dimension (Schoenberg 1942), and only such a one has features. The NTK has a kink at angle 0, which
    no polynomial has, so an error is left there at any degree.

    Args:
        depth: number L of hidden layers; the kernel is ``nh.zonal_kernel(depth=depth)``.
        degree: degree q, at least 1.

    Returns:
        Coefficients of the powers 0 to q of the cosine.

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if an argument is smaller than 1.

    Example:
        >>> ntk_polynomial(depth=1, degree=2).round(2)
        array([0.59, 2.  , 1.26])
    """
    depth, degree = _checks.check_positive_int(depth, "depth"), _checks.check_positive_int(degree, "degree")
    angle = np.linspace(0, np.pi, 1000)
    powers = np.cos(angle)[:, None] ** np.arange(degree + 1)
    return nnls(powers, zonal_kernel(depth=depth)(angle))[0]
