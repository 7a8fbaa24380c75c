"""What must be known before the first tile: the constants, the plan, the record of the run."""

from __future__ import annotations

from napari_convfact.batch.cluster import local_workers
from napari_convfact.batch.manifest import Manifest, make_recipe
from napari_convfact.batch.method import TileMethod
from napari_convfact.batch.plan import BASE_MEMORY, plan_tiles
from napari_convfact.batch.process import Prepared
from napari_convfact.batch.registry import tiled_operation
from napari_convfact.batch.request import DEFAULT_OPTIONS, Options, Request
from napari_convfact.batch.store import output_files
from napari_convfact.foundation.job import Job, Step
from napari_convfact.foundation.memory import memory_budget
from napari_convfact.foundation.validate import check_numeric
from napari_convfact.operations.operation import SpatialImage

# Of what is free on a CUDA device.
_SHARE_OF_DEVICE = 0.8


def prepare_job(
    request: Request, options: Options = DEFAULT_OPTIONS
) -> Job[tuple[Manifest, Prepared]]:
    """Find the constants of a run and plan its tiles (a job); nothing is written.

    Returns
    -------
    manifest : Manifest
        The record of the run; ``str(manifest.plan)`` is for the user.
    prepared : Prepared
        What `process_tile` takes.

    Raises
    ------
    ValueError
        If the operation cannot run on tiles, or not honestly.
    """
    tiled = tiled_operation(request.operation)
    check_numeric(request.inputs["image"].data)
    if request.operation.plan is not None:
        request.operation.plan(request.inputs, request.parameters)  # says what does not fit
    inputs = request.tiled_inputs
    yield Step(0, 0, "Looking at the image")
    recipe = make_recipe(request.operation, request.parameters, request.inputs)
    constants = yield from tiled.constants(inputs, request.parameters)
    method = tiled.method(inputs, request.parameters, constants)
    image = inputs["image"]
    _check_axes(method, request.inputs["image"])
    reach = yield from method.reach(image, options.seam_error)
    plan = plan_tiles(image.data.shape, method, reach, _budget(request, options))
    files = output_files(request.output, method.outputs)
    return Manifest(recipe, constants, plan, files), Prepared(plan.tiling, method)


def _check_axes(method: TileMethod, image: SpatialImage) -> None:
    if method.ndim > image.ndim:  # an axis of colours is none of space
        raise ValueError(
            f"The kernels have {method.ndim} axes and {image.name} {image.ndim}: use others."
        )


def _budget(request: Request, options: Options) -> float:
    """Return how many bytes one process may take, on the device where the arrays are."""
    from napari_convfact.foundation.device import choose_device

    workers = local_workers(options.scheduler)
    device = choose_device(request.parameters.to_dict().get("device", "auto")).name
    if device.startswith("cuda") and options.memory_limit is None:
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return BASE_MEMORY + _SHARE_OF_DEVICE * free / workers
    return memory_budget(options.memory_limit) / workers
