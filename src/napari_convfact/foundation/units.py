"""Units in which intensities can be squared: float32 ends at 3e38 and has nothing below 1e-45."""

from __future__ import annotations

import math

import numpy as np


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
