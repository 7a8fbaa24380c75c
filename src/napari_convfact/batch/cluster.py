"""The same tiles on processes of a dask scheduler."""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from napari_convfact.batch.manifest import Manifest, WorkFolder
from napari_convfact.batch.process import Prepared, process_tile
from napari_convfact.batch.registry import tiled_operation
from napari_convfact.batch.source import Slabs
from napari_convfact.batch.store import Destination
from napari_convfact.batch.tiles import Tiling
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.recipe import as_recorded
from napari_convfact.operations.registry import find_operation
from napari_convfact.storage.formats import open_image

if TYPE_CHECKING:
    from distributed import Client

_RETRIES = 3
# Tiles that have short windows are done so many together, by a worker that makes their filter.
_TOGETHER = 8
# Small windows are done together up to so many voxels: neighbouring planes are read at once, and
# handing out a task costs milliseconds.
_VOXELS_TOGETHER = 2**24
# So many batches at least for each worker, that none is left alone with the last one.
_BATCHES_PER_WORKER = 4
# The plan is for one tile in a process, however many threads a worker was given.
_one_tile = threading.Lock()
_SECONDS_BETWEEN_LOOKS = 0.1


def local_workers(scheduler: str | None) -> int:
    """Return how many processes share this machine.

    Raises
    ------
    ValueError
        If the scheduler is ``"local:"`` without a number.
    """
    if scheduler is None or not scheduler.startswith("local:"):
        return 1
    count = scheduler.removeprefix("local:")
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"The scheduler must be local:2, say, or an address, not {scheduler!r}.")
    return int(count)


def process_on_cluster(output: Path, todo: Sequence[int], total: int, scheduler: str) -> Job[None]:
    """Process tiles on workers, which find the run by its folder.

    Parameters
    ----------
    output : Path
        Of the run; the folder and the sources must have the same path on all machines.
    todo : sequence of int
        Numbers of the tiles.
    total : int
        All tiles of the run.
    scheduler : str
        ``"local:2"`` or an address.

    Yields
    ------
    Step
        After each tile.

    Raises
    ------
    ValueError
        If dask is not installed, or the run's sources are not files.
    """
    manifest = WorkFolder(output).manifest()
    for name, source in manifest.recipe["sources"].items():
        if "path" not in source:
            raise ValueError(f"Workers cannot see the {name}, which is not in a file: save it.")
    before = total - len(todo)
    with _client(scheduler) as client:
        from distributed import as_completed

        futures = client.map(
            process_tiles_of_run,
            batches(todo, manifest.plan.tiling, len(client.nthreads())),
            output=str(output),
            pure=False,
            retries=_RETRIES,
        )
        waiting = as_completed(futures)
        done = before
        try:
            while waiting.count():
                finished = waiting.next_batch(block=False)
                for future in finished:
                    done += len(future.result())
                if not finished:
                    time.sleep(_SECONDS_BETWEEN_LOOKS)
                yield Step(done, total, f"Tile {done} of {total}")
        finally:
            client.cancel(futures)


def batches(todo: Sequence[int], tiling: Tiling, workers: int = 1) -> list[list[int]]:
    """Return what a worker does at once: a tile, or some of those with short or small windows."""
    found = []
    most = max(1, len(todo) // (_BATCHES_PER_WORKER * max(1, workers)))
    sizes = itertools.groupby(todo, key=lambda number: tiling.window(tiling[number])[1])
    for size, group in sizes:
        together = min(most, max(1, _VOXELS_TOGETHER // math.prod(size)))
        if size != tiling.padded:
            together = max(together, _TOGETHER)
        numbers = list(group)
        found += [numbers[i : i + together] for i in range(0, len(numbers), together)]
    return sorted(found, key=len, reverse=True)


def process_tiles_of_run(numbers: Sequence[int], output: str) -> Sequence[int]:
    """Process tiles of a run that is known by its folder; what a worker does."""
    with _one_tile:
        work, manifest, source, destination, prepared = _opened(output, os.getpid())
        tiling = prepared.tiling
        for number in numbers:
            if not work.is_done(number):  # by a worker that died before it could say so
                costs = process_tile(source, destination, tiling[number], tiling.halo, prepared)
                work.mark_done(number, manifest.recipe_hash, costs)
    return numbers


@lru_cache(maxsize=1)
def _opened(output: str, process: int) -> tuple[WorkFolder, Manifest, Slabs, Destination, Prepared]:
    """Open a run once in each process."""
    del process  # a forked process opens its own files
    work = WorkFolder(Path(output))
    manifest = work.manifest()
    inputs, prepared = reopen(manifest)
    image = inputs["image"]
    outputs = prepared.method.outputs
    destination = Destination(work.path, manifest.files, outputs, image, prepared.tiling)
    source = Slabs(image.data, len(prepared.tiling.leading))
    return work, manifest, source, destination, prepared


def reopen(manifest: Manifest) -> tuple[dict[str, SpatialImage], Prepared]:
    """Open the sources of a run and make its method from the record.

    Raises
    ------
    ValueError
        If a source is not a file, or not there any more.
    """
    recipe = manifest.recipe
    operation = find_operation(recipe["operation"])
    inputs = {}
    for name, source in recipe["sources"].items():
        if "path" not in source:
            raise ValueError(f"The {name} of the run was not in a file.")
        inputs[name] = as_recorded(open_image(source["path"]), source)
    parameters = operation.parameters.from_dict(recipe["parameters"])
    tiled = tiled_operation(operation)
    inputs = tiled.inputs(inputs)
    method = tiled.method(inputs, parameters, manifest.constants)
    return inputs, Prepared(manifest.plan.tiling, method)


@contextmanager
def _client(scheduler: str) -> Iterator[Client]:
    try:
        from distributed import Client

        from napari_convfact.batch.local_cluster import local_cluster
    except ImportError as error:
        raise ValueError(
            "A scheduler needs dask: pip install 'napari-convfact[cluster]'."
        ) from error
    if not scheduler.startswith("local:"):
        with Client(scheduler) as client:
            yield client
        return
    with local_cluster(local_workers(scheduler)) as cluster, Client(cluster) as client:
        yield client
