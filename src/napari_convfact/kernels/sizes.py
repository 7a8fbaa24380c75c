"""Lengths and sizes that may be given once or per axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def per_axis(value: Any, ndim: int, name: str) -> tuple[float, ...]:
    """Return positive numbers, one per axis.

    Parameters
    ----------
    value : float or sequence of float
        One number for all axes, or one for each.
    ndim : int
        Number of axes.
    name : str
        How to call it in messages.

    Raises
    ------
    ValueError
        If there are too many or too few, or one is not positive and finite.
    """
    values = np.atleast_1d(np.asarray(value, dtype=float))
    if np.ndim(value) == 0:
        values = np.repeat(values, ndim)
    if values.shape != (ndim,):
        raise ValueError(f"{name} has {values.size} entries for {ndim} axes.")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"{name} must be positive, not {value!r}.")
    return tuple(float(v) for v in values)


def odd_sizes(size: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """Return sizes, one per axis, that have a middle.

    Raises
    ------
    ValueError
        If one is not a positive odd whole number.
    """
    sizes = per_axis(size, ndim, "size")
    if any(n % 2 != 1 for n in sizes):
        raise ValueError(f"size must be odd along each axis to have a middle, not {size!r}.")
    return tuple(int(n) for n in sizes)


def count_axes(value: Any, ndim: int) -> int:
    """Return the number of entries of a sequence, or `ndim` for a single number."""
    return ndim if np.ndim(value) == 0 else len(value)
