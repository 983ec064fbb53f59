"""The door to neural-tangents: ``from ntk_helpers.nt import neural_tangents as nt, stax``.

neural-tangents 0.6.5, the last release (2023), does not import on JAX 0.6 and newer, and asks for TensorFlow. This
module imports it on the JAX that is installed, without TensorFlow. It copies nothing and changes no file: while
neural-tangents imports, the names it looks for are put into JAX's modules and then taken out again; names that it looks
up later are replaced inside its own modules. ``PATCHES`` lists both, with reasons. JAX itself is afterwards as it was.

Analytic kernels, ``predict``, ``monte_carlo_kernel_fn``, ``batch``, and all methods of ``empirical_ntk_fn`` work: what
neural-tangents' own tests say through this door stands in benchmarks/results/bridge.json and on the book's page "The
bridge to neural-tangents, measured". For empirical kernels ``ntk_helpers.empirical_ntk`` is the faster way.
``nt.experimental`` (kernels of TensorFlow models) does not: using it raises ``ImportError``.

This is the only file of the package that uses private parts of JAX.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import math
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.api_util
import jax.extend.core
import jax.interpreters.ad
import jax.numpy as jnp
import scipy.linalg
from jax._src import core as _core
from jax._src import util as _util
from jax._src.interpreters import ad as _ad
from jax.extend import linear_util as _linear_util

__all__ = ["PATCHES", "Patch", "neural_tangents", "predict", "stax"]

_PIP = "pip install --no-deps neural-tangents==0.6.5 frozendict"
_PIP_LOCKED = "pip install --no-deps -r requirements-nt.txt"
_EXPERIMENTAL = "neural_tangents.experimental"


@dataclass(frozen=True)
class Patch:
    """One name that neural-tangents needs and does not find.

    Attributes:
        where: a module of JAX, where the name stands during the import only, or a module of neural-tangents, where it
            stays.
        name: the name; a dotted one replaces an attribute of something that the module imported (``ad.linearize`` in
            ``empirical`` is seen by that module alone).
        why: the reason.
        make: returns the value.
    """

    where: str
    name: str
    why: str
    make: Callable[[], Any]


def _from_core(name: str) -> Callable[[], Any]:
    """Where the class lives now: public in jax.extend.core, or else in the private module."""
    return lambda: getattr(jax.extend.core, name, None) or getattr(_core, name)


def _primitive(name: str) -> Callable[[], Any]:
    """The primitive where JAX still has it, else one that no program contains, as a key of a table of rules."""
    return lambda: getattr(_ad, name, None) or jax.extend.core.Primitive(f"absent_{name}")


def _linearize(fun: Any, *primals: Any, has_aux: bool = False) -> tuple[Any, list[Any], Any, list[Any]]:
    """What ``ad.linearize`` returned up to JAX 0.4.25: outputs, unknown values, the linear jaxpr, its constants."""
    if has_aux:
        raise NotImplementedError("has_aux=True: neural-tangents 0.6.5 never asks for it")
    primals_out, tangent_map = jax.linearize(fun.call_wrapped, *primals)
    closed = jax.make_jaxpr(tangent_map)(*primals)
    unknown = types.SimpleNamespace(is_known=lambda: False)
    return primals_out, [unknown] * len(closed.jaxpr.outvars), closed.jaxpr, closed.consts


def _transpose_equation(eqn: Any, cotangent: Any, *invals: Any) -> Any:
    """Cotangents of one linear equation's inputs, None for those that are known; an identity where ``eqn`` is None."""
    if eqn is None:
        return (cotangent,)
    if isinstance(cotangent, _ad.Zero):
        return [_ad.Zero(v.aval) for v in eqn.invars]
    linear = [i for i, value in enumerate(invals) if _ad.is_undefined_primal(value)]
    # A known operand may be given by its shape alone, where the result does not depend on its values.
    known = [jnp.zeros(v.shape, v.dtype) if isinstance(v, _core.ShapedArray) else v for v in invals]

    def apply(*args: Any) -> Any:
        operands = list(known)
        for i, arg in zip(linear, args, strict=True):
            operands[i] = arg
        return eqn.primitive.bind(*operands, **eqn.params)

    avals = [jax.ShapeDtypeStruct(invals[i].aval.shape, invals[i].aval.dtype) for i in linear]
    cotangents: list[Any] = [None] * len(invals)
    for i, value in zip(linear, jax.linear_transpose(apply, *avals)(cotangent), strict=True):
        cotangents[i] = value
    return cotangents


def _wrap_init(fun: Callable[..., Any]) -> Any:
    """``linear_util.wrap_init`` with the description of the function that newer JAX asks for."""
    return _linear_util.wrap_init(fun, debug_info=jax.api_util.debug_info("linearize", fun, (), {}))


def _flops(f: Callable[..., Any], optimize: bool, *args: Any, **kwargs: Any) -> float:
    """Floating-point operations that XLA counts, which ``NtkImplementation.AUTO`` compares."""
    lowered = jax.jit(f).lower(*args, **kwargs)
    return (lowered.compile() if optimize else lowered).cost_analysis()["flops"]


def _size(a: Any) -> int:
    """``jnp.size`` that also takes what ``jax.eval_shape`` returns."""
    return math.prod(a.shape)


def _dtype(a: Any) -> Any:
    """``jnp.dtype`` that also takes an array."""
    return a.dtype if hasattr(a, "dtype") else jnp.dtype(a)


def _eigvalsh(a: Any, *args: Any, eigvals: tuple[int, int] | None = None, **kwargs: Any) -> Any:
    """``scipy.linalg.eigvalsh`` with the keyword it had before SciPy 1.14."""
    if eigvals is not None:
        kwargs["subset_by_index"] = eigvals
    return scipy.linalg.eigvalsh(a, *args, **kwargs)


class _Absent:
    """Stands for a type that JAX no longer has, and for "no such name"."""


_NO_CHECKS = types.SimpleNamespace(jax_enable_checks=False)
_MOVED = "moved from jax.core to jax.extend.core in JAX 0.6"
_SRC = "neural_tangents._src"

PATCHES: tuple[Patch, ...] = (
    # Present while neural_tangents is imported, then removed again.
    *(Patch("jax.core", n, _MOVED, _from_core(n)) for n in ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")),
    *(
        Patch("jax.core", n, "still in jax.core; its place is not promised", _from_core(n))
        for n in ("AbstractValue", "ShapedArray", "Value")
    ),
    Patch("jax.util", "safe_map", "the module jax.util was removed in JAX 0.8", lambda: _util.safe_map),
    Patch("jax.util", "safe_zip", "the module jax.util was removed in JAX 0.8", lambda: _util.safe_zip),
    Patch("jax.interpreters.ad", "Zero", "not promised in jax.interpreters.ad", lambda: _ad.Zero),
    Patch("jax.interpreters.ad", "UndefinedPrimal", "not promised in jax.interpreters.ad", lambda: _ad.UndefinedPrimal),
    Patch("jax.interpreters.ad", "zeros_like_p", "removed; only the key of a rule", _primitive("zeros_like_p")),
    Patch("jax.interpreters.ad", "add_jaxvals_p", "not promised; only the key of a rule", _primitive("add_jaxvals_p")),
    # Stay, inside modules of neural-tangents.
    Patch(f"{_SRC}.predict", "jax.core.eval_context", "gone from newer JAX", lambda: jax.ensure_compile_time_eval),
    Patch(f"{_SRC}.stax.linear", "jax.core.eval_context", "gone from newer JAX", lambda: jax.ensure_compile_time_eval),
    Patch(f"{_SRC}.predict", "sp.linalg.eigvalsh", "SciPy 1.14 dropped the keyword eigvals", lambda: _eigvalsh),
    Patch(f"{_SRC}.empirical", "ad", "names it looks up were taken out of jax.interpreters.ad", lambda: _ad),
    Patch(f"{_SRC}.empirical", "ad.linearize", "other arguments and results since JAX 0.4.26", lambda: _linearize),
    Patch(
        f"{_SRC}.empirical",
        "_eqn_vjp_fn",
        "reads private tables of rules; jax.linear_transpose does the same",
        lambda: _transpose_equation,
    ),
    Patch(f"{_SRC}.empirical", "ad.config", "its extra checks use functions that are gone", lambda: _NO_CHECKS),
    Patch(f"{_SRC}.empirical", "lu.wrap_init", "a program without a description is deprecated", lambda: _wrap_init),
    Patch(f"{_SRC}.empirical", "_get_flops", "cost_analysis returns a dictionary, no longer a list", lambda: _flops),
    Patch(f"{_SRC}.empirical", "jnp.size", "no longer takes a ShapeDtypeStruct", lambda: _size),
    Patch(f"{_SRC}.empirical", "jnp.dtype", "taking the dtype of an array so is deprecated", lambda: _dtype),
    Patch(f"{_SRC}.empirical", "core.Var", _MOVED, lambda: jax.extend.core.Var),
    Patch(f"{_SRC}.empirical", "core.DShapedArray", "gone; a type that no array has", lambda: _Absent),
)


def _overlay(module: types.ModuleType, path: str, value: Any) -> types.ModuleType:
    """A stand-in for ``module`` that differs in the attribute at the dotted ``path`` and forwards the rest."""
    name, _, rest = path.partition(".")
    stand_in = types.ModuleType(module.__name__, f"Stands in for {module.__name__}, with {path} replaced.")
    stand_in.__getattr__ = lambda attribute: getattr(module, attribute)
    setattr(stand_in, name, _overlay(getattr(module, name), rest, value) if rest else value)
    return stand_in


def _experimental_stub() -> types.ModuleType:
    """Takes the place of ``neural_tangents.experimental``, which imports TensorFlow."""
    stub = types.ModuleType(_EXPERIMENTAL, "Not available: see ntk_helpers.nt.")

    def absent(name: str) -> Any:
        if name.startswith("__"):  # Python and its tools look for these on any module
            raise AttributeError(name)
        raise ImportError(f"{_EXPERIMENTAL}.{name} needs TensorFlow, which ntk_helpers.nt does without")

    stub.__getattr__ = absent
    return stub


@contextlib.contextmanager
def _names_put_back() -> Iterator[None]:
    """Put the names of ``PATCHES`` into JAX's modules, and take them out again."""
    before: list[tuple[types.ModuleType, str, Any]] = []
    modules_before = {name: sys.modules.get(name) for name in ("jax.util", _EXPERIMENTAL)}
    had_util = "util" in vars(jax)
    if importlib.util.find_spec("jax.util") is None:
        sys.modules["jax.util"] = types.ModuleType("jax.util")
    sys.modules[_EXPERIMENTAL] = _experimental_stub()
    try:
        for patch in PATCHES:
            if patch.where.startswith("jax."):
                module = importlib.import_module(patch.where)
                before.append((module, patch.name, vars(module).get(patch.name, _Absent)))
                # Assigned even where a module still answers to the name: it may answer with a DeprecationWarning.
                setattr(module, patch.name, patch.make())
        yield
    finally:
        for module, name, value in reversed(before):
            delattr(module, name) if value is _Absent else setattr(module, name, value)
        for name, module in modules_before.items():
            sys.modules.pop(name, None) if module is None else sys.modules.__setitem__(name, module)
        if not had_util and "util" in vars(jax):
            del jax.util


def _load() -> types.ModuleType:
    """Import neural_tangents with the patches, or return it where that was done before."""
    missing = [name for name in ("neural_tangents", "frozendict") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModuleNotFoundError(
            f"{' and '.join(missing)} not installed. Run\n    {_PIP}\n"
            f"or, in a checkout of the book,\n    {_PIP_LOCKED}\n"
            "(--no-deps because neural-tangents asks for TensorFlow, which it does not need)",
            name=missing[0],
        )
    loaded = sys.modules.get("neural_tangents")
    if loaded is not None and hasattr(loaded, "_ntk_helpers_patches"):
        return loaded
    with _names_put_back():
        module = importlib.import_module("neural_tangents")
    for patch in PATCHES:
        if patch.where.startswith(_SRC):
            target = vars(importlib.import_module(patch.where))
            name, _, rest = patch.name.partition(".")
            target[name] = _overlay(target[name], rest, patch.make()) if rest else patch.make()
    module._ntk_helpers_patches = PATCHES
    return module


neural_tangents = _load()
predict = neural_tangents.predict
stax = neural_tangents.stax
