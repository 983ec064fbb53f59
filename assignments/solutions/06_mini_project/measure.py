# %% right: network by network
def measure(x, widths, n_seeds, key):
    limit = np.asarray(nh.fcn_kernel(x, depth=1, sigma_w=np.sqrt(2.0), get="ntk"))
    found = np.zeros((len(widths), n_seeds))
    for i, width in enumerate(widths):
        net = nh.fcn(d_in=x.shape[1], width=int(width), depth=1, sigma_w=np.sqrt(2.0))
        kernel = jax.jit(lambda k: nh.empirical_ntk(net.apply, net.init(key=k), x, output="trace"))
        for s in range(n_seeds):
            own = kernel(jax.random.fold_in(key, 1000 * i + s))
            found[i, s] = np.linalg.norm(own - limit) / np.linalg.norm(limit)
    return found


# %% right: without the package, the kernel by hand
def measure(x, widths, n_seeds, key):
    rng = np.random.default_rng(int(jax.random.randint(key, (), 0, 2**31 - 1)))
    angle = np.arccos(np.clip(x @ x.T / np.outer(*[np.linalg.norm(x, axis=1)] * 2), -1, 1))
    lengths = np.outer(*[np.linalg.norm(x, axis=1)] * 2)
    q = 2 / x.shape[1]
    kappa = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    limit = q * lengths * (kappa + np.cos(angle) * (1 - angle / np.pi))
    rows = []
    for width in widths:
        row = []
        for _ in range(n_seeds):
            z = np.sqrt(q) * x @ rng.standard_normal((x.shape[1], width))
            h, step, a = np.maximum(z, 0), z > 0, rng.standard_normal(width)
            kernel = 2 / width * (h @ h.T + (step * a**2) @ step.T * (q * x @ x.T))
            row.append(np.linalg.norm(kernel - limit) / np.linalg.norm(limit))
        rows.append(row)
    return rows


# %% loses 5: one key for all networks
def measure(x, widths, n_seeds, key):
    limit = nh.fcn_kernel(x, depth=1, sigma_w=np.sqrt(2.0), get="ntk")
    found = []
    for width in widths:
        net = nh.fcn(d_in=x.shape[1], width=width, depth=1, sigma_w=np.sqrt(2.0))
        one = nh.empirical_ntk(net.apply, net.init(key=key), x, output="trace")
        found.append(relative_deviation(np.stack([one] * n_seeds), limit))
    return np.stack(found)


# %% loses 5: networks in rows (wrong axis)
def measure(x, widths, n_seeds, key):
    limit = nh.fcn_kernel(x, depth=1, sigma_w=np.sqrt(2.0), get="ntk")
    found = []
    for width, own in zip(widths, jax.random.split(key, len(widths)), strict=True):
        net = nh.fcn(d_in=x.shape[1], width=width, depth=1, sigma_w=np.sqrt(2.0))
        kernel = jax.vmap(lambda k: nh.empirical_ntk(net.apply, net.init(key=k), x, output="trace"))
        found.append(relative_deviation(kernel(jax.random.split(own, n_seeds)), limit))
    return np.stack(found).T


# %% loses 3: the same keys at every width
def measure(x, widths, n_seeds, key):
    limit = nh.fcn_kernel(x, depth=1, sigma_w=np.sqrt(2.0), get="ntk")
    keys, found = jax.random.split(key, n_seeds), []
    for width in widths:
        net = nh.fcn(d_in=x.shape[1], width=width, depth=1, sigma_w=np.sqrt(2.0))
        kernel = jax.vmap(lambda k: nh.empirical_ntk(net.apply, net.init(key=k), x, output="trace"))
        found.append(relative_deviation(kernel(keys), limit))
    return np.stack(found)


# %% loses 3: the NNGP kernel as the limit
def measure(x, widths, n_seeds, key):
    limit = nh.fcn_kernel(x, depth=1, sigma_w=np.sqrt(2.0), get="nngp")
    found = []
    for width, own in zip(widths, jax.random.split(key, len(widths)), strict=True):
        net = nh.fcn(d_in=x.shape[1], width=width, depth=1, sigma_w=np.sqrt(2.0))
        kernel = jax.vmap(lambda k: nh.empirical_ntk(net.apply, net.init(key=k), x, output="trace"))
        found.append(relative_deviation(kernel(jax.random.split(own, n_seeds)), limit))
    return np.stack(found)


# %% loses 3: sigma_w^2 in place of sigma_w in the network
def measure(x, widths, n_seeds, key):
    limit = nh.fcn_kernel(x, depth=1, sigma_w=np.sqrt(2.0), get="ntk")
    found = []
    for width, own in zip(widths, jax.random.split(key, len(widths)), strict=True):
        net = nh.fcn(d_in=x.shape[1], width=width, depth=1, sigma_w=2.0)
        kernel = jax.vmap(lambda k: nh.empirical_ntk(net.apply, net.init(key=k), x, output="trace"))
        found.append(relative_deviation(kernel(jax.random.split(own, n_seeds)), limit))
    return np.stack(found)


# %% loses 3: the standard parameterization
def measure(x, widths, n_seeds, key):
    limit = nh.fcn_kernel(x, depth=1, sigma_w=np.sqrt(2.0), get="ntk")
    found = []
    for width, own in zip(widths, jax.random.split(key, len(widths)), strict=True):
        net = nh.fcn(d_in=x.shape[1], width=width, depth=1, sigma_w=np.sqrt(2.0), parameterization="standard")
        kernel = jax.vmap(lambda k: nh.empirical_ntk(net.apply, net.init(key=k), x, output="trace"))
        found.append(relative_deviation(kernel(jax.random.split(own, n_seeds)), limit))
    return np.stack(found)


# %% loses 3: a limit of another depth
def measure(x, widths, n_seeds, key):
    limit = nh.fcn_kernel(x, depth=2, sigma_w=np.sqrt(2.0), get="ntk")
    found = []
    for width, own in zip(widths, jax.random.split(key, len(widths)), strict=True):
        net = nh.fcn(d_in=x.shape[1], width=width, depth=1, sigma_w=np.sqrt(2.0))
        kernel = jax.vmap(lambda k: nh.empirical_ntk(net.apply, net.init(key=k), x, output="trace"))
        found.append(relative_deviation(kernel(jax.random.split(own, n_seeds)), limit))
    return np.stack(found)
