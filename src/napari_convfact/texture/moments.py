"""Second-order moments of a pixel and its neighbours: all that a linear predictor needs.

With x a pixel and z its neighbours, ``A = <z z'>``, ``b = <z x>`` and ``c = <x^2>`` give the
mean squared error of every predictor w as ``c - 2 b'w + w'A w``, so that the pixels are read
once, whatever is fitted afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_convfact.texture.support import Support

# A standard deviation below this share of the mean is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Moments:
    """Means and scatter of a pixel (its channels first) and its neighbours.

    Adding two accumulates parts of the same images, as tiles; the mean is then the whole's.

    Attributes
    ----------
    support : Support
        The neighbours.
    weight : numpy.ndarray
        float64, ``(n,)``: number of windows, or the sum of their weights.
    mean : numpy.ndarray
        float64, ``(n, v)`` with ``v = channels + support.size``.
    scatter : numpy.ndarray
        float64, ``(n, v, v)``: sum over the windows of the products of deviations from `mean`.
    """

    support: Support
    weight: np.ndarray
    mean: np.ndarray
    scatter: np.ndarray

    def __len__(self) -> int:
        return len(self.weight)

    def __add__(self, other: Moments) -> Moments:
        if other.support != self.support:
            raise ValueError("Moments of different neighbourhoods cannot be added.")
        weight = self.weight + other.weight
        share = other.weight / np.where(weight > 0, weight, 1)
        step = other.mean - self.mean
        spread = np.einsum("n,ni,nj->nij", self.weight * share, step, step)
        return Moments(
            self.support,
            weight,
            self.mean + share[:, None] * step,
            self.scatter + other.scatter + spread,
        )

    @property
    def A(self) -> np.ndarray:  # noqa: N802
        """Covariance of the neighbours, ``(n, size, size)``."""
        first = self.support.channels
        return self._covariance[:, first:, first:]

    @property
    def b(self) -> np.ndarray:
        """Covariance of the neighbours with the pixel's channels, ``(n, size, channels)``."""
        first = self.support.channels
        return self._covariance[:, first:, :first]

    @property
    def c(self) -> np.ndarray:
        """Variance of each channel, ``(n, channels)``."""
        first = self.support.channels
        variance: np.ndarray = np.einsum("nii->ni", self._covariance[:, :first, :first])
        return variance

    @property
    def _covariance(self) -> np.ndarray:
        weight = np.where(self.weight > 0, self.weight, 1)[:, None, None]
        return self.scatter / weight

    def error(self, weights: np.ndarray) -> np.ndarray:
        """Return the mean squared error of predictors, without reading a pixel.

        Parameters
        ----------
        weights : numpy.ndarray
            ``(k, size, channels)``, the same for all images, or ``(n, k, size, channels)``.

        Returns
        -------
        numpy.ndarray
            ``(n, k, channels)``
        """
        if weights.ndim == 3:
            weights = np.broadcast_to(weights, (len(self), *weights.shape))
        n, k, size, channels = weights.shape
        # One matrix product per image is many times faster than an einsum of three operands.
        flat = weights.transpose(0, 2, 1, 3).reshape(n, size, k * channels)
        slope = (self.A @ flat).reshape(n, size, k, channels) - 2 * self.b[:, :, None]
        error: np.ndarray = self.c[:, None] + np.einsum("nkvc,nvkc->nkc", weights, slope)
        return error


def concatenate(parts: Sequence[Moments]) -> Moments:
    """Return the moments of several images as one object."""
    return Moments(
        parts[0].support,
        np.concatenate([part.weight for part in parts]),
        np.concatenate([part.mean for part in parts]),
        np.concatenate([part.scatter for part in parts]),
    )


def without_rounding(moments: Moments) -> Moments:
    """Set the scatter of constant images to zero, where only rounding is left of it."""
    scale = np.abs(moments.mean).max(axis=1) * _ROUNDING
    variance = np.einsum("nii->ni", moments.scatter).max(axis=1)
    constant = variance <= moments.weight * scale**2
    scatter = np.where(constant[:, None, None], 0.0, moments.scatter)
    return Moments(moments.support, moments.weight, moments.mean, scatter)
