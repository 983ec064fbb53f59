"""Scale: one environment variable, NTK_SCALE, decides how large a chapter runs."""

import dataclasses
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ntk_helpers.bookkit.contracts import SCALES
from ntk_helpers.bookkit.session import started


def scale() -> str:
    """The scale of this run: ``"quick"`` (default), ``"t4"`` or ``"full"``, from the variable NTK_SCALE.

    Raises:
        ValueError: NTK_SCALE holds anything else.
    """
    value = os.environ.get("NTK_SCALE", "") or "quick"
    if value not in SCALES:
        raise ValueError(f"NTK_SCALE is {value!r}; it must be one of {', '.join(SCALES)}")
    return value


def configure(*, quick: Any, t4: Any, full: Any, **named: Any) -> Any:
    """Choose a chapter's sizes: the configuration of the current scale.

    All sizes of a chapter stand in one frozen dataclass, with one instance for each scale. Further instances may be
    named, for example ``cpu=`` for the largest size a CPU does; NTK_CONFIG (set by ``tools/run_full.py --config``)
    chooses one of them.

    Args:
        quick: configuration for a laptop, two minutes at most.
        t4: configuration for a small GPU, ten minutes.
        full: configuration for a large GPU, the paper's sizes.
        **named: further configurations.

    Returns:
        The configuration in force.

    Raises:
        TypeError: one of them is not an instance of the same frozen dataclass.
        ValueError: NTK_CONFIG names a configuration that is not there.
    """
    configs = {"quick": quick, "t4": t4, "full": full, **named}
    for name, config in configs.items():
        frozen = dataclasses.is_dataclass(config) and getattr(config, "__dataclass_params__", None)
        if isinstance(config, type) or not frozen or not frozen.frozen:
            raise TypeError(f"{name}: must be an instance of a frozen dataclass, got {config!r}")
        if type(config) is not type(quick):
            raise TypeError(f"{name}: is a {type(config).__name__}, quick is a {type(quick).__name__}")
    chosen = config_name()
    if chosen not in configs:
        raise ValueError(f"NTK_CONFIG is {chosen!r}; this chapter has {', '.join(configs)}")
    started().config = configs[chosen]
    return configs[chosen]


def config_name() -> str:
    """Name of the configuration in force: NTK_CONFIG, else the scale."""
    return os.environ.get("NTK_CONFIG", "") or scale()


def progress(items: Iterable, *, label: str, total: int | None = None) -> Iterator:
    """Iterate with a progress bar where somebody watches: in a terminal, and in a notebook above quick scale.

    At quick scale nothing is shown in a notebook, because a bar would stand in the committed output and differ on
    every machine.

    Args:
        items: what to iterate over.
        label: words before the bar.
        total: number of items, where ``items`` does not know.

    Yields:
        The items.
    """
    from tqdm import tqdm

    watched = scale() != "quick" or sys.stdout.isatty()
    yield from tqdm(items, desc=label, total=total, disable=not watched, file=sys.stdout, mininterval=1.0)
