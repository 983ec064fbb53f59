"""Compare a student's result with what was expected, and say in words what is wrong; for the tests of assignments/.

A test cell imports what it needs from here, so that no name a student defines stands in its way by accident.
"""

import sys
import warnings
from collections.abc import Sequence

import numpy as np

_FACTORS = {
    2.0: "twice",
    0.5: "half of",
    4.0: "four times",
    0.25: "a quarter of",
    -1.0: "the negative of",
    np.pi: "pi times",
    1 / np.pi: "1/pi times",
    np.sqrt(2.0): "sqrt(2) times",
    np.sqrt(0.5): "1/sqrt(2) times",
}


def set_up() -> None:
    """Send warnings and all that goes to standard error to standard output.

    nbgrader gives no points for a test cell that wrote to standard error: a progress bar in a right solution would lose
    them all.
    """

    def show(message, category, filename, lineno, file=None, line=None):
        print(f"{category.__name__}: {message}", file=sys.stdout)

    warnings.showwarning = show
    sys.stderr = sys.stdout


def parts(got: object, *names: str) -> tuple:
    """Return the things that a function returned, one for each name; otherwise say in words what it should return.

    Example:
        >>> value, slope = parts((1.0, 2.0), "the value", "the slope")
        >>> slope
        2.0
    """
    if not isinstance(got, tuple | list) or len(got) != len(names):
        found = f"{len(got)} things" if isinstance(got, tuple | list) else f"one {type(got).__name__}"
        raise AssertionError(f"The function returns {len(names)} things: {', '.join(names)}. Yours returned {found}.")
    return tuple(got)


def _array(got: object, what: str) -> np.ndarray:
    """The result as an array of real numbers, or words on why it is none."""
    if got is None:
        raise AssertionError(f"{what}\nThe function returned None: is a `return` missing?")
    try:
        array = np.asarray(got)
        if np.iscomplexobj(array) and np.all(np.abs(array.imag) <= 1e-9 * (1 + np.abs(array.real))):
            array = array.real
        if np.iscomplexobj(array):
            raise AssertionError(f"{what}\nYour result is complex; a real number was expected.")
        return array.astype(float)
    except (TypeError, ValueError):
        kind = type(got).__name__
        raise AssertionError(f"{what}\nYour result is a {kind} and not an array of numbers.") from None


def expect_shape(got: object, shape: tuple[int, ...], what: str) -> None:
    """Raise AssertionError that explains itself, where a result has not the shape that was expected.

    Example:
        >>> expect_shape([[1.0, 2.0]], (1, 2), "One row for each input.")
        >>> expect_shape([1.0, 2.0], (1, 2), "One row for each input.")
        Traceback (most recent call last):
        ...
        AssertionError: One row for each input.
        The shape should be (1, 2); yours is (2,).
    """
    found = _array(got, what).shape
    if found != tuple(shape):
        raise AssertionError(f"{what}\nThe shape should be {tuple(shape)}; yours is {found}.")


def _in_words(got: np.ndarray, want: np.ndarray, rtol: float, atol: float) -> str:
    """What the difference looks like: a constant factor, a transpose, the worst entry."""
    if want.ndim == 2 and want.shape[0] == want.shape[1] and np.allclose(got.T, want, rtol=rtol, atol=atol):
        return "Your matrix is the transpose of what was expected."
    for factor, words in _FACTORS.items():
        if np.any(np.abs(want) > atol) and np.allclose(got, factor * want, rtol=max(rtol, 1e-6), atol=atol):
            return f"Your result is {words} what was expected."
    if want.ndim == 0:
        return f"Yours is {float(got):.6g}, expected was {float(want):.6g}."
    at = np.unravel_index(np.argmax(np.abs(got - want) - rtol * np.abs(want)), want.shape)
    where = ", ".join(str(int(i)) for i in at)
    return f"The worst entry is [{where}]: yours is {got[at]:.6g}, expected was {want[at]:.6g}."


def expect(
    got: object,
    want: object,
    what: str,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-9,
    hints: Sequence[tuple[object, str]] = (),
) -> None:
    """Raise AssertionError that explains itself, where a result is not what was expected.

    Args:
        got: a student's number or array, of NumPy, JAX or plain Python.
        want: what was expected; its shape counts too.
        what: a sentence that says what was expected and why.
        rtol: relative tolerance.
        atol: absolute tolerance.
        hints: pairs of the result of a common mistake and what to say to it.

    Raises:
        AssertionError: the shape differs, a number is not finite, or one is further off than the tolerances.

    Example:
        >>> expect(0.5, 0.5, "Half of a Gaussian is positive.")
        >>> expect(1.0, 0.5, "Half of a Gaussian is positive.")
        Traceback (most recent call last):
        ...
        AssertionError: Half of a Gaussian is positive.
        Your result is twice what was expected.
    """
    found, wanted = _array(got, what), np.asarray(want, float)
    expect_shape(found, wanted.shape, what)
    if not np.all(np.isfinite(found)):
        raise AssertionError(f"{what}\nYour result holds values that are not finite (NaN or infinity).")
    if np.allclose(found, wanted, rtol=rtol, atol=atol):
        return
    for mistake, words in hints:
        if np.shape(mistake) in ((), wanted.shape) and np.allclose(found, mistake, rtol=max(rtol, 1e-6), atol=atol):
            raise AssertionError(f"{what}\n{words}")
    raise AssertionError(f"{what}\n{_in_words(found, wanted, rtol, atol)}")
