"""The Convolve widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_convfact.gui.editors import Editor
from napari_convfact.gui.file_editor import FileEditor
from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.operations.convolve import OPERATION

if TYPE_CHECKING:
    from napari.viewer import Viewer

_KERNEL_FILES = "Kernel banks and networks (*.npz *.safetensors *.pt *.pth *.bin);;All files (*)"


class ConvolveWidget(OperationWidget):
    """Blur, sharpen, or apply the kernels of a bank to an image layer."""

    computes_with = ("convolve",)

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, OPERATION)

    def special_editors(self) -> dict[str, Editor]:
        """Return a path with a button to choose it for the file."""
        return {"file": FileEditor(_KERNEL_FILES)}
