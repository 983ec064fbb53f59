"""The empirical NTK of any function of parameters, at the price of a backward pass."""

from ntk_helpers.finite.tangents.api import empirical_ntk, estimate_cost, explain, ntk_vector_product, tangent_kernel
from ntk_helpers.finite.tangents.report import CostEstimate, Explanation, LeafReport, MethodCost
from ntk_helpers.finite.tangents.rules import register_rule

__all__ = [
    "CostEstimate",
    "Explanation",
    "LeafReport",
    "MethodCost",
    "empirical_ntk",
    "estimate_cost",
    "explain",
    "ntk_vector_product",
    "register_rule",
    "tangent_kernel",
]
