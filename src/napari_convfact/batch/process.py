"""One tile: read its window, compute, keep its core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from napari_convfact.batch.method import TileFilter, TileMethod
from napari_convfact.batch.source import read_window
from napari_convfact.batch.tiles import Tile, Tiling
from napari_convfact.foundation.job import Job, run


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
    """

    tiling: Tiling
    method: TileMethod
    _filters: dict[tuple[int, ...], TileFilter] = field(default_factory=dict, repr=False)

    def filter(self, padded: tuple[int, ...]) -> TileFilter:
        """Return the filter for windows of a size; the last one is kept."""
        if padded not in self._filters:
            self._filters.clear()
            self._filters[padded] = self.method.filter(padded)
        return self._filters[padded]


def process_tile(
    source: Any, destination: Writer, box: Tile, halo: Sequence[int], plan: Prepared
) -> None:
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
    """
    run(process_tile_job(source, destination, box, halo, plan))


def process_tile_job(
    source: Any, destination: Writer, box: Tile, halo: Sequence[int], plan: Prepared
) -> Job[None]:
    """Do what `process_tile` does, as a job that can be cancelled."""
    destination.write(box, (yield from compute_tile(source, box, halo, plan)))


def compute_tile(
    source: Any, box: Tile, halo: Sequence[int], plan: Prepared
) -> Job[list[np.ndarray]]:
    """Compute one tile; see `process_tile`.

    Returns
    -------
    list of numpy.ndarray
        For each output its values, ``(*output.leading, *box.size)``.
    """
    tiling = plan.tiling
    if tuple(halo) != tiling.halo:
        tiling = tiling.with_halo(halo)
    first = tiling.window(box)
    window = read_window(source, box.leading, first, tiling.padded, tiling.reading, tiling.torus)
    values = yield from plan.filter(tiling.padded)(window)
    spans = zip(box.start, box.stop, first, strict=True)
    core: tuple[Any, ...] = (..., *(slice(start - at, stop - at) for start, stop, at in spans))
    return [block[core] for block in values]
