"""Random features of tangent kernels, as scikit-learn transformers."""

from ntk_helpers.predict.features.arc_cosine import ArcCosineFeatures
from ntk_helpers.predict.features.ntk_sketch import NTKSketch
from ntk_helpers.predict.features.polynomial import ntk_polynomial
from ntk_helpers.predict.features.random_features import NTKRandomFeatures

__all__ = ["ArcCosineFeatures", "NTKRandomFeatures", "NTKSketch", "ntk_polynomial"]
