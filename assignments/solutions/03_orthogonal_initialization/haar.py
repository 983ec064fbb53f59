# %% right: the orthogonal part of a Gaussian matrix
def haar(rng, n):
    u, _, v = np.linalg.svd(rng.standard_normal((n, n)))
    return np.sqrt(n) * u @ v


# %% right: Gram and Schmidt, row by row
def haar(rng, n):
    rows = []
    while len(rows) < n:
        row = rng.standard_normal(n)
        for _ in range(2):
            for other in rows:
                row = row - (row @ other) * other
        rows.append(row / np.linalg.norm(row))
    return np.sqrt(n) * np.array(rows)


# %% right: by SciPy
def haar(rng, n):
    return np.sqrt(n) * scipy.stats.ortho_group.rvs(n, random_state=rng)


# %% loses 5: not scaled
def haar(rng, n):
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return q * np.sign(np.diag(r))


# %% loses 5: factor n in place of its root
def haar(rng, n):
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return n * q * np.sign(np.diag(r))


# %% loses 5: rows of the right length that are not orthogonal
def haar(rng, n):
    w = rng.standard_normal((n, n))
    return np.sqrt(n) * w / np.linalg.norm(w, axis=1, keepdims=True)


# %% loses 5: a seed of its own
def haar(rng, n):
    q, r = np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))
    return np.sqrt(n) * q * np.sign(np.diag(r))


# %% loses 3: QR without the signs
def haar(rng, n):
    return np.sqrt(n) * np.linalg.qr(rng.standard_normal((n, n)))[0]


# %% loses 3: rotations alone
def haar(rng, n):
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    q = q * np.sign(np.diag(r))
    q[:, 0] *= np.linalg.det(q)
    return np.sqrt(n) * q


# %% loses 3: permutations with signs
def haar(rng, n):
    return np.sqrt(n) * np.eye(n)[rng.permutation(n)] * rng.choice([-1.0, 1.0], n)


# %% loses 3: the factorization of a uniform matrix, which is not invariant
def haar(rng, n):
    q, r = np.linalg.qr(rng.uniform(0, 1, (n, n)))
    return np.sqrt(n) * q * np.sign(np.diag(r))
