"""Images larger than memory: the flags of every operation, and ``plan``, ``status``, ``verify``."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_convfact.batch.forecast import forecast_job
from napari_convfact.batch.plan import BASE_MEMORY
from napari_convfact.batch.registry import can_be_tiled
from napari_convfact.batch.request import SEAM_ERROR, Options, Request
from napari_convfact.batch.results import fits_in_memory
from napari_convfact.batch.run import tiled_job
from napari_convfact.batch.verify import status, verify_job
from napari_convfact.commands.progress import progress_bar
from napari_convfact.foundation.job import run
from napari_convfact.foundation.memory import format_bytes, memory_budget
from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.storage.formats import ending, open_image, read_image

_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every operation has for large data."""
    group = parser.add_argument_group(
        "large data", "With an OUT that ends in .ome.zarr, an image that does not fit is tiled."
    )
    group.add_argument(
        "--memory-limit",
        type=_size,
        metavar="2GB",
        help="What each process may take (default: 60 %% of what is free).",
    )
    group.add_argument(
        "--seam-error",
        type=_share,
        default=SEAM_ERROR,
        metavar="X",
        help="Largest error at the borders of tiles, as a share of the result's range "
        "(default: %(default)s).",
    )
    group.add_argument("--resume", action="store_true", help="Go on with an unfinished run.")
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="Process every N-th tile from the I-th, as one of N jobs; the last one to finish "
        "completes the result.",
    )
    group.add_argument(
        "--scheduler",
        metavar="local:2|ADDRESS",
        help="Process tiles on so many local processes, or on the dask scheduler there.",
    )


def options_from(options: argparse.Namespace) -> Options:
    """Return what the flags say."""
    return Options(
        memory_limit=options.memory_limit,
        resume=options.resume,
        overwrite=options.overwrite,
        shard=options.shard,
        scheduler=options.scheduler,
        seam_error=options.seam_error,
    )


def open_inputs(
    operation: Operation, paths: Mapping[str, Path], output: Path
) -> dict[str, SpatialImage]:
    """Open the inputs; the image is not read yet where it may be processed in tiles."""
    tiled = can_be_tiled(operation) and ending(output) == ".zarr"
    return {
        name: open_image(path) if tiled and name == "image" else read_image(path)
        for name, path in paths.items()
    }


def in_memory(inputs: Mapping[str, SpatialImage]) -> dict[str, SpatialImage]:
    """Return the images with their voxels read."""
    return {name: replace(image, data=np.asarray(image.data)) for name, image in inputs.items()}


def wants_tiles(
    operation: Operation,
    parameters: Parameters,
    inputs: Mapping[str, SpatialImage],
    output: Path,
    options: Options,
) -> bool:
    """Return whether a run is to be done in tiles: asked for, or needed.

    Raises
    ------
    ValueError
        If it does not fit into memory, and tiles are not possible.
    """
    if options.resume or options.shard or options.scheduler:
        return True
    if fits_in_memory(operation, parameters, inputs, options.memory_limit):
        return False
    if can_be_tiled(operation) and ending(output) == ".zarr":
        return True
    way = (
        "write to a name that ends in .ome.zarr, and it is processed in tiles"
        if can_be_tiled(operation)
        else "crop or bin the image, or raise the memory limit"
    )
    budget = format_bytes(memory_budget(options.memory_limit))
    raise ValueError(f"This needs more memory than the {budget} that may be used: {way}.")


def run_in_tiles(request: Request, options: Options) -> list[Path]:
    """Run on tiles with a progress bar and say what came of it."""
    with progress_bar(request.operation.title) as on_step:
        paths = run(tiled_job(request, options), on_step)
    for path in paths:
        print(path)
    state = status(request.output)
    print(f"  {state}")
    return paths


def add_commands(commands: Any, add_arguments: Any) -> None:
    """Add ``plan``, ``status`` and ``verify``.

    Parameters
    ----------
    commands : object
        The subparsers.
    add_arguments : callable
        ``add_arguments(commands, operation)`` adds the parser of an operation and returns it.
    """
    summary = "Say how an operation would be carried out, without doing it."
    plan = commands.add_parser("plan", help=summary, description=summary)
    add_arguments(plan.add_subparsers(required=True, metavar="OPERATION"), _plan)
    summary = "Say how far a run in tiles is."
    parser = commands.add_parser("status", help=summary, description=summary)
    parser.add_argument("output", metavar="OUT", help="The result, complete or not.")
    parser.set_defaults(command=_status)
    summary = "Recompute random tiles with a doubled halo and report the error at the seams."
    parser = commands.add_parser("verify", help=summary, description=summary)
    parser.add_argument("output", metavar="OUT", help="The complete result.")
    parser.add_argument("--tiles", type=int, default=4, metavar="N", help="How many tiles.")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="Which tiles.")
    parser.set_defaults(command=_verify)


def _plan(
    operation: Operation,
    parameters: Parameters,
    paths: Mapping[str, Path],
    options: argparse.Namespace,
) -> None:
    inputs = {
        name: open_image(path) if name == "image" else read_image(path)
        for name, path in paths.items()
    }
    if operation.plan is not None:
        plan = operation.plan(inputs, parameters)
        print(plan.text)
        print(f"In memory: about {format_bytes(BASE_MEMORY + plan.memory)}.")
    if not can_be_tiled(operation):
        return
    request = Request(operation, parameters, inputs, Path(options.output))
    with progress_bar("Planning") as on_step:
        tiles = run(forecast_job(request, options_from(options)), on_step)
    print(f"In tiles: {tiles}")


def _status(options: argparse.Namespace) -> None:
    print(status(Path(options.output)))


def _verify(options: argparse.Namespace) -> None:
    job = verify_job(Path(options.output), options.tiles, options.seed)
    with progress_bar("Verifying") as on_step:
        print(run(job, on_step))


def _size(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)\s*([kmgt]?)i?b?", text.strip().lower())
    if not found or found[1].count(".") > 1 or found[1] == ".":
        raise argparse.ArgumentTypeError(f"must be a size as 2GB or 500MB, not {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a number between 0 and 1, not {text!r}")
    return value


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError(f"must be as 1/8 to 8/8, not {text!r}")
    return int(found[1]), int(found[2])
