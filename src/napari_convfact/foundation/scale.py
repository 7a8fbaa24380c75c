"""Numbers near one, as squares ask for: float32 ends at 3e38 and has nothing below 1e-45."""

from __future__ import annotations

import math

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


def intensity_unit(largest: float, usual: int = 40) -> float:
    """Return what intensities are to be divided by before they are squared and summed.

    Parameters
    ----------
    largest : float
        The largest magnitude.
    usual : int
        Up to this power of two, and down to its reciprocal, nothing is rescaled.

    Returns
    -------
    float
        A power of two, so that dividing by it does not round; 1 for ordinary intensities.
    """
    exponent = math.frexp(largest)[1]
    if largest == 0 or -usual < exponent <= usual:
        return 1.0
    return math.ldexp(1.0, exponent - 1)


def largest_magnitude(values: np.ndarray) -> float:
    """Return the largest magnitude of real values, without a copy of them."""
    return max(float(values.max()), -float(values.min()))
