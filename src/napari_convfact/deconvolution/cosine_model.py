"""A blurred image in the cosine basis, in which its blur is diagonal.

There the solution of strength s leaves the share ``s / (ratio + s)`` of each coefficient as
residual, with ``ratio = |H|^2 / |L|^2``. Only how the image's energy is distributed over that
ratio matters, so it is kept as a histogram and every question about a strength is cheap.

An image is a window of a larger scene, and no model of its boundary is right. Where it is large
compared with the PSF it is tapered, so that its boundary has no say, and in every case the gains
are smoothed over frequency as the window smooths the image's spectrum.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal

from napari_convfact.convolution.prior import difference_power
from napari_convfact.deconvolution.noise import Noise
from napari_convfact.foundation.fft import workers

# The histogram is over log10(ratio); a bin is 0.45 % wide.
_LOWEST, _HIGHEST, _BINS = -16.0, 16.0, 2**14

# Elements that are worked on at a time.
_SLAB = 2**20

# An axis is tapered if it is so many times as long as the PSF; a shorter one would lose too much.
_LONG_AXIS = 8


@dataclass(frozen=True)
class CosineModel:
    """An image's energy over what a blur and a prior do to it, in the cosine basis.

    Attributes
    ----------
    ratio : numpy.ndarray
        ``|H|^2 / |L|^2`` of each bin, ascending; the last one is infinite (constants under
        the gradient prior).
    count : numpy.ndarray
        Number of coefficients in each bin.
    energy : numpy.ndarray
        Sum of their squares.
    noise : Noise
        Of the images.
    prior : {"identity", "gradient"}
        L: the identity, or the forward differences along all axes.

    References
    ----------
    .. [1] G. H. Golub, M. Heath, G. Wahba, "Generalized cross-validation as a method for
       choosing a good ridge parameter", Technometrics 21 (1979).
    .. [2] J. Chung, J. G. Nagy, D. P. O'Leary, "A weighted-GCV method for Lanczos-hybrid
       regularization", Electronic Transactions on Numerical Analysis 28 (2008).
    """

    ratio: np.ndarray
    count: np.ndarray
    energy: np.ndarray
    noise: Noise
    prior: str

    @property
    def size(self) -> float:
        """Number of coefficients."""
        return float(self.count.sum())

    def residual(self, strength: float) -> float:
        """Return the squared norm of what a solution leaves unexplained."""
        return float((self.energy * self._left(strength) ** 2).sum())

    def prior_norm(self, strength: float) -> float:
        """Return the squared norm ``|L x|^2`` of a solution."""
        kept = self.ratio[:-1] / (self.ratio[:-1] + strength) ** 2
        return float((self.energy[:-1] * kept).sum())

    def cross_validation(self, strength: float, *, weight: float = 1.0) -> float:
        """Return the generalized cross-validation score [1]_: the lower, the better.

        Parameters
        ----------
        strength : float
            Positive.
        weight : float
            Factor of the solution's degrees of freedom [2]_; the larger, the smoother the
            choice.
        """
        kept = self.size - float((self.count * self._left(strength)).sum())
        return _score(self.residual(strength), kept, self.size, weight)

    def threshold_cross_validation(self, *, weight: float = 1.0) -> np.ndarray:
        """Return the scores of cutting all coefficients below each bin's ratio."""
        residual = np.cumsum(self.energy) - self.energy
        kept = self.size - (np.cumsum(self.count) - self.count)
        return np.array(
            [_score(r, k, self.size, weight) for r, k in zip(residual, kept, strict=True)]
        )

    def _left(self, strength: float) -> np.ndarray:
        left: np.ndarray = strength / (self.ratio + strength)
        return left


def cosine_model(
    images: Iterable[np.ndarray], psf: np.ndarray, prior: str, *, windowed: bool = True
) -> CosineModel:
    """Pool the statistics that the rules need.

    Parameters
    ----------
    images : iterable of numpy.ndarray
        Real, all of one shape, one axis per axis of `psf`.
    psf : numpy.ndarray
        Real, of sum 1.
    prior : {"identity", "gradient"}
        The prior that the strength is for.
    windowed : bool
        Whether the images are windows of a larger scene, or go on by reflection for sure.

    Returns
    -------
    CosineModel

    References
    ----------
    .. [1] R. B. Blackman, J. W. Tukey, "The measurement of power spectra" (1958), for the
       relation of windows and smoothed spectra.
    """
    bins: np.ndarray | None = None
    count = np.zeros(_BINS)
    energy = np.zeros(_BINS)
    noise = []
    for image in images:
        windows = [
            taper_window(n, k) if windowed else np.ones(n)
            for n, k in zip(image.shape, psf.shape, strict=True)
        ]
        bins = _bins(psf, windows, prior, smooth=windowed) if bins is None else bins
        coefficients = scipy.fft.dctn(
            taper(image, windows), norm="ortho", workers=workers(image.size), overwrite_x=True
        )
        for slab in _slabs(image.shape):
            index = bins[slab].ravel()
            squares = np.square(coefficients[slab], dtype=np.float64).ravel()
            count += np.bincount(index, minlength=_BINS)
            energy += np.bincount(index, squares, minlength=_BINS)
        noise.append(Noise.of(image))
    ratio = 10 ** (_LOWEST + (np.arange(_BINS) + 0.5) * (_HIGHEST - _LOWEST) / _BINS)
    ratio[-1] = np.inf
    return CosineModel(ratio, count, energy, Noise.pooled(noise), prior)


def taper_window(n: int, k: int) -> np.ndarray:
    """Return the window of an axis of n samples under a PSF of k.

    Hann's if the axis is long, else flat; scaled to keep the energy of white noise.
    """
    if n < _LONG_AXIS * k:
        return np.ones(n)
    window = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    scaled: np.ndarray = window / np.sqrt(np.mean(window**2))
    return scaled


def taper(image: np.ndarray, windows: Sequence[np.ndarray]) -> np.ndarray:
    """Return the image less its mean, times the windows of its axes."""
    faded: np.ndarray = image - image.mean(dtype=np.float64).astype(image.dtype)
    for axis, window in enumerate(windows):
        faded *= window.astype(image.dtype).reshape([-1] + [1] * (image.ndim - 1 - axis))
    return faded


def _score(residual: float, kept: float, size: float, weight: float) -> float:
    left = size - weight * kept
    return residual * size / left**2 if left > 0 else math.inf


def _bins(
    psf: np.ndarray, windows: Sequence[np.ndarray], prior: str, *, smooth: bool
) -> np.ndarray:
    """Return the histogram bin of every cosine, of the image's shape."""
    shape = [len(window) for window in windows]
    lags = _folded_autocorrelation(psf)
    if smooth:
        for axis, (window, k) in enumerate(zip(windows, psf.shape, strict=True)):
            lags *= _lag_window(window, k).reshape([-1] + [1] * (psf.ndim - 1 - axis))
    frequencies = [np.pi * np.arange(n) / n for n in shape]
    cosines = [
        np.cos(np.outer(w, np.arange(k))) for w, k in zip(frequencies, psf.shape, strict=True)
    ]
    for axis in range(1, psf.ndim):
        lags = np.moveaxis(np.tensordot(lags, cosines[axis], (axis, 1)), -1, axis)
    bins = np.empty(shape, np.uint16)
    for slab in _slabs(shape):
        power = np.tensordot(cosines[0][slab], lags, 1).clip(min=10**_LOWEST)
        with np.errstate(divide="ignore"):
            ratio = power / _cosine_symbol(prior, [frequencies[0][slab], *frequencies[1:]])
        position = (np.log10(ratio) - _LOWEST) * (_BINS / (_HIGHEST - _LOWEST))
        bins[slab] = position.clip(0, _BINS - 1)
    return bins


def _lag_window(window: np.ndarray, k: int) -> np.ndarray:
    """Return the window's autocorrelation at lags 0 to k - 1.

    The spectrum that is expected behind a window is the transform of the autocorrelation
    times this.
    """
    n = len(window)
    overlap = np.zeros(max(n, k))
    overlap[:n] = scipy.signal.correlate(window, window)[n - 1 :] / n
    return overlap[:k]


def _folded_autocorrelation(psf: np.ndarray) -> np.ndarray:
    """Return the autocorrelation summed over the signs of its lags, of the PSF's shape.

    Its cosine transform is ``|H|^2`` averaged over the signs of the frequency, which is what
    a cosine sees of a PSF without symmetry.
    """
    lags = scipy.signal.correlate(psf, psf)
    for axis, k in enumerate(psf.shape):
        negative, rest = np.split(lags, [k - 1], axis=axis)
        zero, positive = np.split(rest, [1], axis=axis)
        lags = np.concatenate([zero, positive + np.flip(negative, axis)], axis=axis)
    return lags


def _cosine_symbol(prior: str, frequencies: Sequence[np.ndarray]) -> np.ndarray:
    if prior == "identity":
        return np.ones(1)
    grids = np.meshgrid(*map(difference_power, frequencies), indexing="ij", sparse=True)
    total: np.ndarray = functools.reduce(np.add, grids)
    return total


def _slabs(shape: Sequence[int]) -> list[slice]:
    rows = max(1, _SLAB // math.prod(shape[1:]))
    return [slice(start, start + rows) for start in range(0, shape[0], rows)]
