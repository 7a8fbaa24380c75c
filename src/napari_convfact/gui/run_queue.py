"""Runs on several layers, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari.layers import Image

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


class RunQueue:
    """What one click asked for and has not started yet.

    Attributes
    ----------
    several : bool
        Whether the click asked for more than one run: files then need names of their own.
    has_results : bool
        Whether one of its runs has made layers, to which those of the next belong.
    """

    def __init__(self) -> None:
        self._waiting: list[dict[str, Layer]] = []
        self.several = self.has_results = False

    def fill(self, runs: Sequence[dict[str, Layer]]) -> None:
        """Take the layers of each run of a click, by input name."""
        self._waiting = list(runs)
        self.several, self.has_results = len(runs) > 1, False

    def clear(self) -> None:
        """Forget what has not started."""
        self._waiting.clear()

    def take(self) -> dict[str, Layer] | None:
        """Take out the layers of the next run; None if there is none."""
        return self._waiting.pop(0) if self._waiting else None


def selected_images(viewer: Viewer, *, without: Sequence[Layer]) -> list[Image]:
    """Return the selected image layers in the order of the layer list."""
    return [
        layer
        for layer in viewer.layers
        if layer in viewer.layers.selection and isinstance(layer, Image) and layer not in without
    ]
