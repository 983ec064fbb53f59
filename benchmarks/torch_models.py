"""The fully connected and the convolutional networks of ``models.py`` in torch, on the same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import models
import torch
import torch.nn.functional as F
from torch.func import jacrev, vmap


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(array.copy())


def convert(model: models.Model) -> tuple[dict[str, torch.Tensor], torch.Tensor, Callable[[Any, Any], Any]]:
    """Parameters, inputs and the function of parameters and a batch."""
    if model.name.startswith("fcn"):
        return _fcn(model)
    if model.name.startswith("cnn"):
        return _cnn(model)
    raise ValueError(f"no torch version of {model.name}")


def _fcn(model: models.Model) -> Any:
    params = {}
    for i, (w, b) in enumerate(model.params):
        params[f"w{i}"], params[f"b{i}"] = _tensor(w), _tensor(b)
    last = len(model.params) - 1

    def f(params: Any, x: Any) -> Any:
        for i in range(last + 1):
            w = params[f"w{i}"]
            x = (x @ w) * math.sqrt((2.0 if i < last else 1.0) / w.shape[0]) + 0.1 * params[f"b{i}"]
            x = torch.relu(x) if i < last else x
        return x

    return params, _tensor(model.x), f


def _cnn(model: models.Model) -> Any:
    params = {}
    for i, (w, b) in enumerate(model.params["convs"]):
        params[f"w{i}"] = _tensor(w).permute(3, 2, 0, 1).contiguous()
        params[f"b{i}"] = _tensor(b)
    params["w"] = _tensor(model.params["w"])
    depth = len(model.params["convs"])

    def f(params: Any, x: Any) -> Any:
        for i in range(depth):
            w = params[f"w{i}"]
            scale = math.sqrt(2.0 / math.prod(w.shape[1:]))
            x = torch.relu(F.conv2d(x, w, padding="same") * scale + 0.1 * params[f"b{i}"][:, None, None])
        return x.mean((2, 3)) @ params["w"] * math.sqrt(1.0 / params["w"].shape[0])

    return params, _tensor(model.x).permute(0, 3, 1, 2).contiguous(), f


def explicit_jacobian(f: Any, params: Any, x: Any) -> torch.Tensor:
    """Reverse mode for each example by torch.func, then one product for each leaf."""
    with torch.no_grad():
        jacobian = vmap(jacrev(lambda p, row: f(p, row[None])[0]), (None, 0))(params, x)
        total = 0
        for leaf in jacobian.values():
            n, o = leaf.shape[:2]
            matrix = leaf.reshape(n * o, -1)
            total = total + matrix @ matrix.T
        return total.reshape(n, o, n, o).permute(0, 2, 1, 3)
