# %% right: roots of the eigenvalues of J J^T
def singular_values(weights, sigma_w):
    j = weights[0] * sigma_w / np.sqrt(weights[0].shape[1])
    for w in weights[1:]:
        j = (sigma_w / np.sqrt(w.shape[1])) * (w @ j)
    gram = j @ j.T if j.shape[0] <= j.shape[1] else j.T @ j
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0))[::-1]


# %% right: the Jacobian by automatic differentiation
def singular_values(weights, sigma_w):
    def network(x):
        for w in weights:
            x = sigma_w / jnp.sqrt(w.shape[1]) * jnp.asarray(w) @ x
        return x

    return jnp.linalg.svd(jax.jacobian(network)(jnp.ones(weights[0].shape[1])), compute_uv=False)


# %% loses 5: without the factor of the width
def singular_values(weights, sigma_w):
    return np.linalg.svd(sigma_w ** len(weights) * np.linalg.multi_dot(weights[::-1]), compute_uv=False)


# %% loses 5: sigma_w once
def singular_values(weights, sigma_w):
    product = np.linalg.multi_dot([w / np.sqrt(w.shape[1]) for w in reversed(weights)])
    return np.linalg.svd(sigma_w * product, compute_uv=False)


# %% loses 5: sigma_w squared
def singular_values(weights, sigma_w):
    product = np.linalg.multi_dot([sigma_w**2 * w / np.sqrt(w.shape[1]) for w in reversed(weights)])
    return np.linalg.svd(product, compute_uv=False)


# %% loses 5: divided by the width, not its root
def singular_values(weights, sigma_w):
    product = np.linalg.multi_dot([sigma_w * w / w.shape[1] for w in reversed(weights)])
    return np.linalg.svd(product, compute_uv=False)


# %% loses 3: the last matrix first
def singular_values(weights, sigma_w):
    product = np.linalg.multi_dot([sigma_w * w / np.sqrt(w.shape[1]) for w in weights])
    return np.linalg.svd(product, compute_uv=False)


# %% loses 3: eigenvalues in place of singular values
def singular_values(weights, sigma_w):
    product = np.linalg.multi_dot([sigma_w * w / np.sqrt(w.shape[1]) for w in reversed(weights)])
    return np.sort(np.abs(np.linalg.eigvals(product)))[::-1]


# %% loses 3: smallest first
def singular_values(weights, sigma_w):
    product = np.linalg.multi_dot([sigma_w * w / np.sqrt(w.shape[1]) for w in reversed(weights)])
    return np.sort(np.linalg.svd(product, compute_uv=False))


# %% loses 3: divided by the number of outputs of a layer (wrong axis)
def singular_values(weights, sigma_w):
    product = np.linalg.multi_dot([sigma_w * w / np.sqrt(w.shape[0]) for w in reversed(weights)])
    return np.linalg.svd(product, compute_uv=False)
