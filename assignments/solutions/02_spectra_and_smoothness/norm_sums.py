# %% right: term by term
def norm_sums(energy, lam, s):
    total, sums = 0.0, []
    for e, l in zip(energy, lam):
        if e > 0:
            total += e * l**-s if l > 0 else np.inf
        sums.append(total)
    return sums


# %% right: division with the empty degrees taken out
def norm_sums(energy, lam, s):
    terms = jnp.asarray(energy) / jnp.asarray(lam) ** s
    return jnp.cumsum(jnp.where(jnp.asarray(energy) == 0, 0.0, terms))


# %% loses 5: multiplied by the eigenvalues
def norm_sums(energy, lam, s):
    return np.cumsum(np.asarray(energy) * np.asarray(lam) ** s)


# %% loses 5: half the power
def norm_sums(energy, lam, s):
    return np.cumsum(np.where(np.asarray(energy) > 0, energy / np.asarray(lam) ** (s / 2), 0.0))


# %% loses 5: the energies squared
def norm_sums(energy, lam, s):
    return np.cumsum(np.where(np.asarray(energy) > 0, np.asarray(energy) ** 2 / np.asarray(lam) ** s, 0.0))


# %% loses 5: the terms, not their sums
def norm_sums(energy, lam, s):
    return np.where(np.asarray(energy) > 0, energy / np.asarray(lam) ** s, 0.0)


# %% loses 5: the norm, not its square
def norm_sums(energy, lam, s):
    return np.sqrt(np.cumsum(np.where(np.asarray(energy) > 0, energy / np.asarray(lam) ** s, 0.0)))


# %% loses 3: zero over zero
def norm_sums(energy, lam, s):
    return np.cumsum(np.asarray(energy) / np.asarray(lam) ** s)


# %% loses 3: degrees without eigenvalue are left out, energy or not
def norm_sums(energy, lam, s):
    lam = np.asarray(lam)
    return np.cumsum(np.where(lam > 0, energy / np.where(lam > 0, lam, 1.0) ** s, 0.0))


# %% loses 3: the power s rounded down
def norm_sums(energy, lam, s):
    return np.cumsum(np.where(np.asarray(energy) > 0, energy / np.asarray(lam) ** np.floor(s), 0.0))
