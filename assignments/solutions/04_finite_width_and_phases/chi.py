# %% right: by Gauss and Hermite
def chi(dphi, q, sigma_w):
    z, w = np.polynomial.hermite_e.hermegauss(150)
    return sigma_w**2 * w @ dphi(np.sqrt(q) * z) ** 2 / w.sum()


# %% right: an integral over the preactivation, by SciPy
def chi(dphi, q, sigma_w):
    density = scipy.stats.norm(0, np.sqrt(q)).pdf
    end = 9 * np.sqrt(q)
    integrand = lambda u: float(dphi(np.array(u))) ** 2 * density(u)
    return sigma_w**2 * scipy.integrate.quad(integrand, -end, end, points=[0.0], limit=200)[0]


# %% right: the trapezoid rule from -4 to 4, as accurate as is asked for
def chi(dphi, q, sigma_w):
    z = np.linspace(-4, 4, 4001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return sigma_w**2 * scipy.integrate.trapezoid(dphi(np.sqrt(q) * z) ** 2 * density, z)


# %% loses 4: sigma_w in place of sigma_w squared
def chi(dphi, q, sigma_w):
    z, w = np.polynomial.hermite_e.hermegauss(150)
    return sigma_w * w @ dphi(np.sqrt(q) * z) ** 2 / w.sum()


# %% loses 4: factor 1/2 for every activation
def chi(dphi, q, sigma_w):
    z, w = np.polynomial.hermite_e.hermegauss(150)
    return sigma_w**2 / 2 * w @ dphi(np.sqrt(q) * z) ** 2 / w.sum()


# %% loses 4: the weights of the quadrature not normalized
def chi(dphi, q, sigma_w):
    z, w = np.polynomial.hermite_e.hermegauss(150)
    return sigma_w**2 * w @ dphi(np.sqrt(q) * z) ** 2


# %% loses 3: the derivative not squared
def chi(dphi, q, sigma_w):
    z, w = np.polynomial.hermite_e.hermegauss(150)
    return sigma_w**2 * w @ dphi(np.sqrt(q) * z) / w.sum()


# %% loses 3: without the variance
def chi(dphi, q, sigma_w):
    z, w = np.polynomial.hermite_e.hermegauss(150)
    return sigma_w**2 * w @ dphi(z) ** 2 / w.sum()


# %% loses 3: the variance in place of the standard deviation
def chi(dphi, q, sigma_w):
    z, w = np.polynomial.hermite_e.hermegauss(150)
    return sigma_w**2 * w @ dphi(q * z) ** 2 / w.sum()
