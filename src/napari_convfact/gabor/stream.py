"""Responses of one image, kernel by kernel, from one forward transform."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from napari_convfact.gabor.frame import centered_spectrum
from napari_convfact.gabor.kernels import GaborBank
from napari_convfact.gabor.spectra import Band
from napari_convfact.gabor.torus import Layout, invert_box, weighted_box


def stream_responses(
    bank: GaborBank, image: Tensor, layout: Layout, strides: Sequence[int] | None = None
) -> Iterator[tuple[int, int, Tensor]]:
    """Compute the responses one after the other.

    Parameters
    ----------
    bank : GaborBank
    image : torch.Tensor
        ``(*spatial)``.
    layout : Layout
        Its place on the torus.
    strides : sequence of int, optional
        For each scale, keep every stride-th sample of each axis; the others are not computed.

    Yields
    ------
    scale, orientation : int
    response : torch.Tensor
        Complex, ``(*spatial)`` or coarser; it may be a view.
    """
    spectrum = centered_spectrum(image, layout)
    for scale, orientation, band in bank.bands(layout.torus, image.dtype, image.device):
        response = _respond(spectrum, band, layout, strides[scale] if strides else 1)
        yield scale, orientation, response * bank.factor if bank.phase else response


def _respond(spectrum: Tensor, band: Band, layout: Layout, stride: int) -> Tensor:
    gain = band.values
    product = weighted_box(spectrum, gain, band.start)
    torus = [n // stride for n in layout.torus]
    before = [b // stride for b in layout.before]
    window = [-(-n // stride) for n in layout.shape]
    response = invert_box(product, band.start, torus, before, window)
    # The inverse divided by the number of bins of the coarser torus.
    return response if stride == 1 else response / stride**gain.ndim
