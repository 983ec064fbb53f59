"""Time the analytic kernel of a fully connected relu network against neural-tangents', in one process.

    python benchmarks/analytic_kernel.py [--rows 2000] [--columns 100] [--repetitions 15] [--out FILE]

Both are compiled, then run in turn, so that other load on the machine meets both alike. Each repetition waits for its
result. Peak memory is XLA's own account of the compiled function: temporaries and results, not the inputs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import ntk_helpers as nh
from ntk_helpers.nt import stax

HERE = Path(__file__).parent
DEPTH, SIGMA_W = 3, 2**0.5


def theirs(sigma_b: float):
    layers = []
    for _ in range(DEPTH):
        layers += [stax.Dense(512, W_std=SIGMA_W, b_std=sigma_b), stax.Relu()]
    kernel_fn = stax.serial(*layers, stax.Dense(1, W_std=SIGMA_W, b_std=sigma_b))[2]
    return jax.jit(lambda a, b: tuple(kernel_fn(a, b, ("nngp", "ntk"))))


def ours(sigma_b: float):
    return jax.jit(lambda a, b: tuple(nh.fcn_kernel(a, b, depth=DEPTH, sigma_w=SIGMA_W, sigma_b=sigma_b)))


def ours_nngp(sigma_b: float):
    return jax.jit(lambda a, b: nh.fcn_kernel(a, b, depth=DEPTH, sigma_w=SIGMA_W, sigma_b=sigma_b, get="nngp"))


def inputs(kind: str, rows: int, columns: int) -> tuple[jax.Array, jax.Array]:
    """Rows in random directions, or in a cone of angles near 0.2 with a row in ten given twice (the slowest case)."""
    rng = np.random.default_rng(0)
    x1, x2 = rng.normal(size=(2, rows, columns)) * (1.0 if kind == "spread" else 0.15) + (kind == "close")
    if kind == "close":
        x2[: rows // 10] = x1[: rows // 10]
    return jnp.asarray(x1, jnp.float32), jnp.asarray(x2, jnp.float32)


def measure(functions: dict, arguments: tuple, repetitions: int) -> dict:
    result = {name: {"seconds": []} for name in functions}
    for name, function in functions.items():
        memory = function.lower(*arguments).compile().memory_analysis()
        peak = memory.temp_size_in_bytes + memory.output_size_in_bytes
        result[name]["peak_matrices"] = round(peak / (4 * arguments[0].shape[0] * arguments[1].shape[0]), 2)
        jax.block_until_ready(function(*arguments))
    for _ in range(repetitions):
        for name, function in functions.items():
            start = time.perf_counter()
            jax.block_until_ready(function(*arguments))
            result[name]["seconds"].append(time.perf_counter() - start)
    for entry in result.values():
        seconds = entry.pop("seconds")
        entry["milliseconds_median"] = round(1e3 * statistics.median(seconds), 1)
        entry["milliseconds_least"] = round(1e3 * min(seconds), 1)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "analytic_kernel.json")
    args = parser.parse_args()

    cases = {}
    for kind in ("spread", "close"):
        arguments = inputs(kind, args.rows, args.columns)
        for sigma_b in (0.0, 0.1):
            functions = {"neural_tangents": theirs(sigma_b), "ntk_helpers": ours(sigma_b)}
            if kind == "spread":
                functions["ntk_helpers_nngp"] = ours_nngp(sigma_b)
            case = measure(functions, arguments, args.repetitions)
            for key in ("median", "least"):
                times = [case[name][f"milliseconds_{key}"] for name in ("neural_tangents", "ntk_helpers")]
                case[f"times_faster_{key}"] = round(times[0] / times[1], 2)
            cases[f"{kind}, sigma_b={sigma_b}"] = case
    report = {
        "what": f"NNGP and NTK, relu, {DEPTH} hidden layers, float32, {args.rows} x {args.rows} inputs in "
        f"{args.columns} dimensions, {args.repetitions} alternating repetitions",
        "environment": {
            "python": platform.python_version(),
            **{package: version(package) for package in ("jax", "jaxlib", "numpy", "neural-tangents")},
            "device": jax.devices()[0].device_kind,
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "machine": platform.machine(),
            "load_1_minute": round(os.getloadavg()[0], 1),
        },
        "cases": cases,
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
