"""The Factorize kernel widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.operations.factorize import OPERATION

if TYPE_CHECKING:
    from napari.viewer import Viewer


class FactorizeKernelWidget(OperationWidget):
    """Factorize a kernel layer into a chain of small kernels."""

    previews = False

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, OPERATION)
