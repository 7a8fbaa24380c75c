"""The results of a run in tiles: OME-Zarr images that fill in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_convfact.batch.costs import Costs
from napari_convfact.batch.manifest import Manifest, WorkFolder
from napari_convfact.batch.method import Output
from napari_convfact.batch.plan import TilePlan
from napari_convfact.batch.tiles import Tile, Tiling
from napari_convfact.foundation.memory import format_bytes
from napari_convfact.operations.operation import Result, SpatialImage
from napari_convfact.operations.placement import placed
from napari_convfact.storage.formats import beside, move_into_place
from napari_convfact.storage.zarr_axes import StoredAxes
from napari_convfact.storage.zarr_files import read_provenance, write_provenance
from napari_convfact.storage.zarr_pyramid import Pyramid, create_pyramid

# Coarser levels add up to a third.
_PYRAMID = 1.34


class Destination:
    """The open results of a run.

    Parameters
    ----------
    folder : Path
        Where the images are.
    files : sequence of str
        Their names, one for each output.
    outputs : sequence of Output
        What they are.
    image : SpatialImage
        The input that they lie on.
    tiling : Tiling
        The tiles that will be written.

    Raises
    ------
    ValueError
        If one of them is gone.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[str],
        outputs: Sequence[Output],
        image: SpatialImage,
        tiling: Tiling,
    ) -> None:
        self.pyramids = []
        for file, output in zip(files, outputs, strict=True):
            if not (folder / file).is_dir():
                raise ValueError(
                    f"{file} is gone from {folder}: begin the run again, and let it overwrite."
                )
            described = describe(output, image)
            shape = tuple(described.data.shape)
            axes = StoredAxes.of(described.axis_labels, spatial=tiling.ndim)
            labels = output.kind == "labels"
            self.pyramids.append(
                Pyramid(folder / file, axes, shape, tiling.ndim, tiling.core, labels=labels)
            )

    def write(self, tile: Tile, values: Sequence[np.ndarray]) -> None:
        """Write a tile of every output, ``(*output.leading, *tile.size)``."""
        for pyramid, block in zip(self.pyramids, values, strict=True):
            ndim = len(tile.start)
            for kernel in np.ndindex(*block.shape[: block.ndim - ndim]):
                pyramid.write((*kernel, *tile.leading), tile.start, block[kernel])

    def read(self, tile: Tile) -> list[np.ndarray]:
        """Return what was written of a tile."""
        values = []
        for pyramid in self.pyramids:
            kernels = pyramid.shape[: len(pyramid.shape) - len(tile.leading) - len(tile.start)]
            block = np.empty((*kernels, *tile.size), pyramid.arrays[0].dtype)
            for kernel in np.ndindex(*kernels):
                block[kernel] = pyramid.read((*kernel, *tile.leading), tile.start, tile.stop)
            values.append(block)
        return values


def describe(output: Output, image: SpatialImage) -> SpatialImage:
    """Return an output's place and shape; it has no voxels yet."""
    shape = (*output.leading, *image.data.shape)
    data = SimpleNamespace(shape=shape, dtype=output.dtype, ndim=len(shape))
    result = Result(data, output.name, leading_axes=output.leading_axes)
    return placed(result, {"image": image})


def create_results(
    folder: Path,
    manifest: Manifest,
    outputs: Sequence[Output],
    image: SpatialImage,
    summary: Mapping[str, Any],
) -> None:
    """Create the empty images of a run, with its record."""
    tiling = manifest.plan.tiling
    record = manifest.recipe | {
        "summary": {**summary, "message": str(manifest.plan)},
        "run": {
            "constants": manifest.constants,
            "plan": manifest.plan.to_dict(),
            "files": list(manifest.files),
        },
    }
    for file, output in zip(manifest.files, outputs, strict=True):
        create_pyramid(
            folder / file,
            describe(output, image),
            dtype=output.dtype,
            ndim=tiling.ndim,
            shard=tiling.core,
            provenance=record | {"display": dict(output.display)},
        )


def output_files(output: Path, outputs: Sequence[Output]) -> tuple[str, ...]:
    """Return the names of the files: the first as asked for, the others beside it."""
    others = [beside(output, item.name.rsplit(" ", maxsplit=1)[-1]).name for item in outputs[1:]]
    return (output.name, *others)


def publish(work: WorkFolder, files: Sequence[str], costs: Costs) -> list[Path]:
    """Give complete results their final names, with what they cost, and remove the work folder."""
    paths = [work.output.with_name(file) for file in files]
    # The first comes last: its name says that all are complete.
    for file, path in reversed(list(zip(files, paths, strict=True))):
        source = work.path / file
        # Missing if this step was interrupted before, or another process is faster.
        if source.exists():
            try:
                _record(source, costs)
                move_into_place(source, path)
            except FileNotFoundError:
                if not path.exists():
                    raise
    work.remove()
    return paths


def _record(path: Path, costs: Costs) -> None:
    record = read_provenance(path)
    run = record["run"] | {"costs": costs.to_dict()}
    write_provenance(path, record | {"run": run})


def costs_of(output: Path) -> Costs:
    """Return what a complete result of a run in tiles cost."""
    return Costs(**read_provenance(output)["run"]["costs"])


def manifest_of(output: Path) -> Manifest:
    """Return the record that a complete result of a run in tiles carries.

    Raises
    ------
    ValueError
        If it is not one.
    """
    try:
        record = read_provenance(output)
    except FileNotFoundError:  # nothing there, or nothing that zarr knows
        record = {}
    if "run" not in record:
        raise ValueError(f"{output} is not the result of a run in tiles.")
    run = record["run"]
    recipe = {k: v for k, v in record.items() if k != "run"}
    plan = TilePlan.from_dict(run["plan"])
    return Manifest(recipe, run["constants"], plan, tuple(run["files"]))


def check_disk(folder: Path, needed: float) -> None:
    """Raise a ValueError if a result of so many bytes does not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if needed * _PYRAMID > free:
        raise ValueError(
            f"The result takes up to {format_bytes(needed * _PYRAMID)} and the disk has "
            f"{format_bytes(free)} left: free some space or write elsewhere."
        )
