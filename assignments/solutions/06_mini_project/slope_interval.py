# %% right: all samples at once
def slope_interval(widths, values, n_boot, rng):
    values, x = np.asarray(values), np.log10(np.asarray(widths, float))
    x = x - x.mean()
    fit = lambda means: np.log10(means) @ x / (x @ x)
    picks = rng.integers(values.shape[1], size=(n_boot, *values.shape))
    again = values[np.arange(len(values))[:, None], picks]
    low, high = np.percentile(fit(again.mean(axis=2)), [2.5, 97.5])
    return fit(values.mean(axis=1)), low, high


# %% right: width by width, sorted samples, as an array
def slope_interval(widths, values, n_boot, rng):
    fit = lambda means: np.linalg.lstsq(np.vander(np.log(widths), 2), np.log(means), rcond=None)[0][0]
    samples = sorted(fit([np.mean(rng.choice(row, len(row))) for row in values]) for _ in range(n_boot))
    ends = samples[round(0.025 * (n_boot - 1))], samples[round(0.975 * (n_boot - 1))]
    return [fit(np.mean(values, axis=1)), *ends]


# %% loses 5: the exponent, not the slope
def slope_interval(widths, values, n_boot, rng):
    values, x = np.asarray(values), np.log(widths)
    fit = lambda v: -np.polyfit(x, np.log(v.mean(axis=1)), 1)[0]
    take = lambda: np.take_along_axis(values, rng.integers(0, values.shape[1], values.shape), axis=1)
    return fit(values), *np.quantile([fit(take()) for _ in range(n_boot)], [0.025, 0.975])


# %% loses 5: two different logarithms
def slope_interval(widths, values, n_boot, rng):
    values, x = np.asarray(values), np.log10(widths)
    fit = lambda v: np.polyfit(x, np.log(v.mean(axis=1)), 1)[0]
    take = lambda: np.take_along_axis(values, rng.integers(0, values.shape[1], values.shape), axis=1)
    return fit(values), *np.quantile([fit(take()) for _ in range(n_boot)], [0.025, 0.975])


# %% loses 5: a slope without an interval
def slope_interval(widths, values, n_boot, rng):
    return np.polyfit(np.log(widths), np.log(np.mean(values, axis=1)), 1)[0]


# %% loses 5: the mean over the widths (wrong axis)
def slope_interval(widths, values, n_boot, rng):
    values = np.asarray(values)
    fit = lambda v: np.polyfit(np.log(np.arange(1, v.shape[1] + 1)), np.log(v.mean(axis=0)), 1)[0]
    take = lambda: np.take_along_axis(values, rng.integers(0, values.shape[1], values.shape), axis=1)
    return fit(values), *np.quantile([fit(take()) for _ in range(n_boot)], [0.025, 0.975])


# %% loses 3: the mean of the logarithms
def slope_interval(widths, values, n_boot, rng):
    values, x = np.asarray(values), np.log(widths)
    fit = lambda v: np.polyfit(x, np.log(v).mean(axis=1), 1)[0]
    take = lambda: np.take_along_axis(values, rng.integers(0, values.shape[1], values.shape), axis=1)
    return fit(values), *np.quantile([fit(take()) for _ in range(n_boot)], [0.025, 0.975])


# %% loses 3: one network for each width in each sample
def slope_interval(widths, values, n_boot, rng):
    values, x = np.asarray(values), np.log(widths)
    fit = lambda v: np.polyfit(x, np.log(v.mean(axis=1)), 1)[0]
    take = lambda: np.take_along_axis(values, rng.integers(0, values.shape[1], (len(values), 1)), axis=1)
    return fit(values), *np.quantile([fit(take()) for _ in range(n_boot)], [0.025, 0.975])


# %% loses 3: one draw of networks for all widths
def slope_interval(widths, values, n_boot, rng):
    values, x = np.asarray(values), np.log(widths)
    fit = lambda v: np.polyfit(x, np.log(v.mean(axis=1)), 1)[0]
    take = lambda: values[:, rng.integers(0, values.shape[1], values.shape[1])]
    return fit(values), *np.quantile([fit(take()) for _ in range(n_boot)], [0.025, 0.975])


# %% loses 3: one standard deviation in place of 95 %
def slope_interval(widths, values, n_boot, rng):
    values, x = np.asarray(values), np.log(widths)
    fit = lambda v: np.polyfit(x, np.log(v.mean(axis=1)), 1)[0]
    take = lambda: np.take_along_axis(values, rng.integers(0, values.shape[1], values.shape), axis=1)
    return fit(values), *np.quantile([fit(take()) for _ in range(n_boot)], [0.16, 0.84])


# %% loses 3: drawn without replacement, so that nothing varies
def slope_interval(widths, values, n_boot, rng):
    values, x = np.asarray(values), np.log(widths)
    fit = lambda v: np.polyfit(x, np.log(v.mean(axis=1)), 1)[0]
    return fit(values), *np.quantile([fit(rng.permuted(values, axis=1)) for _ in range(n_boot)], [0.025, 0.975])
