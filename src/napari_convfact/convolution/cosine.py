"""Symmetric kernels with a reflecting boundary, which the cosine transform diagonalizes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft
import torch
from torch import Tensor

from napari_convfact.foundation.fft import workers


def is_symmetric(kernel: np.ndarray, origin: Sequence[int]) -> bool:
    """Whether a kernel is mirror symmetric about its origin along every axis.

    Parameters
    ----------
    kernel : numpy.ndarray
        ``(*k)``.
    origin : sequence of int
        Index of the kernel's origin.

    Returns
    -------
    bool
    """
    tolerance = 4 * np.finfo(kernel.dtype).eps * np.abs(kernel).max()
    for axis, (k, o) in enumerate(zip(kernel.shape, origin, strict=True)):
        reach = max(o, k - 1 - o)
        width = [(0, 0)] * kernel.ndim
        width[axis] = (reach - o, reach - (k - 1 - o))
        centred = np.pad(kernel, width)
        if np.abs(centred - np.flip(centred, axis)).max() > tolerance:
            return False
    return True


def cosine_eigenvalues(
    kernel: np.ndarray, shape: Sequence[int], origin: Sequence[int]
) -> np.ndarray:
    """Return the eigenvalues of a symmetric kernel with a reflecting boundary.

    Parameters
    ----------
    kernel : numpy.ndarray
        ``(*k)``, symmetric (`is_symmetric`); it may be larger than the image.
    shape : sequence of int
        Size of the image.
    origin : sequence of int
        Index of the kernel's origin.

    Returns
    -------
    numpy.ndarray
        float64, `shape`, in the order of the orthonormal DCT-II.

    References
    ----------
    M. K. Ng, R. H. Chan and W.-C. Tang, "A fast algorithm for deblurring models with Neumann
    boundary conditions", SIAM J. Sci. Comput. 21 (1999).
    """
    values = np.asarray(kernel, np.float64)
    for n, o in zip(shape, origin, strict=True):
        offsets = np.arange(values.shape[0]) - o
        cosines = np.cos(np.pi * np.outer(offsets, np.arange(n)) / n)
        # Each pass uses up the first axis and appends its frequencies as the last.
        values = np.tensordot(values, cosines, axes=(0, 0))
    return values


def apply_in_cosine_basis(y: Tensor, gain: np.ndarray) -> Tensor:
    """Multiply the cosine coefficients of an image by a gain.

    Parameters
    ----------
    y : torch.Tensor
        ``(..., *n)``. PyTorch has no cosine transform: it is computed on the CPU.
    gain : numpy.ndarray
        ``(*n)``.

    Returns
    -------
    torch.Tensor
        Of the shape, type and device of `y`.
    """
    axes = tuple(range(-gain.ndim, 0))
    values = y.cpu().numpy()
    threads = workers(values.size)
    coefficients = scipy.fft.dctn(values, axes=axes, norm="ortho", workers=threads)
    coefficients *= gain.astype(values.dtype, copy=False)
    x = scipy.fft.idctn(coefficients, axes=axes, norm="ortho", overwrite_x=True, workers=threads)
    return torch.from_numpy(x).to(y.device)
