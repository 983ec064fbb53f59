# %% right: by NumPy's norm
def relative_deviation(kernels, limit):
    return np.linalg.norm(kernels - limit, axis=(1, 2)) / np.linalg.norm(limit)


# %% right: one after the other, as a list
def relative_deviation(kernels, limit):
    scale = float(np.sum(limit * limit)) ** 0.5
    return [float(jnp.sqrt(jnp.sum((k - limit) ** 2))) / scale for k in jnp.asarray(kernels)]


# %% loses 4: the square
def relative_deviation(kernels, limit):
    return np.sum((kernels - limit) ** 2, axis=(1, 2)) / np.sum(limit**2)


# %% loses 4: divided by the network's own kernel
def relative_deviation(kernels, limit):
    return np.linalg.norm(kernels - limit, axis=(1, 2)) / np.linalg.norm(kernels, axis=(1, 2))


# %% loses 4: over the networks (wrong axis)
def relative_deviation(kernels, limit):
    return np.linalg.norm(kernels - limit, axis=0) / np.linalg.norm(limit)


# %% loses 4: not relative
def relative_deviation(kernels, limit):
    return np.linalg.norm(kernels - limit, axis=(1, 2))


# %% loses 4: one number for all networks
def relative_deviation(kernels, limit):
    return np.linalg.norm(kernels - limit) / np.linalg.norm(limit)


# %% loses 3: the spectral norm
def relative_deviation(kernels, limit):
    return np.linalg.norm(kernels - limit, ord=2, axis=(1, 2)) / np.linalg.norm(limit, ord=2)


# %% loses 3: the diagonal alone
def relative_deviation(kernels, limit):
    gap = np.diagonal(kernels - limit, axis1=1, axis2=2)
    return np.linalg.norm(gap, axis=1) / np.linalg.norm(np.diag(limit))


# %% loses 3: the mean of the entries' relative deviations
def relative_deviation(kernels, limit):
    return np.mean(np.abs(kernels / limit - 1), axis=(1, 2))
