"""Kernel ridge regression with more points than a device can hold pairs of."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax
import numpy as np
import scipy.linalg
from jax.sharding import Mesh
from jaxtyping import Array, Float

from ntk_helpers import _checks
from ntk_helpers.predict.large.cg import NotConverged, conjugate_gradients
from ntk_helpers.predict.large.gram import columns, fill, large_gram
from ntk_helpers.predict.large.plan import RidgePlan, memory_limits, plan_ridge
from ntk_helpers.predict.large.preconditioner import Features, Woodbury, feature_matrix
from ntk_helpers.predict.large.store import Store, digest, kernel_probe
from ntk_helpers.predict.large.tiles import Kernel, Tiles, as_mesh, check_kernel, host_points
from ntk_helpers.predict.large.together import agree, from_all, is_leader, leader_does

__all__ = ["LargeRidge", "large_ridge"]

AnyFloat = Float[Array | np.ndarray, "..."]


@dataclasses.dataclass(frozen=True)
class LargeRidge:
    """Solution of (K + ridge I) a = y, and how good it is.

    Attributes:
        coefficients: a, shape of y, float64. Predictions are ``nh.large_product(kernel, x_test, x, a)``.
        residual: relative residual ``|y - (K + ridge) a| / |y|``, the largest of all columns, from a product of
            its own.
        iterations: of conjugate gradients; 0 for Cholesky.
        history: relative residual after each iteration as the recurrence has it, (iterations, columns).
        plan: what was planned.
    """

    coefficients: Float[np.ndarray, ...]
    residual: float
    iterations: int
    history: Float[np.ndarray, "iterations columns"]
    plan: RidgePlan


def large_ridge(
    kernel: Kernel,
    x: AnyFloat,
    y: AnyFloat,
    *,
    ridge: float | int,
    tolerance: float = 1e-5,
    method: str = "auto",
    features: Features | None = None,
    max_iterations: int = 1000,
    block: int | None = None,
    mesh: Mesh | None = None,
    store: str | os.PathLike[str] | None = None,
    device_memory: int | None = None,
    host_memory: int | None = None,
) -> LargeRidge:
    r"""Solve kernel ridge regression in tiles, over many devices and hosts, by Cholesky or by conjugate gradients.

    .. math:: (K(X, X) + \rho I)\, a = y.

    Both ways end with a product of their own, K a, and an error where the residual is not below ``tolerance``. An error
    of the solution is then at most ``tolerance * |y| / (lambda_min + rho)``. Conjugate gradients need about
    :math:`\tfrac12\sqrt\kappa\,\log(2\sqrt\kappa / \mathrm{tolerance})` iterations at most, kappa the condition number
    of the matrix; a preconditioner puts the condition number of the preconditioned matrix in its place.

    With several processes (``jax.distributed.initialize()`` before anything else) each calls this with the same
    arguments. Process 0 decides, reads and writes; all get the solution.

    Args:
        kernel: ``kernel(x1, x2) -> (n1, n2)``, symmetric and positive semi-definite, any function that JAX can trace.
        x: n training points along the first axis, float32 or float64. The kernel is computed in that precision.
        y: targets, ``(n,)`` or ``(n, c)``.
        ridge: :math:`\rho > 0`.
        tolerance: largest relative residual of a column.
        method: ``"auto"`` (Cholesky where it fits, see ``nh.plan_ridge``), ``"cholesky"`` or ``"cg"``.
        features: preconditioner of conjugate gradients: a function from points (N, ...) to features (N, m) whose inner
            products are about the kernel, such as random features or ``nh.nystroem_features``.
        max_iterations: of conjugate gradients.
        block: points along the side of a tile; planned unless given.
        mesh: a ``jax.sharding.Mesh``; tiles are dealt over all of its devices. By default these are all devices of all
            processes.
        store: directory for the state. A run that was killed goes on after its last finished tile (Cholesky), or from
            the last state saved within a pass, at most a second or 20 times the time of saving earlier (conjugate
            gradients), with any number of devices. Tolerance, iterations and block may change in
            between. One run at a time.
        device_memory: bytes on each device that may be used; see ``nh.plan_ridge``.
        host_memory: bytes on the host that may be used.

    Returns:
        A ``LargeRidge``.

    Raises:
        NotConverged: if the tolerance is not reached; with the residual, and what to change.
        ValueError: if shapes do not fit, a number is out of range, the tolerance is below rounding, something is not
            finite, the kernel is not symmetric or not positive semi-definite, nothing fits in memory, or ``store``
            holds another problem.
        TypeError: if an argument has the wrong type.

    Example:
        >>> import numpy as np, ntk_helpers as nh
        >>> x = np.eye(4, dtype="float32")
        >>> solution = nh.large_ridge(lambda a, b: a @ b.T, x, np.arange(4.0), ridge=1.0, method="cg", block=2)
        >>> solution.coefficients.round(4).tolist(), solution.iterations
        ([0.0, 0.5, 1.0, 1.5], 1)
    """
    x, mesh = host_points(x, "x"), as_mesh(mesh)
    y, single = columns(y, "y", len(x))
    ridge, tolerance = (
        float(_checks.check_nonnegative(value, name)) for value, name in ((ridge, "ridge"), (tolerance, "tolerance"))
    )
    if ridge == 0 or not 0 < tolerance < 1:
        name, value, wanted = ("ridge", 0, "positive") if ridge == 0 else ("tolerance", tolerance, "between 0 and 1")
        raise ValueError(f"{name} must be {wanted}, got {value}")
    max_iterations = _checks.check_positive_int(max_iterations, "max_iterations")
    if features is not None and method == "cholesky":
        raise ValueError('features are a preconditioner of method="cg"; method="cholesky" has no use for them')
    check_kernel(kernel, x.shape[1:], x.dtype)
    probes = {"kernel": kernel_probe(kernel, x)}
    width = 0
    if features is not None:
        some = x[: block or 8]  # of a size that is compiled anyway, where it is known
        probes["features"] = feature_matrix(features, some, len(some))[:8]
        width = probes["features"].shape[1]
    limits = device_memory, host_memory
    if jax.process_count() > 1:
        mine = np.array(memory_limits(mesh, *limits)).tobytes()
        told = from_all(mine + f"{digest(x)}{digest(y)}{ridge:.17e}{tolerance:.17e}{max_iterations:09d}".encode())
        if len({entry[len(mine) :] for entry in told}) > 1:
            raise ValueError("x, y, ridge, tolerance or max_iterations differ between processes; all must be the same")
        least = np.min([np.frombuffer(entry[: len(mine)], np.int64) for entry in told], axis=0)
        limits = int(least[0]), int(least[1])
    plan = plan_ridge(
        kernel,
        len(x),
        x.shape[1:],
        columns=y.shape[1],
        features=width,
        dtype=x.dtype,
        method=method,
        block=block,
        mesh=mesh,
        device_memory=limits[0],
        host_memory=limits[1],
    )
    tiles = Tiles(kernel, x, None, block=plan.block, mesh=mesh)
    if tolerance < np.finfo(tiles.dtype).eps:
        raise ValueError(
            f"tolerance = {tolerance:.3g} is below the rounding of {tiles.dtype}, {np.finfo(tiles.dtype).eps:.2g}; "
            "give a larger one" + ("" if tiles.dtype == np.float64 else ", or x in float64 with JAX's x64 switched on")
        )
    if plan.method == "cholesky":
        solution = _cholesky(kernel, tiles, x, y, ridge, tolerance, mesh, store, plan)
    else:

        def prepare() -> tuple[Store | None, Any]:
            problem = {"what": "ridge", "x": digest(x), "y": digest(y), "ridge": ridge}
            kept = None if store is None else Store(store, problem, probes, x.dtype)
            if features is None:
                return kept, lambda r: r
            return kept, Woodbury(feature_matrix(features, x, plan.block), ridge)

        kept, precondition = leader_does(prepare, "prepare the solve") or (None, lambda r: r)
        state = conjugate_gradients(
            tiles,
            ridge,
            y,
            precondition=precondition,
            tolerance=tolerance,
            max_iterations=max_iterations,
            store=kept,
        )
        solution = LargeRidge(state["a"], float(state["checked"]), int(state["iteration"]), state["history"], plan)
    return dataclasses.replace(solution, coefficients=solution.coefficients[:, 0]) if single else solution


def _cholesky(
    kernel: Kernel,
    tiles: Tiles,
    x: np.ndarray,
    y: np.ndarray,
    ridge: float,
    tolerance: float,
    mesh: Mesh,
    store: Any,
    plan: RidgePlan,
) -> LargeRidge:
    """Factor the matrix on the host of process 0, in place, and check the residual with a product of its own."""
    matrix = np.empty((len(x), len(x)) if is_leader() else (0, 0))
    if store is None:
        fill(tiles, matrix, np.zeros(tiles.total, bool))
    else:
        stored = large_gram(kernel, x, block=tiles.block, mesh=mesh, store=store)
        if is_leader():
            matrix[:] = stored

    def solve() -> np.ndarray:
        matrix[np.diag_indices_from(matrix)] += ridge
        try:  # the transpose of a symmetric matrix has the order of Fortran, and is factored in place
            factor = scipy.linalg.cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                f"kernel plus ridge = {ridge:.4g} is not positive definite in {tiles.dtype}; give a larger ridge, or "
                "check that the kernel is positive semi-definite"
            ) from error
        return scipy.linalg.cho_solve(factor, y, check_finite=False)

    found = leader_does(solve, "factor the matrix")
    a = agree({"a": np.zeros_like(y) if found is None else found})["a"]
    product = np.zeros_like(y)
    for _, product in tiles.passing(a):  # noqa: B007 - the last one is the whole
        pass
    norm = np.linalg.norm(y, axis=0)
    residual = float((np.linalg.norm(y - product - ridge * a, axis=0) / np.where(norm > 0, norm, 1.0)).max())
    if residual > tolerance:
        raise NotConverged(
            f"Cholesky's solution has the residual {residual:.2g}, tolerance = {tolerance:.2g}: rounding of the "
            f"{tiles.dtype} products allows no more. Give a larger tolerance or ridge, or x in float64",
            residual,
            0,
        )
    return LargeRidge(a, residual, 0, np.zeros((0, y.shape[1])), plan)
