# %% right: all points together, then the block
def nngp(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    k = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth):
        q = np.diag(k)
        k = sigma_w**2 * relu_dual(q[:, None], q[None, :], k)[0] + sigma_b**2
    return k[: len(x1), len(x1) :]


# %% right: pair by pair with the package's dual
def nngp(x1, x2, depth, sigma_w, sigma_b):
    dual = nh.dual_activation("relu")

    def one(a, b):
        inner = lambda s, t: sigma_w**2 * float(s @ t) / len(s) + sigma_b**2
        aa, bb, ab = inner(a, a), inner(b, b), inner(a, b)
        for _ in range(depth):
            aa, bb, ab = (
                sigma_w**2 * float(dual.value(*q)) + sigma_b**2 for q in ((aa, aa, aa), (bb, bb, bb), (aa, bb, ab))
            )
        return ab

    return np.array([[one(a, b) for b in x2] for a in x1])


# %% loses 4: sigma_w in place of sigma_w squared
def nngp(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    k = sigma_w * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth):
        q = np.diag(k)
        k = sigma_w * relu_dual(q[:, None], q[None, :], k)[0] + sigma_b**2
    return k[: len(x1), len(x1) :]


# %% loses 4: the first layer without 1/d
def nngp(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    k = sigma_w**2 * x @ x.T + sigma_b**2
    for _ in range(depth):
        q = np.diag(k)
        k = sigma_w**2 * relu_dual(q[:, None], q[None, :], k)[0] + sigma_b**2
    return k[: len(x1), len(x1) :]


# %% loses 4: depth counts the readout
def nngp(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    k = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b**2
    for _ in range(depth - 1):
        q = np.diag(k)
        k = sigma_w**2 * relu_dual(q[:, None], q[None, :], k)[0] + sigma_b**2
    return k[: len(x1), len(x1) :]


# %% loses 4: the inner products of columns (wrong axis)
def nngp(x1, x2, depth, sigma_w, sigma_b):
    k = sigma_w**2 * x1.T @ x2 / x1.shape[0] + sigma_b**2 if len(x1) == len(x2) else sigma_w**2 * x1 @ x1.T
    for _ in range(depth):
        q = np.diag(k)
        k = sigma_w**2 * relu_dual(q[:, None], q[None, :], k)[0] + sigma_b**2
    return k


# %% loses 4: sigma_b in place of sigma_b squared
def nngp(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    k = sigma_w**2 * x @ x.T / x.shape[1] + sigma_b
    for _ in range(depth):
        q = np.diag(k)
        k = sigma_w**2 * relu_dual(q[:, None], q[None, :], k)[0] + sigma_b
    return k[: len(x1), len(x1) :]


# %% loses 3: no bias in the first layer
def nngp(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    k = sigma_w**2 * x @ x.T / x.shape[1] + 1e-30
    for _ in range(depth):
        q = np.diag(k)
        k = sigma_w**2 * relu_dual(q[:, None], q[None, :], k)[0] + sigma_b**2
    return k[: len(x1), len(x1) :]


# %% loses 3: the bias in the readout alone
def nngp(x1, x2, depth, sigma_w, sigma_b):
    x = np.concatenate([x1, x2])
    k = sigma_w**2 * x @ x.T / x.shape[1]
    for _ in range(depth):
        q = np.diag(k)
        k = sigma_w**2 * relu_dual(q[:, None], q[None, :], k)[0]
    return k[: len(x1), len(x1) :] + sigma_b**2
