r"""Whether the tangent kernel describes a given network: phase, depth over width, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntk_helpers import _checks
from ntk_helpers.limits.dispersion import relu_ntk_dispersion_limit, second_moment
from ntk_helpers.limits.phases import (
    AnyActivation,
    OrderChaos,
    is_homogeneous,
    moments,
    order_chaos,
    resolve_dual,
)

__all__ = ["TrustReport", "trust_report"]

# Where the verdict changes. Standard deviation over mean of the kernel at initialization, or, where no formula for it
# is known, layers that a part of the kernel passes through, over width:
FIXED, RANDOM = 0.3, 0.6
SHALLOW, DEEP = 0.02, 0.2
# Expected relative change of the kernel, an order of magnitude:
STILL, MOVING = 0.1, 0.5
# Steps of gradient descent at the rate 1/lambda_max until what differs between inputs is learnt; a critical relu
# network needs about ten at any depth:
MANY_STEPS = 100.0


@dataclass(frozen=True)
class TrustReport:
    r"""What infinite width, and the first formulas beyond it, say about one network. ``print`` it.

    Attributes:
        phase: see ``nh.order_chaos``; so are its variance, chi and depth scale.
        ratio: depth over width, :math:`\lambda = L/n`.
        dispersion: :math:`E[\Theta^2]/E[\Theta]^2` of the tangent kernel at one input at initialization; None where no
            formula is known.
        passed_layers: hidden layers that a part of the kernel passes through, on average over its parts.
        output_sd: standard deviation of the output at initialization, infinite width.
        change: order of magnitude of the relative change of the kernel while the outputs move by ``target_rms`` (by
            their own standard deviation where that is larger or none was given); None where no estimate is known.
        centred_fraction: :math:`\|C\Theta C\|/\|\Theta\|` at infinite width, C the projection that takes away the mean,
            for ``n_samples`` inputs any two of which have the cosine ``cosine``.
        steps: :math:`\lambda_{\max}(\Theta)/\lambda_{\max}(C\Theta C)` there: steps of gradient descent at the rate
            :math:`1/\lambda_{\max}` that it takes to tell these inputs apart.
        verdict: ``"yes"``, ``"yes, but it hardly trains"``, ``"with care"``, ``"no"`` or ``"not known"``.
        reasons: sentences with the numbers behind the verdict, and what is not known.
    """

    phase: OrderChaos
    ratio: float
    dispersion: float | None
    passed_layers: float
    output_sd: float
    change: float | None
    centred_fraction: float
    steps: float
    verdict: Literal["yes", "yes, but it hardly trains", "with care", "no", "not known"]
    reasons: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return "\n".join([f"May the tangent kernel be used? {self.verdict}", *(f"- {r}" for r in self.reasons)])


class _Layers(NamedTuple):
    """Means at infinite width: the parts of the kernel by layer, at one input and at two."""

    weights: Float[np.ndarray, " layers"]
    biases: Float[np.ndarray, " layers"]
    at_two: float
    output_variance: float


def trust_report(
    *,
    depth: int,
    width: int,
    activation: AnyActivation = "relu",
    sigma_w: float = 1.0,
    sigma_b: float = 0.0,
    parameterization: Literal["ntk", "standard"] = "ntk",
    d_in: int | None = None,
    mean_square: float = 1.0,
    target_rms: float | None = None,
    n_samples: int = 20,
    cosine: float = 0.0,
) -> TrustReport:
    r"""Say whether the infinite-width tangent kernel may stand for a fully connected network, and by which numbers.

    Arguments mean what they mean for ``nh.fcn`` with ``biases="all"``: in the standard parameterization biases are
    trained even where ``sigma_b=0``; in the NTK parameterization they are then left out.

    The dispersion is the exact sum over layers of Chapter 9 for relu with ``sigma_b=0``, and its limit in the chaotic
    phase for any ``sigma_b``. The change is :math:`\lambda_p e^{5 \lambda_p}` times the move of the outputs in units of
    their standard deviation, :math:`\lambda_p` being ``passed_layers`` over width: the form of a bound of Hanin and
    Nica (2020) for one step with relu, as an order of magnitude, with a constant that is not derived. For other
    activations neither is known; the report says so, and ``nh.empirical_ntk`` for a few keys is then the answer.

    Args:
        depth: hidden layers L.
        width: units n in each of them.
        activation: as in ``nh.fcn``.
        sigma_w: as in ``nh.fcn``, one number.
        sigma_b: as in ``nh.fcn``, one number.
        parameterization: ``"ntk"`` or ``"standard"``.
        d_in: dimension of the inputs; the width unless given. It matters for the first layer's part in the standard
            parameterization only.
        mean_square: :math:`|x|^2/d` of the inputs.
        target_rms: typical size of the targets; None for targets of the size of the outputs.
        n_samples: number of samples, for ``centred_fraction`` and ``steps``.
        cosine: cosine of the angle between two inputs, for the same.

    Returns:
        A ``TrustReport``.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if a size or number is out of range, or as ``nh.order_chaos``.

    Example:
        >>> report = trust_report(depth=3, width=1000, sigma_w=2**0.5)
        >>> report.verdict, round(report.dispersion - 1, 3)
        ('yes', 0.01)
        >>> trust_report(depth=16, width=48, sigma_w=2.5**0.5).verdict
        'no'
    """
    depth, width = _checks.check_positive_int(depth, "depth"), _checks.check_positive_int(width, "width")
    _checks.check_choice(parameterization, "parameterization", ("ntk", "standard"))
    d_in = width if d_in is None else _checks.check_positive_int(d_in, "d_in")
    if _checks.check_positive_int(n_samples, "n_samples") < 2:
        raise ValueError("n_samples must be at least 2, got 1")
    if not -1 / (n_samples - 1) <= cosine < 1:
        raise ValueError(f"cosine must be below 1 and possible for {n_samples} inputs, got {cosine}")
    if target_rms is not None:
        target_rms = float(_checks.check_nonnegative(target_rms, "target_rms"))
    dual = resolve_dual(activation)
    phase = order_chaos(dual, sigma_w=sigma_w, sigma_b=sigma_b, mean_square=mean_square)
    layers = _layers(dual, depth, width, d_in, sigma_w, sigma_b, parameterization == "standard", mean_square, cosine)
    dispersion, known = _dispersion(dual, phase, layers, depth, width, float(sigma_b))
    # A part at layer l depends on the layers above it; that of homogeneous weights on those below as well.
    above = np.arange(depth, -1, -1)
    passed = np.sum(layers.weights * (depth if is_homogeneous(dual) else above) + layers.biases * above)
    passed = float(passed / np.sum(layers.weights + layers.biases))
    output_sd = math.sqrt(layers.output_variance)
    move = max(1.0, target_rms / output_sd) if target_rms is not None else 1.0
    change = move * passed / width * math.exp(5 * passed / width) if dual.activation.name == "relu" else None
    centred, steps = _centred(layers, n_samples)
    reasons = [
        f"{phase.phase} phase: chi = {phase.chi:.3g}, "
        + ("no depth scale" if math.isinf(phase.depth_scale) else f"depth scale {phase.depth_scale:.3g} layers"),
        f"depth over width {depth / width:.3g}; a part of the kernel passes {passed:.3g} of {depth} hidden layers",
        known,
        f"expected change of the kernel, order of magnitude: {change:.2g}, outputs moving by {move:.3g} of their sd"
        if change is not None
        else f"change in training: no estimate for {dual.activation.name}; measure nh.empirical_ntk before and after",
        f"{n_samples} inputs of cosine {cosine:g}: centred fraction of the kernel {centred:.2g}, "
        f"about {steps:.2g} steps to tell them apart",
    ]
    verdict = _verdict(dispersion, change, passed / width, steps, move)
    return TrustReport(
        phase, depth / width, dispersion, passed, output_sd, change, centred, steps, verdict, tuple(reasons)
    )


def _layers(dual, depth, width, d_in, sigma_w, sigma_b, standard, mean_square, cosine) -> _Layers:
    """The recursion of infinite width for two inputs of equal length."""
    weight, bias = sigma_w**2, sigma_b**2
    second, joint = mean_square, mean_square * cosine  # E[h^2] and E[h h'] below the layer
    forward, forward_two, chi, chi_two = [second], [joint], [], []
    for _ in range(depth):
        q, q12 = weight * second + bias, weight * joint + bias
        values = [float(v) for v in moments(dual, jnp.asarray(q, float), jnp.asarray(min(q12, q), float))]
        second, joint = values[0], values[2]
        forward, forward_two = [*forward, second], [*forward_two, joint]
        chi, chi_two = [*chi, weight * values[1]], [*chi_two, weight * values[3]]
    fan_in = np.array([d_in, *[width] * depth], float)
    scale, offset = (fan_in, 1.0) if standard else (np.full(depth + 1, weight), bias)
    # |df/dz^l|^2 in the mean: the product of chi from layer l on
    backward, backward_two = (np.append(np.cumprod(c[::-1])[::-1], 1.0) for c in (chi, chi_two))
    return _Layers(
        backward * scale * np.array(forward),
        backward * offset,
        float(np.sum(backward_two * (scale * np.array(forward_two) + offset))),
        weight * second + bias,
    )


def _dispersion(dual, phase, layers, depth, width, sigma_b) -> tuple[float | None, str]:
    """E[T^2]/E[T]^2 where it is known, and the sentence that says so."""
    name = dual.activation.name
    if name == "relu" and sigma_b == 0:
        total = float(np.sum(layers.weights + layers.biases))
        value = second_moment(layers.weights, layers.biases, width) / total**2
        how = "exact sum over layers"
    elif name == "relu" and phase.phase == "chaotic":
        value, how = relu_ntk_dispersion_limit(depth / width, phase="chaotic"), "limit of many layers"
    else:
        small = "; it is of order 1/width, since few layers enter" if phase.phase == "ordered" and sigma_b > 0 else ""
        why = f"{name} with sigma_b = {sigma_b:g}" if name == "relu" else name
        return None, f"kernel at initialization: no formula for its spread for {why}{small}"
    return value, f"kernel at initialization: sd over mean {math.sqrt(max(value - 1, 0)):.3g} ({how})"


def _centred(layers: _Layers, n: int) -> tuple[float, float]:
    """Centred fraction and ratio of eigenvalues of n inputs, any two with the same kernel."""
    one = float(np.sum(layers.weights + layers.biases))
    apart, constant = max(one - layers.at_two, 0.0), one + (n - 1) * layers.at_two
    fraction = apart * math.sqrt(n - 1) / math.hypot(constant, apart * math.sqrt(n - 1))
    return fraction, max(constant, apart) / apart if apart > 0 else math.inf


def _verdict(dispersion, change, passed_ratio, steps, move):
    if dispersion is None:
        spread, limits = passed_ratio, (SHALLOW, DEEP)
    else:
        spread, limits = math.sqrt(max(dispersion - 1, 0)), (FIXED, RANDOM)
    if spread >= limits[1] or (change is not None and change >= MOVING) or move >= 10:
        return "no" if dispersion is not None or change is not None or move >= 10 else "not known"
    if steps > MANY_STEPS:
        return "yes, but it hardly trains" if spread <= limits[0] or passed_ratio <= SHALLOW else "with care"
    if spread <= limits[0] and (change is None or change <= STILL):
        return "yes"
    return "with care"
