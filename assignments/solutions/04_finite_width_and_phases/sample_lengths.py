# %% right: the number of active units, then a chi-square number
def sample_lengths(width, depth, n_networks, rng):
    q = np.ones(n_networks)
    for _ in range(depth):
        active = rng.binomial(width, 0.5, n_networks)
        q = q * 2 / width * np.where(active > 0, rng.chisquare(np.maximum(active, 1)), 0.0)
    return q


# %% right: real networks, weight by weight where they are small, network by network
def sample_lengths(width, depth, n_networks, rng):
    found = []
    for _ in range(n_networks):
        factors = 2 * np.mean(np.maximum(rng.standard_normal((depth, width)), 0) ** 2, axis=1)
        found.append(np.prod(factors))
    return jnp.array(found)


# %% loses 5: the factor 2 is missing
def sample_lengths(width, depth, n_networks, rng):
    q = np.ones(n_networks)
    for _ in range(depth):
        z = rng.standard_normal((n_networks, width)) * np.sqrt(q)[:, None]
        q = np.mean(np.maximum(z, 0) ** 2, axis=1)
    return q


# %% loses 5: no relu
def sample_lengths(width, depth, n_networks, rng):
    q = np.ones(n_networks)
    for _ in range(depth):
        q = q * np.mean(rng.standard_normal((n_networks, width)) ** 2, axis=1)
    return q


# %% loses 5: the mean over the networks (wrong axis)
def sample_lengths(width, depth, n_networks, rng):
    q = np.ones(width)
    for _ in range(depth):
        z = rng.standard_normal((n_networks, width)) * np.sqrt(q)
        q = 2 * np.mean(np.maximum(z, 0) ** 2, axis=0)
    return q


# %% loses 5: the length, not its square
def sample_lengths(width, depth, n_networks, rng):
    q = np.ones(n_networks)
    for _ in range(depth):
        z = rng.standard_normal((n_networks, width)) * np.sqrt(q)[:, None]
        q = 2 * np.mean(np.maximum(z, 0) ** 2, axis=1)
    return np.sqrt(q)


# %% loses 5: infinite width
def sample_lengths(width, depth, n_networks, rng):
    return np.ones(n_networks)


# %% loses 5: no `return`
def sample_lengths(width, depth, n_networks, rng):
    q = np.ones(n_networks)
    for _ in range(depth):
        z = rng.standard_normal((n_networks, width)) * np.sqrt(q)[:, None]
        q = 2 * np.mean(np.maximum(z, 0) ** 2, axis=1)


# %% loses 3: the same numbers in all layers
def sample_lengths(width, depth, n_networks, rng):
    g = np.maximum(rng.standard_normal((n_networks, width)), 0)
    return (2 * np.mean(g**2, axis=1)) ** depth


# %% loses 3: a log-normal number with the right two moments of one layer
def sample_lengths(width, depth, n_networks, rng):
    variance = np.log(1 + 5 / width)
    return np.exp(np.sum(rng.normal(-variance / 2, np.sqrt(variance), (depth, n_networks)), axis=0))


# %% loses 3: one layer, the deviations added
def sample_lengths(width, depth, n_networks, rng):
    z = np.maximum(rng.standard_normal((n_networks, depth, width)), 0)
    return 1 + np.sum(2 * np.mean(z**2, axis=2) - 1, axis=1)
