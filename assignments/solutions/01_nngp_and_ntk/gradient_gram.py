# %% right: one gradient for each input, all parameters in one vector
def gradient_gram(apply, params, x1, x2):
    from jax.flatten_util import ravel_pytree

    flat, unravel = ravel_pytree(params)
    gradient = jax.grad(lambda p, row: apply(unravel(p), row[None])[0])
    rows = jax.vmap(gradient, in_axes=(None, 0))
    return rows(flat, x1) @ rows(flat, x2).T


# %% right: forward along each gradient, no matrix of gradients
def gradient_gram(apply, params, x1, x2):
    _, pull = jax.vjp(lambda p: apply(p, x2), params)
    column = lambda e: jax.jvp(lambda p: apply(p, x1), (params,), pull(e))[1]
    return jnp.stack([column(e) for e in jnp.eye(len(x2))], axis=1)


# %% loses 5: the mean over the parameters
def gradient_gram(apply, params, x1, x2):
    leaves = lambda x: [leaf.reshape(len(x), -1) for leaf in jax.tree.leaves(jax.jacrev(apply)(params, x))]
    a, b = jnp.concatenate(leaves(x1), axis=1), jnp.concatenate(leaves(x2), axis=1)
    return a @ b.T / a.shape[1]


# %% loses 5: the second inputs are not used
def gradient_gram(apply, params, x1, x2):
    leaves = [leaf.reshape(len(x1), -1) for leaf in jax.tree.leaves(jax.jacrev(apply)(params, x1))]
    rows = jnp.concatenate(leaves, axis=1)
    return rows @ rows.T


# %% loses 5: summed over the inputs before the product (wrong axis)
def gradient_gram(apply, params, x1, x2):
    total = lambda x: jax.grad(lambda p: jnp.sum(apply(p, x)))(params)
    return sum(jnp.sum(a * b) for a, b in zip(jax.tree.leaves(total(x1)), jax.tree.leaves(total(x2)), strict=True))


# %% loses 5: derivatives with respect to the inputs
def gradient_gram(apply, params, x1, x2):
    slope = jax.vmap(jax.grad(lambda row: apply(params, row[None])[0]))
    return slope(x1) @ slope(x2).T


# %% loses 3: only the first array
def gradient_gram(apply, params, x1, x2):
    rows = lambda x: jax.tree.leaves(jax.jacrev(apply)(params, x))[0].reshape(len(x), -1)
    return rows(x1) @ rows(x2).T


# %% loses 3: arrays with one axis or none, the biases, are left out
def gradient_gram(apply, params, x1, x2):
    def rows(x):
        found = {name: leaf for name, leaf in jax.jacrev(apply)(params, x).items() if name != "b" and name != "c"}
        return jnp.concatenate([leaf.reshape(len(x), -1) for leaf in found.values()], axis=1)

    return rows(x1) @ rows(x2).T
