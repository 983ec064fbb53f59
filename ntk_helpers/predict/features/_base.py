"""What the feature maps share: scikit-learn's conventions, dense or sparse input, blocks of rows, progress."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from tqdm import tqdm

from ntk_helpers import _checks
from ntk_helpers._progress import PROGRESS_AFTER
from ntk_helpers.predict._rows import padded
from ntk_helpers.predict.features.sketches import count_sketch

_folded = jax.jit(count_sketch, static_argnums=3)

# Numbers that a block of rows may hold at once, over all arrays of one row: 256 MB in float32.
BLOCK_NUMBERS = 2**26


class FeatureMap(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A random map of rows to features; subclasses have ``_draw``, ``_features`` and ``_numbers_per_row``."""

    def fit(self, X: Any, y: Any = None) -> FeatureMap:
        """Draw the random numbers for inputs of this width; the values of X are not used.

        Args:
            X: samples as rows, (N, d), dense or sparse.
            y: not used.

        Raises:
            ValueError: if a parameter or X is out of range; the message names it.
            TypeError: if a parameter has the wrong type.
        """
        X = validate_data(self, X, accept_sparse="csr", dtype="numeric")
        self._check()
        rng = check_random_state(self.random_state)
        drawn = self._draw(rng, X.shape[1])
        fold = None
        if self._width() > self.n_components:
            signs, buckets = (
                2.0 * rng.randint(0, 2, self._width()) - 1.0,
                rng.randint(0, self.n_components, self._width()),
            )
            fold = (signs.astype(np.float32), buckets)
        self.random_numbers_ = jax.tree.map(np.asarray, (drawn, fold))
        self._n_features_out = self.n_components
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return the features of X, (N, n_components), float32, computed in blocks of rows.

        Args:
            X: samples as rows, (N, d), dense or sparse.

        Raises:
            NotFittedError: if ``fit`` was not called.
            ValueError: if X has another number of columns or is not finite.
        """
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float32, np.float64], reset=False)
        rows = max(1, min(X.shape[0], BLOCK_NUMBERS // self._numbers_per_row()))
        found = np.empty((X.shape[0], self.n_components), np.float32)
        drawn, fold = jax.tree.map(jnp.asarray, self.random_numbers_)
        with tqdm(total=X.shape[0], desc="features", unit="row", delay=PROGRESS_AFTER, leave=False) as bar:
            for start in range(0, X.shape[0], rows):
                block = X[start : start + rows]
                block = np.asarray(block.toarray() if sparse.issparse(block) else block, np.float32)
                with np.errstate(over="ignore"):  # told below, with the row
                    length = np.linalg.norm(block, axis=1, keepdims=True)
                if not np.isfinite(length).all():
                    row = start + int(np.argmin(np.isfinite(length[:, 0])))
                    raise ValueError(f"X must have rows whose squared length fits into float32; row {row} has not")
                unit = np.divide(block, length, out=np.zeros_like(block), where=length > 0)
                features = self._features(drawn, padded(unit))
                if fold is not None:
                    features = _folded(features, *fold, self.n_components)
                found[start : start + rows] = length * np.asarray(features)[: len(unit)]
                bar.update(block.shape[0])
        return found

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check(self) -> None:
        _checks.check_positive_int(self.n_components, "n_components")

    def _draw(self, rng: np.random.RandomState, d: int) -> Any:
        raise NotImplementedError

    def _features(self, drawn: Any, x: np.ndarray) -> jax.Array:
        """Features of unit rows; those of length r are r times as long, because every kernel here is homogeneous."""
        raise NotImplementedError

    def _width(self) -> int:
        """How many features are computed; where these are more than were asked for, a CountSketch folds them."""
        return self.n_components

    def _numbers_per_row(self) -> int:
        return 8 * self._width()
