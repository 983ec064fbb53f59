"""Random programs: stacks of layers that reuse, reshape, transpose, slice and scale their parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from finite.tangents.cases import Draw
from finite.tangents.reference import explicit_kernel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ntk_helpers as nh

WIDTH = 4  # a square, so that parameters can be used either way round
PARAMETERS = 2

# how a layer sees a 4 x 4 parameter
VIEWS = {
    "plain": lambda w: w,
    "transposed": lambda w: w.T,
    "scaled": lambda w: w * 0.7 / 1.3,
    "negated": lambda w: -w,
    "reversed": lambda w: w[::-1],
    "reshaped": lambda w: w.reshape(2, 2, 4).transpose(1, 0, 2).reshape(4, 4),
    "halves": lambda w: w[:, :2] @ jnp.ones((2, 4)),
    "rolled": lambda w: jnp.roll(w, 1, axis=0),
    "squared": lambda w: w**2,
}
LAYERS = {
    "dense": lambda h, w: jnp.tanh(h @ w),
    "residual": lambda h, w: h + jnp.sin(h @ w),
    "gated": lambda h, w: jnp.tanh(h @ w) * h,
    "norm": lambda h, w: h * w[0] / jnp.sqrt(1.0 + (h**2).mean(-1, keepdims=True)),
    "bias": lambda h, w: h + w[:, 1],
    "jit": lambda h, w: jax.jit(lambda h, w: jnp.tanh(h @ w))(h, w),
    "scan": lambda h, w: jax.lax.scan(lambda c, _: (jnp.tanh(c @ w), None), h, None, length=2)[0],
    "conv": lambda h, w: jax.lax.conv_general_dilated(h[:, None], w[:2, :3].reshape(2, 1, 3), (1,), "SAME").mean(1),
}
STEP = st.tuples(st.sampled_from(sorted(LAYERS)), st.integers(0, PARAMETERS - 1), st.sampled_from(sorted(VIEWS)))


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=4), outputs=st.integers(1, 3))
def test_random_programs(steps, outputs, x64):
    draw = Draw(len(steps) + outputs)
    params = [draw(WIDTH, WIDTH) for _ in range(PARAMETERS)]
    x = draw(3, WIDTH)

    def f(p, x):
        for layer, which, view in steps:
            x = LAYERS[layer](x, VIEWS[view](p[which]))
        return x[:, :outputs]

    kernel = np.asarray(nh.empirical_ntk(f, params, x, method="structured"))
    exact = np.asarray(explicit_kernel(f, params, x, x))
    np.testing.assert_allclose(kernel, exact, rtol=0, atol=1e-10 * max(np.abs(exact).max(), 1e-8))
