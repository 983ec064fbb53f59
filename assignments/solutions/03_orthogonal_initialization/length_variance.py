# %% right: all networks layer by layer, from another start
def length_variance(draw, n, depth, n_networks, rng):
    z = np.tile(np.arange(1.0, n + 1), (n_networks, 1))
    start = z[0] @ z[0]
    for _ in range(depth):
        z = np.array([draw(rng, n) @ row for row in z]) / np.sqrt(n)
    return np.mean((np.sum(z**2, axis=1) / start - np.mean(np.sum(z**2, axis=1) / start)) ** 2)


# %% right: the sample variance, on JAX
def length_variance(draw, n, depth, n_networks, rng):
    def ratio():
        z = np.zeros(n)
        z[0] = 2.0
        for _ in range(depth):
            z = draw(rng, n) @ z / n**0.5
        return np.linalg.norm(z) ** 2 / 4

    return jnp.var(jnp.array([ratio() for _ in range(n_networks)]), ddof=1)


# %% right: with a progress bar, which writes to standard error
def length_variance(draw, n, depth, n_networks, rng):
    from tqdm import tqdm

    ratios = []
    for _ in tqdm(range(n_networks)):
        z = np.eye(n)[0]
        for _ in range(depth):
            z = draw(rng, n) @ z / np.sqrt(n)
        ratios.append(z @ z)
    return np.var(ratios)


# %% loses 5: the length, not its square
def length_variance(draw, n, depth, n_networks, rng):
    ratios = []
    for _ in range(n_networks):
        z = np.ones(n)
        for _ in range(depth):
            z = draw(rng, n) @ z / np.sqrt(n)
        ratios.append(np.sqrt(z @ z / n))
    return np.var(ratios)


# %% loses 5: one network for all
def length_variance(draw, n, depth, n_networks, rng):
    layers = [draw(rng, n) for _ in range(depth)]
    ratios = []
    for _ in range(n_networks):
        z = np.ones(n)
        for w in layers:
            z = w @ z / np.sqrt(n)
        ratios.append(z @ z / n)
    return np.var(ratios)


# %% loses 5: over the units (wrong axis)
def length_variance(draw, n, depth, n_networks, rng):
    outputs = []
    for _ in range(n_networks):
        z = np.ones(n)
        for _ in range(depth):
            z = draw(rng, n) @ z / np.sqrt(n)
        outputs.append(z**2)
    return np.mean(np.var(outputs, axis=1))


# %% loses 5: the standard deviation
def length_variance(draw, n, depth, n_networks, rng):
    ratios = []
    for _ in range(n_networks):
        z = np.ones(n)
        for _ in range(depth):
            z = draw(rng, n) @ z / np.sqrt(n)
        ratios.append(z @ z / n)
    return np.std(ratios)


# %% loses 5: not divided by the width
def length_variance(draw, n, depth, n_networks, rng):
    ratios = []
    for _ in range(n_networks):
        z = np.ones(n)
        for _ in range(depth):
            z = draw(rng, n) @ z
        ratios.append(z @ z / n)
    return np.var(ratios)


# %% loses 3: one matrix for all layers of a network
def length_variance(draw, n, depth, n_networks, rng):
    ratios = []
    for _ in range(n_networks):
        z, w = np.ones(n), draw(rng, n)
        for _ in range(depth):
            z = w @ z / np.sqrt(n)
        ratios.append(z @ z / n)
    return np.var(ratios)


# %% loses 3: one layer, the rest by adding variances
def length_variance(draw, n, depth, n_networks, rng):
    ratios = []
    for _ in range(n_networks):
        z = draw(rng, n) @ np.ones(n) / np.sqrt(n)
        ratios.append(z @ z / n)
    return depth * np.var(ratios)


# %% loses 3: the last layer alone
def length_variance(draw, n, depth, n_networks, rng):
    ratios = []
    for _ in range(n_networks):
        for _ in range(depth):
            z = draw(rng, n) @ np.ones(n) / np.sqrt(n)
        ratios.append(z @ z / n)
    return np.var(ratios)
