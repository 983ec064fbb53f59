# %% right: hessians
def pinn_blocks(kernel, x_b, x_r):
    in_y = lambda x, y: jax.hessian(kernel, argnums=1)(x, y)
    in_both = lambda x, y: jax.hessian(in_y, argnums=0)(x, y)
    grid = lambda f, x, y: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, y)
    return grid(kernel, x_b, x_b), grid(in_y, x_b, x_r), grid(in_both, x_r, x_r)


# %% right: pair by pair, forward mode, as lists
def pinn_blocks(kernel, x_b, x_r):
    second = jax.jit(jax.jacfwd(jax.jacfwd(kernel, 1), 1))
    both = jax.jit(jax.jacfwd(jax.jacfwd(second, 0), 0))
    return [
        np.array([[f(s, t) for t in y] for s in x])
        for f, x, y in ((kernel, x_b, x_b), (second, x_b, x_r), (both, x_r, x_r))
    ]


# %% loses 5: derivatives with respect to the boundary points
def pinn_blocks(kernel, x_b, x_r):
    second = jax.grad(jax.grad(kernel, 0), 0)
    both = jax.grad(jax.grad(second, 1), 1)
    grid = lambda f, x, y: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, y)
    return grid(kernel, x_b, x_b), grid(second, x_b, x_r), grid(both, x_r, x_r)


# %% loses 5: first derivatives
def pinn_blocks(kernel, x_b, x_r):
    first = jax.grad(kernel, 1)
    both = jax.grad(first, 0)
    grid = lambda f, x, y: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, y)
    return grid(kernel, x_b, x_b), grid(first, x_b, x_r), grid(both, x_r, x_r)


# %% loses 5: the operator on one argument only
def pinn_blocks(kernel, x_b, x_r):
    second = jax.grad(jax.grad(kernel, 1), 1)
    grid = lambda f, x, y: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, y)
    return grid(kernel, x_b, x_b), grid(second, x_b, x_r), grid(second, x_r, x_r)


# %% loses 5: the block K_ru in place of K_ur
def pinn_blocks(kernel, x_b, x_r):
    second = jax.grad(jax.grad(kernel, 1), 1)
    both = jax.grad(jax.grad(second, 0), 0)
    grid = lambda f, x, y: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, y)
    return grid(kernel, x_b, x_b), grid(second, x_b, x_r).T, grid(both, x_r, x_r)


# %% loses 5: four derivatives in one argument, as if the kernel were stationary
def pinn_blocks(kernel, x_b, x_r):
    second = jax.grad(jax.grad(kernel, 1), 1)
    fourth = jax.grad(jax.grad(second, 1), 1)
    grid = lambda f, x, y: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, y)
    return grid(kernel, x_b, x_b), grid(second, x_b, x_r), grid(fourth, x_r, x_r)


# %% loses 3: differences with a large step
def pinn_blocks(kernel, x_b, x_r):
    h = 0.01
    second = lambda x, y: (kernel(x, y + h) - 2 * kernel(x, y) + kernel(x, y - h)) / h**2
    both = lambda x, y: (second(x + h, y) - 2 * second(x, y) + second(x - h, y)) / h**2
    grid = lambda f, x, y: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, y)
    return grid(kernel, x_b, x_b), grid(second, x_b, x_r), jnp.round(grid(both, x_r, x_r), 6)


# %% loses 3: derivatives at zero
def pinn_blocks(kernel, x_b, x_r):
    second = jax.grad(jax.grad(kernel, 1), 1)
    both = jax.grad(jax.grad(second, 0), 0)
    grid = lambda f, x, y: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(x, y)
    return grid(kernel, x_b, x_b), grid(second, x_b, 0 * x_r), grid(both, x_r, 0 * x_r)
