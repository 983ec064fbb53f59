# %% right: the least-squares slope by its formula
def decay_exponent(k, lam, k_min, k_max):
    x, y = zip(*((np.log10(a), np.log10(b)) for a, b in zip(k, lam) if k_min <= a <= k_max and b > 0))
    x, y = np.array(x), np.array(y)
    return -np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)


# %% right: by SciPy
def decay_exponent(k, lam, k_min, k_max):
    k, lam = np.asarray(k), np.asarray(lam)
    mask = np.logical_and.reduce([k >= k_min, k <= k_max, lam > 0])
    from scipy import stats

    return -stats.linregress(np.log2(k[mask]), np.log2(lam[mask])).slope


# %% loses 4: the slope, not the exponent
def decay_exponent(k, lam, k_min, k_max):
    used = (k >= k_min) & (k <= k_max) & (lam > 0)
    return np.polyfit(np.log(k[used]), np.log(lam[used]), 1)[0]


# %% loses 4: log over the degree itself
def decay_exponent(k, lam, k_min, k_max):
    used = (k >= k_min) & (k <= k_max) & (lam > 0)
    return -np.polyfit(k[used], np.log(lam[used]), 1)[0]


# %% loses 4: two different logarithms
def decay_exponent(k, lam, k_min, k_max):
    used = (k >= k_min) & (k <= k_max) & (lam > 0)
    return -np.polyfit(np.log10(k[used]), np.log(lam[used]), 1)[0]


# %% loses 4: the axes exchanged
def decay_exponent(k, lam, k_min, k_max):
    used = (k >= k_min) & (k <= k_max) & (lam > 0)
    return -np.polyfit(np.log(lam[used]), np.log(k[used]), 1)[0]


# %% loses 3: zeros are kept
def decay_exponent(k, lam, k_min, k_max):
    used = (k >= k_min) & (k <= k_max)
    return -np.polyfit(np.log(k[used]), np.log(np.maximum(lam[used], 1e-300)), 1)[0]


# %% loses 3: from the two ends alone
def decay_exponent(k, lam, k_min, k_max):
    used = np.flatnonzero((k >= k_min) & (k <= k_max) & (lam > 0))
    a, b = used[0], used[-1]
    return -(np.log(lam[b]) - np.log(lam[a])) / (np.log(k[b]) - np.log(k[a]))


# %% loses 3: without the end of the window
def decay_exponent(k, lam, k_min, k_max):
    used = (k >= k_min) & (k < k_max) & (lam > 0)
    return -np.polyfit(np.log(k[used]), np.log(lam[used]), 1)[0]


# %% loses 3: the positions in the array taken for the degrees
def decay_exponent(k, lam, k_min, k_max):
    lam = np.asarray(lam)
    k = np.arange(len(lam))
    used = (k >= k_min) & (k <= k_max) & (lam > 0)
    return -np.polyfit(np.log(k[used]), np.log(lam[used]), 1)[0]
