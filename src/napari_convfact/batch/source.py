"""Read boxes of anything with shape, dtype and slicing, chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from napari_convfact.storage.zarr_files import one_thread_per_processor

#: What planes that are read ahead take, and what reading them takes at its peak.
SLAB_BYTES = 24e6
SLAB_MEMORY = 4 * SLAB_BYTES
# Bytes of chunks that are read at once.
_AT_ONCE = 2**25


def read_box(data: Any, where: tuple[int | slice, ...]) -> np.ndarray:
    """Slice data, chunked ones part by part: a reader holds all chunks of what it is asked for."""
    spans = [
        range(w, w + 1) if isinstance(w, int) else range(*w.indices(n))
        for w, n in zip(where, data.shape, strict=True)
    ]
    parts = list(_parts(data, spans))
    if len(parts) == 1:
        return _load(data, where)
    values = np.empty([len(span) for span in spans], np.dtype(data.dtype))
    for part in parts:
        pairs = list(zip(part, spans, strict=True))
        place = tuple(slice(p.start - s.start, p.stop - s.start) for p, s in pairs)
        values[place] = _load(data, tuple(slice(p.start, p.stop) for p in part))
    return values[tuple(0 if isinstance(w, int) else slice(None) for w in where)]


def _parts(data: Any, spans: list[range]) -> Iterator[list[range]]:
    """Split a box between chunks until the chunks of each part are few enough."""
    chunks = getattr(data, "chunks", None) or data.shape
    depths = [c if isinstance(c, int) else c[0] for c in chunks]  # dask lists all sizes
    counts = [-(-span.stop // c) - span.start // c for span, c in zip(spans, depths, strict=True)]
    touched = math.prod(depths) * math.prod(counts) * np.dtype(data.dtype).itemsize
    if touched <= _AT_ONCE or max(counts) < 2:
        yield spans
        return
    axis = counts.index(max(counts))
    middle = (spans[axis].start // depths[axis] + counts[axis] // 2) * depths[axis]
    for half in (range(spans[axis].start, middle), range(middle, spans[axis].stop)):
        yield from _parts(data, [*spans[:axis], half, *spans[axis + 1 :]])


def _load(data: Any, where: tuple[int | slice, ...]) -> np.ndarray:
    with one_thread_per_processor():
        return np.asarray(data[where])


class Slabs:
    """Reads planes of a chunked volume several at a time and keeps the last ones.

    A plane of a volume whose chunks are 64 planes deep costs all 64. Neighbouring planes are
    tiles that follow each other.

    Parameters
    ----------
    data : array_like
        Anything with shape, dtype and slicing; chunks are respected where it has them.
    leading : int
        Number of leading axes, of which the last is read ahead.
    """

    def __init__(self, data: Any, leading: int) -> None:
        self._data = data
        self._leading = leading
        self.shape, self.dtype = tuple(data.shape), data.dtype
        chunks = getattr(data, "chunks", None)
        # dask gives the size of every chunk
        depth = chunks[leading - 1] if leading and chunks else 1
        self._depth = int(depth[0] if isinstance(depth, tuple) else depth)
        self._key: tuple[Any, ...] | None = None
        self._kept: np.ndarray | None = None

    def __getitem__(self, where: tuple[Any, ...]) -> np.ndarray:
        """Read a window at an index of the leading axes."""
        leading, window = where[: self._leading], where[self._leading :]
        voxels = math.prod(len(range(*s.indices(n))) for s, n in self._sizes(window))
        planes = int(SLAB_BYTES / max(1, voxels * np.dtype(self.dtype).itemsize))
        planes = min(planes, self._depth)
        if planes < 2:
            return read_box(self._data, where)
        slab, plane = divmod(leading[-1], planes)
        key = (*leading[:-1], slab, *((s.start, s.stop) for s in window))
        if self._kept is None or key != self._key:
            ahead = slice(slab * planes, (slab + 1) * planes)
            self._kept = None  # frees the last ones first
            self._kept = read_box(self._data, (*leading[:-1], ahead, *window))
            self._key = key
        return self._kept[plane]

    def _sizes(self, window: tuple[slice, ...]) -> Iterator[tuple[slice, int]]:
        return zip(window, self.shape[self._leading :], strict=True)
