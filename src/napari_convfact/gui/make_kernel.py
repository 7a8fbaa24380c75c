"""The Make kernel widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Layer, Points, Shapes
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.gui.world import index_in, world_per_unit
from napari_convfact.operations.coordinates import format_points, format_region
from napari_convfact.operations.make_kernel import OPERATION

if TYPE_CHECKING:
    from napari.viewer import Viewer


class MakeKernelWidget(OperationWidget):
    """Make a PSF or a filter kernel: by optics, from beads, or by formula."""

    previews = False
    repeats = False

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, OPERATION)
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        for text, help_text, action in (
            ("Points", "Take the beads from the selected Points layer.", self.take_points),
            ("Rectangle", "Take the region from the selected Shapes layer.", self.take_region),
        ):
            button = QPushButton(text)
            button.setToolTip(help_text)
            button.clicked.connect(action)
            layout.addWidget(button)
        self.form.insert_row(1, "Take from", row)

    def take_points(self) -> None:
        """Put the points of the selected Points layer into the form."""
        layer = self._selected(Points, "a Points layer with a point on each bead")
        if layer is not None:
            text = format_points(self._in_image(layer, layer.data))
            self.form.set_values({"kind": "beads", "points": text})

    def take_region(self) -> None:
        """Put the box around the newest shape of the selected Shapes layer into the form."""
        layer = self._selected(Shapes, "a Shapes layer with a rectangle around the kernel")
        if layer is not None:
            text = format_region(self._in_image(layer, layer.data[-1]))
            self.form.set_values({"kind": "region", "region": text})

    def _selected(self, kind: type[Layer], wanted: str) -> Layer | None:
        layers = [
            layer for layer in self.viewer.layers if isinstance(layer, kind) and len(layer.data)
        ]
        selected = [layer for layer in layers if layer in self.viewer.layers.selection]
        if not layers:
            show_error(f"Add {wanted} first.")
            return None
        if self.choices["image"].layer is None:
            show_error("Choose the image that the kernel is to be measured in first.")
            return None
        return (selected or layers)[-1]

    def _in_image(self, layer: Layer, points: np.ndarray) -> list[list[float]]:
        """Return points of a layer in voxels of the chosen image."""
        image: Any = self.choices["image"].layer
        per_unit = world_per_unit(self.viewer, layer.units)
        places = [np.asarray(layer.data_to_world(point)) * per_unit for point in points]
        return [index_in(self.viewer, image, place).tolist() for place in places]
