"""What infinite width says, as plain functions of inputs: kernels and their building blocks."""

from ntk_helpers.limits.cnn import cnn_kernel
from ntk_helpers.limits.covariance_sde import shaped_relu_correlation
from ntk_helpers.limits.depth_limits import deep_resnet_kernel
from ntk_helpers.limits.diffusion import LineLaw, diffusion_law
from ntk_helpers.limits.dispersion import NTKMoments, crossing_factor, relu_ntk_dispersion_limit, relu_ntk_moments
from ntk_helpers.limits.duals import DualActivation, dual_activation
from ntk_helpers.limits.empirical_spectrum import EmpiricalSpectrum, PowerLaw, empirical_spectrum, fit_power_law
from ntk_helpers.limits.fcn import fcn_kernel
from ntk_helpers.limits.fourier import (
    FourierFeatures,
    basic_features,
    composed_kernel,
    fourier_features,
    gaussian_features,
    positional_features,
    power_features,
    stationary_spectrum,
)
from ntk_helpers.limits.harmonics import harmonic_energy, sphere_grid
from ntk_helpers.limits.interpolation import (
    CriticalSmoothness,
    LabelSmoothness,
    critical_smoothness,
    interpolation_sums,
    label_smoothness,
)
from ntk_helpers.limits.layers import Kernels, KernelState, activation_layer, dense_layer, input_layer, kernels
from ntk_helpers.limits.pde import fcn_pde_kernel
from ntk_helpers.limits.phases import OrderChaos, edge_of_chaos, order_chaos
from ntk_helpers.limits.resnet import resnet_kernel
from ntk_helpers.limits.rnn import rnn_kernel
from ntk_helpers.limits.sphere import SphereSpectrum, harmonic_multiplicity, sphere_spectrum
from ntk_helpers.limits.trust import TrustReport, trust_report
from ntk_helpers.limits.zonal import arc_cosine, zonal_kernel, zonal_resnet_kernel

__all__ = [
    "CriticalSmoothness",
    "DualActivation",
    "EmpiricalSpectrum",
    "FourierFeatures",
    "KernelState",
    "Kernels",
    "LabelSmoothness",
    "LineLaw",
    "NTKMoments",
    "OrderChaos",
    "PowerLaw",
    "SphereSpectrum",
    "TrustReport",
    "activation_layer",
    "arc_cosine",
    "basic_features",
    "cnn_kernel",
    "composed_kernel",
    "critical_smoothness",
    "crossing_factor",
    "deep_resnet_kernel",
    "dense_layer",
    "diffusion_law",
    "dual_activation",
    "edge_of_chaos",
    "empirical_spectrum",
    "fcn_kernel",
    "fcn_pde_kernel",
    "fit_power_law",
    "fourier_features",
    "gaussian_features",
    "harmonic_energy",
    "harmonic_multiplicity",
    "input_layer",
    "interpolation_sums",
    "kernels",
    "label_smoothness",
    "order_chaos",
    "positional_features",
    "power_features",
    "relu_ntk_dispersion_limit",
    "relu_ntk_moments",
    "resnet_kernel",
    "rnn_kernel",
    "shaped_relu_correlation",
    "sphere_grid",
    "sphere_spectrum",
    "stationary_spectrum",
    "trust_report",
    "zonal_kernel",
    "zonal_resnet_kernel",
]
