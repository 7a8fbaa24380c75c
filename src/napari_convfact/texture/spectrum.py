"""The power spectrum of an autoregressive model, and random fields that have it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from napari_convfact.convolution.circulant import transfer_function
from napari_convfact.foundation import fft
from napari_convfact.foundation.validate import check_kernel

Model = Literal["simultaneous", "conditional"]


def ar_spectrum(
    kernel: Any, shape: Sequence[int], *, variance: float = 1.0, model: Model = "simultaneous"
) -> np.ndarray:
    """Return the power spectrum of the random field that a kernel models.

    Parameters
    ----------
    kernel : array_like
        ``(*k)``, centre zero, as `fit_autoregression` returns it.
    shape : sequence of int
        Size of the field; the number of axes of `kernel`.
    variance : float
        Variance of the innovations.
    model : {"simultaneous", "conditional"}
        ``"simultaneous"``: ``x = k * x + white noise``, of spectrum ``variance / |1 - K|^2``
        (causal kernels are of this kind). ``"conditional"``: the Gauss-Markov field whose
        best linear prediction from all neighbours is ``k * x``, of spectrum
        ``variance / (1 - K)``: this is what least squares fits with a symmetric kernel.

    Returns
    -------
    numpy.ndarray
        float32, ``(*shape)``, frequency zero at ``n // 2``. Its mean is the field's variance.

    Raises
    ------
    ValueError
        If there is no stationary field with this kernel.

    References
    ----------
    J. Besag, "Spatial interaction and the statistical analysis of lattice systems",
    J. R. Stat. Soc. B 36, 1974.
    """
    half = _half_spectrum(kernel, shape, variance, model)
    # The inverse transform of the real spectrum is the covariance; its complex transform
    # has the half that is not stored.
    covariance = fft.irfftn(half.to(torch.complex128), shape).numpy()
    full = np.fft.fftn(covariance).real
    return np.fft.fftshift(full).astype(np.float32)


def ar_synthesize(
    kernel: Any,
    shape: Sequence[int],
    *,
    variance: float = 1.0,
    model: Model = "simultaneous",
    seed: int = 0,
) -> np.ndarray:
    """Draw a Gaussian random field, periodic, of mean zero, that a kernel models.

    Parameters
    ----------
    kernel : array_like
        ``(*k)``, centre zero.
    shape : sequence of int
        Size of the field.
    variance : float
        Variance of the innovations.
    model : {"simultaneous", "conditional"}
        See `ar_spectrum`.
    seed : int
        Seed of the noise.

    Returns
    -------
    numpy.ndarray
        float32, ``(*shape)``. For the simultaneous model the field minus its convolution with
        the kernel is exactly the noise.

    Raises
    ------
    ValueError
        If there is no stationary field with this kernel.
    """
    noise = np.random.default_rng(seed).normal(size=tuple(shape))
    spectrum = fft.rfftn(torch.as_tensor(noise), shape)
    if model == "simultaneous":
        _half_spectrum(kernel, shape, variance, model)
        spectrum = spectrum * variance**0.5 / _gain(kernel, shape)
    else:
        spectrum = spectrum * _half_spectrum(kernel, shape, variance, model).sqrt()
    return fft.irfftn(spectrum, shape).numpy().astype(np.float32)


def _gain(kernel: Any, shape: Sequence[int]) -> torch.Tensor:
    """``1 - K``: the transfer function that turns the field into its prediction error."""
    values = check_kernel(kernel)
    if values.ndim != len(shape):
        raise ValueError(
            f"The kernel has {values.ndim} axes but the shape {tuple(shape)} has {len(shape)}."
        )
    if any(k > n for k, n in zip(values.shape, shape, strict=True)):
        raise ValueError(f"A kernel of shape {values.shape} does not fit into {tuple(shape)}.")
    return 1 - transfer_function(values, shape, dtype=torch.float64)


def _half_spectrum(kernel: Any, shape: Sequence[int], variance: float, model: str) -> torch.Tensor:
    if model not in ("simultaneous", "conditional"):
        raise ValueError(f"model must be 'simultaneous' or 'conditional', not {model!r}.")
    if not variance >= 0:
        raise ValueError(f"variance must not be negative, but it is {variance!r}.")
    gain = _gain(kernel, shape)
    if model == "conditional":
        if gain.imag.abs().max() > 1e-6:
            raise ValueError("A conditional model needs a symmetric kernel.")
        if gain.real.min() <= 0:
            raise ValueError("No stationary conditional field has this kernel: 1 - K reaches 0.")
        return variance / gain.real
    power = gain.abs().square()
    if power.min() < 1e-12:
        raise ValueError("No stationary field has this kernel: 1 - K reaches 0.")
    return variance / power
