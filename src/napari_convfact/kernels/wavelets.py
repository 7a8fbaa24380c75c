"""Kernels of the dual-tree wavelet transform's first level."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

BANDS = ("ll", "lh", "hl", "hh")

# Synthesis filters of near_sym_a: low-pass of seven taps, high-pass of five.
_LOW = tuple(map(Fraction, ("-3/280", "-3/56", "73/280", "17/28", "73/280", "-3/56", "-3/280")))
_HIGH = tuple(map(Fraction, ("-1/20", "-1/4", "3/5", "-1/4", "-1/20")))


def near_sym_a(band: str) -> np.ndarray:
    """Return a synthesis kernel of the ``near_sym_a`` biorthogonal wavelets.

    Parameters
    ----------
    band : {"ll", "lh", "hl", "hh"}
        First the filter along x, then the one along y: "l" is low-pass (7 taps, sum 1),
        "h" high-pass (5 taps, sum 0). "lh" answers to horizontal edges.

    Returns
    -------
    numpy.ndarray
        float32, ``(rows, columns)``: 7 x 7, 5 x 7, 7 x 5 or 5 x 5.

    Raises
    ------
    ValueError
        If the band is unknown.

    References
    ----------
    N. Kingsbury, "Complex wavelets for shift invariant analysis and filtering of signals",
    Applied and Computational Harmonic Analysis 10 (2001).
    """
    if band not in BANDS:
        raise ValueError(f"band must be one of {', '.join(BANDS)}, not {band!r}.")
    filters = {"l": _LOW, "h": _HIGH}
    across, down = (np.array([float(tap) for tap in filters[letter]]) for letter in band)
    return np.outer(down, across).astype(np.float32)
