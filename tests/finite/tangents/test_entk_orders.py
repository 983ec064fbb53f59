"""Each order gives the same kernel, in strips, in pieces and under a window; a bias rides with its weight."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite.tangents.cases import Draw
from finite.tangents.reference import explicit_kernel
from jax import lax

import ntk_helpers as nh
from ntk_helpers.finite.tangents import api, gradients, structured
from ntk_helpers.finite.tangents.blocks import Mode


def two_convolutions(draw):
    """Strides, unequal padding, gaps in the window and groups; five channels, so that pieces do not come out even."""

    def f(p, x):
        h = lax.conv_general_dilated(x, p[0], (1, 2), ((1, 0), (2, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))
        h = lax.conv_general_dilated(
            jnp.tanh(h),
            p[1],
            (1, 1),
            "SAME",
            rhs_dilation=(1, 2),
            feature_group_count=2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return jnp.tanh(h).mean((1, 2)) @ p[2]

    return f, (draw(3, 2, 5, 10), draw(2, 3, 5, 4), draw(4, 3)), draw(5, 6, 5, 5)


def recurrent(draw):
    def f(p, x):
        step = lambda h, row: (jnp.tanh(h @ p["w"] + row @ p["u"]), None)  # noqa: E731
        h, _ = lax.scan(step, jnp.zeros((x.shape[0], 7)), jnp.moveaxis(x, 1, 0))
        return h @ p["v"]

    return f, {"w": draw(7, 7), "u": draw(3, 7), "v": draw(7, 3)}, draw(5, 4, 3)


@pytest.mark.parametrize("order", ["gram", "apply", "product"])
@pytest.mark.parametrize("build", [two_convolutions, recurrent])
def test_every_order_in_strips_and_pieces(build, order, x64, monkeypatch):
    monkeypatch.setattr(structured, "STRIP_FLOPS", 0)
    monkeypatch.setattr(structured, "STRIP_ROWS", 0)
    monkeypatch.setattr(gradients, "PIECE_BYTES_CPU", 4000)
    f, params, x = build(Draw())
    models, leaves, first, _, _, _ = api._setup((f, f), params, x, None, None)
    exact = explicit_kernel(f, params, x, x)
    for output, spec in (("full", "nzop->nzop"), ("diagonal", "nzoo->nzo"), ("trace", "nzoo->nz")):
        mode = Mode(output, False)
        plan = api._plan(models, mode, leaves, first, None)
        forced = dataclasses.replace(
            plan, leaves=tuple(dataclasses.replace(entry, order=order) for entry in plan.leaves)
        )
        kernel = structured.structured_kernel(models, leaves, first, None, mode, forced)
        wanted = jnp.einsum(spec, exact)
        np.testing.assert_allclose(kernel, wanted, rtol=0, atol=1e-12 * float(jnp.abs(wanted).max()))


def test_a_bias_is_one_more_row_of_its_weight(x64):
    """Each bias is joined to the weight it is added to, one bias for a weight, past scales; a shared one is not."""
    draw = Draw()

    def f(p, x):
        h = jnp.tanh(0.3 * (x @ p["w0"]) + 0.2 * p["b0"])
        h = jnp.tanh((h @ p["w1"] + p["b1"]) / 2.0 + p["c1"])
        return h @ p["w2"] - p["b2"] + h * p["shared"] + p["shared"]

    sizes = {"w0": (3, 4), "b0": (4,), "w1": (4, 2), "b1": (2,), "c1": (2,), "w2": (2, 2), "b2": (2,), "shared": (2,)}
    params, x = {name: draw(*shape) for name, shape in sizes.items()}, draw(5, 3)
    models, leaves, first, _, _, _ = api._setup((f, f), params, x, None, None)
    plan = api._plan(models, Mode("full", False), leaves, first, None)
    names = models[0].names
    joined = {names[entry.leaf]: names[entry.joined] for entry in plan.leaves if entry.joined is not None}
    assert joined["['b0']"] == "['w0']"
    assert set(joined.values()) <= {"['w0']", "['w1']", "['w2']"}
    assert len(set(joined.values())) == len(joined)
    assert "['shared']" not in joined
    exact = explicit_kernel(f, params, x, x)
    np.testing.assert_allclose(nh.empirical_ntk(f, params, x), exact, rtol=0, atol=1e-12 * float(jnp.abs(exact).max()))


def test_pieces_of_a_look_up(x64, monkeypatch):
    monkeypatch.setattr(gradients, "PIECE_BYTES_CPU", 500)
    draw = Draw()
    f = lambda p, x: jnp.tanh(jnp.take(p["table"], x, axis=0, mode="clip").sum(1)) @ p["v"]  # noqa: E731
    params = {"table": draw(7, 5), "v": draw(5, 2)}
    x = jnp.asarray(np.random.default_rng(0).integers(0, 7, (4, 30)))
    models, leaves, first, _, _, _ = api._setup((f, f), params, x, None, None)
    mode = Mode("full", False)
    plan = api._plan(models, mode, leaves, first, None)
    forced = dataclasses.replace(
        plan, leaves=tuple(dataclasses.replace(entry, order="product") for entry in plan.leaves)
    )
    kernel = jax.jit(lambda values, x: structured.structured_kernel(models, values, x, None, mode, forced))(
        leaves, first
    )
    exact = explicit_kernel(f, params, x, x)
    np.testing.assert_allclose(kernel, exact, rtol=0, atol=1e-12 * float(jnp.abs(exact).max()))
