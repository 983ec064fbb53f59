"""The networks of the empirical NTK benchmark, in plain JAX and NumPy, for any JAX from 0.4.25 on.

``build(name)`` gives a ``Model``: ``f(params, x)`` with outputs of shape (N, O), its parameters and inputs. They come
from NumPy's generator with a fixed seed, so every environment measures the same numbers. ``products`` of a model lists
its matrix products, from which ``gram_flops`` counts the work that follows the passes in the structured way.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

try:
    import jax
    import jax.numpy as jnp
    from jax import lax
except ImportError:  # the environment of torch: parameters, inputs and counts need no JAX
    jax = jnp = lax = None


class Product(NamedTuple):
    """A weight of ``k`` by ``m`` that meets an example at ``t`` positions; its rows cover a ``window`` of pixels."""

    t: int
    k: int
    m: int
    window: int = 1


class Model(NamedTuple):
    """A function, where to evaluate it, and the products it consists of."""

    name: str
    f: Callable[[Any, Any], Any]
    params: Any
    x: Any
    outputs: int
    products: tuple[Product, ...]

    @property
    def samples(self) -> int:
        return self.x.shape[0]


def gram_flops(model: Model) -> float:
    """Operations from operands and cotangents to the kernel, each product in its cheapest order, as whole matrices.

    Three orders: the inner products of operands and of cotangents; those of operands applied to the cotangents; the
    gradients of each example. Inner products of the windows of a convolution are sums over those of single pixels.
    """
    n, o, total = model.samples, model.outputs, 0.0
    for t, k, m, window in model.products:
        operands = 2 * (n * t) ** 2 * k / window + ((n * t) ** 2 * window if window > 1 else 0)
        gram = operands + 2 * (n * t * o) ** 2 * m
        apply = operands + 2 * (n * t) ** 2 * o * m + 2 * (n * o) ** 2 * t * m
        gradients = 2 * n * o * t * k * m + 2 * (n * o) ** 2 * k * m
        total += min(gram, apply, gradients)
    return total


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def _scaled(product: Any, fan_in: int, gain: float = 2.0) -> Any:
    """NTK parameterization: weights are drawn with variance 1, the product carries the scale."""
    return product * math.sqrt(gain / fan_in)


def relu(x: Any) -> Any:
    return jnp.maximum(x, 0)


# Fully connected


def fcn(width: int, depth: int, samples: int, outputs: int, columns: int = 32) -> Model:
    """``depth`` hidden relu layers with biases."""
    rng = np.random.default_rng(0)
    sizes = [columns, *[width] * depth, outputs]
    pairs = list(itertools.pairwise(sizes))
    params = [(_normal(rng, k, m), _normal(rng, m)) for k, m in pairs]

    def f(params: Any, x: Any) -> Any:
        for i, (w, b) in enumerate(params):
            x = _scaled(x @ w, w.shape[0], 2.0 if i < depth else 1.0) + 0.1 * b
            x = relu(x) if i < depth else x
        return x

    name = f"fcn-{width}x{depth}-n{samples}-o{outputs}"
    return Model(name, f, params, _normal(rng, samples, columns), outputs, tuple(Product(1, k, m) for k, m in pairs))


# Convolutional


def _conv(x: Any, w: Any, stride: int = 1) -> Any:
    out = lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return _scaled(out, w.shape[0] * w.shape[1] * w.shape[2])


def cnn(side: int, channels: int, samples: int, outputs: int, depth: int = 3) -> Model:
    """``depth`` relu layers of 3 x 3 convolutions with biases, the mean over pixels, a dense layer."""
    rng = np.random.default_rng(1)
    sizes = [3, *[channels] * depth]
    pairs = list(itertools.pairwise(sizes))
    params = {
        "convs": [(_normal(rng, 3, 3, k, m), _normal(rng, m)) for k, m in pairs],
        "w": _normal(rng, channels, outputs),
    }

    def f(params: Any, x: Any) -> Any:
        for w, b in params["convs"]:
            x = relu(_conv(x, w) + 0.1 * b)
        return _scaled(x.mean((1, 2)) @ params["w"], channels, 1.0)

    products = [Product(side * side, 9 * k, m, 9) for k, m in pairs] + [Product(1, channels, outputs)]
    name = f"cnn-{side}px-c{channels}-n{samples}-o{outputs}"
    return Model(name, f, params, _normal(rng, samples, side, side, 3), outputs, tuple(products))


def resnet(samples: int, outputs: int, side: int = 32, channels: tuple[int, ...] = (64, 128, 256, 512)) -> Model:
    """ResNet-18 as for CIFAR: a 3 x 3 stem, four stages of two blocks, the normalization as a trained scale and shift.

    A scale and a shift are what batch normalization is once its statistics are fixed; with batch statistics the samples
    are coupled and have no kernel of their own.
    """
    rng = np.random.default_rng(2)
    products: list[Product] = []
    size = side

    def weight(window: int, k: int, m: int) -> dict[str, np.ndarray]:
        products.append(Product(size * size, window * window * k, m, window * window))
        return {
            "w": _normal(rng, window, window, k, m),
            "scale": 1 + 0.1 * _normal(rng, m),
            "shift": 0.1 * _normal(rng, m),
        }

    params: dict[str, Any] = {"stem": weight(3, 3, channels[0]), "blocks": []}
    strides, before = [], channels[0]
    for stage, width in enumerate(channels):
        for block in range(2):
            strides.append(2 if stage and not block else 1)
            size //= strides[-1]
            entry = {"first": weight(3, before, width), "second": weight(3, width, width)}
            if strides[-1] > 1:
                entry["short"] = weight(1, before, width)
            params["blocks"].append(entry)
            before = width
    params["w"] = _normal(rng, before, outputs)
    products.append(Product(1, before, outputs))

    def unit(p: Any, x: Any, stride: int = 1) -> Any:
        return _conv(x, p["w"], stride) * p["scale"] + p["shift"]

    def f(params: Any, x: Any) -> Any:
        x = relu(unit(params["stem"], x))
        for p, stride in zip(params["blocks"], strides, strict=False):
            branch = unit(p["second"], relu(unit(p["first"], x, stride)))
            short = unit(p["short"], x, stride) if "short" in p else x
            x = relu((short + branch) * math.sqrt(0.5))
        return _scaled(x.mean((1, 2)) @ params["w"], before, 1.0)

    name = f"resnet18-{side}px-n{samples}-o{outputs}"
    return Model(name, f, params, _normal(rng, samples, side, side, 3), outputs, tuple(products))


# Recurrent


def rnn(width: int, scan: bool, steps: int = 50, samples: int = 32, columns: int = 16) -> Model:
    """A relu recurrent network, read out after the last step; the steps in ``lax.scan`` or written out."""
    rng = np.random.default_rng(3)
    params = {
        "w": _normal(rng, width, width),
        "u": _normal(rng, columns, width),
        "b": _normal(rng, width),
        "v": _normal(rng, width, 1),
    }

    def f(params: Any, x: Any) -> Any:
        def step(h: Any, row: Any) -> Any:
            product = _scaled(h @ params["w"], width, 1.0) + _scaled(row @ params["u"], columns, 1.0)
            return relu(product + 0.1 * params["b"])

        h = jnp.zeros((x.shape[0], width), x.dtype)
        if scan:
            h, _ = lax.scan(lambda h, row: (step(h, row), None), h, jnp.moveaxis(x, 1, 0))
        else:
            for i in range(steps):
                h = step(h, x[:, i])
        return _scaled(h @ params["v"], width, 1.0)

    products = (Product(steps, width, width), Product(steps, columns, width), Product(1, width, 1))
    name = f"rnn-{'scan' if scan else 'unrolled'}-w{width}-t{steps}-n{samples}"
    return Model(name, f, params, _normal(rng, samples, steps, columns), 1, products)


# A transformer block


def transformer(
    samples: int = 16, tokens: int = 32, width: int = 128, heads: int = 4, vocabulary: int = 1000, outputs: int = 10
) -> Model:
    """Embedding of tokens, attention, layer normalization, a feed-forward part, the mean over tokens, a dense layer."""
    rng = np.random.default_rng(4)
    size = width // heads
    params = {
        "embedding": _normal(rng, vocabulary, width),
        "positions": _normal(rng, tokens, width),
        **{name: _normal(rng, width, width) for name in ("query", "key", "value", "out")},
        "norms": [(1 + 0.1 * _normal(rng, width), 0.1 * _normal(rng, width)) for _ in range(2)],
        "up": _normal(rng, width, 4 * width),
        "down": _normal(rng, 4 * width, width),
        "w": _normal(rng, width, outputs),
    }

    def norm(p: Any, x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p[0] + p[1]

    def dense(x: Any, w: Any) -> Any:
        return _scaled(x @ w, w.shape[0], 1.0)

    def f(params: Any, x: Any) -> Any:
        h = params["embedding"][x] + params["positions"]
        y = norm(params["norms"][0], h)
        query, key, value = (
            dense(y, params[name]).reshape(*y.shape[:2], heads, size) for name in ("query", "key", "value")
        )
        weights = jax.nn.softmax(jnp.einsum("nthc,nshc->nhts", query, key) / math.sqrt(size), axis=-1)
        h = h + dense(jnp.einsum("nhts,nshc->nthc", weights, value).reshape(h.shape), params["out"])
        y = norm(params["norms"][1], h)
        h = h + dense(jax.nn.gelu(dense(y, params["up"])), params["down"])
        return dense(h.mean(1), params["w"])

    products = (
        *[Product(tokens, width, width)] * 4,
        Product(tokens, width, 4 * width),
        Product(tokens, 4 * width, width),
        Product(1, width, outputs),
    )
    x = rng.integers(0, vocabulary, (samples, tokens)).astype(np.int32)
    return Model(f"transformer-d{width}-t{tokens}-n{samples}-o{outputs}", f, params, x, outputs, products)


# The residual of a physics-informed network


def pinn(width: int = 500, depth: int = 3, samples: int = 300) -> Model:
    """u_tt - u_xx + sin u of a tanh network u(t, x), by nested derivatives."""
    rng = np.random.default_rng(5)
    sizes = [2, *[width] * depth, 1]
    pairs = list(itertools.pairwise(sizes))
    params = [(_normal(rng, k, m), _normal(rng, m)) for k, m in pairs]

    def u(params: Any, point: Any) -> Any:
        for i, (w, b) in enumerate(params):
            point = _scaled(point @ w, w.shape[0], 1.0) + b
            point = jnp.tanh(point) if i < depth else point
        return point[0]

    def residual(params: Any, point: Any) -> Any:
        def second(direction: Any) -> Any:
            def slope(p: Any) -> Any:
                return jax.jvp(lambda q: u(params, q), (p,), (direction,))[1]

            return jax.jvp(slope, (point,), (direction,))[1]

        time, space = jnp.eye(2, dtype=point.dtype)
        return second(time) - second(space) + jnp.sin(u(params, point))

    def f(params: Any, x: Any) -> Any:
        return jax.vmap(lambda point: residual(params, point))(x)[:, None]

    # u, u_t, u_tt, u_x, u_xx: five values at every layer.
    products = tuple(Product(5, k, m) for k, m in pairs)
    x = rng.uniform(0, 1, (samples, 2)).astype(np.float32)
    return Model(f"pinn-w{width}x{depth}-n{samples}", f, params, x, 1, products)


BUILDERS: dict[str, Callable[[], Model]] = {
    "fcn-512x3-n64-o1": lambda: fcn(512, 3, 64, 1),
    "fcn-512x3-n64-o10": lambda: fcn(512, 3, 64, 10),
    "fcn-2048x3-n128-o1": lambda: fcn(2048, 3, 128, 1),
    "fcn-1024x5-n256-o1": lambda: fcn(1024, 5, 256, 1),
    "cnn-8px-c64-n32-o1": lambda: cnn(8, 64, 32, 1),
    "cnn-8px-c64-n32-o10": lambda: cnn(8, 64, 32, 10),
    "cnn-8px-c256-n32-o1": lambda: cnn(8, 256, 32, 1),
    "cnn-8px-c256-n32-o10": lambda: cnn(8, 256, 32, 10),
    "cnn-32px-c64-n8-o1": lambda: cnn(32, 64, 8, 1),
    "cnn-32px-c64-n8-o10": lambda: cnn(32, 64, 8, 10),
    "cnn-32px-c256-n4-o1": lambda: cnn(32, 256, 4, 1),
    "cnn-32px-c256-n4-o10": lambda: cnn(32, 256, 4, 10),
    "resnet18-32px-n4-o1": lambda: resnet(4, 1),
    "resnet18-32px-n4-o10": lambda: resnet(4, 10),
    "rnn-scan-w256-t50-n32": lambda: rnn(256, True),
    "rnn-unrolled-w256-t50-n32": lambda: rnn(256, False),
    "rnn-scan-w1024-t50-n32": lambda: rnn(1024, True),
    "rnn-unrolled-w1024-t50-n32": lambda: rnn(1024, False),
    "transformer-d128-t32-n16-o10": lambda: transformer(),
    "pinn-w500x3-n300": lambda: pinn(),
}


def build(name: str) -> Model:
    """The model of that name, with parameters and inputs as NumPy arrays."""
    model = BUILDERS[name]()
    if model.name != name:
        raise AssertionError(f"{name} builds {model.name}")
    return model
