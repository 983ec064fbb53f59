"""Kernels past one device: tiles over a mesh, products without a matrix, solves that can be stopped and continued."""

from ntk_helpers.predict.large.cg import NotConverged
from ntk_helpers.predict.large.gram import large_gram, large_product
from ntk_helpers.predict.large.plan import RidgePlan, plan_ridge
from ntk_helpers.predict.large.preconditioner import nystroem_features
from ntk_helpers.predict.large.ridge import LargeRidge, large_ridge

__all__ = [
    "LargeRidge",
    "NotConverged",
    "RidgePlan",
    "large_gram",
    "large_product",
    "large_ridge",
    "nystroem_features",
    "plan_ridge",
]
