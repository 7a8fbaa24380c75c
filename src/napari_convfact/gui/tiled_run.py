"""Runs that do not fit in memory: tiles into files, and layers on them that fill in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_convfact.batch.plan import check_base
from napari_convfact.batch.registry import can_be_tiled
from napari_convfact.foundation.job import Job, Step
from napari_convfact.foundation.memory import check_memory, memory_budget
from napari_convfact.gui.job_runner import Outcome
from napari_convfact.gui.layers import look_of, placement
from napari_convfact.operations.operation import Operation, Plan, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.provenance import METADATA_KEY

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_convfact.batch.results import StoredResult

_SECONDS_BETWEEN_REFRESHES = 1.0
_FILE_KEY = "napari_convfact_file"


def needs_tiles(operation: Operation, plan: Plan, memory_limit: float | None) -> bool:
    """Return whether a run does not fit in memory and can go in tiles.

    Raises
    ------
    ValueError
        If it does not fit and cannot be tiled either, or tiles do not fit.
    """
    if plan.memory <= memory_budget(memory_limit):
        return False
    if not can_be_tiled(operation):
        check_memory(plan.memory, memory_limit)
    check_base(memory_budget(memory_limit))
    return True


class TiledRun:
    """One run in tiles, with the layers that show it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are added.
    operation : Operation
        What to run.
    parameters : Parameters
        Its parameters.
    inputs : mapping of str to SpatialImage
        What it runs on.
    source : Layer
        The layer of the image; results lie where it lies.
    output : Path
        The OME-Zarr to write; an unfinished run that is found there goes on.
    memory_limit : float or None
        In bytes.
    shown : callable
        Called with the layers and a list of their source, when they can be seen.
    """

    def __init__(
        self,
        viewer: Viewer,
        operation: Operation,
        parameters: Parameters,
        inputs: Mapping[str, SpatialImage],
        source: Layer,
        output: Path,
        memory_limit: float | None,
        shown: Callable[[Sequence[Layer], Sequence[Layer]], None],
    ) -> None:
        from napari_convfact.batch.request import Options, Request

        self._viewer = viewer
        self._source = source
        self._request = Request(operation, parameters, inputs, output)
        self._options = Options(memory_limit=memory_limit, resume=True)
        self._shown = shown
        self._refreshed = 0.0
        self.layers: list[Image | Labels] = []

    def job(self) -> Job[list[Path]]:
        """Return the job that processes the tiles."""
        from napari_convfact.batch.run import tiled_job

        return tiled_job(self._request, self._options)

    def show(self, step: Step) -> None:
        """Show what the finished tiles hold."""
        if step.done == 0 or time.monotonic() - self._refreshed < _SECONDS_BETWEEN_REFRESHES:
            return
        self._refreshed = time.monotonic()
        if not self.layers:
            try:
                self._open()
            except (FileNotFoundError, KeyError):  # KeyError: between a group and its array
                return  # the run was complete and its files moved meanwhile: `finish` shows them
        for layer in self.layers:
            layer.refresh()

    def finish(self, outcome: Outcome) -> str:
        """Show the complete results, and return what to tell the user."""
        if outcome.cancelled:
            return (
                "Stopped. What is finished is kept: run again into the same file to go on "
                f"({self._request.output.name})."
            )
        self._open()
        return f"Complete: {self._request.output}."

    def _open(self) -> None:
        """Add the layers, or point them to where their files are now."""
        from napari_convfact.batch.results import open_results

        stored = open_results(self._request.output)
        first = not self.layers
        layers = self.layers or [self._earlier(result) for result in stored]
        self.layers = [
            self._add(result) if layer is None else _pointed(layer, result)
            for layer, result in zip(layers, stored, strict=True)
        ]
        if first:
            self._shown(self.layers, [self._source])

    def _earlier(self, result: StoredResult) -> Image | Labels | None:
        """Return the layer on this file that a run which was stopped has left."""
        for layer in self._viewer.layers:
            if layer.metadata.get(_FILE_KEY) == self._file(result):
                return layer
        return None

    def _add(self, result: StoredResult) -> Image | Labels:
        options: dict[str, Any] = result.layer_options()
        labels = options["axis_labels"][: max(result.image.ndim - self._source.ndim, 0)]
        options |= placement(self._source, result.image.ndim, labels)
        options["metadata"] = {**options["metadata"], _FILE_KEY: self._file(result)}
        if result.is_labels:
            return self._viewer.add_labels(result.layer_data, **options)
        look = look_of(self._source, labels, options)
        return self._viewer.add_image(result.layer_data, **look | options)

    def _file(self, result: StoredResult) -> str:
        return str(self._request.output.absolute().with_name(result.image.name))


def _pointed(layer: Image | Labels, result: StoredResult) -> Image | Labels:
    """Point a layer to where its file is now: it moves when it is complete."""
    layer.data = result.layer_data
    layer.metadata[METADATA_KEY] = result.record
    if not result.is_labels:
        layer.contrast_limits = result.contrast_limits()
    return layer
