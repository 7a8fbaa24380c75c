"""Samples of a volume, from which constants of a run are found."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_convfact.batch.windows import read_window

# Irrational steps that spread samples evenly along every axis, whatever their number.
_STEPS = (0.8191725134, 0.6710436067, 0.5497004779, 0.4503, 0.3689)


def sample_windows(
    data: Any, size: Sequence[int], count: int, within: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Read windows that are spread evenly over a volume and its leading axes.

    Parameters
    ----------
    data : array_like
        Anything with shape, dtype and slicing.
    size : sequence of int
        Of a window, one entry per spatial axis; at most the volume.
    count : int
        Most windows; fewer if there are no more different ones.
    within : sequence of int, optional
        Index of the leading axes, to stay at one image of a stack.

    Returns
    -------
    list of numpy.ndarray
        float32.
    """
    ndim = len(size)
    leading = data.shape[: len(data.shape) - ndim] if within is None else ()
    free = [*leading]
    free += [n - s + 1 for n, s in zip(data.shape[len(data.shape) - ndim :], size, strict=True)]
    count = min(count, math.prod(free))
    places: dict[tuple[int, ...], None] = {}
    for i in range(8 * count):
        if len(places) < count:
            shares = [math.modf((i + 0.5) * step)[0] for step in _STEPS]
            positions = zip(itertools.cycle(shares), free, strict=False)
            places[tuple(min(int(share * n), n - 1) for share, n in positions)] = None
    return [
        read_window(
            data, (*(within or ()), *place[: len(leading)]), place[len(leading) :], size
        ).astype(np.float32)
        for place in places
    ]


def sample_size(spatial: Sequence[int], voxels: int) -> tuple[int, ...]:
    """Return the largest window of about the volume's proportions within so many voxels."""
    size = list(spatial)
    while math.prod(size) > voxels:
        axis = size.index(max(size))
        size[axis] = -(-size[axis] // 2)
    return tuple(size)
