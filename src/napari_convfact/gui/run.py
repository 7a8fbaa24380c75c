"""What a widget's job was started with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_convfact.gui.tiled_run import TiledRun
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.parameters import Parameters

if TYPE_CHECKING:
    from napari.layers import Layer


class Run:
    """What a job was started with."""

    def __init__(
        self,
        layers: dict[str, Layer],
        inputs: dict[str, SpatialImage],
        parameters: Parameters,
        tiled: TiledRun | None = None,
    ) -> None:
        self.layers = layers
        self.inputs = inputs
        self.parameters = parameters
        self.tiled = tiled


class Declined(Exception):  # noqa: N818 - not an error
    """The user closed a dialog that a run needs."""
