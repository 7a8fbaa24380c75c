"""The Convolve widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.operations.convolve import OPERATION

if TYPE_CHECKING:
    from napari.viewer import Viewer


class ConvolveWidget(OperationWidget):
    """Blur, sharpen, or apply the kernels of a bank to an image layer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, OPERATION)
