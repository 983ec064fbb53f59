"""What networks of finite width do: networks, initialization, sampling, tangent kernels, physics-informed rows."""

from ntk_helpers.finite.hierarchy import TangentHierarchy, tangent_hierarchy
from ntk_helpers.finite.initializers import delta_orthogonal, gaussian, orthogonal
from ntk_helpers.finite.networks import ConvParams, DenseParams, Network, cnn, fcn, mirrored
from ntk_helpers.finite.pinn import (
    BlockKernel,
    PDEProblem,
    PDESystem,
    Residual,
    Rows,
    partial_derivatives,
    pde_jacobian,
    pde_kernel,
    pde_linearize,
    pde_problem,
    pde_residual,
)
from ntk_helpers.finite.sampling import sample_fcn_law, sample_outputs
from ntk_helpers.finite.tangents import (
    empirical_ntk,
    estimate_cost,
    explain,
    ntk_vector_product,
    register_rule,
    tangent_kernel,
)

__all__ = [
    "BlockKernel",
    "ConvParams",
    "DenseParams",
    "Network",
    "PDEProblem",
    "PDESystem",
    "Residual",
    "Rows",
    "TangentHierarchy",
    "cnn",
    "delta_orthogonal",
    "empirical_ntk",
    "estimate_cost",
    "explain",
    "fcn",
    "gaussian",
    "mirrored",
    "ntk_vector_product",
    "orthogonal",
    "partial_derivatives",
    "pde_jacobian",
    "pde_kernel",
    "pde_linearize",
    "pde_problem",
    "pde_residual",
    "register_rule",
    "sample_fcn_law",
    "sample_outputs",
    "tangent_hierarchy",
    "tangent_kernel",
]
