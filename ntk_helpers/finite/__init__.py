"""What networks of finite width do: networks, their initialization, sampling."""

from ntk_helpers.finite.initializers import gaussian, orthogonal
from ntk_helpers.finite.networks import DenseParams, Network, fcn, mirrored
from ntk_helpers.finite.sampling import sample_fcn_law, sample_outputs

__all__ = [
    "DenseParams",
    "Network",
    "fcn",
    "gaussian",
    "mirrored",
    "orthogonal",
    "sample_fcn_law",
    "sample_outputs",
]
