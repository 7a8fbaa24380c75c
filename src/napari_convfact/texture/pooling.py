"""Gaussian pooling: local means that are the same in a tile as in the whole image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import pad
from napari_convfact.execution.chain import Chain
from napari_convfact.execution.passes import FusedPass
from napari_convfact.texture.correlation import correlate

# The window ends at this many standard deviations.
_EXTENT = 4.0


class GaussianPool:
    """The Gaussian-weighted mean around each pixel, with mirrored edges.

    It sums positive terms and takes no Fourier transform, so that small energies beside
    large ones keep their digits.

    Parameters
    ----------
    sigma : float or sequence of float
        Standard deviation in pixels, for all axes or for each; 0 leaves an axis alone.
    ndim : int
        Number of axes.

    Raises
    ------
    ValueError
        If a standard deviation is negative or not finite.
    """

    def __init__(self, sigma: float | Sequence[float], ndim: int) -> None:
        sigmas = [sigma] * ndim if np.isscalar(sigma) else list(sigma)  # type: ignore[arg-type]
        if len(sigmas) != ndim or not all(np.isfinite(s) and s >= 0 for s in sigmas):  # type: ignore[operator]
            raise ValueError(
                f"sigma must be a number of at least 0, or one for each of {ndim} axes, "
                f"not {sigma!r}."
            )
        self.taps = [_taps(float(s)) for s in sigmas]  # type: ignore[arg-type]
        self._fused = FusedPass([Chain.separable(self.taps)])

    @property
    def reach(self) -> tuple[int, ...]:
        """How far the window extends to each side, in pixels."""
        return tuple(len(taps) // 2 for taps in self.taps)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the local means of ``(..., *n)``."""
        return self._fused(x, "reflect") if x.device.type == "cpu" else self._correlate(x)

    def _correlate(self, x: Tensor) -> Tensor:
        ndim, shape = len(self.taps), x.shape
        x = x.reshape(-1, 1, *shape[-ndim:])
        for axis, taps in enumerate(self.taps):
            reach = [len(taps) // 2 if axis == i else 0 for i in range(ndim)]
            line = [-1 if axis == i else 1 for i in range(ndim)]
            weight = torch.as_tensor(taps, dtype=x.dtype, device=x.device).reshape(1, 1, *line)
            x = correlate(pad(x, reach, reach, "reflect"), weight)
        return x.reshape(shape)


def _taps(sigma: float) -> np.ndarray:
    if sigma == 0:
        return np.ones(1)
    reach = int(_EXTENT * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(taps / taps.sum())
