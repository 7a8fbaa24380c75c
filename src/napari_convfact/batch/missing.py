"""Boxes of a volume whose missing values are filled as they would be in the whole volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_convfact.batch.source import read_box
from napari_convfact.foundation.validate import nearest_good

#: Bytes for a voxel of a window while it is filled: the window, a box of the same size, where
#: the nearest values of that are, and the filter that is kept between tiles.
FILLING = 32.0


def read_filled_box(
    data: Any, leading: Sequence[int], box: Sequence[slice], *, most: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Read a box and fill what is missing with the nearest values.

    Parameters
    ----------
    data : array_like
        Anything with shape, dtype and slicing.
    leading : sequence of int
        Index of its leading axes.
    box : sequence of slice
        Where, along the spatial axes.
    most : int
        Voxels that may be read to look for nearer values outside of the box.

    Returns
    -------
    values : numpy.ndarray
        Of the box; NaN if none of the voxels that were read has a value.
    missing : numpy.ndarray
        bool, True where the volume has no value.
    """
    spatial = data.shape[len(data.shape) - len(box) :]
    margin, around = 0, list(box)
    while True:
        values, missing, wanted = _read_around(data, leading, box, around)
        if wanted <= margin:
            return values, missing
        margin, allowed = _allowed(box, spatial, margin, wanted, most)
        if allowed == around:
            return values, missing
        if margin < wanted:
            most = 0  # it cannot grow further
        around = allowed
        del values, missing


def _read_around(
    data: Any, leading: Sequence[int], box: Sequence[slice], around: Sequence[slice]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Read a box around one; return values, holes and how far outside nearer values may be."""
    values = read_box(data, (*leading, *around))
    missing = ~np.isfinite(values)
    inner = tuple(
        slice(s.start - a.start, s.stop - a.start) for s, a in zip(box, around, strict=True)
    )
    holes = missing[inner].copy()
    if not holes.any():
        return values[inner], holes, 0
    if missing.all():
        return values[inner], holes, 2 * max(missing.shape)
    nearest = nearest_good(missing)
    filled = values[tuple(where[inner] for where in nearest)]
    return filled, holes, _farthest(nearest, inner)


def _farthest(nearest: np.ndarray, inner: tuple[slice, ...]) -> int:
    """Return how far the farthest of the nearest values is, plane by plane to save memory."""
    planes = range(inner[0].start, inner[0].stop)
    rest = np.ogrid[inner[1:]]
    squared = 0
    for plane, *where in zip(planes, *(index[inner] for index in nearest), strict=True):
        offsets = zip(where, (plane, *rest), strict=True)
        distance = sum(np.square(np.subtract(a, b, dtype=np.int64)) for a, b in offsets)
        squared = max(squared, int(np.max(distance)))
    return math.ceil(math.sqrt(squared))


def _allowed(
    box: Sequence[slice], spatial: Sequence[int], margin: int, wanted: int, most: int
) -> tuple[int, list[slice]]:
    """Return a margin, up to the wanted one, with which few enough voxels are read."""
    while True:
        around = [
            slice(max(0, s.start - wanted), min(n, s.stop + wanted))
            for s, n in zip(box, spatial, strict=True)
        ]
        if wanted <= margin or math.prod(s.stop - s.start for s in around) <= most:
            return wanted, around
        wanted = (margin + wanted) // 2
