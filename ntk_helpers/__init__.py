"""Neural tangent kernels: infinite-width limits, finite networks, training, on current JAX.

The public names are re-exported here; import the package as ``import ntk_helpers as nh``.
Names of ``bookkit`` (claims, figures, data sets) load when first used, so that importing the package
imports neither matplotlib nor optax nor scikit-learn.
"""

from importlib import import_module as _import_module
from importlib.metadata import version as _version

from ntk_helpers.activations import Activation, activation
from ntk_helpers.finite import DenseParams, Network, fcn, gaussian, mirrored, orthogonal, sample_fcn_law, sample_outputs

__version__ = _version("ntk-helpers")

# name -> module it lives in; loaded on first use
_LAZY: dict[str, str] = {}

__all__ = [
    "Activation",
    "activation",
    # finite
    "DenseParams",
    "Network",
    "fcn",
    "gaussian",
    "mirrored",
    "orthogonal",
    "sample_fcn_law",
    "sample_outputs",
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
