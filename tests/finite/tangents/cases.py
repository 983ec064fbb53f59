"""Models for the empirical NTK, each with the way that every parameter leaf must take.

A case is a function of a random number generator that returns f, params and x. ``direct`` and ``jacobian`` list the
leaves that take these ways; every other leaf must be structured. A leaf under ``jacobian`` says why in a comment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    build: Callable
    direct: tuple[str, ...] = ()
    jacobian: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


CASES: list[Case] = []


def case(**ways):
    def add(build):
        CASES.append(Case(build.__name__, build, **ways))
        return build

    return add


class Draw:
    """Normal numbers, in float64 unless told otherwise."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape, dtype=None):
        fan = np.sqrt(max(1, shape[0])) if shape else 1.0
        return jnp.asarray(self.rng.standard_normal(shape) / fan, dtype or jnp.zeros(0).dtype)


N = 4


# Dense layers


@case()
def linear(d):
    return lambda p, x: x @ p, d(3, 2), d(N, 3)


@case()
def no_output_axis(d):
    return lambda p, x: jnp.tanh(x @ p["w"]) @ p["v"], {"w": d(3, 5), "v": d(5)}, d(N, 3)


@case(direct=("['b0']", "['b1']"))
def dense_with_biases(d):
    def f(p, x):
        return jax.nn.relu(x @ p["w0"] + p["b0"]) @ p["w1"] + p["b1"]

    return f, {"w0": d(3, 6), "b0": d(6), "w1": d(6, 3), "b1": d(3)}, d(N, 3)


@case(direct=("['b']",))
def bias_alone(d):
    return lambda p, x: p["b"] + 0 * x, {"b": d(3)}, d(N, 3)


@case()
def three_layers_ten_outputs(d):
    def f(p, x):
        for w in p[:-1]:
            x = lax.erf(x @ w)
        return x @ p[-1]

    return f, (d(3, 6), d(6, 5), d(5, 10)), d(N, 3)


@case()
def two_output_axes(d):
    return lambda p, x: jnp.einsum("ni,iab->nab", jnp.sin(x @ p["w"]), p["v"]), {"w": d(3, 4), "v": d(4, 2, 3)}, d(N, 3)


@case()
def transposed(d):
    return lambda p, x: jnp.tanh(x @ p[0].T) @ p[1].T, (d(5, 3), d(2, 5)), d(N, 3)


@case()
def weight_on_the_left(d):
    return lambda p, x: (p[1] @ jnp.tanh(p[0] @ x.T)).T, (d(5, 3), d(2, 5)), d(N, 3)


@case()
def scaled(d):
    def f(p, x):
        h = jnp.tanh(x @ (1.7 / np.sqrt(3) * p[0]))
        return h @ (-p[1] / jnp.sqrt(5.0)) * 3.0

    return f, (d(3, 5), d(5, 2)), d(N, 3)


@case()
def scaled_by_the_input(d):
    def f(p, x):
        return jax.vmap(lambda row: jnp.tanh(row @ (p[0] * jnp.sum(row**2))) @ p[1])(x)

    return f, (d(3, 5), d(5, 2)), d(N, 3)


@case(jacobian=("['s']",))  # a number times a matrix: its gradient is a sum over the matrix
def scaled_by_a_parameter(d):
    return (
        lambda p, x: jnp.tanh(x @ (p["w"] * jnp.exp(p["s"]))) @ p["v"],
        {"w": d(3, 5), "s": d(), "v": d(5, 2)},
        d(N, 3),
    )


@case()
def cast(d):
    def f(p, x):
        return jnp.tanh(x @ p[0].astype(x.dtype)) @ p[1]

    return f, (d(3, 5, dtype=jnp.float32), d(5, 2)), d(N, 3)


@case()
def reshaped(d):
    return lambda p, x: jnp.tanh(x @ p[0].reshape(3, 5)) @ p[1].reshape(5, 2), (d(15), d(2, 5)), d(N, 3)


@case()
def reshaped_by_cutting_axes(d):
    def f(p, x):
        return jnp.einsum("ni,iab->nab", x, p.reshape(2, 3, 2).transpose(1, 2, 0))

    return f, d(6, 2), d(N, 3)


@case()
def sliced(d):
    def f(p, x):
        left, right = p[:, :4], p[:, 4:]
        return jnp.tanh(x @ left) * jax.nn.sigmoid(x @ right)

    return f, d(3, 8), d(N, 3)


@case(jacobian=("params",))  # the two slices overlap
def sliced_with_overlap(d):
    return lambda p, x: jnp.tanh(x @ p[:, :4]) * (x @ p[:, 2:6]), d(3, 6), d(N, 3)


@case()
def split_gates(d):
    def f(p, x):
        a, b, c = jnp.split(p, 3, axis=1)
        return jnp.tanh(x @ a) * (x @ b) + jnp.sin(x @ c)

    return f, d(3, 6), d(N, 3)


@case()
def stacked_layers_by_index(d):
    def f(p, x):
        for layer in range(3):
            x = jnp.tanh(x @ p[layer])
        return x

    return f, d(3, 4, 4), d(N, 4)


@case()
def reversed_weight(d):
    return (
        lambda p, x: jnp.tanh(x @ p[0][::-1]) @ jnp.flip(p[0], (0, 1)).T + x @ p[0] @ p[1],
        (d(3, 5), d(5, 3)),
        d(N, 3),
    )


@case()
def sum_of_parameters(d):
    return (
        lambda p, x: jnp.tanh(x @ (p["w"] - 2.0 * p["d"])) @ p["v"],
        {"w": d(3, 5), "d": d(3, 5), "v": d(5, 2)},
        d(N, 3),
    )


@case()
def low_rank_update(d):
    def f(p, x):
        return jnp.tanh(x @ p["w"] + x @ p["a"] @ p["b"]) @ p["v"]

    return f, {"w": d(4, 6), "a": d(4, 2), "b": d(2, 6), "v": d(6, 2)}, d(N, 4)


@case()
def bilinear(d):
    return lambda p, x: jnp.einsum("ni,ijk,nj->nk", x, p, jnp.sin(x)), d(3, 3, 2), d(N, 3)


@case()
def a_matrix_for_each_group(d):
    return lambda p, x: jnp.einsum("ngi,gij->ngj", jnp.tanh(x.reshape(-1, 2, 3)), p), d(2, 3, 4), d(N, 6)


@case()
def residual_blocks(d):
    def f(p, x):
        h = x @ p["in"]
        for w, v in p["blocks"]:
            h = h + jax.nn.gelu(h @ w) @ v
        return h @ p["out"]

    return f, {"in": d(3, 4), "blocks": [(d(4, 5), d(5, 4)), (d(4, 5), d(5, 4))], "out": d(4, 2)}, d(N, 3)


# A parameter used more than once


@case()
def tied_layers(d):
    def f(p, x):
        for _ in range(3):
            x = jnp.tanh(x @ p)
        return x

    return f, d(4, 4), d(N, 4)


@case()
def autoencoder_with_tied_transpose(d):
    return lambda p, x: jnp.tanh(x @ p) @ p.T, d(3, 5), d(N, 3)


@case()
def symmetric_matrix_used_both_ways(d):
    return lambda p, x: jnp.tanh(jnp.tanh(x @ p) @ p.T) @ p, d(4, 4), d(N, 4)


@case()
def same_operand_twice(d):
    return lambda p, x: jnp.tanh(x @ p) + jnp.sin(x @ (2.0 * p)), d(3, 4), d(N, 3)


@case(direct=("['b']",))
def rnn_unrolled(d):
    def f(p, x):
        h = jnp.zeros((x.shape[0], 4))
        for t in range(5):
            h = jnp.tanh(h @ p["w"] + x[:, t] @ p["u"] + p["b"])
        return h @ p["v"]

    return f, {"w": d(4, 4), "u": d(2, 4), "b": d(4), "v": d(4, 2)}, d(N, 5, 2)


@case(direct=("['b']",))
def rnn_scan(d):
    def f(p, x):
        def step(h, xt):
            h = jnp.tanh(h @ (p["w"] / 1.5) + xt @ p["u"] + p["b"])
            return h, h

        _, hs = lax.scan(step, jnp.zeros((x.shape[0], 4)), jnp.swapaxes(x, 0, 1))
        return hs[-1] @ p["v"] + hs.mean(0) @ p["v"]

    return f, {"w": d(4, 4), "u": d(2, 4), "b": d(4), "v": d(4, 2)}, d(N, 5, 2)


@case(direct=("['b']",))
def lstm_scan_with_joint_gates(d):
    def f(p, x):
        def step(state, xt):
            h, c = state
            i, g, o = jnp.split(xt @ p["u"] + h @ p["w"] + p["b"], 3, axis=-1)
            c = jax.nn.sigmoid(i) * c + jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        start = (jnp.zeros((x.shape[0], 3)), jnp.zeros((x.shape[0], 3)))
        (h, _), _ = lax.scan(step, start, jnp.swapaxes(x, 0, 1), reverse=True)
        return h @ p["v"]

    return f, {"w": d(3, 9), "u": d(2, 9), "b": d(9), "v": d(3, 2)}, d(N, 4, 2)


@case(direct=("['b']",))
def scan_over_stacked_layers(d):
    def f(p, x):
        def layer(h, wb):
            w, b = wb
            return jnp.tanh(h @ w + b), None

        return lax.scan(layer, x, (p["w"], p["b"]))[0]

    return f, {"w": d(3, 4, 4), "b": d(3, 4)}, d(N, 4)


@case()
def scan_inside_scan(d):
    def f(p, x):
        def inner(h, xt):
            return jnp.tanh(h @ p["w"] + xt @ p["u"]), None

        def outer(h, xs):
            h, _ = lax.scan(inner, h, xs)
            return jnp.sin(h @ p["v"]), None

        return lax.scan(outer, jnp.zeros((x.shape[0], 3)), jnp.moveaxis(x, 0, 2))[0]

    return f, {"w": d(3, 3), "u": d(2, 3), "v": d(3, 3)}, d(N, 2, 3, 2)


@case()
def fori_loop(d):
    return lambda p, x: lax.fori_loop(0, 4, lambda i, h: jnp.tanh(h @ p) * (1.0 + i), x), d(3, 3), d(N, 3)


# Convolutions


def conv_case(name, window, d_in=2, d_out=4, groups=1, bias=False, spatial=6, rank=None, strides=None, **options):
    def build(d):
        dims = len(window)
        strides_ = strides or (1,) * dims
        kernel = d(d_out, d_in // groups, *window)

        def f(p, x):
            z = lax.conv_general_dilated(
                x,
                p["k"],
                strides_,
                options.get("padding", "SAME"),
                lhs_dilation=options.get("lhs_dilation"),
                rhs_dilation=options.get("rhs_dilation"),
                feature_group_count=groups,
            )
            if bias:
                z = z + p["b"][:, *[None] * dims]
            h = jnp.tanh(z)
            return h.reshape(h.shape[0], -1) @ p["v"] if "v" in p else h.mean(tuple(range(2, 2 + dims)))

        params = {"k": kernel}
        if bias:
            params["b"] = d(d_out)
        return f, params, d(N, d_in, *[spatial] * dims)

    CASES.append(Case(name, build, direct=("['b']",) if bias else ()))


conv_case("conv_1d", (3,))
conv_case("conv_1d_dilated", (3,), rhs_dilation=(2,), padding="VALID")
conv_case("conv_2d_bias", (3, 3), bias=True)
conv_case("conv_2d_stride_valid", (3, 2), strides=(2, 1), padding="VALID")
conv_case("conv_2d_padding_dilation", (2, 3), padding=((1, 2), (0, 3)), rhs_dilation=(2, 1), strides=(1, 2))
conv_case("conv_2d_input_dilation", (3, 3), lhs_dilation=(2, 2), padding=((2, 1), (1, 2)), spatial=3)
conv_case("conv_2d_negative_padding", (2, 2), padding=((-1, 0), (1, -1)))
conv_case("conv_2d_groups", (3, 3), d_in=4, d_out=6, groups=2)
conv_case("conv_2d_depthwise", (3, 3), d_in=3, d_out=6, groups=3)
conv_case("conv_3d", (2, 2, 2), spatial=3)


@case()
def conv_channels_last_two_layers(d):
    def f(p, x):
        for k in p["kernels"]:
            x = jax.nn.relu(
                lax.conv_general_dilated(x, k / 3.0, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            )
        return x.mean((1, 2)) @ p["v"]

    return f, {"kernels": [d(3, 3, 2, 4), d(3, 3, 4, 3)], "v": d(3, 3)}, d(N, 5, 5, 2)


@case()
def conv_transpose(d):
    def f(p, x):
        h = lax.conv_transpose(
            x, p["k"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True
        )
        return jnp.tanh(h).reshape(x.shape[0], -1) @ p["v"]

    return f, {"k": d(3, 3, 4, 2), "v": d(144, 2)}, d(N, 3, 3, 2)


@case(direct=("['b']",))
def locally_connected(d):
    def f(p, x):
        h = lax.conv_general_dilated_local(x, p["k"], (1,), "VALID", (3,), dimension_numbers=("NWC", "WIO", "NWC"))
        return jnp.tanh(h + p["b"]).sum(1)

    return f, {"k": d(4, 6, 3), "b": d(4, 3)}, d(N, 6, 2)


# Look-ups, norms, attention


def tokens(shape=(N, 5), high=7):
    return jnp.asarray(np.random.default_rng(9).integers(0, high, shape))


@case()
def embedding(d):
    return lambda p, x: jnp.tanh(p["e"][x].mean(1) @ p["w"]), {"e": d(7, 4), "w": d(4, 3)}, tokens()


@case()
def embedding_columns_clipped(d):
    def f(p, x):
        return jnp.tanh(jnp.moveaxis(jnp.take(p["e"], x, axis=1, mode="clip"), 0, -1)).sum(1) @ p["w"]

    return f, {"e": d(4, 7), "w": d(4, 3)}, tokens(high=9)


@case()
def embedding_out_of_range_is_filled(d):
    def f(p, x):
        return jnp.tanh(jnp.take(p["e"], x, axis=0, mode="fill", fill_value=0.0)).sum(1) @ p["w"]

    return f, {"e": d(7, 4), "w": d(4, 3)}, tokens(high=9)


@case()
def embedding_tied_with_the_readout(d):
    def f(p, x):
        return jnp.tanh(p["e"][x] @ p["w"]).mean(1) @ p["e"].T

    return f, {"e": d(7, 4), "w": d(4, 4)}, tokens()


def _layer_norm(h, g, b):
    h = (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)
    return h * g + b


@case(direct=("['g']", "['b']"))
def layer_norm(d):
    def f(p, x):
        return jnp.tanh(_layer_norm(x @ p["w"], p["g"], p["b"])) @ p["v"]

    return f, {"w": d(3, 5), "g": d(5), "b": d(5), "v": d(5, 2)}, d(N, 3)


@case(direct=("['s']",))
def division_and_scale(d):
    def f(p, x):
        h = x @ p["w"]
        return (h * p["s"] / jnp.sqrt((h**2).mean(-1, keepdims=True) + 1.0)) @ p["v"]

    return f, {"w": d(3, 5), "s": d(5), "v": d(5, 2)}, d(N, 3)


@case()
def attention(d):
    def f(p, x):
        q, k, v = x @ p["q"], x @ p["k"], x @ p["v"]
        return (jax.nn.softmax(q @ jnp.swapaxes(k, 1, 2) / 2.0) @ v).mean(1) @ p["o"]

    return f, {"q": d(3, 4), "k": d(3, 4), "v": d(3, 4), "o": d(4, 2)}, d(N, 5, 3)


@case(direct=("['g']", "['b']", "['pos']"))
def transformer_block(d):
    def f(p, x):
        h = p["e"][x] + p["pos"]
        z = _layer_norm(h, p["g"], p["b"])
        q, k, v = jnp.moveaxis((z @ p["qkv"]).reshape(*z.shape[:2], 3, 2, 2), 2, 0)
        weights = jax.nn.softmax(jnp.einsum("nthc,nshc->nhts", q, k))
        h = h + jnp.einsum("nhts,nshc,hcd->ntd", weights, v, p["o"])
        h = h + jax.nn.gelu(h @ p["up"]) @ p["down"]
        return h.mean(1) @ p["e"].T

    params = {
        "e": d(7, 4),
        "pos": d(5, 4),
        "g": d(4),
        "b": d(4),
        "qkv": d(4, 12),
        "o": d(2, 2, 4),
        "up": d(4, 6),
        "down": d(6, 4),
    }
    return f, params, tokens()


# Wrappers


def _mlp(p, x):
    return jnp.tanh(jnp.tanh(x @ p["w0"] + p["b0"]) @ p["w1"]) @ p["w2"]


def _mlp_params(d, d_in=3, d_out=2):
    return {"w0": d(d_in, 5), "b0": d(5), "w1": d(5, 4), "w2": d(4, d_out)}


@case(direct=("['b0']",))
def inside_jit(d):
    return jax.jit(_mlp), _mlp_params(d), d(N, 3)


@case(direct=("['b0']",))
def inside_remat(d):
    return jax.checkpoint(_mlp), _mlp_params(d), d(N, 3)


@case(direct=("['b0']",))
def inside_vmap(d):
    return jax.vmap(_mlp, in_axes=(None, 0)), _mlp_params(d), d(N, 3)


@case(direct=("['b0']",))
def jit_of_remat_of_vmap_of_jit(d):
    return jax.jit(jax.checkpoint(jax.vmap(jax.jit(_mlp), in_axes=(None, 0)))), _mlp_params(d), d(N, 3)


@case()
def custom_jvp_activation(d):
    @jax.custom_jvp
    def phi(z):
        return jnp.sign(z)

    phi.defjvp(lambda primals, tangents: (jnp.sign(primals[0]), tangents[0] * jnp.exp(-(primals[0] ** 2))))
    return lambda p, x: phi(x @ p[0]) @ p[1], (d(3, 5), d(5, 2)), d(N, 3)


@case()
def custom_vjp_activation(d):
    @jax.custom_vjp
    def phi(z):
        return jnp.sign(z)

    phi.defvjp(lambda z: (jnp.sign(z), z), lambda z, cotangent: (cotangent * jnp.exp(-(z**2)),))
    return lambda p, x: phi(x @ p[0]) @ p[1], (d(3, 5), d(5, 2)), d(N, 3)


@case()
def custom_jvp_around_a_layer(d):
    @jax.custom_jvp
    def layer(w, x):
        return jnp.tanh(x @ w)

    @layer.defjvp
    def _(primals, tangents):
        (w, x), (dw, dx) = primals, tangents
        y = jnp.tanh(x @ w)
        return y, 0.5 * (1 - y**2) * (x @ dw + dx @ w)

    return lambda p, x: layer(p[1], layer(p[0], x)), (d(3, 5), d(5, 2)), d(N, 3)


@case(jacobian=("[0]",))  # the backward rule of a custom_vjp function cannot be looked into
def custom_vjp_around_a_layer(d):
    @jax.custom_vjp
    def layer(w, x):
        return x @ w

    layer.defvjp(lambda w, x: (x @ w, (w, x)), lambda res, c: (2.0 * res[1].T @ c, c @ res[0].T))
    return lambda p, x: jnp.tanh(layer(p[0], x)) @ p[1], (d(3, 5), d(5, 2)), d(N, 3)


# Derivatives with respect to the input


def _scalar(p, *point):
    h = jnp.stack(point)
    for w, b in p[:-1]:
        h = jnp.tanh(h @ w + b)
    return h @ p[-1]


def _scalar_params(d):
    return [(d(2, 6), d(6)), (d(6, 5), d(5)), d(5)]


BIASES = ("[0][1]", "[1][1]")


@case(direct=BIASES)
def input_gradient(d):
    def f(p, x):
        return jax.vmap(jax.grad(lambda row: _scalar(p, row[0], row[1])))(x)

    return f, _scalar_params(d), d(N, 2)


def _second(u, point, direction):
    """The second derivative of u in one direction by jvp of jvp."""
    return jax.jvp(lambda q: jax.jvp(u, (q,), (direction,))[1], (point,), (direction,))[1]


@case(direct=BIASES)
def klein_gordon_residual(d):
    def f(p, x):
        def residual(row):
            def u(q):
                return _scalar(p, q[0], q[1])

            t, s = jnp.eye(2)
            return _second(u, row, t) - _second(u, row, s) + jnp.sin(u(row))

        return jax.vmap(residual)(x)

    return f, _scalar_params(d), d(N, 2)


@case(direct=BIASES)
def laplacian_by_hessian(d):
    def f(p, x):
        return jax.vmap(lambda row: jnp.trace(jax.hessian(lambda q: _scalar(p, q[0], q[1]))(row)))(x)

    return f, _scalar_params(d), d(N, 2)


@case(direct=BIASES)
def burgers_by_grad_of_grad(d):
    def f(p, x):
        def residual(t, s):
            u_t, u_s = jax.grad(_scalar, (1, 2))(p, t, s)
            u_ss = jax.grad(jax.grad(_scalar, 2), 2)(p, t, s)
            return u_t + _scalar(p, t, s) * u_s - 0.1 * u_ss

        return jax.vmap(residual)(x[:, 0], x[:, 1])

    return f, _scalar_params(d), d(N, 2)


@case(direct=BIASES)
def fourth_derivative_by_jet(d):
    from jax.experimental.jet import jet

    def f(p, x):
        def along(row):
            series = [jnp.ones(()), *[jnp.zeros(())] * 2]
            _, coefficients = jet(lambda s: _scalar(p, row[0], s), (row[1],), (series,))
            return jnp.stack(coefficients)

        return jax.vmap(along)(x)

    return f, _scalar_params(d), d(N, 2)


# Trees, and what has no structure


@case(direct=("['b']",))
def mixed_tree_and_inputs(d):
    def f(p, x):
        h = p["act"](x["a"] @ p["layers"][0] + x["b"][:, None] * p["b"])
        return h @ p["layers"][1] * p["power"]

    params = {"layers": (d(3, 5), d(5, 2)), "b": d(5), "power": 3, "none": None, "act": jnp.tanh}
    return f, params, {"a": d(N, 3), "b": d(N)}


@case(unused=("['u']",))
def unused_parameter(d):
    return lambda p, x: x @ p["w"] + 0.0 * lax.stop_gradient(p["u"]).sum(), {"w": d(3, 2), "u": d(2, 2)}, d(N, 3)


@case(jacobian=("['v']",), direct=())  # the norm of v mixes all its entries
def weight_norm(d):
    def f(p, x):
        return jnp.tanh(x @ (p["v"] / jnp.linalg.norm(p["v"]))) @ p["w"]

    return f, {"v": d(3, 5), "w": d(5, 2)}, d(N, 3)


@case(jacobian=("[0]",))  # a mask: entry by entry, not one number
def masked_weight(d):
    mask = jnp.asarray([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    return lambda p, x: jnp.tanh(x @ (p[0] * mask)) @ p[1], (d(2, 3), d(3, 2)), d(N, 2)


@case(direct=("['scale']", "['shift']"))  # batch norm in evaluation mode: fixed numbers multiply the scale first
def fixed_statistics(d):
    mean, var, gain = d(5), 0.5 + d(5) ** 2, d(5)

    def f(p, x):
        z = x @ p["w"]
        z = (z - mean) * (p["scale"] / jnp.sqrt(var) * gain) + p["shift"]
        return jnp.tanh(z) @ p["v"]

    return f, {"w": d(3, 5), "scale": d(5), "shift": d(5), "v": d(5, 2)}, d(N, 3)


@case(direct=("[1]",))  # a positive scale, exp of the parameter
def log_scale(d):
    return lambda p, x: jnp.tanh(x @ p[0] * jnp.exp(p[1])) @ p[2], (d(3, 5), d(5), d(5, 2)), d(N, 3)


@case(jacobian=("[1]",), direct=())  # weighed entry by entry, then added and used in a product as well
def weighed_and_multiplied(d):
    weights = d(3)
    return lambda p, x: jnp.tanh(x @ p[0] + weights * p[1]) @ p[2] + p[1] @ p[2], (d(3, 3), d(3), d(3, 2)), d(N, 3)


@case(jacobian=("[0]",))  # squared entries are no view of the parameter
def squared_weight(d):
    return lambda p, x: jnp.tanh(x @ p[0] ** 2) @ p[1], (d(3, 5), d(5, 2)), d(N, 3)


@case(jacobian=("[0]", "[1]"))  # joined into one matrix before the product
def concatenated_weights(d):
    return lambda p, x: jnp.tanh(x @ jnp.concatenate([p[0], p[1]], 1)) @ p[2], (d(3, 2), d(3, 3), d(5, 2)), d(N, 3)


@case(jacobian=("[0]",))  # inside a branch
def inside_cond(d):
    def f(p, x):
        def one(row):
            return lax.cond(row[0] > 0, lambda w: jnp.tanh(row @ w), lambda w: jnp.sin(row @ w), p[0]) @ p[1]

        return jnp.stack([one(row) for row in x])

    return f, (d(3, 5), d(5, 2)), d(N, 3)
