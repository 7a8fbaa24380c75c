"""Run a factorization over an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from napari_convfact.convolution.boundary import crop, pad
from napari_convfact.convolution.circulant import transfer_function
from napari_convfact.factorization.chain import add_chains
from napari_convfact.factorization.result import Factorization
from napari_convfact.foundation import fft
from napari_convfact.foundation.device import choose_device
from napari_convfact.foundation.validate import check_image

ENGINES = ("auto", "fft")


def apply_chains(
    factorization: Factorization, image: Any, *, boundary: str, engine: str, device: str
) -> np.ndarray:
    """See `Factorization.apply`."""
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}.")
    support = factorization.support
    x = torch.as_tensor(check_image(image, ndim=len(support)).data)
    x = x.to(choose_device(device).name)
    kernel = add_chains(factorization.terms, factorization.dilations)
    if np.iscomplexobj(kernel):
        real, imaginary = (_through_fft(x, part, boundary) for part in (kernel.real, kernel.imag))
        return real + np.complex64(1j) * imaginary
    return _through_fft(x, kernel, boundary)


def _through_fft(x: torch.Tensor, kernel: np.ndarray, boundary: str) -> np.ndarray:
    after = [k // 2 for k in kernel.shape]
    before = [k - 1 - a for k, a in zip(kernel.shape, after, strict=True)]
    shape = x.shape[-kernel.ndim :]
    padded = pad(x, before, after, boundary)
    torus = fft.fast_shape(padded.shape[-kernel.ndim :])
    spectrum = fft.rfftn(padded, torus)
    spectrum *= transfer_function(np.ascontiguousarray(kernel), torus, device=x.device)
    result = crop(fft.irfftn(spectrum, torus, overwrite=True), before, shape)
    return np.ascontiguousarray(result.cpu().numpy())
