"""Numbers near one: arithmetic on squares of very small or large ones would fail."""

from __future__ import annotations

import numpy as np


def to_unit_scale(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Divide by the power of two that brings the largest magnitude to one half and above.

    Parameters
    ----------
    values : numpy.ndarray
        Floating point or complex, finite. Zeros stay zeros.

    Returns
    -------
    scaled : numpy.ndarray
        Below one in magnitude (in its parts, if complex). Nothing is rounded but numbers
        that are negligible beside the largest.
    exponent : int
        ``values == scaled * 2**exponent``.
    """
    parts = (values.real, values.imag) if np.iscomplexobj(values) else (values,)
    largest = max(float(np.abs(part).max()) for part in parts)
    exponent = int(np.frexp(largest)[1])
    return times_power_of_two(values, -exponent), exponent


def times_power_of_two(values: np.ndarray, exponent: int) -> np.ndarray:
    """Multiply by ``2**exponent``, which itself may be beyond the largest number."""
    if np.iscomplexobj(values):
        scaled = np.empty_like(values)
        scaled.real, scaled.imag = (np.ldexp(v, exponent) for v in (values.real, values.imag))
        return scaled
    return np.asarray(np.ldexp(values, exponent))
