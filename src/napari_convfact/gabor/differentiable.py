"""Gabor energies of tensors, with gradients to the image and to every parameter."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_convfact.convolution.boundary import PADDINGS, pad
from napari_convfact.gabor.spectra import gabor_spectrum


def gabor_energies(
    image: Tensor,
    frequency: Tensor,
    theta: Tensor,
    sigma: Tensor,
    *,
    aspect: Tensor | float = 1.0,
    dc_free: bool = True,
    boundary: str = "periodic",
) -> Tensor:
    """Return the squared magnitudes of Gabor responses and keep the graph.

    Parameters are taken as tensors and enter in closed form, so a bank can be a layer of a
    network and be trained.

    Parameters
    ----------
    image : torch.Tensor
        Real, ``(..., y, x)``.
    frequency, theta, sigma : torch.Tensor
        ``(n,)`` each: cycles per pixel, radians of the wave vector from +x towards +y, and
        the standard deviation along the wave vector in pixels.
    aspect : torch.Tensor or float
        Standard deviation across the wave vector over that along it.
    dc_free : bool
        Make each kernel sum to zero.
    boundary : {"periodic", "reflect", "zero"}
        What lies beyond the edges; other than ``"periodic"`` doubles each axis.

    Returns
    -------
    torch.Tensor
        ``(n, ..., y, x)``.

    Raises
    ------
    ValueError
        If the image is no real tensor of two axes or more, the parameters' shapes differ, or the
        boundary is unknown.
    """
    if not isinstance(image, Tensor) or image.ndim < 2 or image.is_complex():
        raise ValueError("image must be a real tensor (..., y, x).")
    if not frequency.shape == theta.shape == sigma.shape or frequency.ndim != 1 or not len(theta):
        raise ValueError("frequency, theta and sigma must be one-dimensional and of one length.")
    if isinstance(aspect, Tensor) and aspect.numel() not in (1, len(theta)):
        raise ValueError(f"aspect has {aspect.numel()} values for {len(theta)} kernels.")
    if boundary not in PADDINGS:
        raise ValueError(f"boundary must be one of {', '.join(PADDINGS)}, not {boundary!r}.")
    height, width = image.shape[-2:]
    if boundary != "periodic":
        image = pad(image, (0, 0), (height, width), boundary)
    aspects = torch.as_tensor(aspect, dtype=sigma.dtype, device=sigma.device).expand_as(sigma)
    spectrum = torch.fft.fft2(image)
    energies = []
    for f, angle, along, ratio in zip(frequency, theta, sigma, aspects, strict=True):
        direction = (torch.sin(angle), torch.cos(angle))
        gain = gabor_spectrum(image.shape[-2:], f, direction, along, along * ratio, dc_free=dc_free)
        response = torch.fft.ifft2(spectrum * gain)[..., :height, :width]
        energies.append(response.real.square() + response.imag.square())
    return torch.stack(energies)
