"""Physics-informed networks: residuals of differential equations, ready problems, tangent kernels of their rows."""

from ntk_helpers._derivatives import partial_derivatives
from ntk_helpers.finite.pinn.kernel import BlockKernel, pde_kernel
from ntk_helpers.finite.pinn.linearize import PointResidual, pde_jacobian, pde_linearize, point_residuals
from ntk_helpers.finite.pinn.problems import PDEProblem, pde_problem
from ntk_helpers.finite.pinn.residual import Residual, pde_residual
from ntk_helpers.finite.pinn.system import PDESystem, Rows

__all__ = [
    "BlockKernel",
    "PDEProblem",
    "PDESystem",
    "PointResidual",
    "Residual",
    "Rows",
    "partial_derivatives",
    "pde_jacobian",
    "pde_kernel",
    "pde_linearize",
    "pde_problem",
    "pde_residual",
    "point_residuals",
]
