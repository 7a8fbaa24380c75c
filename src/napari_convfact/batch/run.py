"""Run an operation on tiles: begin or resume, process, publish."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from napari_convfact.batch.cluster import process_on_cluster
from napari_convfact.batch.costs import sum_costs
from napari_convfact.batch.manifest import Manifest, WorkFolder, difference, make_recipe
from napari_convfact.batch.method import TileMethod
from napari_convfact.batch.prepare import prepare_job
from napari_convfact.batch.process import Prepared, process_tile_job
from napari_convfact.batch.registry import tiled_operation
from napari_convfact.batch.request import DEFAULT_OPTIONS, Options, Request
from napari_convfact.batch.source import Slabs
from napari_convfact.batch.store import (
    Destination,
    check_disk,
    create_results,
    manifest_of,
    publish,
)
from napari_convfact.foundation.files import check_folder
from napari_convfact.foundation.job import Job, Step, relay
from napari_convfact.foundation.memory import format_bytes


def tiled_job(request: Request, options: Options = DEFAULT_OPTIONS) -> Job[list[Path]]:
    """Run an operation on tiles.

    The results have the ending ``.partial`` added to their name until they are complete.
    Closing the job, or killing the process, leaves what is done there, to be resumed.

    Parameters
    ----------
    request : Request
        What to run.
    options : Options
        How to run it.

    Yields
    ------
    Step
        After each tile, counted in tiles; in between with the steps of the tile at work.

    Returns
    -------
    list of Path
        The complete results. Empty if other processes have tiles left to do.

    Raises
    ------
    ValueError
        If it cannot run, or an unfinished run is in the way.
    """
    if options.joining and request.output.exists() and not options.overwrite:
        return (yield from _complete_already(request))
    try:
        return (yield from _join(request, options))
    except FileNotFoundError:
        # Another process of the run may have completed it in the meantime.
        if not (options.joining and request.output.exists()):
            raise
        return (yield from _complete_already(request))


def _join(request: Request, options: Options) -> Job[list[Path]]:
    work = WorkFolder(request.output)
    begun_here = options.shard is None and not work.exists()
    manifest, method = yield from _begin(work, request, options)
    tiling = manifest.plan.tiling
    message = str(manifest.plan)
    done = work.done(manifest.recipe_hash)
    yield Step(len(done), len(tiling), message)
    todo = [number for number in _share(len(tiling), options.shard) if number not in done]
    todo.sort(key=tiling.order)
    try:
        if not todo:
            pass  # results may have their names already
        elif options.scheduler:
            yield from process_on_cluster(work.output, todo, len(tiling), options.scheduler)
        else:
            yield from _process_here(work, manifest, method, request, todo)
    except Exception:
        # A mistake, as an address without a scheduler, leaves nothing in the way of the next try.
        if begun_here and not work.done(manifest.recipe_hash):
            work.remove()
        raise
    done = work.done(manifest.recipe_hash)
    if len(done) < len(tiling):
        return []
    return publish(work, manifest.files, sum_costs(done.values()))


def _complete_already(request: Request) -> Job[list[Path]]:
    """Return the complete results if they are those of this recipe."""
    yield Step(0, 0, "Comparing with the recipe of the result")
    manifest = manifest_of(request.output)
    recipe = make_recipe(request.operation, request.parameters, request.inputs)
    changed = difference(manifest.recipe, recipe)
    if changed:
        raise ValueError(
            f"{request.output} was made with another recipe, which differs in {changed}: choose "
            "another name."
        )
    total = len(manifest.plan.tiling)
    yield Step(total, total, "Complete already")
    return [request.output.with_name(file) for file in manifest.files]


def _share(count: int, shard: tuple[int, int] | None) -> range:
    if shard is None:
        return range(count)
    index, total = shard
    return range(index - 1, count, total)


def _begin(
    work: WorkFolder, request: Request, options: Options
) -> Job[tuple[Manifest, TileMethod]]:
    """Join the unfinished run, or create a new one."""
    tiled = tiled_operation(request.operation)
    if request.output.suffix != ".zarr":
        raise ValueError(f"Tiles are written to OME-Zarr: call {request.output.name} .ome.zarr.")
    check_folder(request.output)
    if request.output.exists() and not options.overwrite:
        raise ValueError(f"{request.output} exists already: choose another name.")
    if work.exists() and not options.joining:
        if not options.overwrite:
            raise ValueError(
                f"{work.path} is left from an unfinished run: resume it, or overwrite it."
            )
        work.remove()
    if not work.exists():
        yield from _create(work, request, options)
    manifest = work.manifest()
    yield Step(0, 0, "Comparing with the recipe of the run")
    recipe = make_recipe(request.operation, request.parameters, request.inputs)
    changed = difference(manifest.recipe, recipe)
    if changed:
        raise ValueError(
            f"{work.path} was begun with another recipe, which differs in {changed}: run that "
            "one, or delete the folder."
        )
    if options.memory_limit is not None and manifest.plan.memory > options.memory_limit:
        raise ValueError(
            f"The unfinished run has tiles of {format_bytes(manifest.plan.memory)} and "
            f"{format_bytes(options.memory_limit)} may be used: allow more, or start anew."
        )
    return manifest, tiled.method(request.tiled_inputs, request.parameters, manifest.constants)


def _create(work: WorkFolder, request: Request, options: Options) -> Job[None]:
    manifest, prepared = yield from relay(prepare_job(request, options), _without_count)
    for file in manifest.files:
        if request.output.with_name(file).exists() and not options.overwrite:
            raise ValueError(
                f"{request.output.with_name(file)} exists already: choose another name."
            )
    check_disk(request.output.parent, manifest.plan.output_bytes)
    method, image = prepared.method, request.tiled_inputs["image"]
    work.create(
        manifest,
        lambda folder: create_results(folder, manifest, method.outputs, image, method.summary()),
    )


def _process_here(
    work: WorkFolder,
    manifest: Manifest,
    method: TileMethod,
    request: Request,
    todo: list[int],
) -> Job[None]:
    """Process tiles one after the other in this process."""
    image = request.tiled_inputs["image"]
    tiling = manifest.plan.tiling
    destination = Destination(work.path, manifest.files, method.outputs, image, tiling)
    prepared = Prepared(tiling, method)
    source = Slabs(image.data, len(tiling.leading))
    before = len(tiling) - len(todo)
    for count, number in enumerate(todo):
        done = before + count
        job = process_tile_job(source, destination, tiling[number], tiling.halo, prepared)
        costs = yield from relay(job, partial(_step_of_tile, done=done, total=len(tiling)))
        work.mark_done(number, manifest.recipe_hash, costs)
        yield Step(done + 1, len(tiling), f"Tile {done + 1} of {len(tiling)}")


def _step_of_tile(step: Step, *, done: int, total: int) -> Step:
    """Return a tile's step as the run's; the tile's preview is not the run's."""
    return Step(done, total, f"Tile {done + 1} of {total}: {step.message}")


def _without_count(step: Step) -> Step:
    """Return a step of the preparation, which is not counted in tiles."""
    return Step(0, 0, step.message)
