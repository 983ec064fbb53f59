"""What one run of a chapter remembers, and how it shows things with or without Jupyter."""

import sys
from dataclasses import dataclass, field
from typing import Any

from ntk_helpers.bookkit.contracts import Contract

CLAIM_MIME = "application/vnd.ntk-book.claim+json"


@dataclass
class Session:
    """State of the chapter that is running; ``nh.chapter`` starts a new one."""

    chapter: str | None = None
    contracts: dict[str, Contract] = field(default_factory=dict)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)  # by claim id, see claims.py
    config: Any = None
    stages: list[dict[str, Any]] = field(default_factory=list)  # name, seconds, resumed
    deadline: float | None = None  # time.monotonic() after which a full run stops at the next stage


# One per process: a chapter is one process.
current = Session()


def started() -> Session:
    """The running session.

    Raises:
        RuntimeError: no chapter was started.
    """
    if current.chapter is None:
        raise RuntimeError('no chapter is running: call nh.chapter("NN_topic") first')
    return current


def in_jupyter() -> bool:
    """True where an IPython shell can show rich output; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def emit(text: str, html: str | None = None, extra: dict[str, Any] | None = None) -> None:
    """Show a piece of output: a rich bundle in Jupyter, its plain text in a script.

    The plain text is what nbval compares, so it must not hold digits that differ between machines.
    """
    if not in_jupyter():
        print(text, flush=True)
        return
    from IPython.display import display

    bundle = {"text/plain": text, **(extra or {})}
    if html is not None:
        bundle["text/html"] = html
    display(bundle, raw=True)
