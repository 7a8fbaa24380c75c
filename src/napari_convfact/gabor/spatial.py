"""Gabor kernels in space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_convfact.foundation import fft
from napari_convfact.gabor.spectra import Band, Wave, zero_sum_share
from napari_convfact.gabor.torus import spread


def gabor_kernel(size: Sequence[int], wave: Wave, *, dc_free: bool) -> np.ndarray:
    """Return a Gabor kernel, origin at ``size // 2``.

    Parameters
    ----------
    size : sequence of int
        Number of samples along each axis.
    wave : Wave
        The kernel; its Gaussian sums to 1.
    dc_free : bool
        Subtract the multiple of the Gaussian that makes the whole kernel sum to zero.

    Returns
    -------
    numpy.ndarray
        complex128, `size`.
    """
    position = np.meshgrid(*(np.arange(n) - n // 2 for n in size), indexing="ij", sparse=True)
    along = sum(d * x for d, x in zip(wave.direction, position, strict=True))
    square = sum(x**2.0 for x in position)
    across = np.maximum(square - along**2, 0)
    envelope = np.exp(-0.5 * (along**2 / wave.along**2 + across / wave.across**2))
    envelope /= envelope_sum(wave)
    offset = zero_sum_share(wave) if dc_free else 0.0
    return np.asarray(envelope * (np.exp(2j * math.pi * wave.frequency * along) - offset))


def envelope_sum(wave: Wave) -> float:
    """Return the integral of a kernel's Gaussian of height 1."""
    ndim = len(wave.direction)
    return (2 * math.pi) ** (ndim / 2) * wave.along * wave.across ** (ndim - 1)


def band_kernel(size: Sequence[int], band: Band, torus: Sequence[int]) -> np.ndarray:
    """Return the kernel of a spectrum, origin at ``size // 2``; see `gabor_kernel`."""
    kernel = band.values.to(dtype=band.values.dtype.to_complex())
    for axis, (start, n) in enumerate(zip(band.start, torus, strict=True)):
        kernel = fft.ifft(spread(kernel, axis, start, n), axis, overwrite=True)
        window = (np.arange(size[axis]) - size[axis] // 2) % n
        kernel = kernel[(slice(None),) * axis + (window,)]
    return np.asarray(kernel.numpy())
