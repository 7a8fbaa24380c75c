"""A Gaussian fitted to a peak: sub-voxel centre and widths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

FWHM_PER_SIGMA = float(np.sqrt(8 * np.log(2)))


@dataclass(frozen=True)
class GaussianPeak:
    """A fitted Gaussian.

    Attributes
    ----------
    amplitude : float
        Height above zero.
    center : tuple of float
        Index of the maximum, with fractions.
    fwhm : tuple of float
        Full width at half maximum, in samples, of the profile along each axis through the
        centre. For a tilted peak it is narrower than the projection onto that axis.
    explained : float
        Part of the variance of the fitted samples that the Gaussian explains, at most 1.
    """

    amplitude: float
    center: tuple[float, ...]
    fwhm: tuple[float, ...]
    explained: float = 1.0


def fit_gaussian(data: np.ndarray, center: Sequence[float], fwhm: Sequence[float]) -> GaussianPeak:
    """Fit a Gaussian of any orientation to the neighbourhood of a peak by least squares.

    Parameters
    ----------
    data : numpy.ndarray
        Real, without background.
    center, fwhm : sequence of float
        First guess in samples; the fit uses the samples within one `fwhm` of the centre.

    Returns
    -------
    GaussianPeak
    """
    window = tuple(
        slice(max(0, int(np.floor(c - w))), int(np.ceil(c + w)) + 1)
        for c, w in zip(center, fwhm, strict=True)
    )
    values = data[window].astype(float)
    first = np.array([s.start for s in window])
    grid = np.stack(np.meshgrid(*map(np.arange, values.shape), indexing="ij"), axis=-1)
    height = values.max()

    def residual(parameters: np.ndarray) -> np.ndarray:
        difference: np.ndarray = _gaussian(grid, parameters) - values / height
        return difference.ravel()

    solution = least_squares(
        residual,
        _first_guess(np.asarray(center) - first, fwhm),
        x_scale="jac",
        max_nfev=200,
    )
    fitted = solution.x
    ndim = data.ndim
    factor = _factor(fitted[1 + ndim :], ndim)
    widths = FWHM_PER_SIGMA / np.sqrt((factor**2).sum(axis=0))
    middle = fitted[1 : 1 + ndim] + first
    return GaussianPeak(
        float(fitted[0] * height),
        tuple(float(c) for c in middle),
        tuple(float(w) for w in widths),
        1 - float(2 * solution.cost / np.sum((values - values.mean()) ** 2) * height**2),
    )


def _first_guess(center: np.ndarray, fwhm: Sequence[float]) -> np.ndarray:
    ndim = len(fwhm)
    factor = np.diag(FWHM_PER_SIGMA / np.asarray(fwhm, dtype=float))
    return np.concatenate([[1.0], center, factor[np.triu_indices(ndim)]])


def _factor(entries: np.ndarray, ndim: int) -> np.ndarray:
    """Return the triangular R for which ``R.T @ R`` is the inverse covariance."""
    factor = np.zeros((ndim, ndim))
    factor[np.triu_indices(ndim)] = entries
    return factor


def _gaussian(grid: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    ndim = grid.shape[-1]
    offset = (grid - parameters[1 : 1 + ndim]) @ _factor(parameters[1 + ndim :], ndim).T
    value: np.ndarray = parameters[0] * np.exp(-0.5 * (offset**2).sum(axis=-1))
    return value
