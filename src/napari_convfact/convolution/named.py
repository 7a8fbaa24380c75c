"""Filter kernels that go by a name."""

from __future__ import annotations

import itertools

import numpy as np

from napari_convfact.kernels.bank import KernelBank
from napari_convfact.kernels.shapes import box, gaussian

NAMES = ("gaussian", "box", "sobel", "laplacian")


def named_bank(name: str, *, ndim: int = 2, sigma: float = 1.0, size: int = 3) -> KernelBank:
    """Return the kernels that a name stands for.

    Parameters
    ----------
    name : {"gaussian", "box", "sobel", "laplacian"}
        A Gaussian of unit sum, a box of unit sum, the derivative along each axis with
        ``[1, 2, 1]`` smoothing across it (a kernel for each axis, the first axis first), or
        the sum of the second differences.
    ndim : int
        Number of axes.
    sigma : float
        Standard deviation of the Gaussian in pixels.
    size : int
        Odd width of the box in pixels.

    Returns
    -------
    KernelBank

    Raises
    ------
    ValueError
        If there is no such kernel or its width is not legal.
    """
    if name == "gaussian":
        return KernelBank(gaussian(sigma, ndim=ndim)[None], (f"gaussian {sigma:g}",), ndim)
    if name == "box":
        return KernelBank(box(size, ndim=ndim)[None], (f"box {size}",), ndim)
    if name == "sobel":
        kernels = np.stack([_sobel(axis, ndim) for axis in range(ndim)])
        return KernelBank(kernels, tuple(f"sobel axis {axis - ndim}" for axis in range(ndim)), ndim)
    if name == "laplacian":
        return KernelBank(_laplacian(ndim)[None], ("laplacian",), ndim)
    raise ValueError(f"There is no kernel {name!r}: choose one of {', '.join(NAMES)}.")


def _sobel(axis: int, ndim: int) -> np.ndarray:
    # A convolution flips its kernel: this one is positive where values grow with the index.
    profiles = [np.array([1.0, 0, -1] if i == axis else [1.0, 2, 1]) for i in range(ndim)]
    return np.asarray(np.prod(np.meshgrid(*profiles, indexing="ij"), axis=0))


def _laplacian(ndim: int) -> np.ndarray:
    kernel = np.zeros((3,) * ndim)
    kernel[(1,) * ndim] = -2 * ndim
    for axis, side in itertools.product(range(ndim), (0, 2)):
        kernel[tuple(side if i == axis else 1 for i in range(ndim))] = 1
    return kernel
