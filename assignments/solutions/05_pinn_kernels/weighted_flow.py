# %% right: the matrix exponential
def weighted_flow(k, w, r0, time):
    return scipy.linalg.expm(-time * k * w) @ r0


# %% right: eigenvectors of the matrix that is not symmetric
def weighted_flow(k, w, r0, time):
    lam, vectors = np.linalg.eig(k @ np.diag(w))
    return vectors @ (np.exp(-lam * time) * np.linalg.solve(vectors, r0))


# %% right: as a differential equation, on JAX's exponential
def weighted_flow(k, w, r0, time):
    return jax.scipy.linalg.expm(-time * jnp.asarray(k) @ jnp.diag(w)) @ r0


# %% loses 5: the equation in steps of Euler, three digits
def weighted_flow(k, w, r0, time):
    r = np.asarray(r0, float)
    for _ in range(2000):
        r = r - time / 2000 * k @ (w * r)
    return r


# %% loses 5: no weights
def weighted_flow(k, w, r0, time):
    return scipy.linalg.expm(-time * k) @ r0


# %% loses 5: factor 2
def weighted_flow(k, w, r0, time):
    return scipy.linalg.expm(-2 * time * k * w) @ r0


# %% loses 5: the weights squared
def weighted_flow(k, w, r0, time):
    return scipy.linalg.expm(-time * k * w**2) @ r0


# %% loses 5: the exponential entry by entry
def weighted_flow(k, w, r0, time):
    return np.exp(-time * k * w) @ r0


# %% loses 5: the mean over the rows
def weighted_flow(k, w, r0, time):
    return scipy.linalg.expm(-time * k * w / len(w)) @ r0


# %% loses 3: the weights on the other side
def weighted_flow(k, w, r0, time):
    return scipy.linalg.expm(-time * w[:, None] * k) @ r0


# %% loses 3: symmetric weights, and not transformed back
def weighted_flow(k, w, r0, time):
    root = np.sqrt(w)
    return scipy.linalg.expm(-time * root[:, None] * k * root) @ r0


# %% loses 3: eigenvectors as if the matrix were symmetric
def weighted_flow(k, w, r0, time):
    lam, vectors = np.linalg.eigh(k * w)
    return vectors @ (np.exp(-lam * time) * (vectors.T @ r0))


# %% loses 3: row by row, without the coupling
def weighted_flow(k, w, r0, time):
    return r0 * np.exp(-time * np.diag(k) * w)
