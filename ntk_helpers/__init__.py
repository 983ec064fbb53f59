"""Neural tangent kernels: infinite-width limits, finite networks, training, on current JAX.

The public names are re-exported here; import the package as ``import ntk_helpers as nh``.
Names of ``bookkit`` (claims, figures, data sets) and of training load when first used, so that importing the package
imports neither matplotlib nor optax nor scikit-learn.
"""

from importlib import import_module as _import_module
from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version

from ntk_helpers.activations import Activation, activation
from ntk_helpers.finite import (
    BlockKernel,
    ConvParams,
    DenseParams,
    Network,
    PDEProblem,
    PDESystem,
    Residual,
    Rows,
    cnn,
    delta_orthogonal,
    empirical_ntk,
    estimate_cost,
    explain,
    fcn,
    gaussian,
    mirrored,
    ntk_vector_product,
    orthogonal,
    partial_derivatives,
    pde_jacobian,
    pde_kernel,
    pde_linearize,
    pde_problem,
    pde_residual,
    register_rule,
    sample_fcn_law,
    sample_outputs,
    tangent_kernel,
)
from ntk_helpers.limits import (
    CriticalSmoothness,
    DualActivation,
    EmpiricalSpectrum,
    FourierFeatures,
    Kernels,
    KernelState,
    LabelSmoothness,
    PowerLaw,
    SphereSpectrum,
    activation_layer,
    arc_cosine,
    basic_features,
    cnn_kernel,
    composed_kernel,
    critical_smoothness,
    dense_layer,
    dual_activation,
    empirical_spectrum,
    fcn_kernel,
    fcn_pde_kernel,
    fit_power_law,
    fourier_features,
    gaussian_features,
    harmonic_energy,
    harmonic_multiplicity,
    input_layer,
    interpolation_sums,
    kernels,
    label_smoothness,
    positional_features,
    power_features,
    sphere_grid,
    sphere_spectrum,
    stationary_spectrum,
    zonal_kernel,
)
from ntk_helpers.predict import (
    EnsembleMoments,
    GPPosterior,
    KernelSpectrum,
    Prediction,
    PSDSolution,
    RiskCurve,
    critical_learning_rate,
    ensemble_descent,
    ensemble_flow,
    flow_risk,
    gp_posterior,
    gradient_descent,
    gradient_flow,
    kernel_ridge,
    kernel_spectrum,
    loss_factor,
    ridge_risk,
    sample_gp,
    solve_psd,
    squared_loss,
)

try:
    __version__ = _version("ntk-helpers")
except _PackageNotFoundError:  # run from a checkout that is not installed, as on a borrowed GPU machine
    __version__ = "0+checkout"

# name -> module it lives in; loaded on first use
_LAZY: dict[str, str] = {
    **dict.fromkeys(("TrainingLog", "train"), "ntk_helpers.predict.training"),
    **dict.fromkeys(("PointResidual", "point_residuals"), "ntk_helpers.predict.residuals"),
    **dict.fromkeys(("ResidualLog", "ntk_weights", "train_residuals"), "ntk_helpers.predict.adaptive_weights"),
    **dict.fromkeys(("GaussNewtonLog", "gauss_newton_step", "levenberg_marquardt"), "ntk_helpers.predict.gauss_newton"),
    **dict.fromkeys(("ClaimFailed", "chapter", "claim", "claims_table", "not_run"), "ntk_helpers.bookkit.claims"),
    **dict.fromkeys(("configure", "progress", "scale"), "ntk_helpers.bookkit.scale"),
    **dict.fromkeys(("SliceOver", "stage"), "ntk_helpers.bookkit.stages"),
    **dict.fromkeys(("load_results", "stored_results"), "ntk_helpers.bookkit.results"),
    **dict.fromkeys(("MeanSE", "Slope", "fit_slope", "mean_and_se"), "ntk_helpers.bookkit.statistics"),
    **dict.fromkeys(("band", "loglog_with_slope", "show", "use_style"), "ntk_helpers.bookkit.figures"),
    **dict.fromkeys(("slider",), "ntk_helpers.bookkit.slider"),
    **dict.fromkeys(
        (
            "Dataset",
            "DatasetUnavailable",
            "circle",
            "load_bundled",
            "load_digits",
            "load_image",
            "load_openml",
            "load_uci",
            "sphere",
        ),
        "ntk_helpers.bookkit.datasets",
    ),
}

__all__ = [
    "Activation",
    "activation",
    # finite
    "BlockKernel",
    "DenseParams",
    "Network",
    "PDEProblem",
    "PDESystem",
    "Residual",
    "Rows",
    "ConvParams",
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
    "tangent_kernel",
    # limits
    "CriticalSmoothness",
    "DualActivation",
    "EmpiricalSpectrum",
    "FourierFeatures",
    "KernelState",
    "Kernels",
    "LabelSmoothness",
    "PowerLaw",
    "SphereSpectrum",
    "activation_layer",
    "arc_cosine",
    "cnn_kernel",
    "basic_features",
    "composed_kernel",
    "critical_smoothness",
    "dense_layer",
    "dual_activation",
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
    "positional_features",
    "power_features",
    "sphere_grid",
    "sphere_spectrum",
    "stationary_spectrum",
    "zonal_kernel",
    # predict
    "EnsembleMoments",
    "GPPosterior",
    "KernelSpectrum",
    "PSDSolution",
    "Prediction",
    "RiskCurve",
    "critical_learning_rate",
    "ensemble_descent",
    "ensemble_flow",
    "flow_risk",
    "gp_posterior",
    "gradient_descent",
    "gradient_flow",
    "kernel_ridge",
    "kernel_spectrum",
    "loss_factor",
    "ridge_risk",
    "sample_gp",
    "solve_psd",
    "squared_loss",
    *_LAZY,
]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        value = getattr(_import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ntk_helpers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
