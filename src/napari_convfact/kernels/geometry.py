"""Where a kernel's centre is, and kernels sampled anew around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import make_interp_spline

# The influence of a sample on a cubic spline falls by 0.27 per sample: 1e-7 after twelve.
_SPLINE_REACH = 12


def peak_position(weights: np.ndarray) -> tuple[int, ...]:
    """Return the index of the largest value, in the middle of a plateau if there is one."""
    highest = np.argwhere(weights >= weights.max() * (1 - 1e-6))
    distance = ((highest - highest.mean(axis=0)) ** 2).sum(axis=1)
    nearest = highest[distance <= distance.min() + 1e-9]
    # A peak that an even number of samples share belongs to the upper of the middle two,
    # as the origin n // 2 of an even axis does.
    return tuple(int(i) for i in nearest[-1])


def centroid(weights: np.ndarray) -> tuple[float, ...]:
    """Return the centre of mass of non-negative weights, in samples."""
    marginals = (axis_marginal(weights, axis) for axis in range(weights.ndim))
    return tuple(float(m @ np.arange(m.size) / m.sum()) for m in marginals)


def axis_marginal(weights: np.ndarray, axis: int) -> np.ndarray:
    """Return the sums over all other axes."""
    others = tuple(a for a in range(weights.ndim) if a != axis)
    return np.asarray(weights.sum(axis=others))


def sample_around(
    data: np.ndarray,
    center: Sequence[float],
    half_widths: Sequence[int],
    step: Sequence[float] | None = None,
) -> np.ndarray:
    """Sample an array on a grid whose middle is a given, possibly fractional, position.

    Whole positions are copied; others come from a cubic spline, which keeps the sum and
    moves the centre of mass exactly as long as the data end in zeros.

    Parameters
    ----------
    data : numpy.ndarray
        Floating point; zero beyond its edges.
    center : sequence of float
        Index in `data` that the middle of the result has.
    half_widths : sequence of int
        Samples on each side of the middle.
    step : sequence of float, optional
        Distance between the result's samples in those of `data`; 1 by default.

    Returns
    -------
    numpy.ndarray
        ``(2 * half_width + 1)`` along each axis.
    """
    step = (1.0,) * data.ndim if step is None else step
    axes = zip(center, half_widths, step, strict=True)
    positions = [middle + spacing * np.arange(-half, half + 1) for middle, half, spacing in axes]
    # First a view of the neighbourhood, so that the work does not grow with the whole array.
    first = [max(0, int(p[0]) - _SPLINE_REACH) for p in positions]
    last = [max(0, int(p[-1]) + _SPLINE_REACH + 2) for p in positions]
    data = data[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    for axis, start in enumerate(first):
        data = _sample_axis(data, axis, positions[axis] - start)
    return data


def _sample_axis(data: np.ndarray, axis: int, positions: np.ndarray) -> np.ndarray:
    whole = np.round(positions).astype(int)
    if np.allclose(positions, whole, rtol=0, atol=1e-6):
        return _take(data, axis, whole)
    first = int(np.floor(positions[0])) - _SPLINE_REACH
    last = int(np.ceil(positions[-1])) + _SPLINE_REACH
    index = np.arange(first, last + 1)
    spline = make_interp_spline(index, _take(data, axis, index), k=3, axis=axis)
    return np.asarray(spline(positions))


def _take(data: np.ndarray, axis: int, index: np.ndarray) -> np.ndarray:
    """Return the samples at `index`, zeros where it is outside."""
    n = data.shape[axis]
    values: np.ndarray = np.take(data, index.clip(0, n - 1), axis=axis)
    inside = (index >= 0) & (index < n)
    values[(slice(None),) * axis + (~inside,)] = 0
    return values


def energy_half_widths(weights: np.ndarray, energy: float) -> tuple[int, ...]:
    """Return the smallest half-widths around the middle that together hold `energy`.

    Parameters
    ----------
    weights : numpy.ndarray
        Non-negative, of odd size along each axis.
    energy : float
        Fraction of the sum, in (0, 1]. Each axis may lose an equal share of the rest, so
        that the box never loses more.

    Returns
    -------
    tuple of int
    """
    budget = (1 - energy) / weights.ndim * weights.sum()
    widths = []
    for axis in range(weights.ndim):
        marginal = axis_marginal(weights, axis)
        middle = marginal.size // 2
        pairs = marginal[:middle][::-1] + marginal[middle + 1 :]
        lost = np.append(np.cumsum(pairs[::-1])[::-1], 0.0)
        widths.append(int(np.argmax(lost <= budget)))
    return tuple(widths)


def crop_to(data: np.ndarray, half_widths: Sequence[int]) -> np.ndarray:
    """Return the middle of an array of odd size."""
    window = (
        slice(n // 2 - h, n // 2 + h + 1) for n, h in zip(data.shape, half_widths, strict=True)
    )
    return data[tuple(window)]
