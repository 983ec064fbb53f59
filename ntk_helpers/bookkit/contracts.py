"""Contracts: what a chapter must show, stated in ``book/claims/NN_topic.toml`` before it is measured.

A file holds tables ``[topic.name]``; the id of a claim is ``topic.name``. Keys of a claim:

=================  =================================================================================================
``paper``          key in ``book/references.bib``, or ``"ours"`` where no paper makes the claim
``source``         where in the paper ("theorem 1", "figure 2", "abstract"), or the derivation ("derived, eq. (1.5)")
``statement``      the claim in one plain sentence
``kind``           ``equals``, ``at_most``, ``at_least``, ``between``, ``ordering``, ``slope`` or ``refutes``
``expected``       a number; ``[lo, hi]`` for ``between`` (and, if wanted, ``refutes``); names, smallest first, for
                   ``ordering``
``rtol, atol``     tolerance ``atol + rtol |expected|``; ``equals`` needs one of ``rtol``, ``atol``, ``sigmas``
``sigmas``         ``equals``, ``refutes``: so many standard errors of the measurement are added to the tolerance
``max_se``         needed with ``sigmas``: a measurement with a larger standard error fails, so noise cannot pass
``max_half_width`` largest half-width of the measurement's interval (``slope``: 0.1 unless stated)
``min_gap``        ``ordering``: smallest accepted difference between neighbours (0 unless stated)
``paper_value``    ``refutes``: what the paper says, a number or ``[lo, hi]`` (``inf`` is allowed)
``why``            the reason for the tolerance
``scales``         where the claim is measured, from ``quick``, ``t4``, ``full``
``needs``          what a claim needs that a machine may lack ("MNIST", "a GPU"); only then ``nh.not_run`` accepts it
=================  =================================================================================================

A table ``[topic.name.full]`` (or ``.t4``, ``.quick``) overrides ``expected``, tolerances and ``why`` at that scale.
"""

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

SCALES = ("quick", "t4", "full")
KINDS = ("equals", "at_most", "at_least", "between", "ordering", "slope", "refutes")
_REQUIRED = ("paper", "source", "statement", "kind", "expected", "why", "scales")
_TOLERANCES = ("rtol", "atol", "sigmas", "max_se", "max_half_width", "min_gap")
_OVERRIDABLE = ("expected", "paper_value", "why", *_TOLERANCES)

# Which tolerance keys have a meaning for which kind; any other is an error, so that none is ignored in silence.
_ALLOWED = {
    "equals": {"rtol", "atol", "sigmas", "max_se", "max_half_width"},
    "at_most": {"rtol", "atol", "max_half_width"},
    "at_least": {"rtol", "atol", "max_half_width"},
    "between": {"max_half_width"},
    "ordering": {"min_gap"},
    "slope": {"atol", "max_half_width"},
    "refutes": {"rtol", "atol", "sigmas", "max_se", "max_half_width"},
}

Value = float | tuple[float, float] | tuple[str, ...]


class ContractError(ValueError):
    """A contract file is wrong; the message names the file, the claim and the key."""


@dataclass(frozen=True)
class Contract:
    """One claim as its contract states it, see the module's table of keys."""

    id: str
    paper: str
    source: str
    statement: str
    kind: str
    expected: Value
    why: str
    scales: tuple[str, ...]
    rtol: float = 0.0
    atol: float = 0.0
    sigmas: float = 0.0
    max_se: float | None = None
    max_half_width: float | None = None
    min_gap: float = 0.0
    paper_value: float | tuple[float, float] | None = None
    needs: str | None = None
    overrides: Mapping[str, Mapping[str, object]] | None = None

    @property
    def tolerance(self) -> float:
        """``atol + rtol |expected|``; for two ends the larger of both. Standard errors come on top."""
        if self.kind == "ordering":
            return self.min_gap
        ends = self.expected if isinstance(self.expected, tuple) else (self.expected,)
        return self.atol + self.rtol * max(abs(e) for e in ends)


def book_dir() -> Traversable:
    """Folder that holds ``claims/`` and ``results/``.

    Looked for, in this order: the folder that the environment variable ``NTK_BOOK_DIR`` names; ``_book`` inside the
    installed package (wheel); ``book`` beside the package (checkout, sdist, archive).

    Raises:
        FileNotFoundError: none of them is there.
    """
    package = files("ntk_helpers")
    candidates: list[Traversable] = []
    if named := os.environ.get("NTK_BOOK_DIR"):
        candidates.append(Path(named))
    else:
        candidates.append(package / "bookkit" / "_book")
        if isinstance(package, Path):
            candidates.append(package.parent / "book")
    for folder in candidates:
        if (folder / "claims").is_dir():
            return folder
    raise FileNotFoundError("no folder with the book's claims/; looked in " + ", ".join(str(c) for c in candidates))


def chapter_names() -> list[str]:
    """Names of the chapters that have a contract, in order."""
    return sorted(f.name.removesuffix(".toml") for f in (book_dir() / "claims").iterdir() if f.name.endswith(".toml"))


def load_contracts(chapter: str) -> dict[str, Contract]:
    """The contract of a chapter, by claim id, in the order of the file.

    Args:
        chapter: name of the chapter, for example ``"01_gp_at_initialization"``.

    Raises:
        FileNotFoundError: there is no contract of that name; the message lists those there are.
        ContractError: the file breaks a rule.
    """
    path = book_dir() / "claims" / f"{chapter}.toml"
    if not path.is_file():
        known = ", ".join(chapter_names()) or "none"
        raise FileNotFoundError(f"no contract book/claims/{chapter}.toml; chapters with a contract: {known}")
    return parse_contracts(path.read_text(encoding="utf-8"), f"book/claims/{chapter}.toml")


def parse_contracts(text: str, name: str) -> dict[str, Contract]:
    """Read and check the text of one contract file; ``name`` is for error messages.

    Raises:
        ContractError: the text breaks a rule.
    """
    try:
        topics = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ContractError(f"{name}: {error}") from None
    out = {}
    for topic, claims in topics.items():
        if not isinstance(claims, dict):
            raise ContractError(f"{name}: {topic!r} stands outside a claim; claims are tables [topic.name]")
        for claim, table in claims.items():
            if not isinstance(table, dict):
                raise ContractError(f"{name}: {topic}.{claim} is not a table; claims are tables [topic.name]")
            out[f"{topic}.{claim}"] = _contract(f"{topic}.{claim}", table, name)
    return out


def at_scale(contract: Contract, scale: str) -> Contract:
    """The contract with the overrides of one scale put in."""
    return replace(contract, overrides=None, **(contract.overrides or {}).get(scale, {}))


def _contract(claim: str, table: dict, name: str) -> Contract:
    """Check one table and make it a Contract; every override is checked as the claim it results in."""

    def fail(message: str) -> ContractError:
        return ContractError(f"{name}: {claim}: {message}")

    known = {f.name for f in fields(Contract)} - {"id", "overrides"}
    values = {k: v for k, v in table.items() if k not in SCALES}
    overrides = {k: v for k, v in table.items() if k in SCALES}
    if unknown := sorted(set(values) - known):
        raise fail(f"unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
    for key in _REQUIRED:
        if key not in values or values[key] in ("", []):
            raise fail(f"{key!r} is missing")
    for key in ("paper", "source", "statement", "why", "kind", "needs"):
        if key in values and not (isinstance(values[key], str) and values[key].strip()):
            raise fail(f"{key!r} must be text, got {values[key]!r}")
    if values["kind"] not in KINDS:
        raise fail(f"unknown kind {values['kind']!r}; known: {', '.join(KINDS)}")
    if not isinstance(values["scales"], list) or any(s not in SCALES for s in values["scales"]):
        raise fail(f"'scales' must list some of {', '.join(SCALES)}, got {values['scales']!r}")
    if "needs" in values and "quick" in values["scales"]:
        raise fail("'needs' is for t4 and full only: at quick scale every claim is measured on every machine")
    values["scales"] = tuple(values["scales"])
    for scale, override in overrides.items():
        if not isinstance(override, dict) or set(override) - set(_OVERRIDABLE):
            raise fail(f"[{claim}.{scale}] may override {', '.join(_OVERRIDABLE)} only, got {override!r}")
        if scale not in values["scales"]:
            raise fail(f"[{claim}.{scale}] overrides a scale that 'scales' does not list")
    base = _checked(values, fail)
    checked = {}
    for scale, override in overrides.items():
        merged = _checked({**values, **override}, fail)
        checked[scale] = {k: merged[k] for k in (*override, "max_half_width") if k in merged}
    return Contract(id=claim, overrides=checked, **base)


def _checked(values: dict, fail) -> dict:
    """The rules of each kind: shape of `expected`, tolerances there, meaningful and finite."""
    kind, out = values["kind"], dict(values)
    given = {k for k in _TOLERANCES if k in values}
    if wrong := sorted(given - _ALLOWED[kind]):
        raise fail(f"{wrong[0]!r} has no meaning for kind {kind!r}; allowed: {', '.join(sorted(_ALLOWED[kind]))}")
    for key in given:
        if not _number(values[key]) or values[key] < 0:
            raise fail(f"{key!r} must be a finite number >= 0, got {values[key]!r}")
        out[key] = float(values[key])
    out["expected"] = _expected(kind, values["expected"], fail)
    needs_tolerance = kind == "equals" or (kind == "refutes" and not isinstance(out["expected"], tuple))
    if needs_tolerance and not given & {"rtol", "atol", "sigmas"}:
        raise fail("no tolerance; give rtol, atol (0.0 for exactly) or sigmas, and say why")
    if ("sigmas" in given) != ("max_se" in given):
        raise fail("'sigmas' and 'max_se' go together: without a largest standard error noise could pass")
    if kind == "slope":
        out.setdefault("max_half_width", 0.1)
    if (kind == "refutes") != ("paper_value" in values):
        raise fail("'paper_value', what the paper says, belongs to kind 'refutes' and is needed there")
    if kind == "refutes":
        out["paper_value"] = _paper_value(values["paper_value"], fail)
        tolerance = out.get("atol", 0.0) + out.get("rtol", 0.0) * max(abs(e) for e in span(out["expected"]))
        paper, ours = span(out["paper_value"]), span(out["expected"])
        if paper[0] <= ours[1] + tolerance and ours[0] - tolerance <= paper[1]:
            raise fail("what the paper says and what is expected overlap: no measurement could tell them apart")
    return out


def span(value: float | tuple[float, float]) -> tuple[float, float]:
    """A number as an interval of length 0; an interval as it is."""
    return value if isinstance(value, tuple) else (value, value)


def _number(value: object) -> bool:
    """True for finite numbers; TOML's booleans are ints to Python and are refused."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _expected(kind: str, value: object, fail) -> Value:
    """`expected` in the form its kind asks for."""
    if kind == "ordering":
        if not (isinstance(value, list) and len(value) >= 2 and len(set(map(str, value))) == len(value)):
            raise fail(f"'expected' of an ordering lists two or more names, smallest first, got {value!r}")
        if not all(isinstance(v, str) for v in value):
            raise fail(f"'expected' of an ordering lists names (text), got {value!r}")
        return tuple(value)
    if kind == "between" or (kind == "refutes" and isinstance(value, list)):
        if not (isinstance(value, list) and len(value) == 2 and all(map(_number, value)) and value[0] < value[1]):
            raise fail(f"'expected' must be [lo, hi] with lo < hi, got {value!r}")
        return (float(value[0]), float(value[1]))
    if not _number(value):
        raise fail(f"'expected' must be a finite number, got {value!r}")
    return float(value)


def _paper_value(value: object, fail) -> float | tuple[float, float]:
    """What the paper says: a number or [lo, hi]; an end may be infinite (paper says "at most x")."""
    if _number(value):
        return float(value)
    numbers = isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | float) for v in value)
    if not numbers or not value[0] < value[1]:
        raise fail(f"'paper_value' must be a number or [lo, hi] with lo < hi, got {value!r}")
    return (float(value[0]), float(value[1]))
