"""Tangent kernels of the rows of a physics-informed network: blocks, traces, spectra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ntk_helpers.finite.pinn.system import PDESystem, check_system
from ntk_helpers.finite.tangents import tangent_kernel

__all__ = ["BlockKernel", "pde_kernel"]


@dataclass(frozen=True)
class BlockKernel:
    """The tangent kernel of a system of rows, as blocks. A pytree: it can leave ``jit`` and ``vmap``.

    Attributes:
        names: names of the blocks of rows, in order.
        blocks: ``blocks[i][j - i]`` is the block of rows i and j for j >= i, shape ``(rows_i, rows_j)``.
    """

    names: tuple[str, ...]
    blocks: tuple[tuple[Float[Array, ...], ...], ...]

    def __getitem__(self, pair: tuple[str, str]) -> Float[Array, ...]:
        """``kernel["residual", "initial"]``, shape ``(..., rows, rows)``; either order."""
        for name in pair:
            if name not in self.names:
                raise KeyError(f"no rows named {name!r}; there are {', '.join(self.names)}")
        i, j = (self.names.index(name) for name in pair)
        return self.blocks[i][j - i] if i <= j else jnp.swapaxes(self.blocks[j][i - j], -1, -2)

    def matrix(self) -> Float[Array, ...]:
        """The whole kernel, shape ``(..., rows, rows)``."""
        return jnp.concatenate(
            [jnp.concatenate([self[a, b] for b in self.names], axis=-1) for a in self.names], axis=-2
        )

    def traces(self) -> dict[str, Float[Array, ...]]:
        """For each block of rows the trace of its diagonal block: the sum over rows of the squared gradient."""
        return {name: jnp.trace(self[name, name], axis1=-2, axis2=-1) for name in self.names}

    def spectra(self) -> dict[str, np.ndarray]:
        """For each block of rows the eigenvalues of its diagonal block, largest first, in float64 on the host."""
        return {
            name: np.linalg.eigvalsh(np.asarray(self[name, name], dtype=np.float64))[..., ::-1] for name in self.names
        }


jax.tree_util.register_dataclass(BlockKernel, data_fields=["blocks"], meta_fields=["names"])


def pde_kernel(
    system: PDESystem,
    u: Callable[[Any, Array], Array],
    params: Any,
    *,
    names: Sequence[str] | None = None,
    method: str = "auto",
    trainable: Any = None,
    batch_size: int | None = None,
) -> BlockKernel:
    r"""The tangent kernel of all rows of a physics-informed network.

    .. math:: K_{ab}(x, x') = \sum_\theta \frac{\partial\, (\mathcal N_a u)(x)}{\partial\theta}
                                          \frac{\partial\, (\mathcal N_b u)(x')}{\partial\theta}

    where :math:`\mathcal N_a` is the equation of block a (Wang, Yu and Perdikaris 2022). Under gradient flow of
    :math:`\tfrac12\sum_b\lambda_b\|r_b\|^2` the residuals obey :math:`\dot r_a = -\sum_b K_{ab}\lambda_b r_b`.

    Args:
        system: the rows.
        u: u(params, x), as in ``nh.pde_residual``.
        params: pytree of parameters.
        names: the blocks of rows wanted, all if None.
        method: as in ``nh.empirical_ntk``.
        trainable: as in ``nh.empirical_ntk``.
        batch_size: as in ``nh.empirical_ntk``.

    Returns:
        A ``BlockKernel``: ``kernel["residual", "initial"]``, ``.matrix()``, ``.traces()``, ``.spectra()``.

    Raises:
        TypeError: if ``system`` is no ``PDESystem``.
        ValueError: if a name is no block, and as ``nh.empirical_ntk``.

    Example:
        >>> import jax, ntk_helpers as nh
        >>> net = nh.fcn(d_in=2, width=8, depth=1, activation="tanh", sigma_b=0.5)
        >>> params = net.init(key=jax.random.key(0))
        >>> kernel = nh.pde_kernel(nh.pde_problem("heat").system(residual=16, initial=8, boundary=4), net.apply, params)
        >>> kernel["residual", "initial"].shape, kernel.matrix().shape
        ((16, 8), (32, 32))
    """
    check_system(system)
    wanted = tuple(system.names if names is None else names)
    if not wanted or any(name not in system.names for name in wanted) or len(set(wanted)) != len(wanted):
        raise ValueError(f"names must be some of the blocks {', '.join(system.names)}, got {wanted}")
    operators = system.operators(u)
    options = {"method": method, "trainable": trainable, "batch_size": batch_size}
    table = []
    for i, a in enumerate(wanted):
        row = []
        for b in wanted[i:]:
            other = None if a == b else system[b].points
            block = tangent_kernel(operators[a], operators[b], params, system[a].points, other, **options)
            row.append(_flat(block, operators[a], operators[b], params, system[a].points, system[b].points))
        table.append(tuple(row))
    return BlockKernel(wanted, tuple(table))


def _flat(block: Array, g: Callable, h: Callable, params: Any, x1: Array, x2: Array) -> Array:
    """Unfold (N1, N2, *outputs of g, *outputs of h) to a matrix with the components of one point together."""
    outputs_g = jax.eval_shape(g, params, x1).ndim - 1
    block = jnp.moveaxis(block, 1, 1 + outputs_g)
    rows = int(np.prod(block.shape[: 1 + outputs_g]))
    return block.reshape(rows, -1)
