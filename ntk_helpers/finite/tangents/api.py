"""The empirical NTK of any function, for users."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float
from tqdm import tqdm

from ntk_helpers import _checks
from ntk_helpers._progress import PROGRESS_AFTER
from ntk_helpers.finite.tangents.blocks import Mode
from ntk_helpers.finite.tangents.classical import jacobian_kernel, ntkvp_kernel
from ntk_helpers.finite.tangents.coupling import check_coupling
from ntk_helpers.finite.tangents.model import Model, batch_leaves, build_model, output_of
from ntk_helpers.finite.tangents.report import CostEstimate, Explanation, LeafReport
from ntk_helpers.finite.tangents.structured import Plan, estimate, make_plan, structured_kernel

__all__ = ["empirical_ntk", "estimate_cost", "explain", "ntk_vector_product", "tangent_kernel"]

Output = Literal["full", "trace", "diagonal"]
Pairs = Literal["all", "same"]
Method = Literal["auto", "structured", "jacobian", "ntkvp"]
Model2 = tuple[Model, Model]
Function = Callable[[Any, Any], Any]

# "auto" leaves the structured method only for one that is estimated to need less than this share of its work:
# column by column is the better way for a thousand outputs, and estimates are rough.
SWITCH_SHARE = 0.3


def _compute(models: Model2, mode: Mode, method: str, leaves: list[Any], x1: list[Any], x2: list[Any] | None) -> Any:
    """One block of the kernel by one method, outputs flat."""
    plan = None
    if models[0] == models[1]:
        models = (models[0], models[0])
    if method == "auto":
        plan = _plan(models, mode, leaves, x1, x2)
        costs = estimate(plan, leaves, models)
        method = "structured"
        if costs.ntkvp.flops < SWITCH_SHARE * costs.structured.flops:
            method = "ntkvp"
    if method == "structured":
        return structured_kernel(models, leaves, x1, x2, mode, plan)
    return (jacobian_kernel if method == "jacobian" else ntkvp_kernel)(models, leaves, x1, x2, mode)


def _plan(models: Model2, mode: Mode, leaves: list[Any], x1: list[Any], x2: list[Any] | None) -> Plan:
    sides = (x1, x1 if x2 is None else x2)
    examples = [[jax.ShapeDtypeStruct(part.shape[1:], part.dtype) for part in side] for side in sides]
    return make_plan(models, leaves, examples, (sides[0][0].shape[0], sides[1][0].shape[0]), mode)


_compiled = jax.jit(_compute, static_argnums=(0, 1, 2))


def _block_function(models: Model2, mode: Mode, method: str) -> Callable[..., Any]:
    """The compiled kernel, kept from call to call if the function can be looked up again."""
    try:
        hash(models)
    except TypeError:
        return jax.jit(functools.partial(_compute, models, mode, method))
    return functools.partial(_compiled, models, mode, method)


def _setup(
    functions: tuple[Function, Function],
    params: Any,
    x1: Any,
    x2: Any,
    trainable: Any,
    names: tuple[str, str] = ("f", "f"),
) -> tuple[Model2, list[Any], list[Any], list[Any] | None, tuple[tuple[int, ...], tuple[int, ...]], Any]:
    """Check the arguments; return models, leaves of params, x1, x2, shapes of the outputs of one sample, dtype."""
    first, tree, _ = batch_leaves(x1, "x1")
    second, other_tree, _ = (first, tree, 0) if x2 is None else batch_leaves(x2, "x2")
    same_function = functions[0] is functions[1] or functions[0] == functions[1]
    if same_function:
        here, there = [part.shape[1:] for part in first], [part.shape[1:] for part in second]
        if tree != other_tree or here != there:
            raise ValueError(f"x1 and x2 must hold samples of the same shapes, got {here} and {there}")
    model, leaves = build_model(functions[0], params, tree, trainable, names[0])
    models = (model, model)
    if not same_function:
        models = (model, build_model(functions[1], params, other_tree, trainable, names[1])[0])
    out1 = output_of(models[0], leaves, first, names[0])
    check_coupling(models[0], leaves, first, second if same_function else None, names[0])
    out2 = out1
    if not same_function:
        out2 = output_of(models[1], leaves, second, names[1])
        check_coupling(models[1], leaves, second, None, names[1])
    dtype = jnp.promote_types(jnp.promote_types(out1.dtype, out2.dtype), jnp.float32)
    return models, leaves, first, None if x2 is None else second, (out1.shape, out2.shape), dtype


def _finish(kernel: Any, mode: Mode, shapes: tuple[tuple[int, ...], tuple[int, ...]], dtype: Any) -> Any:
    """Unfold the output axes; trace becomes the mean."""
    lead = kernel.shape[: 1 if mode.same else 2]
    if mode.output == "trace":
        return (kernel / math.prod(shapes[0])).astype(dtype)
    outs = (*shapes[0], *shapes[1]) if mode.output == "full" else shapes[0]
    return kernel.reshape(*lead, *outs).astype(dtype)


def _slice(x: list[Any], start: int, size: int) -> list[Any]:
    """``size`` samples from ``start``; the last sample repeated where they run out, so that all blocks are alike."""
    index = jnp.minimum(jnp.arange(start, start + size), x[0].shape[0] - 1)
    return [jnp.take(part, index, axis=0) for part in x]


def _in_blocks(
    block: Callable[..., Any], mode: Mode, leaves: list[Any], x1: list[Any], x2: list[Any] | None, size: int, sym: bool
) -> Any:
    """The kernel from blocks of ``size`` samples a side; below the diagonal of a symmetric kernel by reflection."""
    n1, n2 = x1[0].shape[0], (x1 if x2 is None else x2)[0].shape[0]
    starts1, starts2 = range(0, n1, size), range(0, n2, size)
    every = [(i, j) for i in starts1 for j in starts2 if not sym or j >= i]
    jobs = [(i, i) for i in starts1] if mode.same else every
    parts: dict[tuple[int, int], Any] = {}
    with tqdm(jobs, desc="empirical NTK", unit="block", delay=PROGRESS_AFTER, leave=False) as bar:
        for i, j in bar:
            right = None if sym and i == j else _slice(x1 if x2 is None else x2, j, size)
            # Waiting keeps the memory of one block, and makes the bar tell the truth.
            part = jax.block_until_ready(block(leaves, _slice(x1, i, size), right))
            parts[i, j] = part[: n1 - i] if mode.same else part[: n1 - i, : n2 - j]
    if mode.same:
        return jnp.concatenate([parts[i, i] for i in starts1])
    if sym:
        for i, j in jobs:
            axes = (1, 0, 3, 2) if mode.output == "full" else (1, 0, *range(2, parts[i, j].ndim))
            parts[j, i] = parts[i, j] if i == j else jnp.transpose(parts[i, j], axes)
    return jnp.concatenate([jnp.concatenate([parts[i, j] for j in starts2], axis=1) for i in starts1])


def _kernel(
    functions: tuple[Function, Function],
    params: Any,
    x1: Any,
    x2: Any,
    mode: Mode,
    method: str,
    trainable: Any,
    batch_size: int | None,
    names: tuple[str, str] = ("f", "f"),
) -> Any:
    _checks.check_choice(method, "method", ("auto", "structured", "jacobian", "ntkvp"))
    if batch_size is not None:
        batch_size = _checks.check_positive_int(batch_size, "batch_size")
    models, leaves, first, second, shapes, dtype = _setup(functions, params, x1, x2, trainable, names)
    n1, n2 = first[0].shape[0], (first if second is None else second)[0].shape[0]
    if mode.same and n1 != n2:
        raise ValueError(f"pairs='same' needs as many samples in x1 as in x2, got {n1} and {n2}")
    if mode.output != "full" and shapes[0] != shapes[1]:
        raise ValueError(f"output={mode.output!r} needs equal output shapes, got {shapes[0]} and {shapes[1]}")
    block = _block_function(models, mode, method)
    if batch_size is None or batch_size >= max(n1, n2):
        kernel = block(leaves, first, second)
    else:
        symmetric = second is None and models[0] is models[1]
        kernel = _in_blocks(block, mode, leaves, first, second, batch_size, symmetric)
    return _finish(kernel, mode, shapes, dtype)


def _mode(output: str, pairs: str) -> Mode:
    _checks.check_choice(output, "output", ("full", "trace", "diagonal"))
    _checks.check_choice(pairs, "pairs", ("all", "same"))
    return Mode(output, pairs == "same")


def empirical_ntk(
    f: Function,
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    output: str = "full",
    pairs: str = "all",
    method: str = "auto",
    trainable: Any = None,
    batch_size: int | None = None,
) -> Float[Array, ...]:
    r"""The empirical neural tangent kernel of any function of parameters and a batch.

    .. math::
        \hat\Theta_{op}(x, x') = \sum_\theta \frac{\partial f_o(x)}{\partial\theta}
                                             \frac{\partial f_p(x')}{\partial\theta}

    (Jacot, Gabriel and Hongler 2018). The structured method needs one forward pass, one backward pass for each output,
    and products of small matrices, since a weight that enters as :math:`a^\top W` has the gradient
    :math:`a\,b^\top`, b being the cotangent of that product:
    :math:`\hat\Theta = \sum_{\text{uses}} (A A^\top) \odot (B B^\top)`. It follows each parameter through the traced
    program of one example; a parameter it cannot follow gets its explicit Jacobian. The result is exact in either
    case; ``nh.explain`` says which it was.

    The function can be used inside ``jax.jit``, ``jax.vmap`` (say over parameters) and ``jax.grad``. The compiled
    kernel is kept for later calls with the same function object f, which must not depend on anything that changes.

    Args:
        f: f(params, x) maps a batch x to an array whose first axis is the samples of x. Any number of further axes.
            An output may depend on its own sample only.
        params: pytree of parameters. Leaves that are no floating-point arrays are held fixed.
        x1: inputs, an array (N1, ...) or a pytree of arrays with a common first axis.
        x2: other inputs (N2, ...), x1 if None.
        output: "full" keeps all pairs of outputs, "diagonal" the pairs of equal outputs, "trace" their mean over
            outputs.
        pairs: "all" pairs of samples, or the "same": K(x1_i, x2_i) only.
        method: "structured", "jacobian" (explicit Jacobians and a product), "ntkvp" (one NTK-vector product for each
            column), or "auto": structured, unless there are so many outputs that ntkvp is estimated to be far cheaper.
        trainable: which parameters count: a pytree of True and False, the structure of params or an upper part of it.
        batch_size: compute in blocks of this many samples on either side, to bound the memory. Long runs show a
            progress bar.

    Returns:
        With O outputs: "full" ``(N1, N2, O, O)``, "diagonal" ``(N1, N2, O)``, "trace" ``(N1, N2)``; for several output
        axes they stand in place of O; for none, O is left out. ``pairs="same"`` has N in place of N1, N2. Float32 or
        float64, as f.

    Raises:
        ValueError: if f couples the samples of a batch or does not keep them on the first axis, x1 and x2 differ in
            shape, an input is not finite, no parameter is trainable, or an option is unknown.
        TypeError: if f is not callable, or its output, x or a mask is of the wrong type.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=3, width=32, depth=2, d_out=2)
        >>> params = net.init(key=jax.random.key(0))
        >>> nh.empirical_ntk(net.apply, params, jnp.eye(3)).shape
        (3, 3, 2, 2)
        >>> nh.empirical_ntk(net.apply, params, jnp.eye(3), output="trace", pairs="same").shape
        (3,)
    """
    return _kernel((f, f), params, x1, x2, _mode(output, pairs), method, trainable, batch_size)


def tangent_kernel(
    g: Function,
    h: Function,
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    output: str = "full",
    pairs: str = "all",
    method: str = "auto",
    trainable: Any = None,
    batch_size: int | None = None,
) -> Float[Array, ...]:
    r"""The tangent kernel between two functions of the same parameters.

    .. math::
        K_{op}(x, x') = \sum_\theta \frac{\partial g_o(x)}{\partial\theta} \frac{\partial h_p(x')}{\partial\theta}

    Physics-informed networks need it: g is the network at the boundary, h the residual of the equation in the
    interior (Wang, Yu and Perdikaris 2022).

    Args:
        g: function of params and x1, as in ``nh.empirical_ntk``.
        h: function of params and x2.
        params: pytree of parameters of both.
        x1: inputs of g.
        x2: inputs of h, x1 if None. They may have other shapes than those of g.
        output: "full"; or "diagonal", "trace" for functions with the same outputs.
        pairs: "all" or "same".
        method: as in ``nh.empirical_ntk``.
        trainable: as in ``nh.empirical_ntk``.
        batch_size: as in ``nh.empirical_ntk``.

    Returns:
        "full" ``(N1, N2, O_g, O_h)``, and the other shapes of ``nh.empirical_ntk``.

    Raises:
        ValueError: as ``nh.empirical_ntk``.
        TypeError: as ``nh.empirical_ntk``.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=1, width=32, depth=2, activation="tanh")
        >>> params = net.init(key=jax.random.key(0))
        >>> def slope(params, x):
        ...     return jax.vmap(jax.grad(lambda point: net.apply(params, point[None])[0, 0]))(x)
        >>> nh.tangent_kernel(net.apply, slope, params, jnp.zeros((1, 1)), jnp.ones((4, 1))).shape
        (1, 4, 1, 1)
    """
    return _kernel((g, h), params, x1, x2, _mode(output, pairs), method, trainable, batch_size, ("g", "h"))


def ntk_vector_product(
    f: Function, params: Any, x1: Any, x2: Any, vector: Any, *, trainable: Any = None
) -> Float[Array, ...]:
    r"""The product of the empirical NTK with a vector, without the kernel: one backward and one forward pass.

    .. math:: \hat\Theta(x_1, x_2)\, v = J(x_1)\,\bigl(J(x_2)^\top v\bigr)

    Args:
        f: as in ``nh.empirical_ntk``.
        params: pytree of parameters.
        x1: inputs (N1, ...).
        x2: inputs (N2, ...), x1 if None.
        vector: shape of f(params, x2).
        trainable: as in ``nh.empirical_ntk``.

    Returns:
        An array of the shape of f(params, x1).

    Raises:
        ValueError: if ``vector`` has another shape than f(params, x2), and as ``nh.empirical_ntk``.
        TypeError: as ``nh.empirical_ntk``.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=3, width=32, depth=2)
        >>> params = net.init(key=jax.random.key(0))
        >>> nh.ntk_vector_product(net.apply, params, jnp.eye(3), None, jnp.ones((3, 1))).shape
        (3, 1)
    """
    models, leaves, first, second, shapes, _ = _setup((f, f), params, x1, x2, trainable)
    second = first if second is None else second
    wanted = (second[0].shape[0], *shapes[0])
    vector = _checks.as_real(vector, "vector")
    if vector.shape != wanted:
        raise ValueError(f"vector must have the shape of f(params, x2), {wanted}, got {tuple(vector.shape)}")
    model = models[0]

    def on(batch: list[Any]) -> Callable[[list[Any]], Any]:
        def function(trained: list[Any]) -> Any:
            merged = list(leaves)
            for position, value in zip(model.trainable, trained, strict=True):
                merged[position] = value
            return model.on_batch(merged, batch)

        return function

    trained = [leaves[i] for i in model.trainable]
    out, pull = jax.vjp(on(second), trained)
    (direction,) = pull(vector.astype(out.dtype))
    return jax.jvp(on(first), (trained,), (direction,))[1]


def explain(
    f: Function,
    params: Any,
    x: Any,
    x2: Any = None,
    *,
    output: str = "full",
    pairs: str = "all",
    trainable: Any = None,
) -> Explanation:
    """Say for each parameter leaf how the structured method computes its part of the kernel, at what cost, and why.

    Args:
        f: as in ``nh.empirical_ntk``.
        params: pytree of parameters.
        x: inputs; their number enters the cost.
        x2: other inputs, or None.
        output: as in ``nh.empirical_ntk``.
        pairs: as in ``nh.empirical_ntk``.
        trainable: as in ``nh.empirical_ntk``.

    Returns:
        An ``Explanation``; ``print`` shows a table, ``.leaves`` and ``.ways`` hold it as data.

    Raises:
        ValueError: as ``nh.empirical_ntk``.
        TypeError: as ``nh.empirical_ntk``.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=3, width=32, depth=1, sigma_b=0.1)
        >>> nh.explain(net.apply, net.init(key=jax.random.key(0)), jnp.eye(3)).ways
        {'[0].w': 'structured', '[0].b': 'direct', '[1].w': 'structured', '[1].b': 'direct'}
    """
    models, leaves, first, second, _, _ = _setup((f, f), params, x, x2, trainable)
    plan = _plan(models, _mode(output, pairs), leaves, first, second)
    return Explanation(
        tuple(
            LeafReport(
                models[0].names[entry.leaf],
                tuple(leaves[models[0].trainable[entry.leaf]].shape),
                entry.way,
                entry.order,
                entry.why,
                entry.flops,
                entry.bytes,
            )
            for entry in plan.leaves
        )
    )


def estimate_cost(
    f: Function,
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    output: str = "full",
    pairs: str = "all",
    trainable: Any = None,
) -> CostEstimate:
    """Estimate work and memory of each method before running it.

    Matrix products, convolutions and one operation for each other number are counted; the memory is that of the largest
    things held at once, without parameters and inputs. Both are meant to compare methods and to choose ``batch_size``.

    Args:
        f: as in ``nh.empirical_ntk``.
        params: pytree of parameters.
        x1: inputs.
        x2: other inputs, or None.
        output: as in ``nh.empirical_ntk``.
        pairs: as in ``nh.empirical_ntk``.
        trainable: as in ``nh.empirical_ntk``.

    Returns:
        A ``CostEstimate`` with ``structured``, ``jacobian`` and ``ntkvp``, each with ``flops`` and ``bytes``; ``print``
        shows a table.

    Raises:
        ValueError: as ``nh.empirical_ntk``.
        TypeError: as ``nh.empirical_ntk``.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> net = nh.fcn(d_in=3, width=512, depth=3)
        >>> cost = nh.estimate_cost(net.apply, net.init(key=jax.random.key(0)), jnp.eye(3))
        >>> cost.cheapest
        'structured'
    """
    models, leaves, first, second, _, _ = _setup((f, f), params, x1, x2, trainable)
    return estimate(_plan(models, _mode(output, pairs), leaves, first, second), leaves, models)
