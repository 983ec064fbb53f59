# %% right: the fixed point for each sigma_w, and a root of chi - 1
def edge_of_chaos(sigma_b):
    def excess(sigma_w):
        step = lambda q: sigma_w**2 * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)) + sigma_b**2
        q = 1.0
        for _ in range(20000):
            q = step(q)
        return sigma_w**2 * 4 / np.pi / np.sqrt(1 + 4 * q) - 1

    return scipy.optimize.brentq(excess, 0.5, 3.0, xtol=1e-4)


# %% right: by bisection over the variance
def edge_of_chaos(sigma_b):
    low, high = 0.0, 100.0
    for _ in range(80):
        q = (low + high) / 2
        weights = np.pi / 4 * np.sqrt(1 + 4 * q)
        bias = q - weights * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q))
        low, high = (q, high) if bias < sigma_b**2 else (low, q)
    return jnp.sqrt(jnp.pi / 4 * jnp.sqrt(1 + 4 * low))


# %% loses 5: the variance of the weights
def edge_of_chaos(sigma_b):
    gap = lambda q: q - np.sqrt(1 + 4 * q) / 2 * np.arcsin(2 * q / (1 + 2 * q)) - sigma_b**2
    return np.pi / 4 * np.sqrt(1 + 4 * scipy.optimize.brentq(gap, 0.0, 1e4))


# %% loses 5: at variance 1
def edge_of_chaos(sigma_b):
    return np.sqrt(np.pi / 4 * np.sqrt(5))


# %% loses 5: the derivative of erf without its factor
def edge_of_chaos(sigma_b):
    gap = lambda q: q - np.sqrt(1 + 4 * q) * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)) - sigma_b**2
    q = scipy.optimize.brentq(gap, 1e-9, 1e4) if sigma_b else 0.0
    return (1 + 4 * q) ** 0.25


# %% loses 5: the edge of relu
def edge_of_chaos(sigma_b):
    return np.sqrt(2.0)


# %% loses 3: the bias ignored
def edge_of_chaos(sigma_b):
    return np.sqrt(np.pi) / 2


# %% loses 3: the bias's variance taken for the whole variance
def edge_of_chaos(sigma_b):
    return np.sqrt(np.pi / 4 * np.sqrt(1 + 4 * sigma_b**2))


# %% loses 3: sigma_b in place of sigma_b squared
def edge_of_chaos(sigma_b):
    gap = lambda q: q - np.sqrt(1 + 4 * q) / 2 * np.arcsin(2 * q / (1 + 2 * q)) - sigma_b
    q = scipy.optimize.brentq(gap, 0.0, 1e4) if sigma_b else 0.0
    return np.sqrt(np.pi / 4 * np.sqrt(1 + 4 * q))
