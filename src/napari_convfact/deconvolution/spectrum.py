"""What a deconvolution does to each frequency, and what it leaves unexplained: to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_convfact.convolution.circulant import transfer_function
from napari_convfact.convolution.operator import Convolution
from napari_convfact.deconvolution.direct import direct_filter
from napari_convfact.deconvolution.settings import Boundary, Method, Prior
from napari_convfact.foundation import fft
from napari_convfact.foundation.validate import check_image, check_psf, leading_axes


@dataclass(frozen=True)
class Spectra:
    """Gains per frequency, with frequency 0 at index ``n // 2`` of each axis.

    Attributes
    ----------
    transfer : numpy.ndarray
        ``|H|``, what the PSF passes; 1 at frequency 0.
    gain : numpy.ndarray
        Magnitude of the applied inverse.
    spacing : tuple of float
        Cycles per sample from one index to the next, along each axis.
    """

    transfer: np.ndarray
    gain: np.ndarray
    spacing: tuple[float, ...]


def deconvolution_spectra(
    psf: Any,
    shape: Sequence[int],
    *,
    method: Method = "tikhonov",
    boundary: Boundary = "extended",
    prior: Prior = "gradient",
    strength: float,
) -> Spectra:
    """Return the PSF's transfer function beside the gain of the applied inverse.

    Parameters
    ----------
    psf : array_like
        ``(*k)``, as `deconvolve` takes it.
    shape : sequence of int
        Spatial shape of the image.
    method : {"tikhonov", "wiener", "pseudo-inverse"}
        The method.
    boundary : {"extended", "reflect", "periodic", "zero"}
        It decides which frequencies there are. With ``"extended"`` the gain is that of the
        inverse far from the edges.
    prior : {"gradient", "identity"}
        For ``"tikhonov"``.
    strength : float
        `Deconvolution.strength`, which for the pseudo-inverse is the threshold.

    Returns
    -------
    Spectra

    Raises
    ------
    ValueError
        If the PSF is not one, or does not fit the shape, or the method is not linear.
    """
    kernel, _ = check_psf(psf)
    if kernel.ndim != len(shape):
        raise ValueError(f"The PSF has {kernel.ndim} axes and the image {len(shape)} in space.")
    if method == "richardson-lucy":
        raise ValueError("Richardson-Lucy is not linear: its inverse has no gain per frequency.")
    inverse = direct_filter(
        kernel,
        shape,
        method=method,
        boundary="reflect" if boundary == "extended" else boundary,
        prior=prior,
        strength=strength,
        rcond=strength,
    )
    torus = inverse.torus_shape
    return Spectra(
        _centred_magnitude(transfer_function(kernel, torus), torus),
        _centred_magnitude(inverse.gain, torus),
        tuple(1 / n for n in torus),
    )


def residual_image(
    image: Any,
    estimate: Any,
    psf: Any,
    *,
    boundary: Boundary = "extended",
    background: float = 0.0,
    device: str = "auto",
) -> np.ndarray:
    """Return the image less the blurred estimate: noise alone, if all is well.

    Parameters
    ----------
    image, estimate : array_like
        ``(..., *n)``, leading axes first. Where the estimate is not finite, the residual is NaN.
    psf : array_like
        ``(*k)``, as `deconvolve` takes it.
    boundary : {"extended", "reflect", "periodic", "zero"}
        How the estimate goes on beyond its edges. With ``"extended"`` it is continued by
        reflection, since the scene that was estimated outside the image is not kept.
    background : float
        As of `deconvolve`.
    device : str
        See `choose_device`.

    Returns
    -------
    numpy.ndarray
        float32, of the image's shape.

    Raises
    ------
    ValueError
        If the shapes differ or the PSF is not one.
    """
    kernel, _ = check_psf(psf)
    frames = leading_axes(estimate, kernel.ndim)
    scene = check_image(estimate, name="estimate", ndim=kernel.ndim, missing="fill", apart=frames)
    data = np.asarray(image, np.float32)
    if data.shape != scene.data.shape:
        raise ValueError(f"The image has shape {data.shape}, the estimate {scene.data.shape}.")
    blur = Convolution(
        kernel,
        data.shape[data.ndim - kernel.ndim :],
        boundary="reflect" if boundary == "extended" else boundary,
        device=device,
    )
    residual: np.ndarray = np.empty_like(data)
    for index in np.ndindex(data.shape[: data.ndim - kernel.ndim]):
        residual[index] = data[index] - blur.forward(scene.data[index])
    residual -= np.float32(background)
    return scene.restore_missing(residual)


def _centred_magnitude(spectrum: Tensor, torus_shape: Sequence[int]) -> np.ndarray:
    # By way of the impulse response: the transforms know where each frequency is.
    whole = fft.fftn(fft.irfftn(spectrum.clone(), torus_shape), torus_shape).abs()
    axes = tuple(range(-len(torus_shape), 0))
    centred: np.ndarray = torch.fft.fftshift(whole, axes).numpy()
    return centred
