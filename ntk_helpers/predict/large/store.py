"""What a killed run left: written whole or not at all, and refused where it belongs to another problem."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Store", "digest", "kernel_probe"]

_PROBED = 8  # points


def digest(array: np.ndarray) -> str:
    """Hash of an array's shape, type and bytes."""
    array = np.ascontiguousarray(array)
    found = hashlib.sha256(f"{array.shape} {array.dtype} ".encode())
    found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def kernel_probe(kernel: Any, x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray:
    """The kernel of eight points of x1 with eight of x2: what tells kernels apart, since functions cannot be compared.

    Raises:
        ValueError: if it is not finite, or (x2 None) not symmetric or not positive on the diagonal, beyond rounding.
    """
    some = [x[np.unique(np.linspace(0, len(x) - 1, _PROBED).astype(int))] for x in (x1, x1 if x2 is None else x2)]
    found = np.asarray(kernel(*some), np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"kernel returned NaN or infinite entries, {found[~np.isfinite(found)][0]} the first")
    if x2 is None:
        scale = np.sqrt(np.abs(np.outer(np.diag(found), np.diag(found))))
        if (np.diag(found) < 0).any():
            raise ValueError(f"kernel must not be negative on the diagonal, got K(x, x) = {np.diag(found).min():.4g}")
        if (np.abs(found - found.T) > 1e3 * np.finfo(x1.dtype).eps * scale).any():
            raise ValueError("kernel must be symmetric, kernel(x, x') = kernel(x', x); it differs beyond rounding")
    return found


def _write(path: Path, write: Any) -> None:
    """Write a file under another name, wait until it is on the disk, and move it into place."""
    temporary = path.with_name(f".{path.name}.partial")
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Store:
    """A directory with the state of one problem.

    Args:
        directory: where; made if it is not there.
        problem: what the problem is, by name: text or numbers (hashes of data), compared exactly.
        probes: arrays that tell functions apart; equal up to rounding counts as equal: another device can go on.
        precision: of the probes.

    Raises:
        ValueError: if the directory holds another problem; the message says what differs.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        problem: Mapping[str, Any],
        probes: Mapping[str, np.ndarray],
        precision: Any,
    ):
        self.directory = Path(directory)
        if self.directory.exists() and not self.directory.is_dir():
            raise ValueError(f"{self.directory} is a file; give a directory for what a stopped run leaves")
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "problem.json"
        mine = {"problem": dict(problem), "probes": {k: np.asarray(v).tolist() for k, v in probes.items()}}
        if not path.exists():
            _write(path, lambda file: file.write(json.dumps(mine, indent=1).encode()))
            return
        try:
            theirs = json.loads(path.read_text())
            differs = [
                k
                for k in {**mine["problem"], **theirs["problem"]}
                if mine["problem"].get(k) != theirs["problem"].get(k)
            ]
            known = theirs["probes"]
            for name in {} if differs else {**probes, **known}:  # of other data they would say nothing
                old, new = np.asarray(known.get(name, [])), np.asarray(probes.get(name, []))
                near = 1e3 * np.finfo(precision).eps * (np.abs(new).max() if new.size else 0.0)
                if old.shape != new.shape or (np.abs(old - new) > near).any():
                    differs.append(name)
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a problem of this package; give another directory") from error
        if differs:
            raise ValueError(
                f"{self.directory} holds the state of another problem: {', '.join(differs)} differ. Give another "
                "directory, or delete this one"
            )

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the arrays of this name, whole or not at all."""
        _write(self.directory / f"{name}.npz", lambda file: np.savez(file, **arrays))

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of this name; None where there are none yet."""
        path = self.directory / f"{name}.npz"
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as found:
            return dict(found)
