"""One measurement of the empirical NTK benchmark, in a process of its own; ``entk.py`` starts it.

    python benchmarks/entk_entry.py MODEL METHOD REQUEST

REQUEST is JSON: the seconds to spend on repetitions, the processor seconds and the memory that may be used, where
kernels are kept for comparison. The last line of the output is the result, as JSON. Methods:

    ours              nh.empirical_ntk, as it comes
    ours-ntkvp        nh.empirical_ntk, column by column
    jacobian          explicit Jacobians in plain JAX, nothing of this package
    nt-jacobian, nt-ntkvp, nt-structured    the three of neural-tangents 0.6.5, in its own environment, each told that
                      the samples stand on axis 0 (vmap_axes=0), which makes it fastest
    nt-structured-default    the third without that
    torch-jacobian    explicit Jacobians with torch.func, in its own environment
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import re
import statistics
import sys
import time
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import models
import numpy as np

Function = Callable[[], Any]
MATRIX = 2048  # side of the matrices whose product gives the rate of the machine


# Memory


def resident(field: str = "VmRSS") -> int | None:
    """Bytes of this process: VmRSS is what it holds, VmHWM the most it held. None where the system doesn't tell."""
    try:
        found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def peak_of(call: Function) -> int | None:
    """Bytes that the process needs during a call beyond what it held before; its result counts too."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        before = resident("VmRSS")
        call()
        return resident("VmHWM") - before
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        call()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit


# Time


def repeat(functions: dict[str, Function], budget: float, most: int = 60) -> dict[str, dict[str, Any]]:
    """Run the functions in turn until the budget is spent, each at least once; load on the machine meets all alike.

    Processor seconds (of all threads) are kept too: on a loaded machine they say more than the time that passed.
    """
    wall: dict[str, list[float]] = {name: [] for name in functions}
    cpu: dict[str, list[float]] = {name: [] for name in functions}
    start = time.perf_counter()
    while True:
        for name, function in functions.items():
            began, used = time.perf_counter(), time.process_time()
            function()
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - used)
        rounds = len(next(iter(wall.values())))
        if rounds >= most or (time.perf_counter() - start) * (rounds + 1) / rounds > budget:
            break
    return {
        name: {
            "seconds_least": min(wall[name]),
            "seconds_median": statistics.median(wall[name]),
            "processor_seconds_least": min(cpu[name]),
            "repetitions": len(wall[name]),
        }
        for name in functions
    }


# The methods in JAX


def explicit_jacobian(f: Any) -> Any:
    """Reverse mode for each example, the Jacobian of each leaf as a matrix, its product with itself."""
    import jax
    import jax.numpy as jnp

    def kernel(params: Any, x: Any) -> Any:
        jacobian = jax.vmap(lambda row: jax.jacrev(lambda p: f(p, row[None])[0])(params))(x)
        total = 0.0
        for leaf in jax.tree_util.tree_leaves(jacobian):
            n, o = leaf.shape[:2]
            matrix = leaf.reshape(n * o, -1)
            total = total + jnp.dot(matrix, matrix.T, precision="highest")
        return total.reshape(n, o, n, o).transpose(0, 2, 1, 3)

    return kernel


def jax_method(name: str, f: Any) -> Any:
    """The kernel (N, N, O, O) as a function of params and x."""
    if name == "jacobian":
        return explicit_jacobian(f)
    if name.startswith("ours"):
        import ntk_helpers as nh

        method = {"ours": "auto", "ours-ntkvp": "ntkvp"}[name]
        return lambda params, x: nh.empirical_ntk(f, params, x, method=method)
    # Its experimental part wants TensorFlow, and is not used here.
    sys.modules["neural_tangents.experimental"] = types.ModuleType("neural_tangents.experimental")
    import neural_tangents as nt

    implementation = {"nt-jacobian": 1, "nt-ntkvp": 2}.get(name, 3)
    vmap_axes = None if name == "nt-structured-default" else 0
    kernel_fn = nt.empirical_ntk_fn(f, trace_axes=(), vmap_axes=vmap_axes, implementation=implementation)
    return lambda params, x: kernel_fn(x, None, params)


def measure_jax(model: models.Model, method: str, request: dict[str, Any]) -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    device = jax.devices()[0]
    if device.platform != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")
    params, x = jax.tree_util.tree_map(jnp.asarray, (model.params, model.x))
    jax.block_until_ready((params, x))

    def prepare(function: Any, *arguments: Any) -> Any:
        return jax.jit(function).lower(*arguments).compile()

    def call(compiled: Any, *arguments: Any) -> Function:
        return lambda: jax.block_until_ready(compiled(*arguments))

    result: dict[str, Any] = {}
    began = time.perf_counter()
    compiled = prepare(jax_method(method, model.f), params, x)
    result["seconds_to_compile"] = time.perf_counter() - began
    analysis = compiled.memory_analysis()
    if analysis is not None:
        result["xla_bytes"] = analysis.temp_size_in_bytes + analysis.output_size_in_bytes
        if result["xla_bytes"] > request["memory"]:
            return {"needs_bytes": result["xla_bytes"]}

    print(json.dumps({"doing": "running"}), flush=True)
    kept: list[Any] = []
    first: dict[str, float] = {}

    def run() -> None:
        began, used = time.perf_counter(), time.process_time()
        kept.append(jax.block_until_ready(compiled(params, x)))
        first.update(wall=time.perf_counter() - began, cpu=time.process_time() - used)

    if device.platform == "cpu":
        result["peak_bytes"] = peak_of(run)
    else:
        before = device.memory_stats()["peak_bytes_in_use"]
        run()
        after = device.memory_stats()["peak_bytes_in_use"]
        # The compiled function's own account where an earlier step needed more.
        result["peak_bytes"] = after - before if after > before else result.get("xla_bytes")
    result["kernel"] = np.asarray(kept.pop())

    both = prepare(jax.value_and_grad(lambda params, x: model.f(params, x).sum()), params, x)
    functions = {"method": call(compiled, params, x), "forward_backward": call(both, params, x)}
    if method == "ours":
        functions["forward"] = call(prepare(model.f, params, x), params, x)
        if jnp.issubdtype(x.dtype, jnp.floating):
            functions["passes"] = call(prepare(passes(model.f, model.outputs), params, x), params, x)
        import ntk_helpers as nh

        functions["plain_call"] = lambda: jax.block_until_ready(nh.empirical_ntk(model.f, params, x))
        square = jnp.ones((MATRIX, MATRIX))
        product = call(prepare(lambda a: jnp.dot(a, a, precision="highest"), square), square)
        product()
        least = repeat({"product": product}, min(1.0, request["seconds"]))["product"]
        result["flops_per_second"] = 2 * MATRIX**3 / least["seconds_least"]
        result["gram_flops"] = models.gram_flops(model)
        result["flops_per_processor_second"] = 2 * MATRIX**3 / least["processor_seconds_least"]
    for name in list(functions)[1:]:
        functions[name]()
    result.update(timed(functions, first, request["seconds"]))
    return result


def timed(functions: dict[str, Function], first: dict[str, float], budget: float) -> dict[str, Any]:
    """Times of all functions; the first run of a slow method is its only one."""
    slow = first["wall"] > 2 * budget
    times = repeat({name: run for name, run in functions.items() if not (slow and name == "method")}, budget)
    method = times.pop("method", None) or {
        "seconds_least": first["wall"],
        "seconds_median": first["wall"],
        "processor_seconds_least": first["cpu"],
        "repetitions": 1,
    }
    return {**method, **times}


def passes(f: Any, outputs: int) -> Any:
    """One forward pass, and one backward pass down to the inputs for each output: no gradient of a weight."""
    import jax
    import jax.numpy as jnp

    def run(params: Any, x: Any) -> Any:
        out, pull = jax.vjp(lambda x: f(params, x), x)
        cotangents = jnp.broadcast_to(jnp.eye(outputs, dtype=out.dtype)[:, None], (outputs, *out.shape))
        return out, jax.vmap(pull)(cotangents)

    return run


# torch.func


def measure_torch(model: models.Model, method: str, request: dict[str, Any]) -> dict[str, Any]:
    import torch
    import torch_models

    params, x, f = torch_models.convert(model)

    def kernel() -> Any:
        return torch_models.explicit_jacobian(f, params, x)

    size = sum(math.prod(leaf.shape) for leaf in params.values())
    needed = 4 * size * model.samples * model.outputs
    if needed > request["memory"]:
        return {"needs_bytes": needed}

    trained = {name: value.clone().requires_grad_() for name, value in params.items()}

    def forward_backward() -> None:
        torch.autograd.grad(f(trained, x).sum(), list(trained.values()))

    kept: list[Any] = []
    first: dict[str, float] = {}

    def run() -> None:
        began, used = time.perf_counter(), time.process_time()
        kept.append(kernel())
        first.update(wall=time.perf_counter() - began, cpu=time.process_time() - used)

    print(json.dumps({"doing": "running"}), flush=True)
    result: dict[str, Any] = {"peak_bytes": peak_of(run)}
    result["kernel"] = kept.pop().numpy()
    forward_backward()
    functions = {"method": kernel, "forward_backward": forward_backward}
    result.update(timed(functions, first, request["seconds"]))
    return result


# The process


def compare(kernel: np.ndarray, model: models.Model, method: str, folder: Path) -> dict[str, Any]:
    """The largest difference to the kernel from explicit Jacobians, in units of its largest entry."""
    path = folder / f"{model.name}.npz"
    inputs = hashlib.sha256()
    for part in (*_leaves(model.params), model.x):
        inputs.update(np.ascontiguousarray(part).tobytes())
    digest = inputs.hexdigest()
    if method == "jacobian":
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, kernel=kernel, digest=digest)
    if not path.exists():
        return {"difference": None}
    stored = np.load(path)
    if str(stored["digest"]) != digest:
        raise AssertionError("the parameters differ from those of the stored kernel")
    reference = stored["kernel"].astype(np.float64)
    if kernel.shape != reference.shape:
        raise AssertionError(f"kernel of shape {kernel.shape}, expected {reference.shape}")
    return {"difference": float(np.abs(kernel - reference).max() / np.abs(reference).max())}


def _leaves(tree: Any) -> list[np.ndarray]:
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in _leaves(tree[key])]
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in _leaves(part)]
    return [tree]


def versions(method: str) -> dict[str, str]:
    packages = {"nt": ("jax", "jaxlib", "numpy", "neural-tangents"), "torch": ("torch", "numpy")}
    names = packages.get(method.split("-")[0], ("jax", "jaxlib", "numpy"))
    return {"python": platform.python_version(), **{name: version(name) for name in names}}


def main() -> None:
    name, method, request = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    with contextlib.suppress(ImportError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(request["processor_seconds"]), resource.RLIM_INFINITY))
    print(json.dumps({"doing": "compiling"}), flush=True)
    result: dict[str, Any] = {"load_1_minute": round(os.getloadavg()[0], 1), "versions": versions(method)}
    try:
        model = models.build(name)
        measured = (measure_torch if method.startswith("torch") else measure_jax)(model, method, request)
        kernel = measured.pop("kernel", None)
        result.update(measured)
        if kernel is not None:
            result.update(compare(kernel, model, method, Path(request["kernels"])))
    except Exception as error:
        message = " ".join(str(error).split())
        result = {**result, "error": f"{type(error).__name__}: {message[:300]}"}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
