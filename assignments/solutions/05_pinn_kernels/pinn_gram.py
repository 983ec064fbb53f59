# %% right: leaf by leaf
def pinn_gram(u, params, x_b, x_r):
    second = jax.grad(jax.grad(u, 1), 1)
    values = jax.vmap(jax.grad(u), (None, 0))(params, x_b)
    residuals = jax.vmap(jax.grad(second), (None, 0))(params, x_r)
    total = 0
    for a, b in zip(jax.tree.leaves(values), jax.tree.leaves(residuals), strict=True):
        rows = jnp.concatenate([a.reshape(len(x_b), -1), b.reshape(len(x_r), -1)])
        total = total + rows @ rows.T
    return total


# %% right: block by block
def pinn_gram(u, params, x_b, x_r):
    from jax.flatten_util import ravel_pytree

    second = jax.hessian(u, argnums=1)
    flat = lambda f, x: jnp.stack([ravel_pytree(jax.grad(f)(params, point))[0] for point in x])
    a, b = flat(u, x_b), flat(second, x_r)
    return jnp.block([[a @ a.T, a @ b.T], [b @ a.T, b @ b.T]])


# %% loses 5: no blocks between values and residuals
def pinn_gram(u, params, x_b, x_r):
    from jax.flatten_util import ravel_pytree

    second = jax.grad(jax.grad(u, 1), 1)
    flat = lambda f, x: jnp.stack([ravel_pytree(jax.grad(f)(params, point))[0] for point in x])
    a, b = flat(u, x_b), flat(second, x_r)
    return jax.scipy.linalg.block_diag(a @ a.T, b @ b.T)


# %% loses 5: first derivatives in the residual
def pinn_gram(u, params, x_b, x_r):
    from jax.flatten_util import ravel_pytree

    first = jax.grad(u, 1)
    flat = lambda f, x: jnp.stack([ravel_pytree(jax.grad(f)(params, point))[0] for point in x])
    rows = jnp.concatenate([flat(u, x_b), flat(first, x_r)])
    return rows @ rows.T


# %% loses 5: the mean over the parameters
def pinn_gram(u, params, x_b, x_r):
    from jax.flatten_util import ravel_pytree

    second = jax.grad(jax.grad(u, 1), 1)
    flat = lambda f, x: jnp.stack([ravel_pytree(jax.grad(f)(params, point))[0] for point in x])
    rows = jnp.concatenate([flat(u, x_b), flat(second, x_r)])
    return rows @ rows.T / rows.shape[1]


# %% loses 5: the sign of the residual
def pinn_gram(u, params, x_b, x_r):
    from jax.flatten_util import ravel_pytree

    second = jax.grad(jax.grad(u, 1), 1)
    flat = lambda f, x: jnp.stack([ravel_pytree(jax.grad(f)(params, point))[0] for point in x])
    rows = jnp.concatenate([flat(u, x_b), -flat(second, x_r)])
    return rows @ rows.T


# %% loses 5: residuals before values
def pinn_gram(u, params, x_b, x_r):
    from jax.flatten_util import ravel_pytree

    second = jax.grad(jax.grad(u, 1), 1)
    flat = lambda f, x: jnp.stack([ravel_pytree(jax.grad(f)(params, point))[0] for point in x])
    rows = jnp.concatenate([flat(second, x_r), flat(u, x_b)])
    return rows @ rows.T


# %% loses 3: one array of the parameters
def pinn_gram(u, params, x_b, x_r):
    second = jax.grad(jax.grad(u, 1), 1)
    first_leaf = lambda f, x: jnp.stack([jax.tree.leaves(jax.grad(f)(params, point))[0] for point in x])
    rows = jnp.concatenate([first_leaf(u, x_b), first_leaf(second, x_r)])
    return rows @ rows.T


# %% loses 3: no biases
def pinn_gram(u, params, x_b, x_r):
    from jax.flatten_util import ravel_pytree

    second = jax.grad(jax.grad(u, 1), 1)
    weights = lambda g: {name: leaf for name, leaf in g.items() if name != "b" and jnp.ndim(leaf)}
    flat = lambda f, x: jnp.stack([ravel_pytree(weights(jax.grad(f)(params, point)))[0] for point in x])
    rows = jnp.concatenate([flat(u, x_b), flat(second, x_r)])
    return rows @ rows.T
