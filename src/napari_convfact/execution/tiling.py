"""Cut the output of a fused pass into boxes, and lay out its rings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from napari_convfact.foundation.device import cpu_count

Place = tuple[int, int, int]
Box = tuple[Place, Place]

# A row is summed in blocks of four cache lines.
LINE_BYTES, BLOCK_LINES = 64, 4
# What a box costs more when its rings outgrow a core's second-level cache and its share of the
# third: measured on 3-D kernels, where small boxes compute more twice than they save.
_CACHES = ((512 * 1024, 1.1), (8 * 1024**2, 1.5))
# A box takes well below a second, so that a run can be interrupted between boxes.
_MOST_SAMPLES = 2**24
# Fewer samples than this are not worth waking another thread.
_LEAST_SAMPLES = 2**14


def block_samples(itemsize: int) -> int:
    """Return how many samples of a row are summed at once."""
    return BLOCK_LINES * LINE_BYTES // itemsize


def ring_strides(rows: int, columns: int, itemsize: int) -> tuple[int, int]:
    """Return the distances between the rows and between the slabs of a ring, in samples.

    They are odd numbers of cache lines, for at even ones rows and slabs would compete for the
    same places of the cache.
    """
    line = LINE_BYTES // itemsize
    row_stride = _odd(math.ceil(columns / line)) * line
    return row_stride, _odd(rows * row_stride // line) * line


def _odd(n: int) -> int:
    return n + 1 - n % 2


@lru_cache(maxsize=512)
def choose_boxes(
    shape: tuple[int, int, int], reach: tuple[int, int, int], slots: int, itemsize: int
) -> tuple[Box, ...]:
    """Cut the output into boxes that compute the least twice and fit in cache.

    Parameters
    ----------
    shape : tuple of int
        Slabs, rows and columns of the output.
    reach : tuple of int
        Samples by which the input of a box exceeds its output.
    slots : int
        Slabs in all rings.
    itemsize : int
        Bytes of a sample.

    Returns
    -------
    tuple of (low, high)
    """
    candidates = itertools.product(*(_cuts(n) for n in shape))
    parts = min(candidates, key=lambda parts: _cost(parts, shape, reach, slots, itemsize))
    return tuple(_boxes(shape, parts))


def _cuts(n: int) -> list[int]:
    powers = [2**i for i in range(12) if 2**i <= n]
    return sorted({*powers, *(c for c in (cpu_count(), 3, 6, 12) if c <= n)})


def _cost(
    parts: tuple[int, ...],
    shape: Sequence[int],
    reach: Sequence[int],
    slots: int,
    itemsize: int,
) -> float:
    box = [math.ceil(n / p) for n, p in zip(shape, parts, strict=True)]
    slabs, rows, columns = (b + r for b, r in zip(box, reach, strict=True))
    tiles = math.prod(parts)
    threads = cpu_count() if math.prod(shape) > _LEAST_SAMPLES else 1
    work: float = math.ceil(tiles / threads) * (slabs * rows * (columns + 64) + 2000)
    ring_bytes = slots * ring_strides(rows, columns, itemsize)[1] * itemsize
    work *= math.prod(cost for size, cost in _CACHES if ring_bytes > size)
    if math.prod(box) > _MOST_SAMPLES:
        work *= 4
    return work


def _boxes(shape: Sequence[int], parts: Sequence[int]) -> Iterable[Box]:
    cuts = [[i * n // p for i in range(p + 1)] for n, p in zip(shape, parts, strict=True)]
    for low in itertools.product(*(range(p) for p in parts)):
        a, b, c = (cut[i] for cut, i in zip(cuts, low, strict=True))
        d, e, f = (cut[i + 1] for cut, i in zip(cuts, low, strict=True))
        yield (a, b, c), (d, e, f)
