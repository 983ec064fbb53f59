# %% right: with the correlation, no angle
def relu_dual(q11, q22, q12):
    scale = np.sqrt(np.asarray(q11) * np.asarray(q22))
    rho = np.minimum(np.maximum(q12 / scale, -1.0), 1.0)
    positive = 0.5 - np.arccos(rho) / (2 * np.pi)
    return scale * (np.sqrt(1 - rho**2) / (2 * np.pi) + rho * positive), positive


# %% right: on JAX, with the formulas of Chapter 1
def relu_dual(q11, q22, q12):
    cosine = jnp.clip(q12 / jnp.sqrt(q11 * q22), -1, 1)
    theta = jnp.arccos(cosine)
    kappa_0 = 1 - theta / jnp.pi
    kappa_1 = (jnp.sin(theta) + (jnp.pi - theta) * cosine) / jnp.pi
    return jnp.sqrt(q11 * q22) * kappa_1 / 2, kappa_0 / 2


# %% loses 5: the factor 1/2 is missing
def relu_dual(q11, q22, q12):
    scale = np.sqrt(q11 * q22)
    angle = np.arccos(np.clip(q12 / scale, -1, 1))
    return scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi, (np.pi - angle) / np.pi


# %% loses 5: the angle in place of pi minus the angle
def relu_dual(q11, q22, q12):
    scale = np.sqrt(q11 * q22)
    angle = np.arccos(np.clip(q12 / scale, -1, 1))
    return scale * (np.sin(angle) + angle * np.cos(angle)) / (2 * np.pi), angle / (2 * np.pi)


# %% loses 5: the derivative is scaled as the value is
def relu_dual(q11, q22, q12):
    scale = np.sqrt(q11 * q22)
    angle = np.arccos(np.clip(q12 / scale, -1, 1))
    value = scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    return value, scale * (np.pi - angle) / (2 * np.pi)


# %% loses 5: only the value is returned
def relu_dual(q11, q22, q12):
    scale = np.sqrt(q11 * q22)
    angle = np.arccos(np.clip(q12 / scale, -1, 1))
    return scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)


# %% loses 3: normalized by one of the variances
def relu_dual(q11, q22, q12):
    angle = np.arccos(np.clip(q12 / q11, -1, 1))
    return q11 * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


# %% loses 3: rounding is not taken care of
def relu_dual(q11, q22, q12):
    scale = np.sqrt(q11 * q22)
    angle = np.arccos(q12 / scale)
    return scale * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi), (np.pi - angle) / (2 * np.pi)
