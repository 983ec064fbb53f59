# %% right: as a sum of cosines
def circle_spectrum(kernel, n):
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    k = np.arange(n // 2 + 1)
    return np.cos(k[:, None] * angles) @ kernel(angles) / n


# %% right: Rayleigh quotients of the kernel matrix with the waves, on JAX
def circle_spectrum(kernel, n):
    angles = 2 * jnp.pi * jnp.arange(n) / n
    matrix = kernel(angles[:, None] - angles[None, :])
    waves = jnp.exp(1j * jnp.outer(jnp.arange(n // 2 + 1), angles))
    return jnp.einsum("ki,ij,kj->k", waves.conj(), matrix, waves).real / n**2


# %% right: all of one transform, complex numbers with no imaginary part
def circle_spectrum(kernel, n):
    return np.fft.fft(kernel(2 * np.pi * np.arange(n) / n))[: n // 2 + 1] / n


# %% loses 5: not divided by the number of angles
def circle_spectrum(kernel, n):
    return np.fft.rfft(kernel(2 * np.pi * np.arange(n) / n)).real


# %% loses 5: factor 2, the waves k and -k added
def circle_spectrum(kernel, n):
    lam = np.fft.rfft(kernel(2 * np.pi * np.arange(n) / n)).real / n
    return np.concatenate([lam[:1], 2 * lam[1:]])


# %% loses 5: the power spectrum
def circle_spectrum(kernel, n):
    return np.abs(np.fft.rfft(kernel(2 * np.pi * np.arange(n) / n)) / n) ** 2


# %% loses 5: the last angle counted twice
def circle_spectrum(kernel, n):
    return np.fft.rfft(kernel(np.linspace(0, 2 * np.pi, n))).real / n


# %% loses 5: half of the circle
def circle_spectrum(kernel, n):
    return np.fft.rfft(kernel(np.pi * np.arange(n) / n)).real / n


# %% loses 5: the eigenvalues of negative degree too
def circle_spectrum(kernel, n):
    return np.fft.fft(kernel(2 * np.pi * np.arange(n) / n)).real / n


# %% loses 3: the modulus, which loses the sign
def circle_spectrum(kernel, n):
    return np.abs(np.fft.rfft(kernel(2 * np.pi * np.arange(n) / n))) / n
