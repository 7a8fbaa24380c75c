"""Windows of a volume, and what they see beyond its faces."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_convfact.batch.missing import read_filled_box
from napari_convfact.batch.source import read_box
from napari_convfact.batch.tiles import Reading
from napari_convfact.foundation.edges import source_index

# Voxels that may be read to fill a part of a window as in the whole volume, if more than its own.
_FARTHEST = 2**20


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
    return _read(data, leading, _axes(data, first, size, reading, torus), size, fill=False)[0]


def read_filled_window(
    data: Any,
    leading: Sequence[int],
    first: Sequence[int],
    size: Sequence[int],
    reading: Reading = "inside",
    torus: Sequence[int] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Read a window whose missing values are filled before what lies beyond is made of them.

    Parameters
    ----------
    data, leading, first, size, reading, torus
        As of `read_window`.

    Returns
    -------
    window : numpy.ndarray
        As of `read_window`. A part of it that is far from any value stays NaN.
    missing : numpy.ndarray or None
        bool, True where the volume has no value; None if it has all of them.
    """
    return _read(data, leading, _axes(data, first, size, reading, torus), size, fill=True)


def _axes(
    data: Any,
    first: Sequence[int],
    size: Sequence[int],
    reading: Reading,
    torus: Sequence[int] | None,
) -> list[list[_Piece]]:
    spatial = data.shape[len(data.shape) - len(size) :]
    lines = zip(first, size, spatial, spatial if torus is None else torus, strict=True)
    return [list(_pieces(*line, reading)) for line in lines]


def _read(
    data: Any,
    leading: Sequence[int],
    axes: list[list[_Piece]],
    size: Sequence[int],
    *,
    fill: bool,
) -> tuple[np.ndarray, np.ndarray | None]:
    faded = any(piece.weights is not None for pieces in axes for piece in pieces)
    window = np.zeros(tuple(size), np.float32 if faded else np.dtype(data.dtype))
    missing = np.zeros(tuple(size), bool) if fill and window.dtype.kind == "f" else None
    parts = list(itertools.product(*(_spans(pieces) for pieces in axes)))
    for spans in parts:
        box = [slice(span.start, span.stop) for span in spans]
        if missing is None:
            values, holes = read_box(data, (*leading, *box)), None
        else:
            # The halo hides what is at the rim of a window, but not of what lies beyond a face.
            most = max(_FARTHEST, window.size) if len(parts) > 1 else 0
            values, holes = read_filled_box(data, leading, box, most=most)
        start = [span.start for span in spans]
        for pieces in itertools.product(*(span.pieces for span in spans)):
            _add(window, values, pieces, start)
            if missing is not None and holes is not None and not _is_beyond(pieces):
                _add(missing, holes, pieces, start)
    return window, missing if missing is not None and missing.any() else None


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


def _is_beyond(pieces: Sequence[_Piece]) -> bool:
    return any(piece.weights is not None for piece in pieces)


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
