"""Stages: the long parts of a chapter, stored above quick scale so that an interrupted run continues.

A stage is found again by the hash of everything that decides its result: the function's code and the functions,
constants and arrays of the notebook that it uses, its arguments, the chapter's configuration and the package's source.
Results are numbers, text, arrays and containers of these; they are kept as .npz with a JSON description beside.
"""

import dataclasses
import dis
import hashlib
import json
import os
import pickle
import time
import types
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntk_helpers.bookkit.scale import scale
from ntk_helpers.bookkit.session import started


class SliceOver(Exception):
    """The time slice of a full run is used up; the stages done so far are stored."""


def stage(name: str, fn: Callable, *args: Any, **kwargs: Any) -> Any:
    """Run ``fn(*args, **kwargs)`` as one resumable stage of the chapter.

    At quick scale it just runs. At t4 and full scale the result is stored under ``_build/stages/<chapter>/`` and read
    from there the next time. A stage should take at most a few minutes.

    Args:
        name: of the stage, once per chapter.
        fn: what to run. It gets its random keys as arguments or makes them from seeds of the configuration.
        *args: its arguments: numbers, text, arrays, keys, frozen dataclasses, containers of these.
        **kwargs: likewise.

    Returns:
        The result, with JAX arrays turned into NumPy arrays.

    Raises:
        TypeError: the result cannot be stored (functions, objects), or an argument cannot be told apart by value.
        SliceOver: the time slice of ``tools/run_full.py`` is used up.
    """
    session = started()
    path = _path(name, fn, args, kwargs)  # at quick scale too, so that what cannot be stored is seen there
    if scale() == "quick":
        begin = time.monotonic()
        result = to_host(fn(*args, **kwargs))
        session.stages.append({"name": name, "seconds": round(time.monotonic() - begin, 1), "resumed": False})
        return result
    if path.with_suffix(".json").is_file():
        result, seconds = _load(path)
        session.stages.append({"name": name, "seconds": seconds, "resumed": True})
        return result
    # Every slice computes at least one stage, however long the cells before it took: else it would never end.
    computed = any(not s["resumed"] for s in session.stages)
    if computed and session.deadline is not None and time.monotonic() > session.deadline:
        raise SliceOver(f"before stage {name!r}")
    begin = time.monotonic()
    result = to_host(fn(*args, **kwargs))
    seconds = round(time.monotonic() - begin, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(path, result, seconds)
    session.stages.append({"name": name, "seconds": seconds, "resumed": False})
    if session.deadline is not None and time.monotonic() > session.deadline:
        raise SliceOver(f"after stage {name!r}")
    return result


def _path(name: str, fn: Callable, args: tuple, kwargs: dict) -> Path:
    """Where the result of a stage is kept, without the ending; the name holds the hash of all it depends on."""
    session = started()
    fingerprint = _Fingerprint()
    for part in (name, scale(), session.config, package_fingerprint(), fn, args, kwargs):
        fingerprint.add(part)
    readable = "".join(c if c.isalnum() else "-" for c in name)[:60]
    return stages_dir() / session.chapter / f"{readable}-{fingerprint.hexdigest()[:16]}"


def stages_dir() -> Path:
    """Where stages are kept: ``_build/stages`` of the folder in NTK_BUILD_DIR, or of the current one."""
    return Path(os.environ.get("NTK_BUILD_DIR") or "_build") / "stages"


def package_fingerprint() -> str:
    """Hash of the package's source: a stage computed with other code is not taken for this one's."""
    digest = hashlib.sha256()
    root = files("ntk_helpers")
    for path in sorted(p for p in Path(str(root)).rglob("*.py") if "_book" not in p.parts):
        digest.update(path.relative_to(str(root)).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def to_host(value: Any) -> Any:
    """The same containers with NumPy arrays in them; refuses what could not be stored."""
    if isinstance(value, jax.Array):
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            raise TypeError("a stage returns numbers, not random keys; make the keys from a seed outside")
        return np.asarray(value)
    if value is None or isinstance(value, bool | int | float | str | np.ndarray | np.generic):
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(k, str) for k in value):
            raise TypeError(f"a stage returns mappings with text as keys, got {list(value)!r}")
        return {k: to_host(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        items = [to_host(v) for v in value]
        return items if isinstance(value, list) else tuple(items)
    raise TypeError(f"a stage returns numbers, text, arrays, lists, tuples and mappings, got {type(value).__name__}")


class _Fingerprint:
    """Hash by value of arguments and code; refuses what has no value of its own (an open file, say)."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._seen: set[int] = set()

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def _put(self, *parts: object) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else repr(part).encode()
            self._digest.update(str(len(data)).encode() + b":" + data)

    def add(self, value: Any) -> None:
        """Add one value, recursively."""
        if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
            value = jax.random.key_data(value)
        if value is None or isinstance(value, bool | int | float | complex | str | bytes):
            self._put(type(value).__name__, value)
        elif isinstance(value, np.ndarray | np.generic | jax.Array):
            array = np.asarray(value)
            self._put("array", array.dtype.str, array.shape, array.tobytes())
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            self._put("dataclass", type(value).__qualname__)
            for f in dataclasses.fields(value):
                self.add(f.name)
                self.add(getattr(value, f.name))
        elif isinstance(value, Mapping):
            self._put("mapping", len(value))
            for k in sorted(value, key=repr):
                self.add(k)
                self.add(value[k])
        elif isinstance(value, tuple | list | range):
            self._put(type(value).__name__, len(value))
            for v in value:
                self.add(v)
        elif isinstance(value, types.ModuleType | types.BuiltinFunctionType | type | np.ufunc):
            self._put("named", getattr(value, "__module__", ""), getattr(value, "__name__", ""))
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif callable(value):
            self._callable(value)
        else:
            self._object(value)

    def _object(self, value: Any) -> None:
        """Any other object by its pickle."""
        try:
            self._put("pickle", pickle.dumps(value))
        except Exception as error:  # pickle raises errors of many kinds
            kind = type(value).__name__
            raise TypeError(f"stage: a {kind} cannot be told apart by value; pass numbers or arrays") from error

    def _callable(self, fn: Any) -> None:
        """Code of a function of the notebook and of what it uses there; library functions by name."""
        fn = getattr(fn, "__wrapped__", fn)  # jax.jit and functools.wraps
        if hasattr(fn, "func") and hasattr(fn, "args"):  # functools.partial
            self.add((fn.func, fn.args, fn.keywords))
            return
        if isinstance(fn, types.MethodType):
            self.add((fn.__func__, fn.__self__))
            return
        if not isinstance(fn, types.FunctionType) or id(fn) in self._seen:
            self._put("callable", getattr(fn, "__module__", ""), getattr(fn, "__qualname__", type(fn).__name__))
            return
        self._seen.add(id(fn))
        if fn.__module__ and fn.__module__.partition(".")[0] not in ("__main__", "builtins") and not fn.__closure__:
            self._put("library", fn.__module__, fn.__qualname__)
            return
        self._code(fn.__code__)
        self.add(fn.__defaults__)
        self.add(fn.__kwdefaults__)
        for cell in fn.__closure__ or ():
            self.add(cell.cell_contents)
        for global_name in sorted(_names(fn.__code__)):
            if global_name in fn.__globals__:
                self.add(global_name)
                self.add(fn.__globals__[global_name])

    def _code(self, code: types.CodeType) -> None:
        """Instructions and constants, without line numbers and file names."""
        self._put("code", code.co_code, code.co_names, code.co_varnames)
        for const in code.co_consts:
            self.add(sorted(const, key=repr) if isinstance(const, frozenset) else const)


def _names(code: types.CodeType) -> set[str]:
    """Global names that a function uses, its inner functions included."""
    own = {i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*(_names(c) for c in code.co_consts if isinstance(c, types.CodeType)))


def _save(path: Path, result: Any, seconds: float) -> None:
    """Arrays into .npz, structure into .json; the .json is written last and whole, it marks the stage as done."""
    arrays: dict[str, np.ndarray] = {}

    def encode(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            arrays[f"a{len(arrays)}"] = np.asarray(value)
            return {"array": f"a{len(arrays) - 1}", "scalar": isinstance(value, np.generic)}
        if isinstance(value, Mapping):
            return {"mapping": {k: encode(v) for k, v in value.items()}}
        if isinstance(value, list | tuple):
            return {type(value).__name__: [encode(v) for v in value]}
        return {"plain": value}

    encoded = encode(result)
    np.savez(path.with_suffix(".npz"), **arrays)
    partial = path.with_suffix(".json.part")
    partial.write_text(json.dumps({"seconds": seconds, "result": encoded}))
    partial.replace(path.with_suffix(".json"))


def _load(path: Path) -> tuple[Any, float]:
    """What _save wrote."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:

        def decode(node: dict) -> Any:
            if "array" in node:
                return arrays[node["array"]][()] if node["scalar"] else arrays[node["array"]]
            if "mapping" in node:
                return {k: decode(v) for k, v in node["mapping"].items()}
            if "list" in node:
                return [decode(v) for v in node["list"]]
            if "tuple" in node:
                return tuple(decode(v) for v in node["tuple"])
            return node["plain"]

        meta = json.loads(path.with_suffix(".json").read_text())
        return decode(meta["result"]), meta["seconds"]
