"""Boxes of a volume whose missing values are filled as they would be in the whole volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.ndimage

from napari_convfact.batch.source import read_box
from napari_convfact.foundation.validate import fill_missing

# The most voxels that are read to find values for a box without any.
_FARTHEST = 2**22


def read_filled_box(
    data: Any, leading: Sequence[int], box: Sequence[slice], *, exactly: bool
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
    exactly : bool
        Whether to look outside of the box where values there may be nearer.

    Returns
    -------
    values : numpy.ndarray
        Of the box; NaN where there is no value far around.
    missing : numpy.ndarray
        bool, True where the volume has no value.
    """
    spatial = data.shape[len(data.shape) - len(box) :]
    margin = 0
    while True:
        around = [
            slice(max(0, s.start - margin), min(n, s.stop + margin))
            for s, n in zip(box, spatial, strict=True)
        ]
        values = read_box(data, (*leading, *around))
        missing = ~np.isfinite(values)
        inner = tuple(
            slice(s.start - a.start, s.stop - a.start) for s, a in zip(box, around, strict=True)
        )
        wanted = _farthest(missing, inner, margin) if exactly else 0
        if wanted <= margin or values.size > _FARTHEST or values.shape == spatial:
            break
        margin = wanted
    if missing[inner].any() and not missing.all():
        values = fill_missing(values, missing)
    return values[inner], missing[inner]


def _farthest(missing: np.ndarray, inner: tuple[slice, ...], margin: int) -> int:
    """Return how far outside of the inner box the nearest values may be."""
    if not missing[inner].any():
        return 0
    if missing.all():
        return 2 * margin + max(missing.shape)
    distance = scipy.ndimage.distance_transform_edt(missing)
    return math.ceil(distance[inner].max())
