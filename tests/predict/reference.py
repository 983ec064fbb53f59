"""Kernels and problems that the tests of predict/ share, in plain NumPy."""

import numpy as np


def features(n=6, m=4, p=20, outputs=None, seed=0):
    """Jacobians of a linear model at n training and m test inputs: (n, p) or (n, outputs, p)."""
    rng = np.random.default_rng(seed)
    middle = () if outputs is None else (outputs,)
    return rng.standard_normal((n, *middle, p)) / np.sqrt(p), rng.standard_normal((m, *middle, p)) / np.sqrt(p)


def kernel(a, b):
    """(N1, N2), or (N1, N2, O, O) for Jacobians with outputs."""
    return a @ b.T if a.ndim == 2 else np.einsum("iop,jqp->ijoq", a, b)


def flat(k):
    """As a matrix over pairs (sample, output), by loops."""
    if k.ndim == 2:
        return k
    n, m, o, _ = k.shape
    out = np.empty((n * o, m * o))
    for i in range(n):
        for j in range(m):
            out[i * o : (i + 1) * o, j * o : (j + 1) * o] = k[i, j]
    return out
