"""Read parts of anything with shape, dtype and slicing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_convfact.batch.tiles import Reading
from napari_convfact.foundation.edges import source_index
from napari_convfact.storage.zarr_files import one_thread_per_processor

#: What planes that are read ahead take, and what reading them takes at its peak.
SLAB_BYTES = 24e6
SLAB_MEMORY = 4 * SLAB_BYTES
# Bytes of chunks that are read at once.
_AT_ONCE = 2**25
# Irrational steps that spread samples evenly along every axis, whatever their number.
_STEPS = (0.8191725134, 0.6710436067, 0.5497004779, 0.4503, 0.3689)


@dataclass(frozen=True)
class _Piece:
    """A stretch of an axis of a window, and the samples of the volume that it repeats."""

    to: int
    source: int
    length: int
    mirrored: bool = False
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class _Span:
    """A stretch of an axis of the volume, and the pieces that lie in it."""

    start: int
    stop: int
    pieces: list[_Piece]


def read_window(
    data: Any,
    leading: Sequence[int],
    first: Sequence[int],
    size: Sequence[int],
    reading: Reading = "inside",
    torus: Sequence[int] | None = None,
) -> np.ndarray:
    """Read a window of a volume.

    Parameters
    ----------
    data : array_like
        Anything with shape, dtype and slicing.
    leading : sequence of int
        Index of its leading axes.
    first, size : sequence of int
        The window along the spatial axes.
    reading : {"inside", "mirror", "periodic", "reflect", "zero"}
        What lies beyond the volume: nothing may be read there; its mirror images, endlessly;
        or a gap between its end and the end of its torus, after which the volume begins
        again: no gap; the reflection at the end, which fades into the one at the beginning
        as in `reflect_onto_torus`; zeros.
    torus : sequence of int, optional
        Size of the torus; the volume's by default.

    Returns
    -------
    numpy.ndarray
        Of the data's dtype, or float32 where reflections are faded into each other.
    """
    spatial = data.shape[len(data.shape) - len(size) :]
    torus = spatial if torus is None else torus
    axes = [
        list(_pieces(a, n, whole, t, reading))
        for a, n, whole, t in zip(first, size, spatial, torus, strict=True)
    ]
    faded = any(piece.weights is not None for pieces in axes for piece in pieces)
    window = np.zeros(tuple(size), np.float32 if faded else np.dtype(data.dtype))
    for spans in itertools.product(*(_spans(pieces) for pieces in axes)):
        values = _read(data, (*leading, *(slice(span.start, span.stop) for span in spans)))
        for pieces in itertools.product(*(span.pieces for span in spans)):
            _add(window, values, pieces, [span.start for span in spans])
    return window


def _add(
    window: np.ndarray, values: np.ndarray, pieces: Sequence[_Piece], start: Sequence[int]
) -> None:
    """Add a part of the values, which were read from `start`, to its place in the window."""
    where = [
        slice(p.source - a, p.source - a + p.length) for p, a in zip(pieces, start, strict=True)
    ]
    part = values[tuple(where)][tuple(slice(None, None, -1 if p.mirrored else 1) for p in pieces)]
    for axis, piece in enumerate(pieces):
        if piece.weights is not None:
            shape = [1] * len(pieces)
            shape[axis] = -1
            part = part * piece.weights.reshape(shape)
    window[tuple(slice(p.to, p.to + p.length) for p in pieces)] += part


def _spans(pieces: Sequence[_Piece]) -> list[_Span]:
    """Join pieces that overlap or touch in the volume, so that they are read together."""
    spans: list[_Span] = []
    for piece in sorted(pieces, key=lambda p: p.source):
        stop = piece.source + piece.length
        if spans and piece.source <= spans[-1].stop:
            last = spans[-1]
            spans[-1] = _Span(last.start, max(last.stop, stop), [*last.pieces, piece])
        else:
            spans.append(_Span(piece.source, stop, [piece]))
    return spans


def _pieces(first: int, size: int, n: int, torus: int, reading: Reading) -> Iterator[_Piece]:
    """Split an axis of a window where it crosses the ends of the volume or of its torus."""
    if reading == "mirror":
        yield from _runs(0, source_index(n, -first, first + size - n, "reflect"))
        return
    done = 0
    while done < size:
        at = (first + done) % torus
        length = min(size - done, (n if at < n else torus) - at)
        if at < n:
            yield _Piece(done, at, length)
        elif reading == "reflect":
            yield from _faded(done, at - n, length, n, torus - n)
        done += length


def _faded(to: int, start: int, length: int, n: int, gap: int) -> Iterator[_Piece]:
    """Fill a part of a torus's gap with the reflections at both ends of the volume."""
    weight = (np.arange(1, gap + 1) / (gap + 1)).astype(np.float32)[start : start + length]
    behind = source_index(n, 0, gap, "reflect")[n:][start : start + length]
    before = source_index(n, gap, 0, "reflect")[:gap][start : start + length]
    yield from _runs(to, behind, 1 - weight)
    yield from _runs(to, before, weight)


def _runs(to: int, index: np.ndarray, weights: np.ndarray | None = None) -> Iterator[_Piece]:
    """Split an index into runs, forwards or backwards: a long one bounces back and forth."""
    turns = np.flatnonzero(np.diff(np.diff(index), prepend=np.diff(index[:2])) != 0)
    for part in np.split(np.arange(len(index)), turns + 1):
        if len(part):
            first, last = int(index[part[0]]), int(index[part[-1]])
            share = None if weights is None else weights[part]
            yield _Piece(to + int(part[0]), min(first, last), len(part), first > last, share)


def _read(data: Any, where: tuple[int | slice, ...]) -> np.ndarray:
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
            return _read(self._data, where)
        slab, plane = divmod(leading[-1], planes)
        key = (*leading[:-1], slab, *((s.start, s.stop) for s in window))
        if self._kept is None or key != self._key:
            ahead = slice(slab * planes, (slab + 1) * planes)
            self._kept = None  # frees the last ones first
            self._kept = _read(self._data, (*leading[:-1], ahead, *window))
            self._key = key
        return self._kept[plane]

    def _sizes(self, window: tuple[slice, ...]) -> Iterator[tuple[slice, int]]:
        return zip(window, self.shape[self._leading :], strict=True)


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
