"""Which sample of an image stands where it goes on beyond its edges."""

from __future__ import annotations

import numpy as np


def source_index(n: int, low: int, high: int, boundary: str) -> np.ndarray:
    """Return which of `n` samples each sample of a padded axis repeats.

    Parameters
    ----------
    n : int
        Samples of the axis.
    low, high : int
        Samples that are added before and after.
    boundary : {"periodic", "reflect", "zero"}
        ``"reflect"`` repeats the edge sample.

    Returns
    -------
    numpy.ndarray
        int64, ``(low + n + high,)``; -1 where the padded axis is zero.
    """
    position = np.arange(-low, n + high)
    if boundary == "zero":
        return np.where((position >= 0) & (position < n), position, -1)
    if boundary == "periodic":
        return position % n
    folded = position % (2 * n)
    return np.where(folded < n, folded, 2 * n - 1 - folded)
