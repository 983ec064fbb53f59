# %% right: all points together, then the block
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = theta = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth):
        q = np.diag(sigma)
        value, slope = relu_dual(q[:, None], q[None, :], sigma)
        sigma = sigma_w**2 * value + sigma_b**2
        theta = sigma + sigma_w**2 * slope * theta
    return theta[: len(x1), len(x1) :]


# %% right: as a sum over layers, each times the slopes above it
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigmas, slopes = [sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2], []
    for _ in range(depth):
        q = np.diag(sigmas[-1])
        value, slope = relu_dual(q[:, None], q[None, :], sigmas[-1])
        sigmas.append(sigma_w**2 * value + sigma_b**2)
        slopes.append(sigma_w**2 * slope)
    total = sum(sigma * np.prod([np.ones_like(sigma), *slopes[l:]], axis=0) for l, sigma in enumerate(sigmas))
    return jnp.asarray(total)[: len(x1), len(x1) :]


# %% loses 5: the NNGP kernel
def ntk(x1, x2, depth, sigma_w, sigma_b):
    return nngp(x1, x2, depth, sigma_w, sigma_b)


# %% loses 5: the derivative without its factor 1/2
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = theta = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth):
        q = np.diag(sigma)
        value, slope = relu_dual(q[:, None], q[None, :], sigma)
        sigma = sigma_w**2 * value + sigma_b**2
        theta = sigma + sigma_w**2 * 2 * slope * theta
    return theta[: len(x1), len(x1) :]


# %% loses 5: sigma_w in place of sigma_w squared before the earlier layers
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = theta = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth):
        q = np.diag(sigma)
        value, slope = relu_dual(q[:, None], q[None, :], sigma)
        sigma = sigma_w**2 * value + sigma_b**2
        theta = sigma + sigma_w * slope * theta
    return theta[: len(x1), len(x1) :]


# %% loses 5: the last two layers only
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = theta = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth):
        q = np.diag(sigma)
        value, slope = relu_dual(q[:, None], q[None, :], sigma)
        theta = sigma_w**2 * value + sigma_b**2 + sigma_w**2 * slope * sigma
        sigma = sigma_w**2 * value + sigma_b**2
    return theta[: len(x1), len(x1) :]


# %% loses 5: the biases are not counted as parameters
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    theta = sigma - sigma_b**2
    for _ in range(depth):
        q = np.diag(sigma)
        value, slope = relu_dual(q[:, None], q[None, :], sigma)
        sigma = sigma_w**2 * value + sigma_b**2
        theta = sigma_w**2 * value + sigma_w**2 * slope * theta
    return theta[: len(x1), len(x1) :]


# %% loses 5: the standard parameterization, weights of the first layer
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    theta = x @ x.T + 1
    for _ in range(depth):
        q = np.diag(sigma)
        value, slope = relu_dual(q[:, None], q[None, :], sigma)
        sigma = sigma_w**2 * value + sigma_b**2
        theta = sigma + sigma_w**2 * slope * theta
    return theta[: len(x1), len(x1) :]


# %% loses 3: the slope of the layer above in place of the layer below
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = theta = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth):
        q = np.diag(sigma)
        sigma = sigma_w**2 * relu_dual(q[:, None], q[None, :], sigma)[0] + sigma_b**2
        q = np.diag(sigma)
        theta = sigma + sigma_w**2 * relu_dual(q[:, None], q[None, :], sigma)[1] * theta
    return theta[: len(x1), len(x1) :]


# %% loses 3: the NNGP kernel of the layer below is added
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = theta = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth):
        q = np.diag(sigma)
        value, slope = relu_dual(q[:, None], q[None, :], sigma)
        theta = sigma + sigma_w**2 * slope * theta
        sigma = sigma_w**2 * value + sigma_b**2
    return theta[: len(x1), len(x1) :]


# %% loses 3: without bias in the tangent part of the first layer
def ntk(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    sigma = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    theta = sigma - sigma_b**2
    for _ in range(depth):
        q = np.diag(sigma)
        value, slope = relu_dual(q[:, None], q[None, :], sigma)
        sigma = sigma_w**2 * value + sigma_b**2
        theta = sigma + sigma_w**2 * slope * theta
    return theta[: len(x1), len(x1) :]
