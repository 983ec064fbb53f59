"""What networks of finite width do: networks, initialization, sampling, tangent kernels, physics-informed rows."""

from ntk_helpers.finite.deep_sampling import DeepDraws, sample_deep_law
from ntk_helpers.finite.hierarchy import TangentHierarchy, tangent_hierarchy
from ntk_helpers.finite.initializers import delta_orthogonal, gaussian, orthogonal
from ntk_helpers.finite.networks import (
    ConvParams,
    DenseParams,
    Network,
    RNNLayer,
    RNNParams,
    cnn,
    fcn,
    mirrored,
    resnet,
    rnn,
)
from ntk_helpers.finite.ntk_sampling import NTKLayers, sample_ntk_law
from ntk_helpers.finite.pinn import (
    BlockKernel,
    PDEProblem,
    PDESystem,
    PointResidual,
    Residual,
    Rows,
    partial_derivatives,
    pde_jacobian,
    pde_kernel,
    pde_linearize,
    pde_problem,
    pde_residual,
    point_residuals,
)
from ntk_helpers.finite.sampling import sample_fcn_law, sample_outputs
from ntk_helpers.finite.size_biased import sample_size_biased_relu_ntk
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
    "DeepDraws",
    "DenseParams",
    "NTKLayers",
    "Network",
    "PDEProblem",
    "PDESystem",
    "PointResidual",
    "RNNLayer",
    "RNNParams",
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
    "point_residuals",
    "register_rule",
    "resnet",
    "rnn",
    "sample_deep_law",
    "sample_fcn_law",
    "sample_ntk_law",
    "sample_outputs",
    "sample_size_biased_relu_ntk",
    "tangent_hierarchy",
    "tangent_kernel",
]
