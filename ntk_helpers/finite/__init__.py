"""What networks of finite width do: networks, their initialization, sampling."""

from ntk_helpers.finite.initializers import delta_orthogonal, gaussian, orthogonal
from ntk_helpers.finite.networks import ConvParams, DenseParams, Network, cnn, fcn, mirrored
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
    "ConvParams",
    "DenseParams",
    "Network",
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
    "register_rule",
    "sample_fcn_law",
    "sample_outputs",
    "tangent_kernel",
]
