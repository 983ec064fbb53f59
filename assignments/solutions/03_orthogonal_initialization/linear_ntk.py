# %% right: a Gram matrix of gradients
def linear_ntk(x1, x2, weights, sigma_w):
    def f(params, x):
        for w in params:
            x = sigma_w / np.sqrt(w.shape[1]) * x @ w.T
        return x[:, 0]

    params = [jnp.asarray(w) for w in weights]
    rows = lambda x: jnp.concatenate([j.reshape(len(x), -1) for j in jax.jacrev(f)(params, jnp.asarray(x))], axis=1)
    return rows(x1) @ rows(x2).T


# %% right: with products of matrices below and above each layer
def linear_ntk(x1, x2, weights, sigma_w):
    scaled = [sigma_w * w / np.sqrt(w.shape[1]) for w in weights]
    total = np.zeros((len(x1), len(x2)))
    for l, w in enumerate(weights):
        below, above = np.eye(x1.shape[1]), np.eye(1)
        for s in scaled[:l]:
            below = s @ below
        for s in reversed(scaled[l + 1 :]):
            above = above @ s
        total += sigma_w**2 / w.shape[1] * np.sum(above**2) * x1 @ below.T @ below @ x2.T
    return total


# %% loses 5: without the readout
def linear_ntk(x1, x2, weights, sigma_w):
    scaled = [sigma_w * w / np.sqrt(w.shape[1]) for w in weights]
    total = np.zeros((len(x1), len(x2)))
    for l, w in enumerate(weights[:-1]):
        below, above = np.eye(x1.shape[1]), np.eye(1)
        for s in scaled[:l]:
            below = s @ below
        for s in reversed(scaled[l + 1 :]):
            above = above @ s
        total += sigma_w**2 / w.shape[1] * np.sum(above**2) * x1 @ below.T @ below @ x2.T
    return total


# %% loses 5: the readout alone
def linear_ntk(x1, x2, weights, sigma_w):
    for w in weights[:-1]:
        x1, x2 = (sigma_w * x @ w.T / np.sqrt(w.shape[1]) for x in (x1, x2))
    return sigma_w**2 / weights[-1].shape[1] * x1 @ x2.T


# %% loses 5: the standard parameterization
def linear_ntk(x1, x2, weights, sigma_w):
    scaled = [sigma_w * w / np.sqrt(w.shape[1]) for w in weights]
    total = np.zeros((len(x1), len(x2)))
    for l in range(len(weights)):
        below, above = np.eye(x1.shape[1]), np.eye(1)
        for s in scaled[:l]:
            below = s @ below
        for s in reversed(scaled[l + 1 :]):
            above = above @ s
        total += np.sum(above**2) * x1 @ below.T @ below @ x2.T
    return total


# %% loses 5: sigma_w in place of its square
def linear_ntk(x1, x2, weights, sigma_w):
    scaled = [sigma_w * w / np.sqrt(w.shape[1]) for w in weights]
    total = np.zeros((len(x1), len(x2)))
    for l, w in enumerate(weights):
        below, above = np.eye(x1.shape[1]), np.eye(1)
        for s in scaled[:l]:
            below = s @ below
        for s in reversed(scaled[l + 1 :]):
            above = above @ s
        total += sigma_w / w.shape[1] * np.sum(above**2) * x1 @ below.T @ below @ x2.T
    return total


# %% loses 5: the outer product of the outputs
def linear_ntk(x1, x2, weights, sigma_w):
    for w in weights:
        x1, x2 = (sigma_w * x @ w.T / np.sqrt(w.shape[1]) for x in (x1, x2))
    return x1 @ x2.T


# %% loses 3: the formula of orthogonal weights for all weights
def linear_ntk(x1, x2, weights, sigma_w):
    return len(weights) * sigma_w ** (2 * len(weights)) * x1 @ x2.T / x1.shape[1]


# %% loses 3: the readout's squared length taken to be the width
def linear_ntk(x1, x2, weights, sigma_w):
    scaled = [sigma_w * w / np.sqrt(w.shape[1]) for w in weights]
    scaled[-1] = sigma_w * weights[-1] / np.linalg.norm(weights[-1])
    total = np.zeros((len(x1), len(x2)))
    for l, w in enumerate(weights):
        below, above = np.eye(x1.shape[1]), np.eye(1)
        for s in scaled[:l]:
            below = s @ below
        for s in reversed(scaled[l + 1 :]):
            above = above @ s
        total += sigma_w**2 / w.shape[1] * np.sum(above**2) * x1 @ below.T @ below @ x2.T
    return total
