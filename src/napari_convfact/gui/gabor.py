"""The Gabor bank widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.operations.gabor import OPERATION

if TYPE_CHECKING:
    from napari.viewer import Viewer


class GaborBankWidget(OperationWidget):
    """Filter an image layer with a bank of Gabor kernels, look, edit and invert."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, OPERATION)
