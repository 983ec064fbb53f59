"""Data sets: real ones only, and each says which it is.

Bundled sets come with scikit-learn and need no network. The others are fetched once through OpenML into
scikit-learn's cache (``make data``, or the variable SCIKIT_LEARN_DATA), where scikit-learn checks OpenML's checksum.
Nothing is ever put in the place of a set that cannot be loaded.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32


class DatasetUnavailable(RuntimeError):
    """A data set cannot be loaded here; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its origin.

    Attributes:
        name: what claims and captions call it.
        x: inputs, shape (N, d), float64; images flattened, pixels between 0 and 1.
        y: labels (int64) or targets (float64), shape (N,).
        image_shape: (height, width) or (height, width, channels) where rows of x are images, else None.
        target_names: names of the classes; empty for regression.
        source: where it comes from.
        licence: under which terms.
        citation: whom to cite.
        sha256: of x and y, so that a stored result names the data exactly.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    image_shape: tuple[int, ...] | None
    target_names: tuple[str, ...]
    source: str
    licence: str
    citation: str
    sha256: str

    def __repr__(self) -> str:
        return f"Dataset({self.name}: {self.x.shape[0]} rows of {self.x.shape[1]}, from {self.source})"


_UCI = "UCI Machine Learning Repository, CC BY 4.0"

# name -> (scikit-learn loader, source, licence, citation, image shape, value of a full pixel)
_BUNDLED = {
    "digits": (
        "load_digits",
        "UCI, Optical Recognition of Handwritten Digits (test part), bundled with scikit-learn",
        _UCI,
        "E. Alpaydin, C. Kaynak (1998)",
        (8, 8),
        16.0,
    ),
    "iris": ("load_iris", "UCI, Iris, bundled with scikit-learn", _UCI, "R. A. Fisher (1936)", None, 1.0),
    "wine": ("load_wine", "UCI, Wine, bundled with scikit-learn", _UCI, "S. Aeberhard, M. Forina (1992)", None, 1.0),
    "breast cancer": (
        "load_breast_cancer",
        "UCI, Breast Cancer Wisconsin (Diagnostic), bundled with scikit-learn",
        _UCI,
        "W. Wolberg, O. Mangasarian, N. Street, W. Street (1995)",
        None,
        1.0,
    ),
    "diabetes": (
        "load_diabetes",
        "Diabetes study, bundled with scikit-learn",
        "public, distributed with the cited article",
        "B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, Least angle regression, Annals of Statistics 32 (2004)",
        None,
        1.0,
    ),
}

# name -> (OpenML id, rows, image shape, channels first, licence, citation)
_OPENML = {
    "MNIST": (
        554,
        70_000,
        (28, 28),
        False,
        "CC BY-SA 3.0",
        "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition (1998)",
    ),
    "Fashion-MNIST": (
        40_996,
        70_000,
        (28, 28),
        False,
        "MIT",
        "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, arXiv:1708.07747 (2017)",
    ),
    "CIFAR-10": (
        40_927,
        60_000,
        (32, 32, 3),
        True,
        "not stated by its authors; free for research",
        "A. Krizhevsky, Learning multiple layers of features from tiny images (2009)",
    ),
}


def load_digits() -> Dataset:
    """The 1797 real 8 x 8 images of handwritten digits bundled with scikit-learn, pixels between 0 and 1.

    Returns:
        Dataset: x of shape (1797, 64), y the digits.

    Raises:
        DatasetUnavailable: scikit-learn is not installed.

    Example:
        >>> import ntk_helpers as nh
        >>> nh.load_digits().x.shape
        (1797, 64)
    """
    return load_bundled("digits")


def load_bundled(name: str) -> Dataset:
    """A real data set bundled with scikit-learn: digits, iris, wine, breast cancer or diabetes.

    Args:
        name: one of those names.

    Raises:
        ValueError: unknown name.
        DatasetUnavailable: scikit-learn is not installed.
    """
    if name not in _BUNDLED:
        raise ValueError(f"name: no bundled data set {name!r}; there: {', '.join(_BUNDLED)}")
    loader, source, licence, citation, shape, top = _BUNDLED[name]
    raw = getattr(_sklearn(), loader)()
    names = tuple(str(n) for n in getattr(raw, "target_names", ()))
    return _dataset(name, raw.data / top, raw.target, shape, names, source, licence, citation)


def load_image(name: str) -> np.ndarray:
    """A photograph bundled with scikit-learn.

    Args:
        name: ``"china"`` or ``"flower"``.

    Returns:
        Array of shape (427, 640, 3), float64, values between 0 and 1.

    Raises:
        ValueError: unknown name.
        DatasetUnavailable: scikit-learn is not installed.
    """
    if name not in ("china", "flower"):
        raise ValueError(f"name: no bundled image {name!r}; there: china, flower")
    try:
        pixels = _sklearn().load_sample_image(f"{name}.jpg")
    except ImportError as error:
        raise DatasetUnavailable(f"{name}.jpg needs pillow to be read: pip install pillow") from error
    return np.asarray(pixels, dtype=np.float64) / 255.0


def load_openml(name: str) -> Dataset:
    """MNIST, Fashion-MNIST or CIFAR-10 from OpenML, or from the cache if it was fetched before.

    Args:
        name: ``"MNIST"``, ``"Fashion-MNIST"`` or ``"CIFAR-10"``.

    Returns:
        Dataset: all rows, flattened images (height, width, channels), pixels between 0 and 1.

    Raises:
        ValueError: unknown name.
        DatasetUnavailable: it is not in the cache and cannot be fetched, or is not the set it should be. A chapter
            then says ``nh.not_run(claim, "no data")``; nothing else is measured in its place.
    """
    if name not in _OPENML:
        raise ValueError(f"name: no data set {name!r}; there: {', '.join(_OPENML)}")
    number, rows, shape, channels_first, licence, citation = _OPENML[name]
    raw = _fetch(number, name)
    x = np.asarray(raw.data, dtype=np.float64) / 255.0
    if x.shape != (rows, int(np.prod(shape))):
        raise DatasetUnavailable(f"{name}: OpenML {number} has shape {x.shape}, expected {(rows, int(np.prod(shape)))}")
    if channels_first:
        x = x.reshape(rows, shape[2], *shape[:2]).transpose(0, 2, 3, 1).reshape(rows, -1)
    y = np.asarray(raw.target).astype(np.int64)
    names = tuple(str(k) for k in range(10))
    return _dataset(name, x, y, shape, names, f"OpenML {number}", licence, citation)


def load_uci(openml_id: int) -> Dataset:
    """A table of the UCI repository from OpenML (numeric columns only), or from the cache.

    Args:
        openml_id: number of the data set on OpenML.

    Returns:
        Dataset: the numeric columns as x; classes are numbered in alphabetical order.

    Raises:
        DatasetUnavailable: it cannot be loaded (pandas is needed), or has missing values or no numeric column.
    """
    raw = _fetch(openml_id, f"OpenML {openml_id}", as_frame=True)
    x = raw.data.select_dtypes("number").to_numpy(dtype=np.float64)
    target = np.asarray(raw.target)
    if x.shape[1] == 0 or not np.isfinite(x).all():
        raise DatasetUnavailable(f"OpenML {openml_id}: no numeric columns, or missing values among them")
    numeric = np.issubdtype(target.dtype, np.number)
    names, y = ((), target.astype(np.float64)) if numeric else np.unique(target.astype(str), return_inverse=True)
    name = str(raw.details.get("name", openml_id))
    licence, citation = (str(raw.details.get(k) or "not stated") for k in ("licence", "citation"))
    return _dataset(name, x, y, None, tuple(map(str, names)), f"OpenML {openml_id}", licence, citation)


def fetch_all() -> list[Dataset]:
    """Fetch every OpenML set into the cache (``make data``); a full run without a network can then take it along."""
    return [load_openml(name) for name in _OPENML]


def circle(n: int, *, radius: float = 1.0) -> np.ndarray:
    """Equally spaced points on a circle, starting at (radius, 0), without repeating the first.

    Args:
        n: number of points, at least 1.
        radius: of the circle.

    Returns:
        Array of shape (n, 2), float64.

    Raises:
        ValueError: n below 1, or radius not positive and finite.

    Example:
        >>> import ntk_helpers as nh
        >>> nh.circle(4).round(6) + 0.0
        array([[ 1.,  0.],
               [ 0.,  1.],
               [-1.,  0.],
               [ 0., -1.]])
    """
    if n < 1:
        raise ValueError(f"n: needs at least one point, got {n}")
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"radius: must be positive and finite, got {radius}")
    angle = 2 * np.pi * np.arange(n) / n
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def sphere(n: int, d: int, *, key: Key[Array, ""] | UInt32[Array, "2"]) -> Float[Array, "n d1"]:
    r"""Independent uniform points on the unit sphere $S^d \subset \mathbb{R}^{d+1}$.

    Args:
        n: number of points, at least 1.
        d: dimension of the sphere (1 for the circle), at least 1.
        key: of the random numbers.

    Returns:
        Array of shape (n, d + 1), rows of length 1.

    Raises:
        ValueError: n or d below 1.

    Example:
        >>> import jax
        >>> import ntk_helpers as nh
        >>> nh.sphere(3, 2, key=jax.random.key(0)).shape
        (3, 3)
    """
    if n < 1 or d < 1:
        raise ValueError(f"n, d: must be at least 1, got {n}, {d}")
    gauss = jax.random.normal(key, (n, d + 1))
    return gauss / jnp.linalg.norm(gauss, axis=1, keepdims=True)


def _sklearn() -> Any:
    """scikit-learn's data sets; an extra, not a core dependency."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DatasetUnavailable('scikit-learn is not installed: pip install "ntk-helpers[data]"') from error
    return datasets


def _fetch(number: int, name: str, *, as_frame: bool = False) -> Any:
    """One OpenML set through scikit-learn's cache; whatever goes wrong becomes one error that says what to do."""
    sklearn = _sklearn()
    try:
        return sklearn.fetch_openml(data_id=number, as_frame=as_frame, parser="auto")
    except ImportError as error:
        raise DatasetUnavailable(f"{name} (OpenML {number}) needs pandas to be read: pip install pandas") from error
    except Exception as error:  # network, DNS, HTTP, checksum and parser errors share no base class
        raise DatasetUnavailable(
            f"{name} (OpenML {number}) is not in scikit-learn's cache and could not be fetched ({error}). "
            "With a network run `make data`; without one copy the folder `sklearn.datasets.get_data_home()` from a "
            "machine that has it, or set SCIKIT_LEARN_DATA to it."
        ) from error


def _dataset(name, x, y, shape, names, source, licence, citation) -> Dataset:
    """Freeze the arrays and take their checksum."""
    x = np.ascontiguousarray(x, dtype=np.float64)
    y = np.ascontiguousarray(y, dtype=np.int64 if names else np.float64)
    x.setflags(write=False)
    y.setflags(write=False)
    digest = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    return Dataset(name, x, y, shape, names, source, licence, citation, digest)


if __name__ == "__main__":  # `make data`
    for fetched in fetch_all():
        print(fetched)
