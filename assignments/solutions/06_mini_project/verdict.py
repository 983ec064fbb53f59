# %% right: by intervals
def verdict(measured, low, high, expected, tolerance, widest):
    a, b = expected - tolerance, expected + tolerance
    decided = np.isfinite(measured) and np.isfinite(low) and np.isfinite(high) and high - low <= 2 * widest
    if decided and a <= measured <= b:
        return "agrees"
    return "refutes" if decided and (high < a or b < low) else "undecided"


# %% right: what is not known is asked first
def verdict(measured, low, high, expected, tolerance, widest):
    values = (measured, low, high)
    if any(v != v or abs(v) == float("inf") for v in values):
        return "undecided"
    narrow = 0.5 * (high - low) <= widest
    near = abs(measured - expected) <= tolerance
    outside = min(abs(low - expected), abs(high - expected)) > tolerance and (low - expected) * (high - expected) > 0
    return ("agrees" if near else "refutes" if outside else "undecided") if narrow else "undecided"


# %% loses 4: the words exchanged
def verdict(measured, low, high, expected, tolerance, widest):
    return "refutes" if abs(measured - expected) <= tolerance else "agrees"


# %% loses 4: too flat is taken for agreement
def verdict(measured, low, high, expected, tolerance, widest):
    return "agrees" if measured >= expected - tolerance else "refutes"


# %% loses 4: truth values in place of words
def verdict(measured, low, high, expected, tolerance, widest):
    return abs(measured - expected) <= tolerance


# %% loses 3: the interval is not looked at
def verdict(measured, low, high, expected, tolerance, widest):
    return "agrees" if abs(measured - expected) <= tolerance else "refutes"


# %% loses 3: one side only
def verdict(measured, low, high, expected, tolerance, widest):
    if not np.all(np.isfinite([measured, low, high])) or (high - low) / 2 > widest:
        return "undecided"
    if abs(measured - expected) <= tolerance:
        return "agrees"
    return "refutes" if low > expected + tolerance else "undecided"


# %% loses 3: agreement is asked before the width of the interval
def verdict(measured, low, high, expected, tolerance, widest):
    if abs(measured - expected) <= tolerance:
        return "agrees"
    return "refutes" if low > expected + tolerance or high < expected - tolerance else "undecided"


# %% loses 3: NaN is not thought of
def verdict(measured, low, high, expected, tolerance, widest):
    if (high - low) / 2 > widest:
        return "undecided"
    if abs(measured - expected) <= tolerance:
        return "agrees"
    return "refutes" if low > expected + tolerance or high < expected - tolerance else "undecided"


# %% loses 3: infinity is not thought of
def verdict(measured, low, high, expected, tolerance, widest):
    if np.any(np.isnan([measured, low, high])) or (high - low) / 2 > widest:
        return "undecided"
    if abs(measured - expected) <= tolerance:
        return "agrees"
    return "refutes" if low > expected + tolerance or high < expected - tolerance else "undecided"


# %% loses 3: the full width compared with the half-width allowed
def verdict(measured, low, high, expected, tolerance, widest):
    if not np.all(np.isfinite([measured, low, high])) or (high - low) > widest:
        return "undecided"
    if abs(measured - expected) <= tolerance:
        return "agrees"
    return "refutes" if low > expected + tolerance or high < expected - tolerance else "undecided"
