"""What holds for every kernel: outputs, pairs, masks, blocks, precision, transformations of the kernel function."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite.tangents.cases import CASES, Draw
from finite.tangents.reference import explicit_kernel, flat_jacobian

import ntk_helpers as nh

METHODS = ("structured", "jacobian", "ntkvp")


def mlp(p, x):
    h = jnp.tanh(x @ p["w"] + p["b"])
    h = jnp.tanh(h @ p["u"]) @ p["u"].T
    return h @ p["v"]


def mlp_params(draw, outputs=3):
    return {"w": draw(3, 5), "b": draw(5), "u": draw(5, 4), "v": draw(5, outputs)}


def close(actual, desired, tolerance=1e-12):
    """Rounding in float64: sums of about a hundred terms, 1e-14 of the largest entry."""
    actual, desired = np.asarray(actual), np.asarray(desired)
    assert actual.shape == desired.shape
    np.testing.assert_allclose(actual, desired, rtol=0, atol=tolerance * np.abs(desired).max())


@pytest.mark.parametrize(
    ("method", "outputs"), [("structured", 1), ("structured", 3), ("structured", 10), ("jacobian", 3), ("ntkvp", 3)]
)
def test_two_sets_of_inputs(method, outputs, x64):
    draw = Draw(1)
    params, x1, x2 = mlp_params(draw, outputs), draw(4, 3), draw(3, 3)
    exact = explicit_kernel(mlp, params, x1, x2)
    close(nh.empirical_ntk(mlp, params, x1, x2, method=method), exact)
    diagonal = jnp.einsum("nzoo->nzo", exact)
    close(nh.empirical_ntk(mlp, params, x1, x2, method=method, output="diagonal"), diagonal)
    close(nh.empirical_ntk(mlp, params, x1, x2, method=method, output="trace"), diagonal.mean(-1))


@pytest.mark.parametrize("method", METHODS)
def test_same_pairs(method, x64):
    draw = Draw(2)
    params, x1, x2 = mlp_params(draw), draw(4, 3), draw(4, 3)
    for second in (None, x2):
        exact = jnp.einsum("nnop->nop", explicit_kernel(mlp, params, x1, x1 if second is None else second))
        options = {"pairs": "same", "method": method}
        close(nh.empirical_ntk(mlp, params, x1, second, **options), exact)
        diagonal = jnp.einsum("noo->no", exact)
        close(nh.empirical_ntk(mlp, params, x1, second, output="diagonal", **options), diagonal)
        close(nh.empirical_ntk(mlp, params, x1, second, output="trace", **options), diagonal.mean(-1))


NAMES = ("rnn_scan", "conv_2d_groups", "two_output_axes")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output", ["diagonal", "trace"])
def test_other_outputs_and_pairs_of_varied_models(name, output, x64):
    f, params, x = next(case for case in CASES if case.name == name).build(Draw())
    exact = explicit_kernel(f, params, x, x[:3])
    axes = (exact.ndim - 2) // 2
    letters = "abc"[:axes]
    diagonal = jnp.einsum(f"nz{letters}{letters}->nz{letters}", exact)
    wanted = diagonal if output == "diagonal" else diagonal.mean(tuple(range(2, 2 + axes)))
    close(nh.empirical_ntk(f, params, x, x[:3], output=output, method="structured"), wanted)
    same = nh.empirical_ntk(f, params, x[:3], output=output, pairs="same", method="structured")
    close(same, jnp.moveaxis(jnp.diagonal(wanted[:3], axis1=0, axis2=1), -1, 0))


@pytest.mark.parametrize("method", METHODS)
def test_trainable_mask(method, x64):
    draw = Draw(3)
    params, x = mlp_params(draw), draw(4, 3)
    mask = {"w": False, "b": True, "u": True, "v": False}

    def partly(part, x):
        return mlp({**params, **part}, x)

    exact = explicit_kernel(partly, {name: params[name] for name in ("b", "u")}, x, x)
    close(nh.empirical_ntk(mlp, params, x, trainable=mask, method=method), exact)
    assert set(nh.explain(mlp, params, x, trainable=mask).ways) == {"['b']", "['u']"}
    nested = {"frozen": {"w": params["w"], "v": params["v"]}, "free": {"u": params["u"], "b": params["b"]}}
    kernel = nh.empirical_ntk(
        lambda p, x: mlp({**p["frozen"], **p["free"]}, x), nested, x, trainable={"frozen": False, "free": True}
    )
    close(kernel, exact)


@pytest.mark.parametrize("batch_size", [3])
def test_blocks(batch_size, x64):
    draw = Draw(4)
    params, x1, x2 = mlp_params(draw), draw(5, 3), draw(4, 3)
    close(nh.empirical_ntk(mlp, params, x1, batch_size=batch_size), explicit_kernel(mlp, params, x1, x1))
    exact = explicit_kernel(mlp, params, x1, x2)
    close(nh.empirical_ntk(mlp, params, x1, x2, batch_size=batch_size), exact)
    same = nh.empirical_ntk(mlp, params, x1, pairs="same", output="trace", batch_size=batch_size)
    close(same, jnp.einsum("nnoo->n", explicit_kernel(mlp, params, x1, x1)) / 3)


def test_strips_of_a_large_symmetric_kernel(x64):
    # more than 128 rows: computed in strips on and above the diagonal
    draw = Draw(5)
    params, x = mlp_params(draw, 2), draw(67, 3)
    close(nh.empirical_ntk(mlp, params, x, method="structured"), explicit_kernel(mlp, params, x, x))
    trace = jnp.einsum("nzoo->nz", explicit_kernel(mlp, params, x, x)) / 2
    big = jnp.concatenate([x, x])
    close(nh.empirical_ntk(mlp, params, big, output="trace", method="structured")[:67, 67:], trace)


def test_symmetric_and_positive(x64):
    draw = Draw(6)
    params, x = mlp_params(draw), draw(6, 3)
    kernel = nh.empirical_ntk(mlp, params, x)
    np.testing.assert_allclose(kernel, jnp.transpose(kernel, (1, 0, 3, 2)), rtol=0, atol=1e-14)
    matrix = jnp.transpose(kernel, (0, 2, 1, 3)).reshape(18, 18)
    values = np.linalg.eigvalsh(np.asarray(matrix))
    assert values.min() > -1e-13 * values.max()


@pytest.mark.optimized
@pytest.mark.parametrize(
    "name", ["three_layers_ten_outputs", "rnn_scan", "conv_2d_bias", "transformer_block", "attention"]
)
def test_float32(name):
    f, params, x = next(case for case in CASES if case.name == name).build(Draw())
    kernel = nh.empirical_ntk(f, params, x)
    assert kernel.dtype == jnp.float32
    exact = np.asarray(explicit_kernel(f, params, x, x))
    # float32 rounding of a few layers, about 1e-6, in both
    np.testing.assert_allclose(kernel, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


@pytest.mark.optimized
def test_half_precision_is_accumulated_in_float32():
    draw = Draw(7)
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), mlp_params(draw))
    x = draw(4, 3).astype(jnp.bfloat16)
    kernel = nh.empirical_ntk(mlp, params, x)
    assert kernel.dtype == jnp.float32
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)
    exact = np.asarray(explicit_kernel(mlp, wide, x.astype(jnp.float32), x.astype(jnp.float32)))
    # bfloat16 carries 8 bits: each factor of a few layers is off by about 1 percent
    np.testing.assert_allclose(kernel, exact, rtol=0, atol=5e-2 * np.abs(exact).max())


def test_under_jit_vmap_and_grad(x64):
    draw = Draw(8)
    params, x = mlp_params(draw), draw(4, 3)
    exact = explicit_kernel(mlp, params, x, x)
    close(jax.jit(lambda p, x: nh.empirical_ntk(mlp, p, x))(params, x), exact)

    seeds = [mlp_params(Draw(seed)) for seed in range(3)]
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *seeds)
    kernels = jax.vmap(lambda p: nh.empirical_ntk(mlp, p, x))(stacked)
    close(kernels, jnp.stack([explicit_kernel(mlp, p, x, x) for p in seeds]))

    def total(kernel):
        return lambda p, x: jnp.sum(jnp.sin(kernel(mlp, p, x)))

    ours = jax.grad(total(nh.empirical_ntk), (0, 1))(params, x)
    theirs = jax.grad(total(lambda f, p, x: explicit_kernel(f, p, x, x)), (0, 1))(params, x)
    jax.tree.map(lambda a, b: close(a, b, 1e-11), ours, theirs)


@pytest.mark.parametrize("name", ["rnn_scan", "custom_vjp_activation"])
def test_derivative_of_the_kernel_of_special_models(name, x64):
    f, params, x = next(case for case in CASES if case.name == name).build(Draw())
    ours = jax.grad(lambda p: nh.empirical_ntk(f, p, x, method="structured").sum())(params)
    theirs = jax.grad(lambda p: explicit_kernel(f, p, x, x).sum())(params)
    jax.tree.map(lambda a, b: close(a, b, 1e-11), ours, theirs)


def test_function_that_closes_over_traced_values(x64):
    draw = Draw(9)
    params, x = mlp_params(draw), draw(4, 3)

    @jax.jit
    def kernel(shift):
        return nh.empirical_ntk(lambda p, x: mlp(p, x + shift), params, x)

    close(kernel(0.3), explicit_kernel(mlp, params, x + 0.3, x + 0.3))
    close(kernel(0.1), explicit_kernel(mlp, params, x + 0.1, x + 0.1))


def test_ntk_vector_product(x64):
    draw = Draw(10)
    params, x1, x2, vector = mlp_params(draw), draw(4, 3), draw(5, 3), draw(5, 3)
    product = nh.ntk_vector_product(mlp, params, x1, x2, vector)
    close(product, jnp.einsum("nzop,zp->no", explicit_kernel(mlp, params, x1, x2), vector))


def slope(p, x):
    return jax.vmap(jax.jacfwd(lambda row: mlp(p, row[None])[0, 0]))(x)


@pytest.mark.parametrize("method", METHODS)
def test_tangent_kernel_between_two_functions(method, x64):
    draw = Draw(11)
    params, x1, x2 = mlp_params(draw, 2), draw(4, 3), draw(5, 3)
    exact = jnp.einsum("nok,zpk->nzop", flat_jacobian(mlp, params, x1), flat_jacobian(slope, params, x2))
    close(nh.tangent_kernel(mlp, slope, params, x1, x2, method=method), exact)
    close(nh.tangent_kernel(mlp, slope, params, x1, x2, method=method, batch_size=2), exact)


def test_tangent_kernel_with_inputs_of_other_shape(x64):
    draw = Draw(12)
    params, rows, points = mlp_params(draw, 2), draw(4, 3), draw(2, 5, 3)

    def mean(p, x):
        return jax.vmap(lambda cloud: mlp(p, cloud).mean(0))(x)

    exact = jnp.einsum("nok,zpk->nzop", flat_jacobian(mean, params, points), flat_jacobian(mlp, params, rows))
    close(nh.tangent_kernel(mean, mlp, params, points, rows), exact)


def test_fallback_next_to_structure_in_a_tangent_kernel(x64):
    # one side uses the weight as a product, the other squares it: the leaf needs its Jacobian on both sides
    draw = Draw(13)
    params, x = {"w": draw(3, 2)}, draw(4, 3)

    def g(p, x):
        return x @ p["w"]

    def h(p, x):
        return x @ p["w"] ** 2

    exact = jnp.einsum("nok,zpk->nzop", flat_jacobian(g, params, x), flat_jacobian(h, params, x))
    close(nh.tangent_kernel(g, h, params, x, x), exact)


def test_explain_and_cost_say_what_they_should(x64):
    draw = Draw(14)
    params, x = mlp_params(draw), draw(4, 3)
    text = str(nh.explain(mlp, params, x))
    assert "['u']" in text
    assert "2 uses" in text
    net = nh.fcn(d_in=8, width=64, depth=2, d_out=2)
    weights = net.init(key=jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(weights))
    n, o = 16, 2
    cost = nh.estimate_cost(net.apply, weights, jnp.ones((n, 8)) + jnp.arange(n)[:, None])
    # the Jacobian method stores N O P numbers and needs 2 (N O)^2 P operations for the product alone
    assert cost.jacobian.bytes >= n * o * count * 8
    assert 2 * (n * o) ** 2 * count <= cost.jacobian.flops <= 2.5 * (n * o) ** 2 * count
    assert cost.cheapest == "structured"
    assert "jacobian" in str(cost)


def test_many_outputs_switch_to_columns(x64):
    draw = Draw(15)
    # one sample and 300 outputs that share a hidden layer: a column costs less than all pairs of cotangents
    f, params, x = (lambda p, x: jnp.tanh(x @ p["w"]) @ p["v"]), {"w": draw(2, 3), "v": draw(3, 40)}, draw(2, 2)
    close(nh.empirical_ntk(f, params, x), explicit_kernel(f, params, x, x))


@pytest.fixture
def gelu_rule():
    """A made-up rule, taken out again afterwards."""
    from ntk_helpers.finite.tangents import rules

    before = dict(rules._RULES)
    yield
    rules._RULES.clear()
    rules._RULES.update(before)


def test_a_user_can_add_a_rule(gelu_rule, x64):
    draw = Draw(16)
    params, x = (draw(3, 5), draw(5, 2)), draw(4, 3)

    def f(p, x):
        return jnp.tanh(x @ jax.lax.reduce_window(p[0], 0.0, jax.lax.add, (1, 1), (1, 1), "VALID")) @ p[1]

    before = nh.explain(f, params, x)
    assert before.ways["[0]"] == "jacobian"
    assert "reduce_window_sum" in str(before)
    exact = explicit_kernel(f, params, x, x)
    close(nh.empirical_ntk(f, params, x), exact)

    @nh.register_rule("reduce_window_sum")
    def _(call):
        return call.view if all(size == 1 for size in call.params["window_dimensions"]) else "a window that sums"

    def again(p, x):  # compiled kernels are kept for the same function object
        return f(p, x)

    assert nh.explain(again, params, x).ways["[0]"] == "structured"
    close(nh.empirical_ntk(again, params, x), exact)


def test_a_function_is_traced_once_for_each_shape():
    runs = []

    def f(params, x):
        runs.append(x.shape)
        return jnp.tanh(x @ params)

    params = jnp.asarray([[0.05], [-0.1], [0.2]])
    x = jnp.asarray([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]])
    first = nh.empirical_ntk(f, params, x)
    traced = len(runs)
    other = 2.0 * params
    second = nh.empirical_ntk(f, other, x)
    assert traced > 0
    assert len(runs) == traced
    slopes = 1.0 - jnp.tanh(x @ other) ** 2
    np.testing.assert_allclose(second[:, :, 0, 0], (x @ x.T) * slopes * slopes.T, rtol=1e-5)
    assert not np.allclose(first, second)
    nh.empirical_ntk(f, params, x[:1])
    assert len(runs) > traced
