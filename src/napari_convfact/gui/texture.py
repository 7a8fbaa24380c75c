"""The Texture features widget: banks and their maps, and classes from paint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtWidgets import QPushButton, QTabWidget

from napari_convfact.gui.arrange import look_at
from napari_convfact.gui.editors import Editor
from napari_convfact.gui.feature_table import FeatureTable
from napari_convfact.gui.file_editor import FileEditor
from napari_convfact.gui.layers import placement
from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.gui.run import Run
from napari_convfact.operations.classify_pixels import OPERATION as CLASSIFY
from napari_convfact.operations.operation import Result
from napari_convfact.operations.texture import OPERATION as TEXTURE

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

_BANKS = "Kernel banks (*.npz)"
_CLASSIFIERS = "Classifiers (*.npz)"
_TABLES = "Tables (*.csv)"
_BRUSH = 1 / 40  # of the image's shorter side


class TextureFeaturesWidget(QTabWidget):
    """Learn or apply a bank of kernels, and classify pixels by their texture."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.features = TextureTab(napari_viewer)
        self.classify = ClassifyTab(napari_viewer)
        self.addTab(self.features, "Features")
        self.addTab(self.classify, "Paint and classify")

    def reset_choices(self, event: object = None) -> None:
        """Follow the layer list; napari calls this when it changes."""
        self.features.reset_choices(event)
        self.classify.reset_choices(event)


class TextureTab(OperationWidget):
    """Describe the texture of an image layer with a bank of kernels."""

    previews = False

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer, TEXTURE)
        self.table = FeatureTable()
        self.add_to_content(self.table, at_end=True)

    def special_editors(self) -> dict[str, Editor]:
        """Return paths with a button to choose them for the files."""
        return {
            "file": FileEditor(_BANKS),
            "bank_file": FileEditor(_BANKS, save=True),
            "table_file": FileEditor(_TABLES, save=True),
        }

    def add_results(self, results: list[Result], run: Run) -> list[Layer]:
        """Add the maps and show the table."""
        for result in results:
            if "table" in result.summary:
                self.table.show_table(result.summary["table"])
        return super().add_results(results, run)

    def findings(self, summary: Mapping[str, Any]) -> str:
        """Return what the bank explains and how often each kernel is the best."""
        shares = ", ".join(f"{100 * share:.2g}" for share in summary.get("usage", ()))
        usage = f"<p><b>Usage</b>, kernel by kernel: {shares} %</p>" if shares else ""
        if "message" in summary:  # it says how much how many kernels explain
            said = ("kernels", "explained")
            summary = {name: value for name, value in summary.items() if name not in said}
        return super().findings(summary) + usage


class ClassifyTab(OperationWidget):
    """Extend a few painted labels to the whole image layer."""

    previews = False
    repeats = False

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer, CLASSIFY)
        button = QPushButton("New paint layer")
        button.setToolTip("Add an empty Labels layer on the image, with the brush in hand.")
        button.clicked.connect(self.add_paint_layer)
        self.form.insert_row(2, "", button)

    def special_editors(self) -> dict[str, Editor]:
        """Return paths with a button to choose them for the bank and the classifier."""
        return {
            "file": FileEditor(_BANKS),
            "model": FileEditor(_CLASSIFIERS),
            "model_file": FileEditor(_CLASSIFIERS, save=True),
        }

    def add_paint_layer(self) -> None:
        """Add an empty Labels layer where the image lies, and choose it."""
        image = self.choices["image"].layer
        if image is None:
            show_error("Choose the image to segment first.")
            return
        data = image.data[0] if image.multiscale else image.data
        shape = data.shape[: image.ndim]
        paint = self.viewer.add_labels(
            np.zeros(shape, np.uint8), name=f"{image.name} paint", **placement(image, image.ndim)
        )
        paint.brush_size = max(1, round(min(shape[-2:]) * _BRUSH))
        paint.mode = "paint"
        self.choices["labels"].choose(paint)
        look_at(self.viewer, image)
