"""What training does: kernel regression, gradient flow in function space, ensembles, learning curves, real training.

``training`` needs optax and is imported where ``nh.train`` or ``nh.train_log_time`` is first used.
"""

from ntk_helpers.predict.ensembles import EnsembleMoments, ensemble_descent, ensemble_flow, sample_gp
from ntk_helpers.predict.flow import cross_entropy_flow, gradient_descent, gradient_flow
from ntk_helpers.predict.hierarchy import HierarchyDiverged, hierarchy_flow, hierarchy_integrals, hierarchy_kernel
from ntk_helpers.predict.large import (
    LargeRidge,
    NotConverged,
    RidgePlan,
    large_gram,
    large_product,
    large_ridge,
    nystroem_features,
    plan_ridge,
)
from ntk_helpers.predict.losses import critical_learning_rate, loss_factor, squared_loss
from ntk_helpers.predict.parameter_flow import ParameterFlow, parameter_flow
from ntk_helpers.predict.regression import GPPosterior, Prediction, gp_posterior, kernel_ridge
from ntk_helpers.predict.risk import RiskCurve, flow_risk, ridge_risk
from ntk_helpers.predict.solves import KernelSpectrum, PSDSolution, kernel_spectrum, solve_psd

__all__ = [
    "EnsembleMoments",
    "GPPosterior",
    "HierarchyDiverged",
    "KernelSpectrum",
    "LargeRidge",
    "NotConverged",
    "PSDSolution",
    "ParameterFlow",
    "Prediction",
    "RidgePlan",
    "RiskCurve",
    "critical_learning_rate",
    "cross_entropy_flow",
    "ensemble_descent",
    "ensemble_flow",
    "flow_risk",
    "gp_posterior",
    "gradient_descent",
    "gradient_flow",
    "hierarchy_flow",
    "hierarchy_integrals",
    "hierarchy_kernel",
    "kernel_ridge",
    "kernel_spectrum",
    "large_gram",
    "large_product",
    "large_ridge",
    "loss_factor",
    "nystroem_features",
    "parameter_flow",
    "plan_ridge",
    "ridge_risk",
    "sample_gp",
    "solve_psd",
    "squared_loss",
]
