"""A convolution by real Fourier transforms, for the window of a boundary."""

from __future__ import annotations

from torch import Tensor

from napari_convfact.convolution.boundary import crop, pad, pad_adjoint
from napari_convfact.convolution.circulant import apply_transfer
from napari_convfact.convolution.geometry import Geometry
from napari_convfact.foundation import fft


class FourierEngine:
    """A convolution and its adjoint, each by one forward and one inverse transform.

    Parameters
    ----------
    transfer : torch.Tensor
        Spectrum of the kernel on the torus; see `Convolution.transfer`.
    geometry : Geometry
        Sizes of the operator.
    """

    def __init__(self, transfer: Tensor, geometry: Geometry) -> None:
        self.transfer = transfer
        self._geometry = geometry
        self._start = (0,) * len(geometry.torus)

    def apply(self, x: Tensor) -> Tensor:
        """Map ``(..., *geometry.input)`` to ``(..., *geometry.window)``."""
        geometry = self._geometry
        if geometry.padding:
            x = pad(x, geometry.before, geometry.after, geometry.padding)
        return crop(self._multiply(x, adjoint=False), self._start, geometry.window)

    def apply_adjoint(self, y: Tensor) -> Tensor:
        """Map ``(..., *geometry.window)`` to ``(..., *geometry.input)``."""
        geometry = self._geometry
        x = self._multiply(y, adjoint=True)
        if not geometry.padding:
            return crop(x, self._start, geometry.input)
        sides = zip(geometry.before, geometry.input, geometry.after, strict=True)
        padded = crop(x, self._start, [low + n + high for low, n, high in sides])
        return pad_adjoint(padded, geometry.before, geometry.after, geometry.padding)

    def _multiply(self, x: Tensor, *, adjoint: bool) -> Tensor:
        torus = self._geometry.torus
        spectrum = fft.rfftn(x, torus)
        spectrum = apply_transfer(spectrum, self.transfer, len(torus), adjoint=adjoint)
        return fft.irfftn(spectrum, torus, overwrite=True)
