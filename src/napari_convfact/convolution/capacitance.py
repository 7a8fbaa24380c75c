"""Exact inverse of a small kernel with a zero boundary, by a dense system for the border.

The image is the inner box of a torus that is larger by the kernel's reach. There the
convolution C has an inverse G. Zeros outside the box are asked for by unknown data z on the
border, so that ``(G [y; z])`` vanishes there: ``G_BB z = -G_BI y``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import crop
from napari_convfact.convolution.circulant import apply_transfer, transfer_function
from napari_convfact.convolution.forward_model import ForwardModel
from napari_convfact.convolution.spectral import inverse_transfer, singular_values
from napari_convfact.foundation import fft

# Factoring more unknowns than this takes longer than iterating over a few frames.
LARGEST_BORDER = 2304
_LARGEST_CONDITION = 1e8


@dataclass(frozen=True)
class BorderInverse:
    """A factored border system, ready for any number of images.

    Attributes
    ----------
    shape, torus : tuple of int
        Spatial sizes of the image and of the torus around it.
    inverse : torch.Tensor
        complex128 spectrum of C's inverse on the torus, on the CPU.
    border : numpy.ndarray
        Flat indices of the torus that lie outside the image.
    factors : tuple of numpy.ndarray
        LU factors of ``G_BB``, channels slowest.
    """

    shape: tuple[int, ...]
    torus: tuple[int, ...]
    inverse: Tensor
    border: np.ndarray
    factors: tuple[np.ndarray, np.ndarray]

    def apply(self, y: Tensor) -> Tensor:
        """Return the x that the convolution maps to `y`.

        Parameters
        ----------
        y : torch.Tensor
            ``(..., *n)`` or ``(..., c, *n)``.

        Returns
        -------
        torch.Tensor
            Of the shape, type and device of `y`; computed in float64.
        """
        ndim = len(self.shape)
        mixes = self.inverse.ndim > ndim
        batch = y.shape[: y.ndim - ndim - mixes]
        data = y.to("cpu", torch.float64)
        guess = self._invert(data)
        if not self.border.size:
            return guess.to(device=y.device, dtype=y.dtype)
        guess = guess.flatten(-ndim)
        unknowns = guess[..., self.border].reshape(*batch, -1).numpy()
        columns = unknowns.reshape(-1, unknowns.shape[-1]).T
        z = -scipy.linalg.lu_solve(self.factors, columns).T
        padded = torch.zeros_like(guess)
        padded[..., self.border] = torch.as_tensor(z).reshape(*padded.shape[:-1], len(self.border))
        padded = padded.reshape(*padded.shape[:-1], *self.torus)
        crop(padded, (0,) * ndim, self.shape).copy_(data)
        x = crop(self._invert(padded), (0,) * ndim, self.shape)
        return x.to(device=y.device, dtype=y.dtype)

    def _invert(self, data: Tensor) -> Tensor:
        spectrum = apply_transfer(fft.rfftn(data, self.torus), self.inverse, len(self.torus))
        return fft.irfftn(spectrum, self.torus, overwrite=True)


def border_size(operator: ForwardModel) -> int:
    """Return the number of unknowns of the border system of an operator."""
    channels = operator.kernel.shape[0] if operator.mixes else 1
    outside = np.prod(_torus(operator), dtype=float) - np.prod(operator.geometry.input, dtype=float)
    return int(channels * outside)


def factor_border(operator: ForwardModel) -> BorderInverse | None:
    """Factor the border system of an operator with boundary "zero".

    Parameters
    ----------
    operator : ForwardModel
        With as many output as input channels, stride 1 and no mask.

    Returns
    -------
    BorderInverse or None
        None where the convolution on the torus or the border system is too badly
        conditioned for the answer to be trusted.

    References
    ----------
    B. L. Buzbee, F. W. Dorr, J. A. George and G. H. Golub, "The direct solution of the discrete
    Poisson equation on irregular regions", SIAM J. Numer. Anal. 8 (1971), for the method.
    """
    torus, shape = _torus(operator), operator.geometry.input
    transfer = transfer_function(
        operator.kernel, torus, origin=operator.geometry.origin, dtype=torch.float64
    )
    values = singular_values(transfer, operator.ndim)
    if values.max() >= _LARGEST_CONDITION * values.min():
        return None
    symbol = torch.ones(transfer.shape[-operator.ndim :], dtype=torch.float64)
    inverse = inverse_transfer(transfer, symbol, rcond=0.0)
    border = _border_indices(torus, shape)
    if not border.size:  # a kernel of one sample
        return BorderInverse(shape, torus, inverse, border, (np.zeros((0, 0)), np.zeros(0)))
    system = _border_system(fft.irfftn(inverse, torus), torus, border)
    factors = scipy.linalg.lu_factor(system, check_finite=False)
    reciprocal, _ = scipy.linalg.lapack.dgecon(factors[0], np.linalg.norm(system, 1))
    if reciprocal * _LARGEST_CONDITION < 1:
        return None
    return BorderInverse(shape, torus, inverse, border, factors)


def _torus(operator: ForwardModel) -> tuple[int, ...]:
    """Return the smallest torus on which wrapping around does not reach the image."""
    geometry = operator.geometry
    return tuple(
        n + max(o, k - 1 - o)
        for n, k, o in zip(geometry.input, geometry.kernel, geometry.origin, strict=True)
    )


def _border_indices(torus: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    outside = np.ones(torus, dtype=bool)
    outside[tuple(slice(n) for n in shape)] = False
    return np.flatnonzero(outside)


def _border_system(response: Tensor, torus: tuple[int, ...], border: np.ndarray) -> np.ndarray:
    """Return the matrix whose entries are the inverse's response between border samples."""
    places = np.unravel_index(border, torus)
    offset = np.zeros((len(border), len(border)), dtype=np.int64)
    for place, n in zip(places, torus, strict=True):
        offset = offset * n + (place[:, None] - place[None, :]) % n
    values = response.flatten(-len(torus)).numpy()[..., offset]
    if values.ndim == 2:
        return values
    channels = values.shape[0]
    return values.transpose(0, 2, 1, 3).reshape(channels * len(border), -1)
