"""How long a run will take, from one small tile of it that is really processed."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_convfact.batch.costs import Costs
from napari_convfact.batch.manifest import Manifest
from napari_convfact.batch.method import TileMethod
from napari_convfact.batch.plan import TilePlan
from napari_convfact.batch.prepare import prepare_job
from napari_convfact.batch.process import Prepared, process_tile_job
from napari_convfact.batch.request import DEFAULT_OPTIONS, Options, Request
from napari_convfact.batch.source import Slabs
from napari_convfact.batch.store import Destination, create_results
from napari_convfact.batch.tiles import Tile, Tiling, make_tiling
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.storage.zarr_pyramid import chunk_lengths

# Voxels of the tile that is tried.
_PROBE = 2**21


def forecast_job(request: Request, options: Options = DEFAULT_OPTIONS) -> Job[TilePlan]:
    """Plan a run and measure how long it will take (a job); nothing is left behind.

    A tile of a few million voxels, or one of the run's if those are smaller, is read, computed
    and written to a temporary folder. Each of the three grows with its own number of voxels.

    Parameters
    ----------
    request : Request
        What is to be run.
    options : Options
        How.

    Returns
    -------
    TilePlan
        With `seconds`.

    Raises
    ------
    ValueError
        As `prepare_job`.
    """
    manifest, prepared = yield from prepare_job(request, options)
    yield Step(0, 0, "Trying a small tile")
    tiling, method = manifest.plan.tiling, prepared.method
    small = _small(tiling)
    tile = _middle(small)
    costs = yield from _try(small, tile, manifest, method, request.tiled_inputs["image"])
    seconds = _scaled(costs, tiling, method, small.window(tile)[1], tile.size)
    return replace(manifest.plan, seconds=seconds)


def _small(tiling: Tiling) -> Tiling:
    """Return tiles of the same volume that are quickly done; their halo does not matter."""
    core, chunk = list(tiling.core), chunk_lengths(tiling.ndim)
    while math.prod(core) > _PROBE:
        axis = core.index(max(core))
        half = math.ceil(core[axis] / 2 / chunk[axis]) * chunk[axis]
        if half >= core[axis]:
            break
        core[axis] = half
    halo = (0,) * tiling.ndim
    return make_tiling(tiling.shape, tiling.ndim, core, halo, tiling.reading, tiling.torus)


def _middle(tiling: Tiling) -> Tile:
    places = [(count - 1) // 2 for count in tiling.grid]
    return tiling[int(np.ravel_multi_index(places, tiling.grid))]


def _try(
    tiling: Tiling, tile: Tile, manifest: Manifest, method: TileMethod, image: SpatialImage
) -> Job[Costs]:
    """Process a tile twice; only the second time counts, when everything is warm."""
    prepared = Prepared(tiling, method)
    source = Slabs(image.data, len(tiling.leading))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = replace(manifest.plan, tiling=tiling)
        create_results(folder, replace(manifest, plan=plan), method.outputs, image, {})
        destination = Destination(folder, manifest.files, method.outputs, image, tiling)
        yield from process_tile_job(source, destination, tile, tiling.halo, prepared)
        prepared.release()
        return (yield from process_tile_job(source, destination, tile, tiling.halo, prepared))


def _scaled(
    costs: Costs,
    tiling: Tiling,
    method: TileMethod,
    window: tuple[int, ...],
    core: tuple[int, ...],
) -> float:
    """Return the seconds of all tiles, from those of one."""
    work = math.prod(method.work_shape(window))
    one = costs.seconds
    seconds = one["writing"] * math.prod(tiling.shape) / math.prod(core)
    for size, count in tiling.window_sizes():
        larger = math.prod(method.work_shape(size)) / work
        seconds += count * one["computing"] * larger + one["preparing"] * larger
        seconds += count * one["reading"] * math.prod(size) / math.prod(window)
    return seconds
