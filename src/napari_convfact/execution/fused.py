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

from napari_convfact.execution.vectors import fetch_block, weighted_sum

# Numba's cache hashes this file alone: with this hash of ``vectors.py`` it hashes that one too.
VECTORS_HASH = "0f5e8f255dd40b0d"

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
    block: int,
    strides: Any,
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
    block : int
        Samples that `weighted_sum` sums at once.
    strides : tuple of two int
        Distances between the rows and between the slabs of a ring.
    work : array
        One-dimensional, room for all slots of a `Schedule`, the last of which takes what is not
        wanted, and for two blocks.
    """
    slab_rows = high[1] - low[1] + reach[1]
    row_stride, slab_stride = strides
    n_slabs = high[0] - low[0] + reach[0]
    offsets = np.empty(len(taps), np.int64)
    flat_image, flat_out = image.reshape(image.size), out.reshape(out.size)
    for t in range(0, n_slabs, 2):
        for slab in range(t, min(t + 2, n_slabs)):
            at = slab % rings[0, 1] * slab_stride
            for row in range(slab_rows):
                _load_row(
                    image,
                    sources[0][low[0] + slab],
                    sources[1][low[1] + row],
                    sources[2][low[2] : high[2] + reach[2]],
                    inside - low[2],
                    work[at + row * row_stride :],
                )
        next_rows = _next_rows(image.shape, sources, low, inside, t + 2, n_slabs, slab_rows)
        for stage in range(len(stages)):
            _run_stage(
                stages[stage], t, low, high, rings, taps, weights, offsets, block, row_stride,
                slab_stride, work, flat_image, next_rows, flat_out, out.shape,
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
def _next_rows(
    shape: Any, sources: Any, low: Any, inside: int, slab: int, n_slabs: int, slab_rows: int
) -> Any:
    """Return where the next two slabs begin in the flat image, if they are single rows.

    Slabs of many rows are read in long runs, which the processor fetches ahead by itself.
    """
    if slab_rows > 1 or slab + 1 >= n_slabs:
        return -1, -1
    row, column = sources[1][low[1]], max(low[2] - inside, 0)
    return (
        (sources[0][low[0] + slab] * shape[1] + row) * shape[2] + column,
        (sources[0][low[0] + slab + 1] * shape[1] + row) * shape[2] + column,
    )


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
    block: int,
    row_stride: int,
    slab_stride: int,
    work: Any,
    image: Any,
    next_rows: Any,
    out: Any,
    out_shape: Any,
) -> None:
    """Compute the two slabs of a stage that became possible with input slabs `t` and `t + 1`."""
    source, target, lag, more_rows, more_columns, first, _, _, last, add = stage
    slab = t - lag
    if slab + 1 < 0:
        return
    n_lines = high[1] - low[1] + more_rows
    n = high[2] - low[2] + more_columns
    spare = len(work) - 2 * block
    next_line = out_shape[2] if n_lines > 1 else 2 * out_shape[1] * out_shape[2]
    a, a_start, a_step = _target(
        slab, target, low, high, rings, slab_stride, row_stride, work, spare, out, out_shape
    )
    b, b_start, b_step = _target(
        slab + 1, target, low, high, rings, slab_stride, row_stride, work, spare, out, out_shape
    )
    _place_taps(offsets, taps, first, last, slab, rings[source], slab_stride, row_stride)
    for line in range(n_lines):
        _sum_line(
            (a, b), (a_start + line * a_step, b_start + line * b_step), work,
            line * row_stride, offsets, weights, stage[5:9], n, block, add != 0, target < 0,
            image, next_rows, next_line, spare,
        )  # fmt: skip


@numba.njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _target(
    slab: int,
    target: int,
    low: Any,
    high: Any,
    rings: Any,
    slab_stride: int,
    row_stride: int,
    work: Any,
    spare: int,
    out: Any,
    out_shape: Any,
) -> Any:
    """Return the array that a slab of a stage goes to, where it begins, and its rows' distance."""
    if target >= 0:
        return work, (rings[target, 0] + slab % rings[target, 1]) * slab_stride, row_stride
    if 0 <= slab < high[0] - low[0]:
        start = ((low[0] + slab) * out_shape[1] + low[1]) * out_shape[2] + low[2]
        return out, start, out_shape[2]
    return work, spare - slab_stride, row_stride


@numba.njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _place_taps(
    offsets: Any,
    taps: Any,
    first: int,
    last: int,
    slab: int,
    ring: Any,
    slab_stride: int,
    row_stride: int,
) -> None:
    """Find where in the ring each tap of a slab's first sample lies."""
    begin, n_slots = ring
    oldest = slab % n_slots
    for k in range(first, last):
        slot = oldest + taps[k, 0]
        if slot >= n_slots:
            slot -= n_slots
        offsets[k] = (begin + slot) * slab_stride + taps[k, 1] * row_stride + taps[k, 2]


@numba.njit(inline="always", **_OPTIONS)  # type: ignore[untyped-decorator]
def _sum_line(
    targets: Any,
    starts: Any,
    source: Any,
    shift: int,
    offsets: Any,
    weights: Any,
    ends: Any,
    n: int,
    block: int,
    add: bool,
    fetch: bool,
    image: Any,
    next_rows: Any,
    next_line: int,
    spare: int,
) -> None:
    """Write or add the weighted sum of shifted rows, to a pair of targets.

    Where the processor would wait for the image's next rows and the output's next lines, it is
    told of them (`fetch`) while it sums.
    """
    rest = n % block
    for j in range(0, n - rest, block):
        if fetch:
            for g in range(2):
                if next_rows[g] >= 0:
                    fetch_block(image, next_rows[g] + j, False)
                fetch_block(targets[g], starts[g] + next_line + j, True)
        weighted_sum(targets, starts, j, source, shift + j, offsets, weights, ends, add)
    if not rest:
        return
    if n >= block and not add:
        # The last block overlaps the one before, whose sums it repeats.
        j = n - block
        weighted_sum(targets, starts, j, source, shift + j, offsets, weights, ends, add)
        return
    j, spares = n - rest, (spare, spare + block)
    for g in range(2):
        _copy(source[spares[g] : spares[g] + rest], targets[g][starts[g] + j :])
    weighted_sum((source, source), spares, 0, source, shift + j, offsets, weights, ends, add)
    for g in range(2):
        last = starts[g] + n
        _copy(targets[g][last - rest : last], source[spares[g] :])
