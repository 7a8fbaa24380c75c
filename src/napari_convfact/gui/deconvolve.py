"""The Deconvolve widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.operations.deconvolve import OPERATION

if TYPE_CHECKING:
    from napari.viewer import Viewer


class DeconvolveWidget(OperationWidget):
    """Undo the blur of a PSF layer on an image layer."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, OPERATION)
