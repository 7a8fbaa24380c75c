"""The Factorize kernel widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.gui.arrange import bounds, bring_into_view, is_free
from napari_convfact.gui.factorization_table import factorization_text
from napari_convfact.gui.operation_widget import OperationWidget
from napari_convfact.gui.run import Run
from napari_convfact.gui.world import world_per_unit
from napari_convfact.operations.factorization_pictures import GAP
from napari_convfact.operations.factorize import OPERATION
from napari_convfact.operations.operation import Result

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

# With an image between them, the pictures would be specks beside their kernel.
_MOST_TIMES_AS_WIDE = 3.0


class FactorizeKernelWidget(OperationWidget):
    """Factorize a kernel layer into a chain of small kernels."""

    previews = False
    repeats = False
    computes_with = ("factorize",)

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer, OPERATION)

    def findings(self, summary: Mapping[str, Any]) -> str:
        """Return error, status, multiplications and measured times as tables."""
        return factorization_text(summary)

    def add_results(self, results: list[Result], run: Run) -> list[Layer]:
        """Add the pictures beside their kernel, or below everything where that is taken."""
        place = self._place(results, run.layers["kernel"])
        return super().add_results([_moved(result, place) for result in results], run)

    def show_layers(self, results: list[Result], layers: list[Layer], run: Run) -> None:
        """Fit the view to the pictures, with their kernel unless it is far away."""
        pairs = zip(results, layers, strict=True)
        pictures = [layer for result, layer in pairs if result.like is None]
        kernel = run.layers["kernel"]
        if kernel not in self.viewer.layers:
            bring_into_view(self.viewer, pictures)
            return
        low, high = bounds(self.viewer, pictures)
        all_low, all_high = bounds(self.viewer, [kernel, *pictures])
        near = (all_high - all_low).max() <= _MOST_TIMES_AS_WIDE * (high - low).max()
        bring_into_view(self.viewer, [kernel, *pictures] if near else pictures)

    def _place(self, results: list[Result], kernel: Layer) -> np.ndarray:
        """Return where the kernel's corner would be for the pictures to have room."""
        low, high = _box([result for result in results if result.like is None])
        n = min(kernel.ndim, len(low))
        place, low, high = kernel.translate[-n:].astype(float), low[-n:], high[-n:]
        per_unit = world_per_unit(self.viewer, kernel.units)[-n:]
        begin, end = (place + low) * per_unit, (place + high) * per_unit
        if is_free(self.viewer, begin, end, apart_from=kernel):
            return place
        _, lowest = bounds(self.viewer, self.viewer.layers, n)
        lowest = lowest / per_unit
        down = max(-2, -n)
        place[down] = lowest[down] + GAP * (high - low)[down] - low[down]
        place[-1] -= low[-1] * (down != -1)
        return place


def _box(pictures: list[Result]) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners of all pictures, the kernel being at zero."""
    low = np.array([picture.display["translate"] for picture in pictures])
    size = np.array([np.multiply(picture.scale, picture.data.shape) for picture in pictures])
    return low.min(axis=0), (low + size).max(axis=0)


def _moved(result: Result, place: np.ndarray) -> Result:
    if result.like is not None:
        return result
    translate = np.array(result.display["translate"])
    translate[-len(place) :] += place
    return replace(result, display={**result.display, "translate": tuple(translate)})
