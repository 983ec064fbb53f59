"""Statistics that claims rest on: means with standard errors, power laws with an interval from independent seeds."""

import math
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Num

_MIN_WIDTHS = 5
_MIN_DECADES = 1.5
_MIN_SEEDS = 5


class MeanSE(NamedTuple):
    """Mean over independent samples and its standard error."""

    mean: float
    se: float


class Slope(NamedTuple):
    """Power law y = exp(intercept) x^slope; ``interval`` is a bootstrap interval of the slope over seeds."""

    slope: float
    interval: tuple[float, float]
    intercept: float


def mean_and_se(samples: Num[np.ndarray, " samples"] | Num[jax.Array, " samples"]) -> MeanSE:
    r"""Mean of independent samples and the standard error of that mean, $s/\sqrt{n}$ with $s^2$ the unbiased variance.

    Args:
        samples: shape (n,), n >= 2, finite.

    Returns:
        MeanSE: mean and standard error, in the unit of the samples.

    Raises:
        ValueError: fewer than two samples, or one is not finite.

    Example:
        >>> import numpy as np
        >>> import ntk_helpers as nh
        >>> nh.mean_and_se(np.array([1.0, 2.0, 3.0, 4.0])).mean
        2.5
    """
    values = np.asarray(samples, dtype=np.float64)
    if values.size < 2:
        raise ValueError(f"samples: a standard error needs at least 2, got {values.size}")
    if not np.isfinite(values).all():
        raise ValueError(f"samples: {np.sum(~np.isfinite(values))} of {values.size} are not finite")
    return MeanSE(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)))


def fit_slope(
    x: Num[np.ndarray, " widths"] | Num[jax.Array, " widths"] | list | tuple,
    y_samples: Num[np.ndarray, "seeds widths"] | Num[jax.Array, "seeds widths"],
    *,
    seed: int = 0,
    n_bootstrap: int = 2000,
    level: float = 0.95,
    average: Literal["mean", "median"] = "mean",
) -> Slope:
    r"""Exponent of a power law, with a bootstrap interval over seeds.

    Least squares of $\log \bar y$ on $\log x$, where $\bar y$ is the mean over seeds; the interval holds the middle
    ``level`` of the same fit over resampled seeds. At least 5 values of x over 1.5 decades, and 5 seeds.
    The median over seeds is for quantities with heavy tails, whose mean a few seeds decide.

    Args:
        x: shape (widths,), positive, for example the widths of the networks.
        y_samples: shape (seeds, widths); rows are independent repetitions of the whole measurement.
        seed: of the bootstrap.
        n_bootstrap: number of resamplings.
        level: probability of the interval.
        average: what stands for the seeds, ``"mean"`` or ``"median"``.

    Returns:
        Slope: slope, its interval, and the intercept in natural logarithms; ``nh.claim`` takes it as it is.

    Raises:
        ValueError: too few or too close x, too few seeds, a value that is not positive and finite, or a mean that
            is not positive (then more samples are needed: a logarithm of noise has no slope).

    Example:
        >>> import numpy as np
        >>> import ntk_helpers as nh
        >>> x = np.array([64, 128, 512, 1024, 4096])
        >>> noise = 1 + 0.01 * np.random.default_rng(0).standard_normal((8, 5))
        >>> round(nh.fit_slope(x, 3 / x * noise).slope, 1)
        -1.0
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y_samples, dtype=np.float64)
    _check_power_law(xs, ys)
    _check_average(average)
    take = np.mean if average == "mean" else np.median
    means = take(ys, axis=0)
    if not (means > 0).all():
        where = xs[int(np.argmin(means))]
        raise ValueError(
            f"y_samples: the {average} at x = {where:g} is {means.min():.3g}, not positive; use more samples"
        )
    slope, intercept = np.polyfit(np.log(xs), np.log(means), 1)
    rng = np.random.default_rng(seed)
    resampled = take(ys[rng.integers(len(ys), size=(n_bootstrap, len(ys)))], axis=1)
    if not (resampled > 0).all():
        bad = np.mean((resampled <= 0).any(axis=1))
        raise ValueError(f"y_samples: {bad:.0%} of the resampled {average}s are not positive; use more samples")
    slopes = np.polyfit(np.log(xs), np.log(resampled).T, 1)[0]
    tail = (1 - level) / 2
    lo, hi = np.quantile(slopes, [tail, 1 - tail])
    # The percentile interval of a skewed bootstrap can miss the estimate by a hair; widen it to hold it.
    return Slope(float(slope), (float(min(lo, slope)), float(max(hi, slope))), float(intercept))


def _check_average(average: str) -> None:
    if average not in ("mean", "median"):
        raise ValueError(f"average must be 'mean' or 'median', got {average!r}")


def _check_power_law(xs: np.ndarray, ys: np.ndarray) -> None:
    """Enough points over enough decades from enough seeds, all finite."""
    if xs.ndim != 1 or ys.ndim != 2 or ys.shape[1] != xs.size:
        raise ValueError(f"x (widths,) and y_samples (seeds, widths) do not fit: got {xs.shape} and {ys.shape}")
    if xs.size < _MIN_WIDTHS or len(set(xs.tolist())) < _MIN_WIDTHS:
        raise ValueError(f"x: a slope needs at least {_MIN_WIDTHS} different values, got {len(set(xs.tolist()))}")
    if not (np.isfinite(xs).all() and (xs > 0).all()):
        raise ValueError("x: all values must be positive and finite")
    decades = float(np.log10(xs.max() / xs.min()))
    if decades < _MIN_DECADES - 1e-9:
        raise ValueError(f"x: spans {decades:.2f} decades, a slope needs at least {_MIN_DECADES}")
    if len(ys) < _MIN_SEEDS:
        raise ValueError(f"y_samples: {len(ys)} seeds, an interval needs at least {_MIN_SEEDS}")
    if not np.isfinite(ys).all():
        raise ValueError(f"y_samples: {np.sum(~np.isfinite(ys))} values are not finite")
