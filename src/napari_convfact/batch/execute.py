"""Run an operation on tiles by name: what a script calls for a volume larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from napari_convfact.batch.request import SEAM_ERROR, Options, Request
from napari_convfact.batch.run import tiled_job
from napari_convfact.foundation.job import Step, run
from napari_convfact.operations.execute import as_image, check_names
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.registry import find_operation
from napari_convfact.storage.formats import open_image


def run_in_tiles(
    name: str,
    inputs: Mapping[str, str | Path | SpatialImage | Any],
    output: str | Path,
    *,
    memory_limit: float | None = None,
    resume: bool = False,
    overwrite: bool = False,
    shard: tuple[int, int] | None = None,
    scheduler: str | None = None,
    seam_error: float = SEAM_ERROR,
    on_step: Callable[[Step], object] | None = None,
    **parameters: Any,
) -> list[Path]:
    """Run an operation on a volume of any size, tile by tile, into OME-Zarr.

    Parameters
    ----------
    name : str
        As on the command line: ``"deconvolve"``.
    inputs : mapping of str to path, SpatialImage or array_like
        The operation's inputs. Of the image only shape, dtype and slicing are used. Workers
        of a scheduler can see paths alone.
    output : str or Path
        The first result, ending in ``.zarr``; others go beside it. Their names end in
        ``.partial`` until all tiles are done.
    memory_limit : float, optional
        Bytes that each process may take, itself included; by default 60 % of what is free.
    resume : bool
        Go on with an unfinished run of the same recipe.
    overwrite : bool
        Replace results and unfinished runs.
    shard : tuple of int, optional
        ``(i, n)``: process every n-th tile from the i-th, counted from 1, as one of n jobs.
    scheduler : str, optional
        ``"local:2"`` for so many processes, or the address of a dask scheduler.
    seam_error : float
        Largest error at the borders of tiles, relative to the range of the result.
    on_step : callable, optional
        Called with each `Step`, which counts tiles.
    **parameters
        The operation's parameters; the others take their defaults.

    Returns
    -------
    list of Path
        The complete results. Empty if other shards have tiles left to do.

    Raises
    ------
    ValueError
        If an argument is not legal, the operation cannot run on tiles, or an unfinished run
        or a result is in the way.
    """
    operation = find_operation(name)
    inputs = {key: value for key, value in inputs.items() if value is not None}
    check_names(operation, inputs)
    images = {
        key: open_image(value) if isinstance(value, (str, Path)) else as_image(value, key)
        for key, value in inputs.items()
    }
    request = Request(operation, operation.parameters.from_dict(parameters), images, Path(output))
    options = Options(
        memory_limit=memory_limit,
        resume=resume,
        overwrite=overwrite,
        shard=shard,
        scheduler=scheduler,
        seam_error=seam_error,
    )
    return run(tiled_job(request, options), on_step)
