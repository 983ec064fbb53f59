# %% right: a root of the map, by Gauss and Hermite
def fixed_point(phi, sigma_w, sigma_b):
    z, w = np.polynomial.hermite_e.hermegauss(120)
    w = w / w.sum()
    step = lambda q: sigma_w**2 * float(w @ phi(np.sqrt(q) * z) ** 2) + sigma_b**2
    return scipy.optimize.brentq(lambda q: step(q) - q, 1e-9, 1e4, xtol=1e-12)


# %% right: integrals by SciPy, until nothing changes
def fixed_point(phi, sigma_w, sigma_b):
    z, w = np.polynomial.hermite.hermgauss(100)
    q, last = 1.0, 0.0
    while abs(q - last) > 1e-11:
        last = q
        q = sigma_w**2 * jnp.sum(w * phi(np.sqrt(2 * q) * z) ** 2) / np.sqrt(np.pi) + sigma_b**2
    return q


# %% loses 5: sigma_w in place of sigma_w squared
def fixed_point(phi, sigma_w, sigma_b):
    z, w = np.polynomial.hermite_e.hermegauss(120)
    q = 1.0
    for _ in range(3000):
        q = sigma_w * w @ phi(np.sqrt(q) * z) ** 2 / w.sum() + sigma_b**2
    return q


# %% loses 5: no bias
def fixed_point(phi, sigma_w, sigma_b):
    z, w = np.polynomial.hermite_e.hermegauss(120)
    q = 1.0
    for _ in range(3000):
        q = sigma_w**2 * w @ phi(np.sqrt(q) * z) ** 2 / w.sum()
    return q


# %% loses 5: factor 2, nodes of the other Hermite polynomials
def fixed_point(phi, sigma_w, sigma_b):
    z, w = np.polynomial.hermite.hermgauss(100)
    q = 1.0
    for _ in range(3000):
        q = sigma_w**2 * w @ phi(np.sqrt(q) * z) ** 2 / w.sum() + sigma_b**2
    return q


# %% loses 5: the square of the mean
def fixed_point(phi, sigma_w, sigma_b):
    z, w = np.polynomial.hermite_e.hermegauss(120)
    q = 1.0
    for _ in range(3000):
        q = sigma_w**2 * (w @ phi(np.sqrt(q) * z) / w.sum()) ** 2 + sigma_b**2
    return q


# %% loses 5: the variance in place of the standard deviation before z
def fixed_point(phi, sigma_w, sigma_b):
    z, w = np.polynomial.hermite_e.hermegauss(120)
    q = 1.0
    for _ in range(3000):
        q = sigma_w**2 * w @ phi(q * z) ** 2 / w.sum() + sigma_b**2
    return q


# %% loses 3: fifty layers and no more
def fixed_point(phi, sigma_w, sigma_b):
    z, w = np.polynomial.hermite_e.hermegauss(120)
    q = 1.0
    for _ in range(50):
        q = sigma_w**2 * w @ phi(np.sqrt(q) * z) ** 2 / w.sum() + sigma_b**2
    return q


# %% loses 3: two nodes of a quadrature
def fixed_point(phi, sigma_w, sigma_b):
    q = 1.0
    for _ in range(3000):
        values = phi(np.array([-np.sqrt(q), np.sqrt(q)]))
        q = sigma_w**2 * np.mean(values**2) + sigma_b**2
    return q
