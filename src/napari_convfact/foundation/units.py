"""Units in which intensities can be squared: float32 ends at 3e38 and has nothing below 1e-45."""

from __future__ import annotations

import math

import numpy as np

# Between these powers of two nothing is rescaled.
_LOWEST, _HIGHEST = -40, 40


def intensity_unit(largest: float) -> float:
    """Return what intensities are to be divided by before they are squared and summed.

    Parameters
    ----------
    largest : float
        The largest magnitude.

    Returns
    -------
    float
        A power of two, so that dividing by it does not round; 1 for ordinary intensities.
    """
    exponent = math.frexp(largest)[1]
    if largest == 0 or _LOWEST < exponent <= _HIGHEST:
        return 1.0
    return math.ldexp(1.0, exponent - 1)


def largest_magnitude(values: np.ndarray) -> float:
    """Return the largest magnitude of real values, without a copy of them."""
    return max(float(values.max()), -float(values.min()))
