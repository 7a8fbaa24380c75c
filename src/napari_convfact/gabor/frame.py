"""The bank as a tight frame, which can be inverted.

With S the coverage of the bank on a torus, the frame's gains are the kernels' divided by
``sqrt(max(S, floor))``, and a residual channel has what the floor leaves: the lowest and the
highest frequencies. The squares of all gains then sum to 1 at every frequency, so the frame
keeps energies (Parseval), and its adjoint is its inverse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation import fft
from napari_convfact.foundation.job import Job, Step
from napari_convfact.gabor.kernels import GaborBank
from napari_convfact.gabor.torus import (
    Layout,
    add_box,
    invert_box,
    mirror_frequencies,
    weighted_box,
)

#: Share of the largest coverage below which the residual channel helps out. In between
#: orientations a bank still sees more, so that zero weights remove what a kernel stands for.
_FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class Frame:
    """Gains of a bank on a torus, for one set of weights.

    Attributes
    ----------
    total : torch.Tensor
        What bank and residual channel see of each frequency: the sum of the squares of the
        kernels' gains and of the residual channel's.
    residual : torch.Tensor
        The residual channel's part of it.
    seen : torch.Tensor
        The bank's part, each kernel counted with its weight.
    """

    total: Tensor
    residual: Tensor
    seen: Tensor


def measure_frame(
    bank: GaborBank,
    torus: Sequence[int],
    dtype: torch.dtype,
    weights: np.ndarray,
    device: str | torch.device = "cpu",
) -> Job[Frame]:
    """Add up the gains of a bank (a job).

    Parameters
    ----------
    bank : GaborBank
    torus : sequence of int
    dtype : torch.dtype
    weights : numpy.ndarray
        ``(n_scales, n_orientations)``.
    device : str or torch.device
        Where the gains lie.

    Returns
    -------
    Frame
    """
    coverage = torch.zeros(tuple(torus), dtype=dtype, device=device)
    seen = torch.zeros_like(coverage)
    plain = bool((weights == 1).all())
    bands = bank.bands(torus, dtype, device)
    for done, (scale, orientation, band) in enumerate(bands, start=1):
        energy = band.values.square()
        add_box(coverage, energy, band.start)
        if not plain:
            add_box(seen, energy * float(weights[scale, orientation]), band.start)
        yield Step(done, weights.size, "Measuring the bank")
    coverage = (coverage + mirror_frequencies(coverage)) / 2
    # A bank that sees nothing of a small image leaves all of it to the residual channel.
    total = coverage.clamp_min(_FLOOR * float(coverage.max()) or 1.0)
    seen = coverage if plain else (seen + mirror_frequencies(seen)) / 2
    return Frame(total, total - coverage, seen)


def centered_spectrum(image: Tensor, layout: Layout) -> Tensor:
    """Transform an image on its torus.

    The mean takes no part in the transform: float32 has its digits for what varies.
    """
    if layout.boundary == "zero":
        return fft.fftn(layout.pad(image), layout.torus)
    # On the CPU, as not every device has float64; rounded, so that the sum gives it back.
    mean = image.cpu().mean(dtype=torch.float64).to(image.dtype).item()
    spectrum = fft.fftn(layout.pad(image - mean), layout.torus)
    spectrum[(0,) * image.ndim] += mean * math.prod(layout.torus)
    return spectrum


def reconstruct_image(
    bank: GaborBank,
    frame: Frame,
    image: Tensor,
    layout: Layout,
    residual: float,
    masks: np.ndarray | None = None,
) -> Job[Tensor]:
    """Weight the responses of one image and go back (a job).

    Parameters
    ----------
    bank : GaborBank
    frame : Frame
        On the layout's torus.
    image : torch.Tensor
        ``(*spatial)``.
    layout : Layout
        Its place on the torus.
    residual : float
        Weight of the residual channel.
    masks : numpy.ndarray, optional
        Weights ``(n_scales, n_orientations, *spatial)`` instead of the frame's, which then
        are 1.

    Returns
    -------
    torch.Tensor
        ``(*spatial)``.
    """
    spectrum = centered_spectrum(image, layout)
    gain = (residual * frame.residual + frame.seen) / frame.total
    result = spectrum * gain
    if masks is not None:
        result += yield from _changes(bank, spectrum, layout, masks, frame.total.rsqrt())
    origin = (0,) * bank.ndim
    return invert_box(result, origin, layout.torus, layout.before, layout.shape).real


def _changes(
    bank: GaborBank, spectrum: Tensor, layout: Layout, masks: np.ndarray, scaling: Tensor
) -> Job[Tensor]:
    """Add up what the masks' difference from 1 changes, kernel by kernel."""
    real = spectrum.real.dtype
    changes = torch.zeros_like(spectrum)
    origin = (0,) * bank.ndim
    for done, (scale, orientation) in enumerate(np.ndindex(*bank.shape), start=1):
        change = np.ascontiguousarray(masks[scale, orientation]) - 1
        if not change.any():
            continue
        band = bank.band(layout.torus, scale, orientation, real, spectrum.device)
        gain = weighted_box(scaling, band.values, band.start)
        product = weighted_box(spectrum, gain, band.start)
        response = invert_box(product, band.start, layout.torus, origin, layout.torus)
        mask = layout.pad_weights(torch.as_tensor(change, dtype=real).to(spectrum.device))
        edited = fft.fftn(response * mask, layout.torus)
        add_box(changes, weighted_box(edited, gain, band.start), band.start)
        yield Step(done, math.prod(bank.shape), f"Scale {scale + 1}, edited")
    return changes


def check_weights(weights: Any, kernels: tuple[int, int], image: np.ndarray) -> np.ndarray:
    """Return weights as ``(n_scales, n_orientations)`` or with the axes of the image behind.

    Parameters
    ----------
    weights : array_like or None
        What broadcasts to that; None is 1.
    kernels : tuple of int
        ``(n_scales, n_orientations)``.
    image : numpy.ndarray
        Gives the other axes and the dtype.

    Returns
    -------
    numpy.ndarray
        It may be a view that cannot be written to.

    Raises
    ------
    ValueError
        If they do not fit or are not finite.
    """
    if weights is None:
        return np.ones(kernels)
    values = np.asarray(weights, dtype=image.dtype)
    full = (*kernels, *image.shape)
    try:
        fitted = np.broadcast_to(values, full if values.ndim > 2 else kernels)
    except ValueError:
        raise ValueError(
            f"Weights of shape {values.shape} do not fit: they must broadcast to "
            f"(n_scales, n_orientations) = {kernels} or to {full}."
        ) from None
    if not np.isfinite(values).all():
        raise ValueError("The weights must be finite.")
    return fitted
