"""A kernel cut out of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_convfact.foundation.validate import check_image
from napari_convfact.kernels.prepare import KernelReport, prepare_kernel


def kernel_from_rectangle(
    image: Any, corners: Any, **options: Any
) -> tuple[np.ndarray, KernelReport]:
    """Cut a kernel out of an image and prepare it.

    Parameters
    ----------
    image : array_like
        Real, of any number of axes.
    corners : array_like
        ``(n, ndim)``: the corners of a box in voxels, as a Shapes layer holds them. Along
        an axis on which they all agree, as the depth of a rectangle drawn on one plane of
        a volume, the whole image is taken.
    **options
        Passed to `prepare_kernel`.

    Returns
    -------
    kernel : numpy.ndarray
        float32, as `prepare_kernel` returns it.
    report : KernelReport
        What was done to the cut-out part.

    Raises
    ------
    ValueError
        If the corners have another number of axes than the image, or none of it is inside.
    """
    values = check_image(image).data
    points = np.asarray(corners, dtype=float)
    if points.ndim != 2 or points.shape[1] != values.ndim or len(points) < 2:
        raise ValueError(
            f"The corners must be a table of {values.ndim} columns, one per axis of the "
            f"image, not of shape {points.shape}."
        )
    window = [
        slice(0, n) if low == high else slice(max(0, round(low)), min(n, round(high) + 1))
        for n, low, high in zip(values.shape, points.min(axis=0), points.max(axis=0), strict=True)
    ]
    part = values[tuple(window)]
    if part.size == 0:
        raise ValueError("The rectangle lies outside the image: draw it on the image.")
    return prepare_kernel(part, **options)
