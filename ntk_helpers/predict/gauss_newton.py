r"""Gauss-Newton and Levenberg-Marquardt steps through the tangent kernel.

With residuals r(theta), Jacobian J and tangent kernel K = J J^T, the damped step is

.. math::
    \delta = -(J^\top J + \lambda I)^{-1} J^\top r = -J^\top (K + \lambda I)^{-1} r .

The second form is kernel regression: a system as large as the rows, not as the parameters. ``scipy.optimize
.least_squares`` and optimistix have the first form only (optimistix would also replace the JAX of an older
environment), and the kernel in the middle is what a chapter looks at; hence this file. For L-BFGS take scipy or optax.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from ntk_helpers import _checks
from ntk_helpers._progress import PROGRESS_AFTER
from ntk_helpers.finite.pinn.linearize import PointFunction, linearize_blocks
from ntk_helpers.predict._runs import compiled, warn_interrupted
from ntk_helpers.predict.residuals import block_losses, block_problem, check_finite, check_shapes

__all__ = ["GaussNewtonLog", "gauss_newton_step", "levenberg_marquardt"]

Form = Literal["auto", "kernel", "parameters"]
# A step that was accepted lowers the damping by at most this factor; one that was rejected raises it by RAISE.
LOWER, RAISE = 1 / 3, 2.0


class _System(NamedTuple):
    """The compiled functions of one set of residual functions; parameters are flat.

    ``losses(flat, blocks)`` are those of the blocks; ``linearize(flat, blocks, scales)`` gives (r, J, J^T r).
    """

    unravel: Callable[[Array], Any]
    losses: Callable[..., Any]
    linearize: Callable[..., Any]


@dataclass(frozen=True)
class GaussNewtonLog:
    """What a run of ``nh.levenberg_marquardt`` did, and where it stands.

    Attributes:
        losses: half the sum of squared residuals after 0, 1, ... accepted steps, ``(steps_done + 1,)``.
        damping: the lambda of each accepted step, ``(steps_done,)``.
        rejections: how often each accepted step was refused before, ``(steps_done,)``.
        steps: step numbers of ``snapshots``.
        snapshots: parameters after the steps asked for in ``log_at``.
        params: parameters after the last accepted step.
        next_damping: the lambda with which a resumed run goes on.
        reason: why the run ended: ``"steps"``, ``"tolerance"``, ``"patience"`` or ``"interrupted"``.
    """

    losses: np.ndarray
    damping: np.ndarray
    rejections: np.ndarray
    steps: tuple[int, ...]
    snapshots: tuple[Any, ...]
    params: Any
    next_damping: float
    reason: str

    @property
    def steps_done(self) -> int:
        """Number of accepted steps."""
        return len(self.damping)

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped from outside before its end."""
        return self.reason == "interrupted"


def gauss_newton_step(
    residuals: PointFunction | Sequence[PointFunction],
    points: Any,
    params: Any,
    *,
    damping: float | Float[Array, ""],
    weights: Sequence[float] | Float[Array, " blocks"] | np.ndarray | None = None,
    form: Form = "auto",
) -> Any:
    r"""One damped Gauss-Newton step, :math:`\delta = -J^\top (K + \lambda I)^{-1} r`.

    To first order it multiplies the residual along the i-th eigenvector of the tangent kernel K by
    :math:`\lambda/(\lambda_i + \lambda)`, where gradient descent multiplies it by :math:`1 - \eta\lambda_i`.

    Args:
        residuals: function ``(params, point)`` that returns the residual at one point, a number or ``(k,)``; or a
            sequence of such functions, one for each block of rows.
        points: the points of the block, an array or a pytree with the points as first axis; with a sequence of
            functions a sequence of these.
        params: parameters, a pytree of floating-point arrays.
        damping: lambda, at least 0.
        weights: weight of each block in the loss, 1 by default: :math:`\frac12\sum_b w_b\sum_{i\in b} r_i^2`. The
            rows of K and r are multiplied by its root.
        form: ``"kernel"`` solves with K + lambda I (rows), ``"parameters"`` with J^T J + lambda I; ``"auto"`` takes
            the smaller one.

    Returns:
        The step, a pytree like ``params``.

    Raises:
        ValueError: if functions and points do not fit together, the residuals are not finite, a weight or the damping
            is negative, or the system cannot be solved (singular, and too little damping).
        TypeError: if an argument has the wrong type.

    Example:
        A linear problem with more parameters than rows is solved by one step.

        >>> import jax.numpy as jnp, ntk_helpers as nh
        >>> a, b = jnp.array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]]), jnp.array([1.0, 2.0])
        >>> residual = lambda w, point: point[0] @ w - point[1]
        >>> w = nh.gauss_newton_step(residual, (a, b), jnp.zeros(3), damping=0.0)
        >>> bool(jnp.allclose(a @ w, b, atol=1e-5))
        True
    """
    functions, blocks, scales = block_problem(residuals, points, weights)
    flat, layout = _flat(params)
    damping = _checks.check_nonnegative(damping, "damping")
    _checks.check_choice(form, "form", ("auto", "kernel", "parameters"))
    system = compiled(_system, functions, layout)
    check_shapes(functions, blocks, params)
    check_finite(system.losses(flat, blocks))
    linear = system.linearize(flat, blocks, scales)
    delta, _ = _solve(*linear, _matrix(linear[1], form), jnp.asarray(damping, flat.dtype), form)
    if not bool(jnp.isfinite(delta).all()):
        raise ValueError(
            f"damping = {float(damping):g} is too small: the Cholesky factorization met a pivot that is not positive"
        )
    return system.unravel(delta)


def levenberg_marquardt(
    residuals: PointFunction | Sequence[PointFunction],
    points: Any,
    params: Any,
    *,
    steps: int,
    weights: Sequence[float] | Float[Array, " blocks"] | np.ndarray | None = None,
    damping: float = 1.0,
    patience: int = 40,
    tolerance: float = 0.0,
    form: Form = "auto",
    log_at: Sequence[int] | np.ndarray | None = None,
    resume: GaussNewtonLog | None = None,
) -> GaussNewtonLog:
    r"""Minimize half a sum of squares by damped Gauss-Newton steps, each accepted only if the loss falls.

    The damping follows Nielsen's rule (as in Madsen, Nielsen and Tingleff 2004): with the gain ratio :math:`\rho`, the
    decrease of the loss over that of its quadratic model, an accepted step multiplies lambda by
    :math:`\max(\frac13, 1-(2\rho-1)^3)`, at most 2; a rejected one multiplies it by 2, always.

    Jacobians are ``vmap`` of the gradient of one row: the cost of one backward pass over all rows.
    The rows and the Jacobian must fit into memory. Runs longer than 5 s show a progress bar. A keyboard interrupt
    ends the run with a warning and returns what was done; ``resume=log`` goes on from there.

    Args:
        residuals: as for ``nh.gauss_newton_step``.
        points: as for ``nh.gauss_newton_step``.
        params: where to start. In float32 more steps are rejected; their damping keeps the systems solvable.
        steps: number of accepted steps in total, those of ``resume`` included.
        weights: of the blocks.
        damping: the first lambda. It has the unit of K.
        patience: a run ends when so many steps in a row were rejected.
        tolerance: a run ends when the loss is at most this.
        form: as for ``nh.gauss_newton_step``.
        log_at: step numbers whose parameters to keep; 0 is the start. None keeps none.
        resume: log of an earlier run with the same arguments, interrupted or shorter.

    Returns:
        A ``GaussNewtonLog``; its ``reason`` says why the run ended. ``"patience"`` is what happens at the floor of
        the arithmetic, and no error.

    Raises:
        ValueError: if shapes do not fit, a number is out of range, or the residuals at the start are not finite.
        TypeError: if an argument has the wrong type.

    Example:
        >>> import jax, jax.numpy as jnp, ntk_helpers as nh
        >>> x = jnp.linspace(0.0, 1.0, 20)
        >>> curve = lambda p, point: p["a"] * jnp.exp(p["b"] * point[0]) - point[1]
        >>> data = (x, 2 * jnp.exp(-3 * x))
        >>> log = nh.levenberg_marquardt(curve, data, {"a": 1.0, "b": 0.0}, steps=20)
        >>> round(float(log.params["a"]), 3), round(float(log.params["b"]), 3)
        (2.0, -3.0)
    """
    steps = _checks.check_positive_int(steps, "steps")
    patience = _checks.check_positive_int(patience, "patience")
    _checks.check_choice(form, "form", ("auto", "kernel", "parameters"))
    tolerance = float(_checks.check_nonnegative(tolerance, "tolerance"))
    lam = float(_checks.check_nonnegative(damping, "damping"))
    if lam == 0:
        raise ValueError("damping must be positive, got 0: a rejected step could not raise it")
    wanted = _wanted(log_at, steps)
    functions, blocks, scales = block_problem(residuals, points, weights)
    flat, layout = _flat(params if resume is None else resume.params)
    system = compiled(_system, functions, layout)
    check_shapes(functions, blocks, system.unravel(flat))
    found = system.losses(flat, blocks)
    check_finite(found)
    loss = float(scales**2 @ found)
    if resume is None:
        losses, dampings, rejections = [loss], [], []
        kept = {0: params} if 0 in wanted else {}
    else:
        if resume.steps_done > steps:
            raise ValueError(f"steps must be at least the {resume.steps_done} that resume has done, got {steps}")
        losses, dampings, rejections = list(resume.losses), list(resume.damping), list(resume.rejections)
        kept, lam = dict(zip(resume.steps, resume.snapshots, strict=True)), resume.next_damping
    reason = "steps"
    with tqdm(
        total=steps, initial=len(dampings), desc="Gauss-Newton", unit="step", delay=PROGRESS_AFTER, leave=False
    ) as bar:
        try:
            while len(dampings) < steps:
                if losses[-1] <= tolerance:
                    reason = "tolerance"
                    break
                linear = system.linearize(flat, blocks, scales)
                matrix = _matrix(linear[1], form)
                for rejected in range(patience):  # noqa: B007
                    delta, expected = _solve(*linear, matrix, jnp.asarray(lam, flat.dtype), form)
                    loss = float(scales**2 @ system.losses(flat + delta, blocks))
                    if loss < losses[-1]:  # False for NaN too, which a failed factorization gives
                        break
                    lam *= RAISE
                else:
                    reason = "patience"
                    break
                new, expected = flat + delta, float(expected)
                gain = (losses[-1] - loss) / expected if expected > 0 else 0.0
                after = lam * min(RAISE, max(LOWER, 1 - (2 * gain - 1) ** 3))
                if len(dampings) + 1 in wanted:
                    kept[len(dampings) + 1] = system.unravel(new)
                # one statement, so that an interrupt finds parameters and their records together
                flat, lam, losses, dampings, rejections = (
                    new, after, [*losses, loss], [*dampings, lam], [*rejections, rejected],
                )  # fmt: skip
                bar.set_postfix(loss=f"{loss:.1e}", refresh=False)
                bar.update()
        except KeyboardInterrupt:
            reason = "interrupted"
            warn_interrupted("levenberg_marquardt", len(dampings), steps)
    kept = {step: snapshot for step, snapshot in kept.items() if step <= len(dampings)}
    return GaussNewtonLog(
        np.array(losses), np.array(dampings), np.array(rejections, dtype=int),
        tuple(kept), tuple(kept.values()), system.unravel(flat), lam, reason,
    )  # fmt: skip


def _wanted(log_at: Any, steps: int) -> set[int]:
    if log_at is None:
        return set()
    found = np.asarray(log_at)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer):
        raise TypeError(f"log_at must be a sequence of integers, got {log_at!r}")
    if found.size and (found.min() < 0 or found.max() > steps):
        raise ValueError(f"log_at must lie between 0 and steps = {steps}, got {found.min()} to {found.max()}")
    return set(found.tolist())


Layout = tuple[Any, tuple[tuple[int, ...], ...]]


def _flat(params: Any) -> tuple[Array, Layout]:
    """All parameters in one vector, and how to cut it up again."""
    params = jax.tree.map(jnp.asarray, params)
    leaves, tree = jax.tree.flatten(params)
    kinds = {leaf.dtype for leaf in leaves}
    if len(kinds) != 1 or not jnp.issubdtype(next(iter(kinds)), jnp.floating):
        raise TypeError(f"params must be a pytree of floating-point arrays of one dtype, got {sorted(map(str, kinds))}")
    return jnp.concatenate([leaf.ravel() for leaf in leaves]), (tree, tuple(leaf.shape for leaf in leaves))


def _system(functions: tuple[PointFunction, ...], layout: Layout) -> _System:
    tree, shapes = layout
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])

    def unravel(flat: Array) -> Any:
        parts = jnp.split(flat, ends[:-1])
        return jax.tree.unflatten(tree, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])

    def losses(flat: Array, blocks: Any) -> Array:
        return block_losses(functions, blocks, unravel(flat)).astype(flat.dtype)

    def rows_and_jacobian(flat: Array, blocks: Any, scales: Array) -> tuple[Array, Array]:
        found = linearize_blocks(functions, blocks, flat, unravel)
        r = [(scale * r).ravel() for scale, (r, _) in zip(scales, found, strict=True)]
        j = [(scale * j).reshape(-1, flat.size) for scale, (_, j) in zip(scales, found, strict=True)]
        return jnp.concatenate(r).astype(flat.dtype), jnp.concatenate(j).astype(flat.dtype)

    @jax.jit
    def linearize(flat: Array, blocks: Any, scales: Array) -> tuple[Array, Array, Array]:
        r, j = rows_and_jacobian(flat, blocks, scales)
        return r, j, jnp.matmul(j.T, r, precision="highest")

    return _System(unravel, jax.jit(losses), linearize)


def _by_kernel(j: Array, form: str) -> bool:
    return form == "kernel" or (form == "auto" and j.shape[0] < j.shape[1])


@partial(jax.jit, static_argnames="form")
def _matrix(j: Array, form: str) -> Array:
    """K = J J^T, or J^T J."""
    left = j if _by_kernel(j, form) else j.T
    return jnp.matmul(left, left.T, precision="highest")


@partial(jax.jit, static_argnames="form")
def _solve(r: Array, j: Array, gradient: Array, matrix: Array, damping: Array, form: str) -> tuple[Array, Array]:
    """The step, and the decrease of the loss that the linear model expects of it."""
    factor = jsl.cho_factor(matrix + damping * jnp.eye(len(matrix), dtype=matrix.dtype), lower=True)
    if _by_kernel(j, form):
        delta = -jnp.matmul(j.T, jsl.cho_solve(factor, r), precision="highest")
    else:
        delta = -jsl.cho_solve(factor, gradient)
    # |r|^2/2 - |r + J delta|^2/2 for the delta that solves the damped system
    return delta, 0.5 * (damping * delta @ delta - gradient @ delta)
