"""What infinite width says, as plain functions of inputs: kernels and their building blocks."""

from ntk_helpers.limits.duals import DualActivation, dual_activation
from ntk_helpers.limits.fcn import fcn_kernel
from ntk_helpers.limits.layers import Kernels, KernelState, activation_layer, dense_layer, input_layer, kernels

__all__ = [
    "DualActivation",
    "KernelState",
    "Kernels",
    "activation_layer",
    "dense_layer",
    "dual_activation",
    "fcn_kernel",
    "input_layer",
    "kernels",
]
