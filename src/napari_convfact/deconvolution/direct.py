"""Deconvolution by one product in the Fourier domain.

Each method is a gain per frequency. The boundary decides how the image is laid on the torus on
which that product is exact: as it is (periodic), or padded (reflect, zero).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.boundary import crop, source_index
from napari_convfact.convolution.circulant import transfer_function
from napari_convfact.convolution.prior import prior_symbol
from napari_convfact.foundation import fft
from napari_convfact.foundation.blocks import map_blocks
from napari_convfact.foundation.threads import one_torch_thread

BOUNDARIES = ("periodic", "reflect", "zero")

# The seam of the torus is kept at least this far from the image, for PSFs of any size.
_LEAST_MARGIN = 16


def regularized_gain(transfer: Tensor, symbol: Tensor, strength: float) -> Tensor:
    """Return the gain that minimizes ``|k * x - y|^2 + strength |L x|^2`` on a torus.

    Parameters
    ----------
    transfer : torch.Tensor
        Complex, the transfer function H of the kernel.
    symbol : torch.Tensor
        Real, the eigenvalues of ``L^T L`` (`prior_symbol`).
    strength : float
        Positive. With the identity prior this is Wiener's filter, and the strength is the
        noise-to-signal power ratio.

    Returns
    -------
    torch.Tensor
        Complex, ``conj(H) / (|H|^2 + strength * symbol)``.
    """
    gain = torch.empty_like(transfer)
    map_blocks(partial(_write_gain, strength), transfer, symbol, gain)
    return gain


def _write_gain(strength: float, transfer: Tensor, symbol: Tensor, gain: Tensor) -> None:
    power = transfer.real.square().addcmul_(transfer.imag, transfer.imag)
    power.add_(symbol, alpha=strength).clamp_(min=torch.finfo(power.dtype).tiny)
    torch.div(transfer.real, power, out=gain.real)
    torch.div(transfer.imag, power.neg_(), out=gain.imag)


def pseudo_inverse_gain(transfer: Tensor, rcond: float) -> Tensor:
    """Return ``1 / H`` where ``|H|`` reaches `rcond` times its maximum, and 0 elsewhere.

    The threshold is one for all frequencies. A threshold relative to each frequency's own
    singular value would never cut anything.

    Parameters
    ----------
    transfer : torch.Tensor
        Complex, the transfer function H of the kernel.
    rcond : float
        Between 0 and 1.

    Returns
    -------
    torch.Tensor
        Complex, of the shape of `transfer`. No gain exceeds ``1 / (rcond * max|H|)``.
    """
    magnitude = transfer.abs()
    kept = magnitude >= rcond * magnitude.max()
    return torch.where(kept, transfer, 1).reciprocal_().mul_(kept)


@dataclass(frozen=True)
class DirectFilter:
    """An inverse filter that is ready for any number of images of one shape.

    Attributes
    ----------
    gain : torch.Tensor
        Complex spectrum of the applied inverse, in the layout of `fft.rfftn`.
    shape : tuple of int
        Spatial shape of the images.
    torus_shape : tuple of int
        Spatial shape of the transforms.
    boundary : {"periodic", "reflect", "zero"}
        How an image goes on beyond its edges.
    """

    gain: Tensor
    shape: tuple[int, ...]
    torus_shape: tuple[int, ...]
    boundary: str

    def apply(self, image: Tensor) -> Tensor:
        """Deconvolve.

        Parameters
        ----------
        image : torch.Tensor
            Real, ``(..., *shape)``, on the device of `gain`.

        Returns
        -------
        torch.Tensor
            The estimate, of the image's shape.
        """
        with one_torch_thread():
            spectrum = fft.rfftn(self._lay_on_torus(image), self.torus_shape)
            for item in spectrum.view(-1, *self.gain.shape):
                map_blocks(Tensor.mul_, item, self.gain)
            estimate = fft.irfftn(spectrum, self.torus_shape, overwrite=True)
            return crop(estimate, (0,) * len(self.shape), self.shape).contiguous()

    def _lay_on_torus(self, image: Tensor) -> Tensor:
        if self.boundary == "reflect":
            return reflect_onto_torus(image, self.torus_shape)
        return image  # rfftn adds the zeros; a periodic image fits


def direct_filter(
    psf: np.ndarray,
    shape: Sequence[int],
    *,
    method: str = "tikhonov",
    boundary: str = "reflect",
    prior: str = "gradient",
    strength: float = 1e-3,
    rcond: float = 0.1,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> DirectFilter:
    """Make the inverse filter of a PSF.

    Parameters
    ----------
    psf : numpy.ndarray
        Real, of sum 1, origin at ``n // 2``. It may be larger than the image.
    shape : sequence of int
        Spatial shape of the images, one entry per axis of `psf`.
    method : {"pseudo-inverse", "wiener", "tikhonov"}
        ``"wiener"`` is ``"tikhonov"`` with the identity prior.
    boundary : {"periodic", "reflect", "zero"}
        How an image goes on beyond its edges.
    prior : {"identity", "gradient"}
        For ``"tikhonov"``.
    strength : float
        For ``"wiener"`` and ``"tikhonov"``; see `regularized_gain`.
    rcond : float
        For ``"pseudo-inverse"``; see `pseudo_inverse_gain`.
    dtype : torch.dtype
        Real type of the images.
    device : str or torch.device
        Where the images lie.

    Returns
    -------
    DirectFilter

    Examples
    --------
    >>> import numpy as np, torch
    >>> inverse = direct_filter(np.full((3, 3), 1 / 9), (64, 64), strength=1e-2)
    >>> inverse.apply(torch.rand(10, 64, 64)).shape
    torch.Size([10, 64, 64])
    """
    torus_shape = torus_for(shape, psf.shape, boundary)
    transfer = transfer_function(psf, torus_shape, dtype=dtype, device=device)
    if method == "pseudo-inverse":
        gain = pseudo_inverse_gain(transfer, rcond)
    else:
        prior = "identity" if method == "wiener" else prior
        symbol = prior_symbol(prior, torus_shape, dtype=dtype, device=device)
        gain = regularized_gain(transfer, symbol, strength)
    return DirectFilter(gain, tuple(shape), torus_shape, boundary)


def torus_for(shape: Sequence[int], psf_shape: Sequence[int], boundary: str) -> tuple[int, ...]:
    """Return the size of the transforms that serve an image, a PSF and a boundary."""
    if boundary == "periodic":
        return tuple(shape)
    return fft.fast_shape(
        [n + max(k - 1, min(n - 1, _LEAST_MARGIN)) for n, k in zip(shape, psf_shape, strict=True)]
    )


def reflect_onto_torus(image: Tensor, torus_shape: Sequence[int]) -> Tensor:
    """Lay an image on a larger torus and fill the gap with its reflections.

    The reflection at the image's end fades into the one at its beginning across the gap:
    a jump where they meet would ring into the image.

    Parameters
    ----------
    image : torch.Tensor
        ``(..., *n)``.
    torus_shape : sequence of int
        At least n along each axis.

    Returns
    -------
    torch.Tensor
        ``(..., *torus_shape)``, the image at its beginning.
    """
    ndim = len(torus_shape)
    shape = image.shape[-ndim:]
    torus = image.new_empty((*image.shape[:-ndim], *torus_shape))
    crop(torus, (0,) * ndim, shape).copy_(image)
    for axis in reversed(range(ndim)):
        # Later axes are complete, earlier ones are still the image's.
        filled = (*shape[:axis], *torus_shape[axis:])
        _fill_gap(crop(torus, (0,) * ndim, filled), axis - ndim, shape[axis])
    return torus


def _fill_gap(x: Tensor, dim: int, n: int) -> None:
    gap = x.shape[dim] - n
    if gap == 0:
        return
    behind = source_index(n, 0, gap, "reflect")[n:].to(x.device)
    before = source_index(n, gap, 0, "reflect")[:gap].to(x.device)
    weight = (torch.arange(1, gap + 1, dtype=x.dtype, device=x.device) / (gap + 1)).reshape(
        [gap] + [1] * (-1 - dim)
    )
    faded = x.index_select(dim, behind).lerp_(x.index_select(dim, before), weight)
    x.narrow(dim, n, gap).copy_(faded)
