"""What convolutions have in common in both worlds, limits and networks: window, padding, and the law of the taps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ntk_helpers import _checks

__all__ = ["PADDINGS", "READOUTS", "check_window", "pixels_after", "tap_shares"]

PADDINGS = ("SAME", "VALID", "CIRCULAR")
READOUTS = ("flatten", "pool")


def check_window(window: Any, pixels: tuple[int, ...], padding: str, depth: int) -> tuple[int, ...]:
    """Return the window's length along each axis of pixels; it must fit into the image, in every layer."""
    if np.ndim(window) == 0:
        window = (window,) * len(pixels)
    lengths = tuple(_checks.check_positive_int(k, f"window[{i}]") for i, k in enumerate(window))
    if len(lengths) != len(pixels):
        raise ValueError(
            f"window must be one integer or one for each of the {len(pixels)} axes of pixels, got {len(lengths)}"
        )
    smallest = pixels_after(pixels, lengths, padding, depth)
    if min(smallest) < 1 or (padding == "CIRCULAR" and any(k > n for k, n in zip(lengths, pixels, strict=True))):
        raise ValueError(f"window {lengths} is too large for {depth} {padding} convolutions of images of size {pixels}")
    return lengths


def pixels_after(pixels: tuple[int, ...], window: tuple[int, ...], padding: str, layers: int) -> tuple[int, ...]:
    """Return the size of the image after some convolutions; VALID ones shrink it."""
    shrink = layers if padding == "VALID" else 0
    return tuple(n - shrink * (k - 1) for n, k in zip(pixels, window, strict=True))


def tap_shares(taps: str | Sequence[Any] | np.ndarray, window: tuple[int, ...]) -> np.ndarray:
    """Return the share of the weights' variance that each tap has, an array of the window's shape and of sum 1."""
    if isinstance(taps, str):
        _checks.check_choice(taps, "taps", ("uniform", "center"))
        if taps == "uniform":
            return np.full(window, 1.0 / math.prod(window))
        if any(k % 2 == 0 for k in window):
            raise ValueError(f"taps='center' needs a window of odd lengths, which has a centre; got {window}")
        shares = np.zeros(window)
        shares[tuple(k // 2 for k in window)] = 1.0
        return shares
    shares = np.asarray(taps)
    if shares.dtype.kind not in "iuf":
        raise TypeError(f"taps must be 'uniform', 'center' or an array of shares, got dtype {shares.dtype}")
    shares = shares.astype(float)
    if shares.shape != window:
        raise ValueError(f"taps must have the window's shape {window}, got {shares.shape}")
    if not np.isfinite(shares).all() or shares.min() < 0 or abs(shares.sum() - 1.0) > 1e-6:
        raise ValueError(f"taps must be shares of the variance: not negative and of sum 1, got {shares.tolist()}")
    return shares
