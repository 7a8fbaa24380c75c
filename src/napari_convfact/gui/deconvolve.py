"""The Deconvolve widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_convfact.foundation.job import Step
from napari_convfact.gui.curve import Curve
from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.operations.deconvolve import OPERATION

if TYPE_CHECKING:
    from napari.viewer import Viewer


class DeconvolveWidget(OperationWidget):
    """Undo the blur of a PSF layer on an image layer."""

    computes_with = ("deconvolve", "prepare_kernel")

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, OPERATION)
        self.curve = Curve()
        self.curve.hide()
        self.add_to_content(self.curve)
        self.runner.started.connect(self._clear_curve)
        self.runner.stepped.connect(self._plot)

    def _clear_curve(self) -> None:
        self.curve.clear()
        self.curve.hide()

    def _plot(self, step: Step) -> None:
        """Plot what Richardson-Lucy reports: the likelihood, or the trial's held-out error."""
        held_out, likelihood = getattr(step, "held_out", None), getattr(step, "likelihood", None)
        if held_out is not None:
            self.curve.add("Held-out error", step.done, held_out)
        elif likelihood is not None:
            self.curve.add("Log-likelihood", step.done, likelihood)
        self.curve.setVisible(bool(self.curve.points))
