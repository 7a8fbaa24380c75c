"""Results of runs in tiles for the viewer: complete, or filling in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_convfact.batch.manifest import WorkFolder
from napari_convfact.batch.plan import BASE_MEMORY
from napari_convfact.batch.registry import can_be_tiled
from napari_convfact.foundation.memory import memory_budget
from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.provenance import METADATA_KEY
from napari_convfact.operations.signed import SIGNED
from napari_convfact.storage.zarr_files import read, read_levels, read_provenance

_TAILS = (0.1, 99.9)


@dataclass(frozen=True)
class StoredResult:
    """One image of a run, on disk.

    Attributes
    ----------
    levels : list of zarr.Array
        The resolutions, the finest first: what a multiscale layer takes.
    image : SpatialImage
        The finest one with its voxel size.
    record : dict
        The provenance record.
    """

    levels: list[Any]
    image: SpatialImage
    record: dict[str, Any]

    @property
    def is_labels(self) -> bool:
        """Whether the voxels are names of things, which are not shown with a contrast."""
        return bool(self.levels[0].dtype.kind == "i")

    @property
    def layer_data(self) -> Any:
        """What a layer takes: the levels, or the only one of labels, which is no pyramid."""
        return self.levels[0] if self.is_labels and len(self.levels) == 1 else self.levels

    @property
    def display(self) -> dict[str, Any]:
        """Hints for the viewer, as `Result` has them; empty where none were stored."""
        return dict(self.record.get("display", {}))

    def contrast_limits(self) -> tuple[float, float]:
        """Return the limits that it is to have, or its range without extremes.

        The range is that of the coarsest level.
        """
        if "contrast_limits" in self.display:
            low, high = self.display["contrast_limits"]
            return float(low), float(high)
        low, high = np.nanpercentile(self.levels[-1][:], _TAILS)
        if self.display == SIGNED:
            high = max(-low, high)
            low = -high
        return float(low), float(max(high, low + np.finfo(np.float32).tiny))

    def layer_options(self) -> dict[str, Any]:
        """Return keywords for a viewer's ``add_image`` or ``add_labels`` of `layer_data`."""
        options = {
            "name": self.image.name,
            "multiscale": isinstance(self.layer_data, list),
            "scale": self.image.scale,
            "translate": self.image.translate,
            "units": self.image.units,
            "axis_labels": self.image.axis_labels,
            "metadata": {METADATA_KEY: self.record},
        }
        if not self.is_labels:
            options |= self.display | {"contrast_limits": self.contrast_limits()}
        return options


def fits_in_memory(
    operation: Operation,
    parameters: Parameters,
    inputs: Mapping[str, SpatialImage],
    memory_limit: float | None = None,
) -> bool:
    """Return whether a run fits, as the operation plans it; it raises what the plan raises."""
    arrays = operation.plan(inputs, parameters).memory if operation.plan else 0.0
    return BASE_MEMORY + arrays <= memory_budget(memory_limit)


def open_results(output: Path) -> list[StoredResult]:
    """Open the results of a run, complete or filling in.

    Parameters
    ----------
    output : Path
        As it was asked for.

    Returns
    -------
    list of StoredResult
        Empty before the run has created them. While it runs they are those of the work
        folder; open them again when it is complete, since they then have another place.
    """
    work = WorkFolder(output)
    if work.exists():
        return [_open(work.path / file) for file in work.manifest().files]
    if not output.exists():
        return []
    files = read_provenance(output).get("run", {}).get("files", [output.name])
    return [_open(output.with_name(file)) for file in files]


def _open(path: Path) -> StoredResult:
    return StoredResult(read_levels(path), read(path), read_provenance(path))


__all__ = ["StoredResult", "can_be_tiled", "fits_in_memory", "open_results"]
