"""Time the empirical NTK against everything else that computes it: other methods, neural-tangents, torch.func.

    make benchmark                          everything that is not measured yet, about 25 minutes on two quiet cores
    python benchmarks/entk.py --only cnn    models or methods whose name contains the text (several: each may match)
    python benchmarks/entk.py --quick       the small models, a second each
    python benchmarks/entk.py --again       measure again what is there

Each measurement runs in a process of its own (``entk_entry.py``), in the environment of its library; the methods follow
one another model by model, so that load on the machine meets them alike, and each process also times one forward and
backward pass. A result is written as soon as it is there, so a run can be stopped and started again. Measurements of
this package are made again where its code has changed since; a file from another machine is not mixed with this one.

On a GPU only the methods that run in this environment are measured, into a file of their own:

    python benchmarks/entk.py --device "NVIDIA H100"
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import models

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import reference_env  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
KERNELS = ROOT / "_build" / "entk"
SECONDS = 3.0  # for the repetitions of a measurement
LIMIT = 60.0  # processor seconds for a whole measurement; what takes longer is recorded as such
PATIENCE = 10  # times as long may pass, on a loaded machine
MEMORY = 16e9  # bytes; a method that needs more is recorded and not run
# The explicit Jacobian comes first: the others are compared with its kernel.
HERE = ("jacobian", "ours", "ours-ntkvp")
REFERENCE = ("nt-jacobian", "nt-ntkvp", "nt-structured", "nt-structured-default")
TORCH = ("torch-jacobian",)
QUICK = ("fcn-512x3-n64-o1", "cnn-8px-c64-n32-o1", "rnn-scan-w256-t50-n32")


def methods_of(model: str, own_only: bool) -> list[str]:
    """The methods for a model, in the order in which they run."""
    if own_only:
        return list(HERE)
    torch = TORCH if model.startswith(("fcn", "cnn")) else ()
    # The default call of neural-tangents is there for the networks in which it can structure everything.
    reference = REFERENCE if model.startswith("fcn") else REFERENCE[:3]
    return ["jacobian", "ours", *reference, *torch, "ours-ntkvp"]


def wanted(model: str, method: str, only: list[str]) -> bool:
    return not only or any(text in f"{model}:{method}" for text in only)


def digest_of(method: str) -> str:
    """A hash of the code that is measured: the benchmark's own, and this package's where it runs."""
    files = [Path(__file__).with_name(name) for name in ("models.py", "entk_entry.py")]
    if method.startswith("torch"):
        files.append(Path(__file__).with_name("torch_models.py"))
    if method.startswith("ours"):
        files += sorted((ROOT / "ntk_helpers" / "finite" / "tangents").rglob("*.py"))
    content = hashlib.sha256()
    for file in files:
        content.update(file.read_bytes())
    return content.hexdigest()[:16]


def environment(device: str) -> dict[str, Any]:
    """What is the same for all measurements of a file."""
    try:
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()).group(1)
    except (OSError, AttributeError):
        model = platform.processor() or platform.machine()
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        memory = None
    return {
        "device": device or "CPU",
        "processor": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.machine()}",
    }


def pythons(chosen: set[str]) -> dict[str, Path | str]:
    """For each method the Python that runs it; environments are made where they are needed."""
    found: dict[str, Path | str] = dict.fromkeys(HERE, sys.executable)
    if chosen.intersection(REFERENCE):
        found.update(dict.fromkeys(REFERENCE, reference_env.make("neural-tangents")))
    if chosen.intersection(TORCH):
        found.update(dict.fromkeys(TORCH, reference_env.make("torch")))
    return found


def measure(python: Path | str, model: str, method: str, seconds: float, limit: float) -> dict[str, Any]:
    """Run one measurement in its own process."""
    request = {"seconds": seconds, "processor_seconds": limit, "memory": MEMORY, "kernels": str(KERNELS)}
    command = [str(python), str(Path(__file__).with_name("entk_entry.py")), model, method, json.dumps(request)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)} if method in HERE else {**os.environ}
    if method not in HERE:
        variables.pop("PYTHONPATH", None)
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE * limit, check=False, env=variables
        )
        code, output, errors = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired as stopped:
        code, output, errors = -getattr(signal, "SIGXCPU", 24), (stopped.stdout or b"").decode(), ""
    spent = round(time.monotonic() - start, 1)
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    last = lines[-1] if lines else {}
    if code == -getattr(signal, "SIGXCPU", 24):
        return {"over_processor_seconds": limit, "while": last.get("doing", "starting"), "seconds_in_all": spent}
    if code or "doing" in last or not last:
        said = " ".join(errors.split())[-300:]
        return {"error": f"ended with status {code}: {said}", "seconds_in_all": spent}
    return {**rounded(last), "seconds_in_all": spent}


def rounded(entry: Any) -> Any:
    """Four digits of each measured number are enough."""
    if isinstance(entry, dict):
        return {key: rounded(value) for key, value in entry.items()}
    return float(f"{entry:.4g}") if isinstance(entry, float) else entry


def summary(entry: dict[str, Any]) -> str:
    if "seconds_least" in entry:
        passes = entry["seconds_least"] / entry["forward_backward"]["seconds_least"]
        difference = entry.get("difference")
        shown = "" if difference is None else f", differs by {difference:.0e}"
        return f"{1e3 * entry['seconds_least']:.4g} ms, {passes:.3g} passes{shown}"
    if "needs_bytes" in entry:
        return f"needs {entry['needs_bytes'] / 1e9:.0f} GB"
    if "error" in entry:
        return entry["error"]
    return f"not done in {entry['over_processor_seconds']:.0f} processor seconds, was {entry['while']}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="TEXT")
    parser.add_argument("--quick", action="store_true", help="the small models, a second each; not for the record")
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--device", default="", metavar="NAME", help="name of the GPU: own methods only")
    parser.add_argument("--out", type=Path, help="file of the results; without it, in benchmarks/results")
    parser.add_argument("--limit", type=float, default=LIMIT, help="processor seconds for one measurement")
    arguments = parser.parse_args()

    slug = "-" + re.sub(r"[^a-z0-9]+", "-", arguments.device.lower()).strip("-") if arguments.device else ""
    out = arguments.out or (KERNELS / "quick.json" if arguments.quick else RESULTS / f"entk{slug}.json")
    here = environment(arguments.device)
    report = {"environment": here, "models": {}}
    if out.exists():
        report = json.loads(out.read_text())
        if report["environment"] != here:
            print(f"{out.name} is from another machine; move it away or give another --out:")
            print(f"  there {report['environment']}\n  here  {here}")
            return 1

    jobs = [
        (model, method)
        for model in models.BUILDERS
        if not arguments.quick or model in QUICK
        for method in methods_of(model, bool(arguments.device))
        if wanted(model, method, arguments.only)
    ]
    stale = []
    for model, method in jobs:
        entry = report["models"].get(model, {}).get(method)
        if arguments.again or entry is None or entry.get("code") != digest_of(method):
            stale.append((model, method))
    print(f"{len(jobs) - len(stale)} of {len(jobs)} measurements are there, {len(stale)} to make", flush=True)
    if not stale:
        return 0
    runs = pythons({method for _, method in stale})
    start = time.monotonic()
    for i, (model, method) in enumerate(stale):
        spent = time.monotonic() - start
        print(f"[{i + 1}/{len(stale)}, {spent / 60:.1f} min] {model} {method}: ", end="", flush=True)
        seconds = 1.0 if arguments.quick else SECONDS
        entry = measure(runs[method], model, method, seconds, arguments.limit)
        entry["code"] = digest_of(method)
        print(f"{summary(entry)} ({entry['seconds_in_all']} s)", flush=True)
        found = report["models"].setdefault(model, {})
        found[method] = entry
        report["models"][model] = {name: found[name] for name in methods_of(model, False) if name in found}
        report["models"] = {name: report["models"][name] for name in models.BUILDERS if name in report["models"]}
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_suffix(".part")
        partial.write_text(json.dumps(report, indent=1) + "\n")
        partial.replace(out)
    print(f"{out} holds the results; `python tools/benchmarks_page.py` writes the page")
    return 0


if __name__ == "__main__":
    sys.exit(main())
