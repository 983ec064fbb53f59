"""A problem that the tests of large kernels share, solved in a process of its own:

python large_problem.py solve RESULT                          on all devices
python large_problem.py solve RESULT PROCESSES NUMBER PORT    as one of several processes
python large_problem.py killed STORE WHAT WRITES              killed (-9) while it writes STORE for the so-many-th time
"""

import os
import signal
import sys

import jax
import numpy as np

import ntk_helpers as nh
from ntk_helpers.predict.large.tiles import Tiles, as_mesh

POINTS, BLOCK, RIDGE, TOLERANCE = 150, 32, 0.05, 1e-9
RNG = np.random.default_rng(0)
X, Y, X_TEST = RNG.standard_normal((POINTS, 3)), RNG.standard_normal((POINTS, 2)), RNG.standard_normal((40, 3))
SETTINGS = {"ridge": RIDGE, "tolerance": TOLERANCE, "block": BLOCK}


def kernel(x1, x2):
    """A kernel of the package, cheap to compile."""
    return nh.fcn_kernel(x1, x2, depth=1, activation="erf", sigma_b=0.1, get="ntk")


def message(y, **settings):
    """What the error says."""
    try:
        nh.large_ridge(kernel, X, y, method="cg", **SETTINGS, **settings)
    except (ValueError, RuntimeError) as error:
        return str(error)
    return "no error"


def solve(result):
    """Write the answers of every way through the package."""
    features = nh.nystroem_features(kernel, X[:40])
    solved = nh.large_ridge(kernel, X, Y, method="cg", features=features, **SETTINGS)
    exact = nh.large_ridge(kernel, X, Y, method="cholesky", **SETTINGS)
    predicted = nh.large_product(kernel, X_TEST, X, exact.coefficients, block=BLOCK)
    gram = nh.large_gram(kernel, X, block=BLOCK)
    found = {"cg": solved.coefficients, "cholesky": exact.coefficients, "predicted": predicted, "gram": gram}
    # A pass that another number of devices began: the five tiles of the diagonal and two beside them are done.
    number = np.arange(POINTS) // BLOCK
    i, j = np.minimum.outer(number, number), np.maximum.outer(number, number)
    begun = np.where((i == j) | ((i == 0) & (j <= 2)), np.asarray(kernel(X, X)), 0) @ Y
    *_, (_, found["continued"]) = Tiles(kernel, X, None, block=BLOCK, mesh=as_mesh(None)).passing(Y, 7, begun)
    if jax.process_count() > 1:
        found["other_data"] = message(Y + jax.process_index())
        found["no_directory"] = message(Y, store=__file__)
    np.savez(result, **found, devices=jax.device_count(), processes=jax.process_count())


def killed(store, what, writes):
    """Work until the file has been written so often, and be killed before the next one is in its place."""
    from ntk_helpers.predict.large import cg, tiles

    tiles.CHUNK_SECONDS = 0.0  # one tile a call
    cg._SAVING_PAUSE, cg._SAVING_SHARE = 0.0, 1e9  # and the state is saved after each
    count, replace = 0, os.replace

    def counted(source, target):
        nonlocal count
        count += str(target).endswith(".npz")
        if count > writes:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = counted
    if what == "gram":
        nh.large_gram(kernel, X, block=BLOCK, store=store)
    else:
        nh.large_ridge(kernel, X, Y, method=what, store=store, **SETTINGS)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    task, where, *rest = sys.argv[1:]
    if task == "killed":
        killed(where, rest[0], int(rest[1]))
    else:
        if rest:
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            jax.distributed.initialize(f"localhost:{rest[2]}", int(rest[0]), int(rest[1]))
        solve(where)
