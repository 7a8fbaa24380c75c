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
    reading : {"inside", "periodic", "reflect", "zero"}
        What fills the gap between the volume's end and the end of its torus, after which
        the volume begins again: nothing may be read there; the volume is as long as its
        torus; the reflection at the end, which fades into the one at the beginning as in
        `reflect_onto_torus`; zeros.
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
    for pieces in itertools.product(*axes):
        where = tuple(slice(p.source, p.source + p.length) for p in pieces)
        values = np.asarray(data[(*leading, *where)])
        values = values[tuple(slice(None, None, -1 if p.mirrored else 1) for p in pieces)]
        for axis, piece in enumerate(pieces):
            if piece.weights is not None:
                shape = [1] * len(pieces)
                shape[axis] = -1
                values = values * piece.weights.reshape(shape)
        window[tuple(slice(p.to, p.to + p.length) for p in pieces)] += values
    return window


def _pieces(first: int, size: int, n: int, torus: int, reading: Reading) -> Iterator[_Piece]:
    """Split an axis of a window where it crosses the ends of the volume or of its torus."""
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
    for index, share in ((behind, 1 - weight), (before, weight)):
        # A gap longer than the volume bounces back and forth.
        turns = np.flatnonzero(np.diff(np.diff(index), prepend=np.diff(index[:2])) != 0)
        for part in np.split(np.arange(length), turns + 1):
            if len(part):
                ends = int(index[part[0]]), int(index[part[-1]])
                yield _Piece(
                    to + int(part[0]), min(ends), len(part), ends[0] > ends[1], share[part]
                )


def sample_windows(data: Any, size: Sequence[int], count: int) -> list[np.ndarray]:
    """Read windows that are spread evenly over a volume and its leading axes.

    Parameters
    ----------
    data : array_like
        Anything with shape, dtype and slicing.
    size : sequence of int
        Of a window, one entry per spatial axis; at most the volume.
    count : int
        Most windows; fewer if there are no more different ones.

    Returns
    -------
    list of numpy.ndarray
        float32.
    """
    ndim = len(size)
    free = [*data.shape[: len(data.shape) - ndim]]
    free += [n - s + 1 for n, s in zip(data.shape[len(data.shape) - ndim :], size, strict=True)]
    places = dict.fromkeys(
        tuple(
            min(int(math.modf((i + 0.5) * step)[0] * n), n - 1)
            for n, step in zip(free, itertools.cycle(_STEPS), strict=False)
        )
        for i in range(min(count, math.prod(free)))
    )
    leading = len(free) - ndim
    return [
        read_window(data, place[:leading], place[leading:], size).astype(np.float32)
        for place in places
    ]


def sample_size(spatial: Sequence[int], voxels: int) -> tuple[int, ...]:
    """Return the largest window of about the volume's proportions within so many voxels."""
    size = list(spatial)
    while math.prod(size) > voxels:
        axis = size.index(max(size))
        size[axis] = -(-size[axis] // 2)
    return tuple(size)
