"""Networks as pairs of functions ``init`` and ``apply``, one architecture a file."""

from ntk_helpers.finite.networks.cnn import ConvParams, cnn
from ntk_helpers.finite.networks.fcn import DenseParams, fcn
from ntk_helpers.finite.networks.network import Network, mirrored
from ntk_helpers.finite.networks.resnet import ResNetBlock, ResNetParams, resnet
from ntk_helpers.finite.networks.rnn import RNNLayer, RNNParams, rnn

__all__ = [
    "ConvParams",
    "DenseParams",
    "Network",
    "RNNLayer",
    "RNNParams",
    "ResNetBlock",
    "ResNetParams",
    "cnn",
    "fcn",
    "mirrored",
    "resnet",
    "rnn",
]
