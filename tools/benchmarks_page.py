"""Write book/benchmarks.md from the measurements in benchmarks/results.

python tools/benchmarks_page.py          writes it
python tools/benchmarks_page.py --check  fails where it differs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import benchmark_bars as bars

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"

METHODS = {
    "ours": "`nh.empirical_ntk`",
    "jacobian": "explicit Jacobians",
    "ours-ntkvp": "NTK-vector products",
    "nt-jacobian": "neural-tangents, 1: Jacobian contraction",
    "nt-ntkvp": "neural-tangents, 2: NTK-vector products",
    "nt-structured": "neural-tangents, 3: structured derivatives",
    "nt-structured-default": "the same without `vmap_axes=0`",
    "torch-jacobian": "`torch.func`, explicit Jacobians",
}
FAMILIES = {
    "fcn": (
        "Fully connected networks",
        "relu, biases, 32 input columns. Name: width x hidden layers, n samples, o outputs.",
    ),
    "cnn": (
        "Convolutional networks",
        "Three layers of 3 x 3 convolutions with relu and biases, the mean over pixels, a dense layer. "
        "Name: side of the image, channels, samples, outputs.",
    ),
    "resnet": (
        "ResNet-18",
        "As for CIFAR: a 3 x 3 stem and eight blocks of 64 to 512 channels, 11 million parameters. The normalization "
        "is a trained scale and shift, which is what batch normalization is once its statistics are fixed.",
    ),
    "rnn": (
        "Recurrent networks",
        "relu, 50 steps, read out at the end; the steps in `lax.scan`, or written out in Python.",
    ),
    "transformer": (
        "A transformer block",
        "Embedding of 32 tokens, four heads of attention, a feed-forward part, two layer normalizations.",
    ),
    "pinn": (
        "The residual of a physics-informed network",
        "$u_{tt}-u_{xx}+\\sin u$ of a tanh network, by nested derivatives. Name: width x hidden layers, points.",
    ),
}


def number(value: float, digits: int = 3) -> str:
    """A number with so many digits and no exponent."""
    if value >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.{digits}g}"


def failure(entry: dict[str, Any]) -> str:
    """Why a method has no time."""
    if "needs_bytes" in entry:
        return f"needs {entry['needs_bytes'] / 1e9:.0f} GB"
    if "over_processor_seconds" in entry:
        return f"stopped after {entry['over_processor_seconds']:.0f} s of processor time, while {entry['while']}"
    return "fails: " + entry["error"].replace("|", "\\|").replace("`", "'").replace("<", "&lt;")[:140]


def row(method: str, entry: dict[str, Any], ours: float | None) -> str:
    """One method in the table of a model."""
    if "seconds_least" not in entry:
        return f"| {METHODS[method]} | – | – | – | – | – | {failure(entry)} |"
    least, passes = entry["seconds_least"], entry["forward_backward"]["seconds_least"]
    relative = "–" if ours is None else number(least / ours)
    difference = "reference" if method == "jacobian" else "–"
    if method != "jacobian" and entry.get("difference") is not None:
        difference = f"{entry['difference']:.0e}"
    peak = "–" if entry.get("peak_bytes") is None else number(entry["peak_bytes"] / 1e6)
    times = f"{number(1e3 * least)} ({number(1e3 * entry['seconds_median'])})"
    return f"| {METHODS[method]} | {times} | {relative} | {number(least / passes)} | {peak} | {difference} | |"


def table(name: str, entries: bars.Entries) -> list[str]:
    """The table of one model, and what the limit is there."""
    ours = bars.seconds(entries, bars.OURS)
    lines = [
        f"**{name}**",
        "",
        "| method | ms, least (median) | of ours | in passes | peak MB | differs by | |",
        "|---|---|---|---|---|---|---|",
        *(row(method, entries[method], ours) for method in METHODS if method in entries),
        "",
    ]
    entry = entries.get(bars.OURS, {})
    notes = []
    if (bound := bars.limit(entry)) is not None:
        notes.append(f"The limit is {number(1e3 * bound)} ms.")
    if "plain_call" in entry:
        notes.append(
            f"Without `jax.jit` around it a call takes {number(1e3 * entry['plain_call']['seconds_least'])} ms."
        )
    return [*lines, " ".join(notes), ""] if notes else lines


def environment(report: dict[str, Any]) -> list[str]:
    """Where and with what it was measured, and how busy the machine was."""
    here = report["environment"]
    every = [entry for entries in report["models"].values() for entry in entries.values()]
    loads = [entry["load_1_minute"] for entry in every if "load_1_minute" in entry]
    versions: dict[str, set[str]] = {}
    for entries in report["models"].values():
        for method, entry in entries.items():
            library = {"nt": "neural-tangents", "torch": "torch"}.get(method.split("-")[0], "this package")
            if "versions" in entry:
                shown = ", ".join(f"{name} {value}" for name, value in entry["versions"].items())
                versions.setdefault(library, set()).add(shown)
    memory = f", {here['memory_bytes'] / 2**30:.0f} GiB" if here["memory_bytes"] else ""
    return [
        f"Device: {here['device']}. Processor: {here['processor']}, {here['cores']} cores{memory}, {here['system']}.",
        f"Load average before a measurement: {min(loads):.1f} to {max(loads):.1f}, "
        f"median {sorted(loads)[len(loads) // 2]:.1f}."
        if loads
        else "",
        "Versions: " + "; ".join(f"{library}: {' or '.join(sorted(v))}" for library, v in versions.items()) + ".",
        "",
    ]


def verdicts(report: dict[str, Any]) -> list[str]:
    """The bars as tables, one for each group."""
    found = bars.bars(report["models"])
    count = {word: sum(bar.verdict == word for bar in found) for word in ("met", "missed", "not measured")}
    lines = [
        f"**{count['met']} of {len(found)} met, {count['missed']} missed, {count['not measured']} not measured.**",
        "",
    ]
    for group in dict.fromkeys(bar.group for bar in found):
        lines += [f"{group}:", "", "| model | measured | verdict |", "|---|---|---|"]
        for bar in found:
            if bar.group == group:
                verdict = "**missed**" if bar.verdict == "missed" else bar.verdict
                lines.append(f"| {bar.model} | {bar.measured} | {verdict} |")
        lines.append("")
    return lines


def sections(report: dict[str, Any]) -> list[str]:
    """A section for each family of models."""
    lines = []
    for prefix, (title, about) in FAMILIES.items():
        found = {name: entries for name, entries in report["models"].items() if name.startswith(prefix)}
        if found:
            lines += [f"## {title}", "", about, ""]
            for name, entries in found.items():
                lines += table(name, entries)
    return lines


def analytic(report: dict[str, Any]) -> list[str]:
    """The analytic kernel beside neural-tangents'."""
    here = report["environment"]
    lines = [
        "## Analytic kernels",
        "",
        f"{report['what']}, of `nh.fcn_kernel` and of neural-tangents through `ntk_helpers.nt`, in one process. "
        f"{here['cores']} cores, JAX {here['jax']}, load average {here['load_1_minute']}. "
        "Memory, as XLA tells it, in kernel matrices. *spread*: random directions; *close*: angles near 0.2.",
        "",
        "| inputs | ours, ms (matrices) | neural-tangents, ms (matrices) | times faster |",
        "|---|---|---|---|",
    ]
    for name, case in report["cases"].items():
        cells = [
            f"{case[who]['milliseconds_least']:.0f} ({case[who]['peak_matrices']:.3g})"
            for who in ("ntk_helpers", "neural_tangents")
        ]
        shown = name.replace("sigma_b=", "$\\sigma_b$ = ")
        lines.append(f"| {shown} | {cells[0]} | {cells[1]} | {case['times_faster_least']:.2f} |")
    return [*lines, "", "`python benchmarks/analytic_kernel.py` measures this again.", ""]


def large(report: dict[str, Any]) -> list[str]:
    """What kernel ridge regression costs as its points grow."""
    here = report["environment"]
    lines = [
        "## Kernel ridge regression with many points",
        "",
        f"{report['what']}. Cores: {here['cores']}; JAX {here['jax']}, commit {here['commit']}. Seconds; in brackets, "
        "in units of the row above. *Pass*: one product with the kernel, its tiles computed and forgotten. *Cholesky*: "
        "`nh.large_ridge` with the whole matrix. *CG*: without a matrix, alone and with the preconditioner, with its "
        "iterations.",
        "",
        "| points | pass | Cholesky | CG alone | CG, preconditioned | host memory, Cholesky : CG |",
        "|---|---|---|---|---|---|",
    ]
    for case in report["cases"]:
        cells = [f"{case['points']:,}".replace(",", " ")]
        for way in ("pass", "cholesky", "plain", "cg"):
            if f"{way}_seconds" not in case:
                cells.append("not run")
                continue
            ratio = f" ({case[f'{way}_ratio']:.1f})" if f"{way}_ratio" in case else ""
            count = f"; {case[f'{way}_iterations']} iterations" if f"{way}_iterations" in case else ""
            cells.append(f"{case[f'{way}_seconds']:.2g}{ratio}{count}")
        cells.append(f"{case['cholesky_host_bytes'] / 1e9:.2g} : {case['cg_host_bytes'] / 1e9:.2g} GB")
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", "`python benchmarks/large_kernel.py` measures this again.", ""]


INTRODUCTION = """\
# Benchmarks

% Written by tools/benchmarks_page.py from benchmarks/results; edit those.

How fast is the empirical NTK of this package, and how much memory does it need, beside everything else that computes
it? The networks stand in `benchmarks/models.py`. The same parameters and inputs go to every method.
"""

HOW = """\
## How it is measured

- The kernel of all pairs of samples and all pairs of outputs, float32, compiled before it is timed.
- Each measurement runs in a process of its own. The methods follow one another model by model.
- *Time*: the least over repetitions, the median in brackets. *Of ours*: in units of `nh.empirical_ntk`.
- *In passes*: in units of one forward and one backward pass (the gradient of the sum of all outputs for all
  parameters), measured in the same process, in turn with the method.
- *Peak*: the most memory that the process held during the first run, beyond what it held before.
- *Differs by*: the largest difference to the kernel from explicit Jacobians in the same run of the benchmark, in units
  of the largest entry.
- *The limit*: one forward pass, one backward pass to the inputs for each output (both as JAX runs them on this
  machine), and the inner products that the structured way needs, in their cheapest order, at the measured rate of a
  matrix product.
- neural-tangents 0.6.5 runs in JAX 0.4.25, the last one on which all of its methods work, inside `jax.jit`, told that
  the samples stand on axis 0 (`vmap_axes=0`). Its third method needs that to be fast, and is shown without it for the
  fully connected networks.
- Times that differ by less than 5 % count as equal.

To measure again: `make benchmark`, about 25 minutes on two quiet cores. It goes on where it was stopped, and measures
again what has changed. `make benchmark ARGS="--only rnn"` takes a part. On a GPU, where only the methods of the
installed JAX are measured: `python benchmarks/entk.py --device "name of the GPU"`.
"""


def render() -> str:
    """The page."""
    lines = [*INTRODUCTION.splitlines(), ""]
    path = RESULTS / "entk.json"
    if path.exists():
        report = json.loads(path.read_text(encoding="utf-8"))
        lines += [*environment(report), "## What was to be reached", "", *verdicts(report), *HOW.splitlines(), ""]
        lines += sections(report)
    else:
        lines += ["The empirical NTK has no stored measurement yet.", "", *HOW.splitlines(), ""]
    for other in sorted(RESULTS.glob("entk-*.json")):
        report = json.loads(other.read_text(encoding="utf-8"))
        lines += [f"## On {report['environment']['device']}", "", *environment(report)]
        for name, entries in report["models"].items():
            lines += table(name, entries)
    lines += analytic(json.loads((RESULTS / "analytic_kernel.json").read_text(encoding="utf-8")))
    lines += large(json.loads((RESULTS / "large_kernel.json").read_text(encoding="utf-8")))
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    page = render()
    current = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if page == current:
        print("benchmarks: in step")
        return 0
    if "--check" in sys.argv:
        print("benchmarks: book/benchmarks.md differs from benchmarks/results; run tools/benchmarks_page.py")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    print("benchmarks: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
