"""Kernel ridge regression with the exact kernel of a wide network, as scikit-learn estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ntk_helpers import _checks
from ntk_helpers.limits.fcn import fcn_kernel
from ntk_helpers.predict._rows import padded
from ntk_helpers.predict.solves import solve_psd

__all__ = ["NTKClassifier", "NTKRegressor"]


class _KernelRidge(BaseEstimator):
    """What regression and classification share: the kernel and the solve."""

    # anything may be set and is checked by fit, as scikit-learn wants it
    def __init__(
        self,
        depth: Any = 1,
        ridge: Any = 1.0,
        kernel: Any = "ntk",
        activation: Any = "relu",
        sigma_w: Any = 2**0.5,
        sigma_b: Any = 0.0,
        scale_input: Any = True,
    ):
        self.depth = depth
        self.ridge = ridge
        self.kernel = kernel
        self.activation = activation
        self.sigma_w = sigma_w
        self.sigma_b = sigma_b
        self.scale_input = scale_input

    def _solve(self, x: np.ndarray, targets: np.ndarray) -> None:
        _checks.check_choice(self.kernel, "kernel", ("ntk", "nngp"))
        _checks.check_nonnegative(self.ridge, "ridge")
        solution = solve_psd(self._kernel_matrix(x), targets, ridge=self.ridge)
        self.X_fit_, self.dual_coef_, self.jitter_ = x, solution.x, solution.jitter

    def _kernel_matrix(self, x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray:
        # its own precision is kept: nh.solve_psd judges by it which errors are rounding
        settings = {"depth": self.depth, "activation": self.activation, "sigma_w": self.sigma_w}
        settings |= {"sigma_b": self.sigma_b, "scale_input": self.scale_input, "get": self.kernel}
        found = fcn_kernel(padded(x1), None if x2 is None else padded(x2), **settings)
        return np.asarray(found)[: len(x1), : len(x1 if x2 is None else x2)]

    def _values(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return self._kernel_matrix(X, self.X_fit_) @ self.dual_coef_


class NTKRegressor(RegressorMixin, _KernelRidge):
    r"""Kernel ridge regression with the NTK or NNGP kernel of a fully connected network.

    .. math:: f(x) = K(x, X)\, (K(X, X) + \rho I)^{-1} y

    with ``nh.fcn_kernel`` for K. Nothing is centred: without biases the kernel is homogeneous, and a constant in y is
    best subtracted before. With the NTK and :math:`\rho \to 0` it is the mean over initializations of infinitely
    wide networks after training, with the NNGP kernel and noise variance :math:`\rho` the Bayesian posterior mean.
    Memory and time grow as N^2 and N^3; ``nh.large_ridge`` and the feature maps go further.

    Args:
        depth: number L of hidden layers.
        ridge: rho, at least 0; it is not multiplied by N.
        kernel: ``"ntk"`` or ``"nngp"``.
        activation: see ``nh.fcn_kernel``, as the three that follow.
        sigma_w: standard deviation of the weights.
        sigma_b: standard deviation of the biases.
        scale_input: divide the first inner product by the number of columns.

    Attributes:
        dual_coef_: (N,) or (N, O), as y.
        X_fit_: the training inputs.
        jitter_: what was added to the diagonal beyond the ridge, see ``nh.solve_psd``.

    Raises:
        ValueError: (from ``fit``) if a parameter or the data are out of range.
        TypeError: (from ``fit``) if a parameter has the wrong type.

    Example:
        >>> model = NTKRegressor(depth=1, ridge=1.0, scale_input=False).fit(np.eye(2), [5.0, 0.0])
        >>> model.predict(np.eye(2)).round(1)  # K = [[4, 2/pi], [2/pi, 4]]
        array([4. , 0.1])
    """

    def fit(self, X: Any, y: Any) -> NTKRegressor:
        """Solve for the coefficients; X is (N, d), y is (N,) or (N, O)."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True, multi_output=True)
        self._solve(X, np.asarray(y, np.float64))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predictions of the shape of y, with the rows of X."""
        return self._values(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class NTKClassifier(ClassifierMixin, _KernelRidge):
    """Kernel ridge regression of the classes, coded as +1 and -1; the largest output wins. See ``NTKRegressor``.

    Args:
        depth: number L of hidden layers.
        ridge: added to the diagonal, at least 0; it is not multiplied by N.
        kernel: ``"ntk"`` or ``"nngp"``.
        activation: see ``nh.fcn_kernel``, as the three that follow.
        sigma_w: standard deviation of the weights.
        sigma_b: standard deviation of the biases.
        scale_input: divide the first inner product by the number of columns.

    Attributes:
        classes_: the classes, sorted.
        dual_coef_: (N,) for two classes, (N, C) for more.
        X_fit_: the training inputs.
        jitter_: what was added to the diagonal beyond the ridge.

    Raises:
        ValueError: (from ``fit``) if a parameter or the data are out of range, or there is one class only.
        TypeError: (from ``fit``) if a parameter has the wrong type.

    Example:
        >>> model = NTKClassifier(depth=2, ridge=0.1).fit([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]], ["a", "b", "b"])
        >>> model.predict([[0.9, 0.1], [0.2, 0.8]]).tolist()
        ['a', 'b']
    """

    def fit(self, X: Any, y: Any) -> NTKClassifier:
        """Solve for the coefficients; X is (N, d), y holds N classes."""
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32])
        check_classification_targets(y)
        coder = LabelBinarizer(neg_label=-1)
        targets = np.asarray(coder.fit_transform(y), np.float64)
        self.classes_ = coder.classes_
        if len(self.classes_) < 2:
            raise ValueError(f"y must have at least two classes, got one class: {self.classes_[0]!r}")
        self._solve(X, targets[:, 0] if len(self.classes_) == 2 else targets)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Outputs before the decision: (N,), positive for the second of two classes, or (N, C)."""
        return self._values(X)

    def predict(self, X: Any) -> np.ndarray:
        """The class of each row of X."""
        values = self.decision_function(X)
        chosen = values.argmax(axis=1) if values.ndim == 2 else (values > 0).astype(int)
        return self.classes_[chosen]
