# ruff: noqa: E402 - how many threads BLAS takes is set before NumPy loads
"""Time kernel ridge regression against the number of points: one pass over the kernel, Cholesky, conjugate gradients.

    python benchmarks/large_kernel.py [--largest 32000] [--out FILE]

About 3 minutes on one core. Each number of points is double the one before, so each time is also given in units of the
one before: entries of a kernel grow by 4, Cholesky's arithmetic by 8. The kernel is computed anew in every pass.
Everything is compiled before it is timed. Cholesky and conjugate gradients without a preconditioner stop at
--largest-dense points.
"""

from __future__ import annotations

import os

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(CORES))  # it counts the machine's cores, not those given to it

import argparse
import json
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import jax
import numpy as np

import ntk_helpers as nh

HERE = Path(__file__).parent
COLUMNS, DEPTH, RIDGE, TOLERANCE, LANDMARKS, BLOCK = 5, 1, 1.0, 1e-4, 200, 1000


def kernel(x1, x2):
    return nh.fcn_kernel(x1, x2, depth=DEPTH, sigma_w=2**0.5, get="ntk")


def data(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in random directions; a smooth target with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(points, COLUMNS)).astype(np.float32)
    return x, np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=points)


def seconds(function) -> tuple[float, object]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure(points: int, dense: bool) -> dict:
    x, y = data(points)
    common = {"block": BLOCK, "ridge": RIDGE, "tolerance": TOLERANCE}
    features = nh.nystroem_features(kernel, x[np.random.default_rng(1).permutation(points)[:LANDMARKS]])
    one = min(
        seconds(lambda: nh.large_product(kernel, x, None, y, block=BLOCK))[0] for _ in range(3 if points <= 8000 else 2)
    )
    case = {"points": points, "pass_seconds": one}
    plans = {m: nh.plan_ridge(kernel, points, COLUMNS, method=m, features=LANDMARKS * (m == "cg"), block=BLOCK,
                              device_memory=10**12, host_memory=10**15) for m in ("cg", "cholesky")}  # fmt: skip
    for method, plan in plans.items():
        case[f"{method}_host_bytes"], case["device_bytes"] = plan.host_bytes, plan.device_bytes
    if dense:
        case["cholesky_seconds"], exact = seconds(lambda: nh.large_ridge(kernel, x, y, method="cholesky", **common))
        case["plain_seconds"], plain = seconds(lambda: nh.large_ridge(kernel, x, y, method="cg", **common))
        case["plain_iterations"] = plain.iterations
        case["plain_differs_by"] = float(np.abs(plain.coefficients - exact.coefficients).max())
    case["cg_seconds"], found = seconds(lambda: nh.large_ridge(kernel, x, y, method="cg", features=features, **common))
    case["cg_iterations"], case["cg_residual"] = found.iterations, found.residual
    return case


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=HERE, capture_output=True, text=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "../ntk_helpers"], cwd=HERE, capture_output=True, text=True
    )
    return found.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=32000)
    parser.add_argument("--largest-dense", type=int, default=8000)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "large_kernel.json")
    args = parser.parse_args()

    cases = []
    measured = commit()
    measure(2000, dense=True)  # compiles
    points = 1000
    while points <= args.largest:
        cases.append(measure(points, points <= args.largest_dense))
        if len(cases) > 1:
            before = cases[-2]
            for name in [n for n in cases[-1] if n.endswith("_seconds") and n in before]:
                cases[-1][name.replace("seconds", "ratio")] = round(cases[-1][name] / before[name], 2)
        print(cases[-1], flush=True)
        points *= 2
    for case in cases:
        for name, value in case.items():
            if isinstance(value, float) and not name.endswith("ratio"):
                case[name] = float(f"{value:.3g}")
    report = {
        "what": f"NTK of a relu network with {DEPTH} hidden layer in {COLUMNS} dimensions, float32, blocks of {BLOCK}, "
        f"ridge {RIDGE}, tolerance {TOLERANCE}, {LANDMARKS} landmarks for the preconditioner",
        "environment": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("jax", "jaxlib", "numpy", "scipy")},
            "device": jax.devices()[0].device_kind,
            "devices": jax.device_count(),
            "cores": CORES,
            "machine": platform.machine(),
            "load_1_minute": round(os.getloadavg()[0], 1),
            "commit": measured,
        },
        "cases": cases,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
