"""Arrays with their axes in another order, also those that are read when they are sliced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def reordered(data: Any, order: Sequence[int]) -> Any:
    """Return data whose axis i is axis ``order[i]`` of `data`, which is not read for it."""
    if isinstance(data, np.ndarray):
        return data.transpose(order)
    return _Reordered(data, tuple(order))


class _Reordered:
    """What the jobs use of an array: shape, dtype, chunks and slicing by integers and slices."""

    def __init__(self, data: Any, order: tuple[int, ...]) -> None:
        self._data = data
        self._order = order
        self.dtype = np.dtype(data.dtype)
        self.shape = tuple(data.shape[axis] for axis in order)
        self.chunks = tuple(data.chunks[axis] for axis in order)
        self.ndim = len(order)

    def __getitem__(self, index: Any) -> np.ndarray:
        index = index if isinstance(index, tuple) else (index,)
        index += (slice(None),) * (self.ndim - len(index))
        where = dict(zip(self._order, index, strict=True))
        values = np.asarray(self._data[tuple(where[axis] for axis in range(self.ndim))])
        # Integers drop their axis; those that are left come in the data's order.
        left = [axis for axis in self._order if isinstance(where[axis], slice)]
        return values.transpose([sorted(left).index(axis) for axis in left])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[()], dtype=dtype)
