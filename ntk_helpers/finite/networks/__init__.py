"""Networks as pairs of functions ``init`` and ``apply``, one architecture a file."""

from ntk_helpers.finite.networks.cnn import ConvParams, cnn
from ntk_helpers.finite.networks.fcn import DenseParams, fcn
from ntk_helpers.finite.networks.network import Network, mirrored

__all__ = ["ConvParams", "DenseParams", "Network", "cnn", "fcn", "mirrored"]
