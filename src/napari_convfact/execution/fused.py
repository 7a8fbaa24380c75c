"""The inner loop of the fused pass: a sum of chains in one pass over memory.

Importing this module imports numba (about half a second), so nothing imports it before
the first fused pass. The loops release the interpreter lock and are never compiled with
``parallel=True``: numba's own thread layer aborts the process when two Python threads
enter it at once, which a viewer does.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.np.unsafe.ndarray import to_fixed_tuple

# Products and sums are contracted but never reordered, and NaN stays NaN.
_OPTIONS: dict[str, Any] = {"nogil": True, "cache": True, "fastmath": {"contract"}}


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def run_tile(
    image: Any,
    out: Any,
    sources: Any,
    inside: Any,
    low: Any,
    high: Any,
    reach: Any,
    rings: Any,
    stages: Any,
    taps: Any,
    weights: Any,
    row_stride: int,
    work: Any,
) -> None:
    """Compute one box of the output.

    Parameters
    ----------
    image : array
        ``(slabs, rows, columns)``, C-contiguous.
    out : array
        ``(slabs, rows, columns)``, C-contiguous, of the same dtype.
    sources : tuple of three int64 arrays
        Which slab, row and column of the image each one of the padded image repeats;
        negative where it is zero.
    inside : int
        The column of the padded image at which the image's own begin.
    low, high : tuple of three int
        The box, in samples of the output.
    reach : tuple of three int
        Samples by which the padded image is larger than the output.
    rings, stages, taps, weights : array
        The tables of a `Schedule`, weights in the dtype of the image.
    row_stride : int
        Distance between the rows of a slab in a ring.
    work : array
        One-dimensional, room for all slots of all rings.
    """
    slab_rows = high[1] - low[1] + reach[1]
    slab_size = slab_rows * row_stride
    offsets = np.empty(len(taps), np.uint64)
    flat_out = out.reshape(out.size)
    for t in range(high[0] - low[0] + reach[0]):
        at = t % rings[0, 1] * slab_size
        slab = sources[0][low[0] + t]
        for row in range(slab_rows):
            _load_row(
                image,
                slab,
                sources[1][low[1] + row],
                sources[2][low[2] : high[2] + reach[2]],
                inside - low[2],
                work[at + row * row_stride :],
            )
        for stage in range(len(stages)):
            _run_stage(
                stages[stage], t, low, high, rings, taps, weights, offsets,
                slab_rows, row_stride, work, flat_out, out.shape,
            )  # fmt: skip


@numba.njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _load_row(image: Any, slab: int, row: int, sources: Any, inside: int, target: Any) -> None:
    """Copy a row of the padded image."""
    n = len(sources)
    if slab < 0 or row < 0:
        target[:n] = 0
        return
    source = image[slab, row]
    first = min(max(inside, 0), n)
    last = min(max(inside + len(source), first), n)
    for j in range(first):
        target[j] = source[sources[j]] if sources[j] >= 0 else 0
    _copy(target[first:last], source[first - inside :])
    for j in range(last, n):
        target[j] = source[sources[j]] if sources[j] >= 0 else 0


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _copy(target: Any, source: Any) -> None:
    for j in range(np.uint64(len(target))):
        target[j] = source[j]


@numba.njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _run_stage(
    stage: Any,
    t: int,
    low: Any,
    high: Any,
    rings: Any,
    taps: Any,
    weights: Any,
    offsets: Any,
    slab_rows: int,
    row_stride: int,
    work: Any,
    out: Any,
    out_shape: Any,
) -> None:
    """Compute the slab of a stage that became possible when input slab `t` arrived."""
    source, target, lag, more_rows, more_columns, first, last, add = stage
    slab = t - lag
    if slab < 0:
        return
    slab_size = slab_rows * row_stride
    n_slots = rings[source, 1]
    oldest = slab % n_slots
    for k in range(first, last):
        slot = oldest + taps[k, 0]
        if slot >= n_slots:
            slot -= n_slots
        place = (rings[source, 0] + slot) * slab_size + taps[k, 1] * row_stride + taps[k, 2]
        offsets[k] = place
    n_rows = high[1] - low[1] + more_rows
    n_columns = high[2] - low[2] + more_columns
    o, w = offsets[first:last], weights[first:last]
    if target >= 0:
        # The rows of a slab are summed in one go, gaps between them included, and to a whole
        # number of vectors: `tiling.row_stride` leaves room for it.
        n = (n_rows - 1) * row_stride + (n_columns + 31) // 32 * 32
        at = (rings[target, 0] + slab % rings[target, 1]) * slab_size
        _sum_taps(work, at, work, 0, o, w, n, add != 0)
        return
    for row in range(n_rows):
        at = ((low[0] + slab) * out_shape[1] + low[1] + row) * out_shape[2] + low[2]
        _sum_taps(out, at, work, row * row_stride, o, w, n_columns, add != 0)


@numba.njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _sum_taps(
    out: Any,
    at: int,
    work: Any,
    shift: int,
    offsets: Any,
    weights: Any,
    n: int,
    add: bool,
) -> None:
    """Write or add the weighted sum of one to nine shifted rows."""
    count = len(offsets)
    if count == 9:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 9), to_fixed_tuple(weights, 9), n, add)
    elif count == 8:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 8), to_fixed_tuple(weights, 8), n, add)
    elif count == 7:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 7), to_fixed_tuple(weights, 7), n, add)
    elif count == 6:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 6), to_fixed_tuple(weights, 6), n, add)
    elif count == 5:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 5), to_fixed_tuple(weights, 5), n, add)
    elif count == 4:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 4), to_fixed_tuple(weights, 4), n, add)
    elif count == 3:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 3), to_fixed_tuple(weights, 3), n, add)
    elif count == 2:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 2), to_fixed_tuple(weights, 2), n, add)
    else:
        _sum(out, at, work, shift, to_fixed_tuple(offsets, 1), to_fixed_tuple(weights, 1), n, add)


@numba.njit(**_OPTIONS)  # type: ignore[untyped-decorator]
def _sum(
    out: Any, at: int, work: Any, shift: int, offsets: Any, weights: Any, n: int, add: bool
) -> None:
    """Write or add the weighted sum of as many shifted rows as the tuples are long.

    Two things make the loop vectorize: the number of taps is known when it is compiled, and
    unsigned indices, which numba does not test for being negative.
    """
    start, skip = np.uint64(at), np.uint64(shift)
    for j in range(np.uint64(n)):
        total = weights[0] * work[offsets[0] + skip + j]
        for k in range(1, len(weights)):
            total += weights[k] * work[offsets[k] + skip + j]
        if add:
            total += out[start + j]
        out[start + j] = total
