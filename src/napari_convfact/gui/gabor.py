"""The Gabor bank widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from napari.utils.colormaps import ensure_colormap
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel

from napari_convfact.gui.editors import Editor
from napari_convfact.gui.job_runner import JobRunner, Outcome
from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.gui.weights import WeightsEditor
from napari_convfact.operations.gabor import OPERATION, coverage_job
from napari_convfact.operations.gabor_parameters import Gabor

if TYPE_CHECKING:
    from napari.viewer import Viewer

_PICTURE_SIDE = 132
_PAUSE_MS = 200


class GaborBankWidget(OperationWidget):
    """Filter an image layer with a bank of Gabor kernels, look, edit and invert."""

    computes_with = ("gabor_bank", "gabor_filter")

    def __init__(self, napari_viewer: Viewer) -> None:
        self._scales = WeightsEditor("scale")
        self._orientations = WeightsEditor("orientation")
        super().__init__(napari_viewer, OPERATION)
        self._picture = QLabel()
        self._picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._picture.setMinimumHeight(_PICTURE_SIDE)
        self._picture.setToolTip("How well the bank sees each frequency; zero is in the middle.")
        self.form.insert_row(1, "Coverage", self._picture)
        self._coverage = JobRunner(self)
        self._coverage.finished.connect(self._show_coverage)
        self._shown: object = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_PAUSE_MS)
        self._soon.timeout.connect(self._compute_coverage)
        self.form.changed.connect(self._soon.start)
        self._soon.start()

    def special_editors(self) -> dict[str, Editor]:
        """Return sliders for the weights of the reconstruction."""
        return {"scale_weights": self._scales, "orientation_weights": self._orientations}

    def _compute_coverage(self) -> None:
        values = self.form.values()
        bank = {name: values[name] for name in values if not name.endswith("_weights")}
        if bank == self._shown:
            return
        if self._coverage.busy:
            self._soon.start()
            return
        try:
            parameters = Gabor.from_dict(bank)
        except ValueError:
            return  # the form says what is wrong
        self._shown = bank
        self._coverage.start(lambda: coverage_job(parameters), "Gabor coverage", show=False)

    def _show_coverage(self, outcome: Outcome) -> None:
        if outcome.result is None:
            self._picture.setText("")
            return
        coverage, (n_scales, n_orientations) = outcome.result
        self._picture.setPixmap(_pixmap(coverage))
        self._scales.set_count(n_scales)
        self._orientations.set_count(n_orientations)


def _pixmap(values: np.ndarray) -> QPixmap:
    colours = ensure_colormap("viridis").map((values / max(values.max(), 1e-12)).ravel())
    pixels = np.ascontiguousarray((colours * 255).astype(np.uint8).reshape(*values.shape, 4))
    height, width = values.shape
    image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
    mode = Qt.TransformationMode.SmoothTransformation
    return QPixmap.fromImage(image.copy()).scaledToHeight(_PICTURE_SIDE, mode)
