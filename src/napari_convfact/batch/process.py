"""One tile: read its window, compute, keep its core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from napari_convfact.batch.costs import Costs
from napari_convfact.batch.method import TileFilter, TileMethod
from napari_convfact.batch.tiles import Tile, Tiling
from napari_convfact.batch.windows import read_filled_window, read_window
from napari_convfact.foundation.heap import Heap
from napari_convfact.foundation.job import Job, Step, run
from napari_convfact.storage.zarr_files import one_thread_per_processor

_MOST_HALVINGS = 4


class Writer(Protocol):
    """Where tiles go."""

    def write(self, tile: Tile, values: Sequence[np.ndarray]) -> None:
        """Take the values of a tile, one array for each output."""


@dataclass
class Prepared:
    """A method and a tiling, with the filters that were made for its windows.

    Attributes
    ----------
    tiling : Tiling
        The cut.
    method : TileMethod
        What is computed.
    heap : Heap
        Gives back what tiles have freed.
    """

    tiling: Tiling
    method: TileMethod
    heap: Heap = field(default_factory=Heap)
    _filters: dict[tuple[int, ...], TileFilter] = field(default_factory=dict, repr=False)

    def filter(self, padded: tuple[int, ...]) -> TileFilter:
        """Return the filter for windows of a size; the last one is kept."""
        if padded not in self._filters:
            self._filters.clear()
            self._filters[padded] = self.method.filter(padded)
        return self._filters[padded]

    def release(self) -> None:
        """Free the filters and what the device keeps for reuse."""
        import torch

        self._filters.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.backends.cuda.cufft_plan_cache.clear()


def process_tile(
    source: Any, destination: Writer, box: Tile, halo: Sequence[int], plan: Prepared
) -> Costs:
    """Compute one tile and write it.

    Nothing else is read or written, so that tiles can be processed in any order, anywhere,
    and again.

    Parameters
    ----------
    source : array_like
        The image: anything with shape, dtype and slicing.
    destination : Writer
        Takes the result.
    box : Tile
        The tile.
    halo : sequence of int
        Voxels around it that are read, along each spatial axis.
    plan : Prepared
        Tiling and method.

    Returns
    -------
    Costs
        What it took.
    """
    return run(process_tile_job(source, destination, box, halo, plan))


def process_tile_job(
    source: Any, destination: Writer, box: Tile, halo: Sequence[int], plan: Prepared
) -> Job[Costs]:
    """Do what `process_tile` does, as a job that can be cancelled."""
    costs = Costs()
    values = yield from compute_tile(source, box, halo, plan, costs)
    with costs.phase("writing"), one_thread_per_processor():
        destination.write(box, values)
    del values
    plan.heap.trim()
    return costs


def compute_tile(
    source: Any, box: Tile, halo: Sequence[int], plan: Prepared, costs: Costs
) -> Job[list[np.ndarray]]:
    """Compute one tile; see `process_tile`. What it takes is added to the costs.

    Where a device runs out of memory, the tile is computed in two halves, each of them again
    in halves if need be.

    Returns
    -------
    list of numpy.ndarray
        For each output its values, ``(*output.leading, *box.size)``.
    """
    tiling = plan.tiling
    if tuple(halo) != tiling.halo:
        tiling = tiling.with_halo(halo)
    return (yield from _compute(source, box, tiling, plan, costs, _MOST_HALVINGS))


def _compute(
    source: Any, box: Tile, tiling: Tiling, plan: Prepared, costs: Costs, halvings: int
) -> Job[list[np.ndarray]]:
    import torch

    first, size = tiling.window(box)
    where = (source, box.leading, first, size, tiling.reading, tiling.torus)
    missing = None
    with costs.phase("reading"):
        if plan.method.fills_missing:
            window, missing = read_filled_window(*where)
        else:
            window = read_window(*where)
    try:
        values = yield from _filtered(window, box.leading, plan, costs)
    except torch.OutOfMemoryError:
        halves = tiling.halved(box)
        if not halvings or halves is None:
            raise
        del window
        plan.release()
    else:
        spans = zip(box.start, box.stop, first, strict=True)
        core: tuple[Any, ...] = (..., *(slice(start - a, stop - a) for start, stop, a in spans))
        if missing is not None:
            values = [np.where(missing, np.array(np.nan, block.dtype), block) for block in values]
        return [block[core] for block in values]
    # Outside of the handler, whose exception keeps the device's memory.
    axis, smaller, boxes = halves
    yield Step(0, 0, "The device is out of memory: computing the tile in two halves")
    parts = []
    for half in boxes:
        values = yield from _compute(source, half, smaller, plan, costs, halvings - 1)
        parts.append(values)
    return [np.concatenate(blocks, axis - len(box.start)) for blocks in zip(*parts, strict=True)]


def _filtered(
    window: np.ndarray, leading: tuple[int, ...], plan: Prepared, costs: Costs
) -> Job[list[np.ndarray]]:
    from napari_convfact.foundation.threads import on_one_torch_thread

    with costs.phase("preparing"):
        apply = plan.filter(window.shape)
    with costs.phase("computing"):
        # Sums by one thread have the same round-off whatever the number of processors.
        return (yield from on_one_torch_thread(apply(window, leading)))
