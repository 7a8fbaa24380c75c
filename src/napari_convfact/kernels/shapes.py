"""Kernels of simple shapes, centred at ``n // 2`` and of odd size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_convfact.kernels.sizes import count_axes, odd_sizes, per_axis

# Samples per voxel and axis by which edges are antialiased.
_SUPERSAMPLING = 16
_THINNEST = 1 / _SUPERSAMPLING


def gaussian(
    sigma: float | Sequence[float], *, ndim: int = 2, size: int | Sequence[int] | None = None
) -> np.ndarray:
    """Return a Gaussian of unit sum.

    Parameters
    ----------
    sigma : float or sequence of float
        Standard deviation in voxels, one number or one per axis.
    ndim : int
        Number of axes where `sigma` is one number.
    size : int or sequence of int, optional
        Odd; by default it reaches to four sigma, beyond which there are 6e-5 of each axis.

    Returns
    -------
    numpy.ndarray
        float32.

    Raises
    ------
    ValueError
        If a width is not positive or a size not odd.
    """
    sigmas = per_axis(sigma, count_axes(sigma, ndim), "sigma")
    sizes = _sizes(size, [2 * int(np.ceil(4 * s)) + 1 for s in sigmas])
    profiles = [np.exp(-0.5 * (_offsets(n) / s) ** 2) for n, s in zip(sizes, sigmas, strict=True)]
    return _unit_sum(_outer(profiles))


def disk(
    radius: float | Sequence[float], *, ndim: int = 2, size: int | Sequence[int] | None = None
) -> np.ndarray:
    """Return a disk (a ball in 3-D, an ellipsoid for several radii) of unit sum.

    Each value is the part of the voxel inside the edge, so that the radius need not be whole.

    Parameters
    ----------
    radius : float or sequence of float
        In voxels, one number or one per axis.
    ndim : int
        Number of axes where `radius` is one number.
    size : int or sequence of int, optional
        Odd; by default the smallest that holds the disk.

    Returns
    -------
    numpy.ndarray
        float32.
    """
    radii = per_axis(radius, count_axes(radius, ndim), "radius")
    sizes = _sizes(size, [2 * int(np.ceil(r - 0.5)) + 1 for r in radii])
    # What is thinner than a fine sample would fall between them.
    fine = [_fine_offsets(n) / max(r, _THINNEST) for n, r in zip(sizes, radii, strict=True)]
    # One slab of the first axis at a time: all fine samples of a ball would take gigabytes.
    rest = sum(
        (g**2 for g in np.meshgrid(*fine[1:], indexing="ij", sparse=True)), start=np.zeros(())
    )
    slabs = [
        np.mean([_average_voxels(x**2 + rest <= 1, sizes[1:]) for x in voxel], axis=0)
        for voxel in fine[0].reshape(sizes[0], _SUPERSAMPLING)
    ]
    return _unit_sum(np.stack(slabs))


def box(size: int | Sequence[int], *, ndim: int = 2) -> np.ndarray:
    """Return a box of equal values and unit sum, float32; `size` is odd."""
    sizes = odd_sizes(size, count_axes(size, ndim))
    return _unit_sum(np.ones(sizes))


def delta(size: int | Sequence[int] = 1, *, ndim: int = 2) -> np.ndarray:
    """Return the kernel that changes nothing: 1 in the middle, float32; `size` is odd."""
    sizes = odd_sizes(size, count_axes(size, ndim))
    kernel = np.zeros(sizes, dtype=np.float32)
    kernel[tuple(n // 2 for n in sizes)] = 1
    return kernel


def motion(length: float, angle: float = 0.0, *, size: int | None = None) -> np.ndarray:
    """Return the blur of a straight motion, of unit sum.

    Parameters
    ----------
    length : float
        In pixels.
    angle : float
        Direction in radians, from +x towards +y (rows go down).
    size : int, optional
        Odd; by default the smallest that holds the path.

    Returns
    -------
    numpy.ndarray
        float32, 2-D.
    """
    (length,) = per_axis(length, 1, "length")
    direction = np.array([np.sin(angle), np.cos(angle)])
    half = (length - 1) / 2 if length > 1 else 0.0
    sizes = _sizes(size, [2 * int(np.ceil(abs(half * d) - 1e-9)) + 1 for d in direction])
    kernel = np.zeros(sizes)
    steps = np.linspace(-half, half, int(np.ceil(length * _SUPERSAMPLING)) + 1)
    for row, column in direction * steps[:, np.newaxis] + [n // 2 for n in sizes]:
        _splat(kernel, row, column)
    return _unit_sum(kernel)


def laplacian_of_gaussian(
    sigma: float | Sequence[float], *, ndim: int = 2, size: int | Sequence[int] | None = None
) -> np.ndarray:
    """Return the Laplacian of a Gaussian: negative in the middle, of zero sum.

    Parameters
    ----------
    sigma : float or sequence of float
        Standard deviation in voxels, one number or one per axis.
    ndim : int
        Number of axes where `sigma` is one number.
    size : int or sequence of int, optional
        Odd; by default it reaches to five sigma.

    Returns
    -------
    numpy.ndarray
        float32.

    Raises
    ------
    ValueError
        If an argument is not legal, or a size of 1 leaves nothing to differ from.
    """
    sigmas = per_axis(sigma, count_axes(sigma, ndim), "sigma")
    sizes = _sizes(size, [2 * int(np.ceil(5 * s)) + 1 for s in sigmas])
    if set(sizes) == {1}:
        raise ValueError("A Laplacian of one sample is zero: give a size of 3 or more.")
    offsets = [_offsets(n) for n in sizes]
    profiles = [np.exp(-0.5 * (x / s) ** 2) for x, s in zip(offsets, sigmas, strict=True)]
    profiles = [p / p.sum() for p in profiles]
    kernel = np.zeros(sizes)
    for axis, (x, s) in enumerate(zip(offsets, sigmas, strict=True)):
        second = profiles[axis] * (x**2 / s**4 - 1 / s**2)
        # Sampling and cutting leave a small sum, which would let a constant image through.
        second -= second.sum() * profiles[axis]
        kernel += _outer([*profiles[:axis], second, *profiles[axis + 1 :]])
    return kernel.astype(np.float32)


def _sizes(size: int | Sequence[int] | None, default: Sequence[int]) -> tuple[int, ...]:
    return tuple(default) if size is None else odd_sizes(size, len(default))


def _offsets(n: int) -> np.ndarray:
    return np.arange(n) - n // 2


def _fine_offsets(n: int) -> np.ndarray:
    fine = n * _SUPERSAMPLING
    offsets: np.ndarray = (np.arange(fine) + 0.5) / _SUPERSAMPLING - n / 2
    return offsets


def _average_voxels(fine: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    blocks = [part for n in sizes for part in (n, _SUPERSAMPLING)]
    average: np.ndarray = fine.reshape(blocks).mean(axis=tuple(range(1, 2 * len(sizes), 2)))
    return average


def _splat(kernel: np.ndarray, row: float, column: float) -> None:
    """Add 1, shared between the four nearest pixels."""
    top, left = int(np.floor(row)), int(np.floor(column))
    for i, by_row in ((top, 1 - row + top), (top + 1, row - top)):
        for j, by_column in ((left, 1 - column + left), (left + 1, column - left)):
            weight = by_row * by_column
            if weight > 1e-9 and 0 <= i < kernel.shape[0] and 0 <= j < kernel.shape[1]:
                kernel[i, j] += weight


def _outer(profiles: Sequence[np.ndarray]) -> np.ndarray:
    kernel = np.ones(())
    for profile in profiles:
        kernel = np.multiply.outer(kernel, profile)
    return kernel


def _unit_sum(kernel: np.ndarray) -> np.ndarray:
    return (kernel / kernel.sum()).astype(np.float32)
