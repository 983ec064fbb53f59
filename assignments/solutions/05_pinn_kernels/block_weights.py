# %% right: with a running position
def block_weights(k, sizes):
    total, weights, start = np.trace(k), [], 0
    for size in sizes:
        weights.append(total / np.trace(k[start : start + size, start : start + size]))
        start += size
    return weights


# %% right: sums by block number, on JAX
def block_weights(k, sizes):
    number = jnp.repeat(jnp.arange(len(sizes)), jnp.array(sizes), total_repeat_length=len(k))
    traces = jnp.zeros(len(sizes)).at[number].add(jnp.diag(jnp.asarray(k)))
    return jnp.sum(traces) / traces


# %% loses 4: the inverse
def block_weights(k, sizes):
    traces = np.array([part.sum() for part in np.split(np.diag(k), np.cumsum(sizes)[:-1])])
    return traces / traces.sum()


# %% loses 4: means in place of traces
def block_weights(k, sizes):
    means = np.array([part.mean() for part in np.split(np.diag(k), np.cumsum(sizes)[:-1])])
    return np.diag(k).mean() / means


# %% loses 4: the last block first
def block_weights(k, sizes):
    traces = np.array([part.sum() for part in np.split(np.diag(k), np.cumsum(sizes)[:-1])])
    return (traces.sum() / traces)[::-1]


# %% loses 4: squares, from the Frobenius norm
def block_weights(k, sizes):
    ends = np.cumsum(sizes)
    squares = np.array([np.sum(k[e - s : e, e - s : e] ** 2) for s, e in zip(sizes, ends)])
    return np.sum(np.asarray(k) ** 2) / squares


# %% loses 3: largest eigenvalues in place of traces
def block_weights(k, sizes):
    ends = np.cumsum(sizes)
    largest = np.array([np.linalg.eigvalsh(k[e - s : e, e - s : e])[-1] for s, e in zip(sizes, ends)])
    return largest.sum() / largest


# %% loses 3: all entries of a block
def block_weights(k, sizes):
    ends = np.cumsum(sizes)
    sums = np.array([np.sum(k[e - s : e, e - s : e]) for s, e in zip(sizes, ends)])
    return np.sum(k) / sums


# %% loses 3: blocks of equal size
def block_weights(k, sizes):
    traces = np.diag(k).reshape(len(sizes), -1).sum(axis=1)
    return traces.sum() / traces
