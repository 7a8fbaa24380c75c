"""What the tile engine needs to know of an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from napari_convfact.batch.halo import Reach
from napari_convfact.batch.tiles import Reading
from napari_convfact.foundation.job import Job
from napari_convfact.operations.operation import SpatialImage

#: Maps a window and its index along the leading axes to one array for each output,
#: ``(*output.leading, *window)``.
TileFilter = Callable[[np.ndarray, tuple[int, ...]], Job[list[np.ndarray]]]


@dataclass(frozen=True)
class Output:
    """One image that a run writes.

    Attributes
    ----------
    name : str
        Name of the layer; its last word tells further outputs from the first.
    leading : tuple of int
        Sizes of axes that the input does not have, before the input's own.
    leading_axes : tuple of str
        Their names.
    display : mapping
        Hints for the viewer.
    kind : {"image", "labels"}
        Real numbers, or whole ones that must not be averaged.
    """

    name: str
    leading: tuple[int, ...] = ()
    leading_axes: tuple[str, ...] = ()
    display: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["image", "labels"] = "image"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values."""
        return np.dtype(np.int32 if self.kind == "labels" else np.float32)


def missing_values(outputs: Sequence[Output], window: np.ndarray) -> list[np.ndarray] | None:
    """Return what is made of a window without any value, which cannot be filled.

    Returns
    -------
    list of numpy.ndarray or None
        For each output NaN, of labels 0; None where the window has values.
    """
    if window.dtype.kind != "f" or np.isfinite(window).any():
        return None
    return [
        np.full(
            (*output.leading, *window.shape),
            0 if output.kind == "labels" else np.nan,
            output.dtype,
        )
        for output in outputs
    ]


class TileMethod(Protocol):
    """How an operation with its parameters runs on tiles.

    Attributes
    ----------
    ndim : int
        Spatial axes.
    reading : {"inside", "mirror", "periodic", "reflect", "zero"}
        What windows see beyond the volume; see `Tiling`.
    outputs : tuple of Output
        What it makes.
    bytes_per_voxel : float
        Memory at the peak for a voxel of `work_shape`.
    """

    @property
    def ndim(self) -> int: ...  # noqa: D102

    @property
    def reading(self) -> Reading: ...  # noqa: D102

    @property
    def outputs(self) -> tuple[Output, ...]: ...  # noqa: D102

    @property
    def bytes_per_voxel(self) -> float: ...  # noqa: D102

    @property
    def fills_missing(self) -> bool:
        """Whether values that are missing are filled before windows are made."""

    def torus(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the torus from which windows of a volume are taken."""

    def work_shape(self, padded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of the transforms for a window."""

    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Measure how far a result depends on its surroundings."""

    def filter(self, padded: tuple[int, ...]) -> TileFilter:
        """Return what computes windows of one size; everything they share is made here."""

    def summary(self) -> Mapping[str, Any]:
        """Return findings for the provenance record."""


class MirroredWindows:
    """What methods have in common that mirror a window at the volume's faces themselves."""

    @property
    def reading(self) -> Reading:
        """Windows end at the faces."""
        return "inside"

    @property
    def fills_missing(self) -> bool:
        """They are filled in each window: it ends where the volume does."""
        return False

    def torus(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the volume: there are no transforms of it."""
        return spatial

    def work_shape(self, padded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the window: there are no transforms of a larger one."""
        return padded


@dataclass(frozen=True)
class TiledOperation:
    """How an operation comes to its `TileMethod`.

    Attributes
    ----------
    constants : callable
        ``constants(inputs, parameters)`` returns a job, whose result is a JSON-ready dict of
        what must be the same for all tiles; it looks at samples of the image.
    method : callable
        ``method(inputs, parameters, constants)`` returns the `TileMethod`.
    colours : callable
        ``colours(image)`` returns what tiles are cut from: of a colour image one without
        colour, since methods know only those, or a ValueError; other images as they are.
    """

    constants: Callable[[Mapping[str, SpatialImage], Any], Job[dict[str, Any]]]
    method: Callable[[Mapping[str, SpatialImage], Any, Mapping[str, Any]], TileMethod]
    colours: Callable[[SpatialImage], SpatialImage]

    def inputs(self, inputs: Mapping[str, SpatialImage]) -> dict[str, SpatialImage]:
        """Return the inputs of an operation as its tiles take them."""
        return {**inputs, "image": self.colours(inputs["image"])}
