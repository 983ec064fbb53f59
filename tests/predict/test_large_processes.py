"""Large kernels on eight devices, in two processes, and after a kill: the same answers, from where it was stopped."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from predict.large_problem import BLOCK, POINTS, RIDGE, SETTINGS, X_TEST, X, Y, kernel

import ntk_helpers as nh
from ntk_helpers.predict.large.store import Store
from ntk_helpers.predict.large.tiles import Tiles

pytestmark = pytest.mark.usefixtures("x64")
HERE = Path(__file__).parent


def started(*arguments, flags=""):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}",
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TQDM_DISABLE": "1",
    }
    command = [sys.executable, str(HERE / "large_problem.py"), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finished(process, code=0):
    try:
        said, _ = process.communicate(timeout=150)
    finally:
        process.kill()
    assert process.returncode == code, said


@pytest.fixture(scope="module")
def expected():
    """From the whole matrix, with NumPy."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    gram, cross = np.asarray(kernel(X, X)), np.asarray(kernel(X_TEST, X))
    jax.config.update("jax_enable_x64", before)
    solution = np.linalg.solve(gram + RIDGE * np.eye(POINTS), Y)
    return {"cg": solution, "cholesky": solution, "predicted": cross @ solution, "gram": gram, "continued": gram @ Y}


def agrees(path, expected, devices, processes):
    with np.load(path) as found:
        assert (found["devices"], found["processes"]) == (devices, processes)
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-6 * np.abs(value).max())


def test_eight_devices(tmp_path, expected):
    finished(started("solve", tmp_path / "found.npz", flags="--xla_force_host_platform_device_count=8"))
    agrees(tmp_path / "found.npz", expected, 8, 1)


def test_two_processes(tmp_path, expected):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    both = [started("solve", tmp_path / f"found{i}.npz", 2, i, port) for i in (0, 1)]
    try:
        for process in both:
            finished(process)
    finally:
        for process in both:
            process.kill()
    agrees(tmp_path / "found0.npz", expected, 2, 2)
    # the matrix stays with process 0; everything else is on both
    agrees(tmp_path / "found1.npz", {k: v for k, v in expected.items() if k != "gram"}, 2, 2)
    # what goes wrong on one process stops both, with a message
    for number, words in ((0, "is a file; give a directory"), (1, "process 0 could not prepare the solve")):
        with np.load(tmp_path / f"found{number}.npz") as found:
            assert "differ between processes" in str(found["other_data"])
            assert words in str(found["no_directory"])


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is a signal of POSIX systems")
@pytest.mark.parametrize(("what", "writes", "devices"), [("cg", 40, 1), ("cg", 10, 8), ("gram", 6, 1)])
def test_killed_run_goes_on_after_its_last_tile(tmp_path, expected, monkeypatch, what, writes, devices):
    flags = f"--xla_force_host_platform_device_count={devices}"
    finished(started("killed", tmp_path / "state", what, writes, flags=flags), code=-signal.SIGKILL)
    kept = dict(np.load(tmp_path / "state" / ("cg.npz" if what == "cg" else "tiles.npz")))
    begun = []
    if what == "gram":
        each = Tiles.each
        monkeypatch.setattr(Tiles, "each", lambda tiles, skip: begun.append(skip.copy()) or each(tiles, skip))
        found = nh.large_gram(kernel, X, block=BLOCK, store=tmp_path / "state")
        np.testing.assert_allclose(found, expected["gram"], rtol=1e-12)
        assert begun[0].sum() == writes == kept["done"].sum()
        again = nh.large_gram(kernel, X, block=BLOCK, store=tmp_path / "state")
        np.testing.assert_array_equal(again, found)
        assert len(begun) == 1  # nothing was left to do
        return
    passing = Tiles.passing
    monkeypatch.setattr(
        Tiles, "passing", lambda tiles, v, done=0, result=None: begun.append(done) or passing(tiles, v, done, result)
    )
    # A write after each call and after each iteration: the third pass was under way. Of its 15 tiles, 5 on the diagonal
    # and 10 above, one device has done 8, one by one; eight devices had 5, 8 and 2 tiles at a time and have done 13.
    assert (kept["iteration"], kept["tiles"]) == (2, 8 if devices == 1 else 13)
    found = nh.large_ridge(kernel, X, Y, method="cg", store=tmp_path / "state", **SETTINGS)
    np.testing.assert_allclose(found.coefficients, expected["cg"], rtol=0, atol=1e-6 * np.abs(expected["cg"]).max())
    assert begun[0] == kept["tiles"]
    assert len(begun) == found.iterations - kept["iteration"] + 1  # and one to check
    np.testing.assert_allclose(found.history[:2], kept["history"], rtol=1e-12)


def test_iterations_can_be_added(tmp_path, expected):
    settings = SETTINGS | {"store": tmp_path, "method": "cg"}
    with pytest.raises(nh.NotConverged, match="with the same store they continue here"):
        nh.large_ridge(kernel, X, Y, max_iterations=4, **settings)
    found = nh.large_ridge(kernel, X, Y, **(settings | {"block": 50}))  # other tiles, same iterations
    whole = nh.large_ridge(kernel, X, Y, method="cg", **SETTINGS)
    assert found.iterations == pytest.approx(whole.iterations, abs=4)  # sums of other tiles round otherwise
    np.testing.assert_allclose(found.coefficients, expected["cg"], rtol=0, atol=1e-6 * np.abs(expected["cg"]).max())
    again = nh.large_ridge(kernel, X, Y, **settings)  # finished: nothing to do
    np.testing.assert_array_equal(again.coefficients, found.coefficients)


def test_tolerance_can_be_changed(tmp_path):
    settings = SETTINGS | {"store": tmp_path, "method": "cg"}
    rough = nh.large_ridge(kernel, X, Y, **(settings | {"tolerance": 1e-2}))
    fine = nh.large_ridge(kernel, X, Y, **settings)
    assert fine.residual <= SETTINGS["tolerance"] < rough.residual <= 1e-2
    assert fine.iterations > rough.iterations


def test_interrupt_keeps_what_was_done(tmp_path, monkeypatch):
    passing = Tiles.passing

    def stops(tiles, v, done=0, result=None):
        for number, found in passing(tiles, v, done, result):
            yield number, found
            if number > 6:
                raise KeyboardInterrupt

    monkeypatch.setattr(Tiles, "passing", stops)
    with pytest.raises(KeyboardInterrupt):
        nh.large_ridge(kernel, X, Y, method="cg", store=tmp_path, **SETTINGS)
    with np.load(tmp_path / "cg.npz") as kept:
        assert kept["tiles"] > 6


def test_state_of_another_problem_is_refused(tmp_path):
    solve = {"method": "cg", "store": tmp_path / "ridge", **SETTINGS}
    nh.large_ridge(kernel, X, Y, **solve)
    other = lambda a, b: kernel(a, b) * (1 + 1e-6)  # noqa: E731
    nearly = X + np.eye(POINTS, 3) * 1e-12
    for change, names in (
        ((kernel, nearly, Y, solve), "x differ"),
        ((kernel, X, -Y, solve), "y differ"),
        ((kernel, X, Y, solve | {"ridge": 1.0}), "ridge differ"),
        ((other, X, Y, solve), "kernel differ"),
        ((kernel, X, Y, solve | {"features": nh.nystroem_features(kernel, X[:40])}), "features differ"),
    ):
        k, x, y, settings = change
        with pytest.raises(ValueError, match=f"holds the state of another problem: {names}"):
            nh.large_ridge(k, x, y, **settings)
    gram = {"store": tmp_path / "gram"}
    nh.large_gram(kernel, X, block=BLOCK, **gram)
    with pytest.raises(ValueError, match="another problem: block differ"):
        nh.large_gram(kernel, X, block=20, **gram)
    with pytest.raises(ValueError, match="another problem: what, "):
        nh.large_ridge(kernel, X, Y, **(solve | gram))
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file; give a directory"):
        nh.large_gram(kernel, X, block=BLOCK, store=tmp_path / "file")
    (tmp_path / "gram" / "problem.json").write_text("[1, 2")
    with pytest.raises(ValueError, match="is not a problem of this package"):
        nh.large_gram(kernel, X, block=BLOCK, **gram)


def test_a_half_written_file_is_no_state(tmp_path, monkeypatch):
    store = Store(tmp_path, {}, {}, np.float64)
    store.save("cg", {"a": np.arange(3)})

    def half(file, **_):
        file.write(b"PK")
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", half)
        with pytest.raises(OSError, match="disk full"):
            store.save("cg", {"a": np.arange(4)})
    np.testing.assert_array_equal(store.load("cg")["a"], np.arange(3))
