"""The bank as a tight frame, which can be inverted.

With S the coverage of the bank on a torus, the frame's gains are the kernels' divided by
``sqrt(max(S, floor))``, and a residual channel has what the floor leaves: the lowest and the
highest frequencies. The squares of all gains then sum to 1 at every frequency, so the frame
keeps energies (Parseval), and its adjoint is its inverse.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_convfact.foundation import fft
from napari_convfact.foundation.job import Job, Step
from napari_convfact.gabor.kernels import GaborBank
from napari_convfact.gabor.torus import Layout, add_box, invert_box, take_box

#: Share of the largest coverage below which the residual channel helps out. In between
#: orientations a bank still sees more, so that zero weights remove what a kernel stands for.
_FLOOR = 0.1


def frame_energy(
    bank: GaborBank, torus: Sequence[int], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return what the bank and its residual channel see of each frequency.

    Parameters
    ----------
    bank : GaborBank
    torus : sequence of int
    dtype : torch.dtype

    Returns
    -------
    total : torch.Tensor
        Sum of all squared gains before they are divided by its root, `torus`.
    residual : torch.Tensor
        The residual channel's part of it.
    """
    coverage = bank.energy_gain(torus, dtype)
    total = coverage.clamp_min(_FLOOR * float(coverage.max()))
    return total, total - coverage


def centered_spectrum(image: Tensor, layout: Layout) -> Tensor:
    """Transform an image on its torus.

    The mean takes no part in the transform: float32 has its digits for what varies.
    """
    if layout.boundary == "zero":
        return fft.fftn(layout.pad(image), layout.torus)
    mean = image.mean(dtype=torch.float64)
    spectrum = fft.fftn(layout.pad(image - mean.to(image.dtype)), layout.torus)
    # Of what is left at zero only rounding is not the mean's own.
    spectrum[(0,) * image.ndim] += mean.to(image.dtype) * math.prod(layout.torus)
    return spectrum


def reconstruct_frame(
    bank: GaborBank, image: Tensor, layout: Layout, weights: np.ndarray, residual: float
) -> Job[Tensor]:
    """Weight the responses of one image and go back (a job).

    Parameters
    ----------
    bank : GaborBank
    image : torch.Tensor
        ``(*spatial)``.
    layout : Layout
        Its place on the torus.
    weights : numpy.ndarray
        ``(n_scales, n_orientations)`` or ``(n_scales, n_orientations, *spatial)``.
    residual : float
        Weight of the residual channel.

    Returns
    -------
    torch.Tensor
        ``(*spatial)``.
    """
    spectrum = centered_spectrum(image, layout)
    total, rest = frame_energy(bank, layout.torus, image.dtype)
    scalar = torch.tensor(weights) if weights.ndim == 2 else None
    seen = bank.energy_gain(layout.torus, image.dtype, scalar)
    result = spectrum * ((residual * rest + seen) / total).to(spectrum.device)
    if scalar is None:
        result += yield from _changes(bank, spectrum, layout, weights, total.rsqrt())
    origin = (0,) * bank.ndim
    restored = invert_box(result, origin, layout.torus, layout.before, layout.shape)
    return restored.real


def _changes(
    bank: GaborBank, spectrum: Tensor, layout: Layout, weights: np.ndarray, scaling: Tensor
) -> Job[Tensor]:
    """Add up what the weights' difference from 1 changes, kernel by kernel."""
    real = spectrum.real.dtype
    changes = torch.zeros_like(spectrum)
    origin = (0,) * bank.ndim
    n_scales, n_orientations = bank.shape
    for done, (scale, orientation) in enumerate(
        itertools.product(range(n_scales), range(n_orientations)), start=1
    ):
        change = np.ascontiguousarray(weights[scale, orientation]) - 1
        if not change.any():
            continue
        band = bank.bands(layout.torus, real)[scale][orientation]
        gain = band.values * take_box(scaling, band.start, band.values.shape)
        gain = gain.to(spectrum.device)
        product = take_box(spectrum, band.start, gain.shape) * gain
        response = invert_box(product, band.start, layout.torus, origin, layout.torus)
        mask = layout.pad(torch.as_tensor(change, dtype=real).to(spectrum.device))
        edited = fft.fftn(response * mask, layout.torus)
        add_box(changes, take_box(edited, band.start, gain.shape) * gain, band.start)
        yield Step(done, n_scales * n_orientations, f"Scale {scale + 1}, edited")
    return changes
