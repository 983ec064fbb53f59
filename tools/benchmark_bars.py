"""The bars of the empirical NTK benchmark: what was to be reached, what was measured, and whether it was."""

from __future__ import annotations

from typing import Any, NamedTuple

Entries = dict[str, dict[str, Any]]  # for each method its measurement

OURS = "ours"
NEURAL_TANGENTS = ("nt-jacobian", "nt-ntkvp", "nt-structured", "nt-structured-default")
JACOBIANS = ("jacobian", "nt-jacobian", "torch-jacobian")
# Times that differ by less than this are called equal: two runs of the same code differ by as much.
NOISE = 1.05
# Units: a bar on memory is in bytes.
MEMORY_BAR = 200e6


class Bar(NamedTuple):
    """One bar at one model. ``verdict`` is met, missed or not measured."""

    group: str
    model: str
    measured: str
    verdict: str


def seconds(entries: Entries, method: str) -> float | None:
    """Least time of a method; None where it did not run."""
    return entries.get(method, {}).get("seconds_least")


def best(entries: Entries, methods: tuple[str, ...]) -> tuple[str, float] | None:
    """The fastest of some methods."""
    times = {method: seconds(entries, method) for method in methods}
    done = {method: time for method, time in times.items() if time is not None}
    return min(done.items(), key=lambda item: item[1]) if done else None


def limit(entry: dict[str, Any]) -> float | None:
    """One forward pass, a backward pass for each output, the Gram products at the rate of a matrix product."""
    if "passes" not in entry:
        return None
    return entry["passes"]["seconds_least"] + entry["gram_flops"] / entry["flops_per_second"]


def times_faster(entries: Entries, methods: tuple[str, ...]) -> tuple[str, float] | None:
    """The fastest of the methods, and its time in units of ours."""
    ours, other = seconds(entries, OURS), best(entries, methods)
    return None if ours is None or other is None else (other[0], other[1] / ours)


def at_least(group: str, model: str, entries: Entries, methods: tuple[str, ...], least: float) -> Bar:
    """Ours is so many times as fast as the best of the methods."""
    found = times_faster(entries, methods)
    if found is None:
        return Bar(group, model, "–", "not measured")
    name, ratio = found
    return Bar(group, model, f"{ratio:.3g} times ({name})", "met" if ratio * NOISE >= least else "missed")


def within_limit(group: str, model: str, entries: Entries, most: float) -> Bar:
    """Ours takes at most so many times the limit."""
    ours = entries.get(OURS, {})
    bound = limit(ours)
    if bound is None or "seconds_least" not in ours:
        return Bar(group, model, "–", "not measured")
    ratio = ours["seconds_least"] / bound
    return Bar(group, model, f"{ratio:.2f} of the limit", "met" if ratio <= most * NOISE else "missed")


def memory(group: str, model: str, entries: Entries, most: float) -> Bar:
    """Ours needs at most so many bytes above its inputs."""
    peak = entries.get(OURS, {}).get("peak_bytes")
    if peak is None:
        return Bar(group, model, "–", "not measured")
    return Bar(group, model, f"{peak / 1e6:.0f} MB", "met" if peak <= most else "missed")


FCN_FASTER = "FCN: at least 20 times as fast as the best of neural-tangents"
FCN_LIMIT = "FCN: at most 1.5 times the limit"
CONV_NEVER = "CNN and ResNet: never slower than the best of all other methods"
CONV_LIMIT = "CNN and ResNet: at most 1.5 times the limit"
CONV_FASTER = "CNN, 8 x 8, 256 channels, 10 outputs: at least 3 times as fast as the best of all other methods"
PINN_FASTER = "PINN residual: at least 5 times as fast as explicit Jacobians"
RNN_FASTER = "RNN: at least 2 times as fast as explicit Jacobians"
FCN_MEMORY = "FCN 2048 x 3, 128 samples: peak at most 200 MB above the inputs"
MEMORY_MODEL = "fcn-2048x3-n128-o1"
CONV_MODEL = "cnn-8px-c256-n32-o10"


def bars(models: dict[str, Entries]) -> list[Bar]:
    """All bars, in order of the groups."""

    def those(prefix: tuple[str, ...]) -> list[tuple[str, Entries]]:
        return [(name, entries) for name, entries in models.items() if name.startswith(prefix)]

    def others(entries: Entries) -> tuple[str, ...]:
        return tuple(name for name in entries if name != OURS)

    fcn, conv = those(("fcn",)), those(("cnn", "resnet"))
    return [
        *(at_least(FCN_FASTER, name, entries, NEURAL_TANGENTS, 20) for name, entries in fcn),
        *(within_limit(FCN_LIMIT, name, entries, 1.5) for name, entries in fcn),
        *(at_least(CONV_NEVER, name, entries, others(entries), 1) for name, entries in conv),
        *(within_limit(CONV_LIMIT, name, entries, 1.5) for name, entries in conv),
        *(at_least(CONV_FASTER, name, e, others(e), 3) for name, e in conv if name == CONV_MODEL),
        *(at_least(PINN_FASTER, name, entries, JACOBIANS, 5) for name, entries in those(("pinn",))),
        *(at_least(RNN_FASTER, name, entries, JACOBIANS, 2) for name, entries in those(("rnn",))),
        *(memory(FCN_MEMORY, name, entries, MEMORY_BAR) for name, entries in fcn if name == MEMORY_MODEL),
    ]
