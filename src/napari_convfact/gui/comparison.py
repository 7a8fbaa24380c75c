"""*Before / after*: one click between results and what they were made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_convfact.operations.provenance import METADATA_KEY

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


class Comparison:
    """What *Before / after* hides and shows.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._results: list[Layer] = []
        self._replaced: list[Layer] = []  # by results that would be added to them
        self._hidden: list[Layer] = []  # by a click

    def layers(self, preview: Layer | None = None) -> list[Layer]:
        """Return the layers that a click hides and shows: the preview's, or the newest results."""
        return self._there([preview] if preview is not None else self._results)

    def compare(self, results: Sequence[Layer], sources: Sequence[Layer], *, more: bool) -> None:
        """Compare new results with their sources; they may be more of those that are compared.

        What is added to other channels would be added to its source too, and to earlier results
        of it: those are hidden.
        """
        if not more:
            self._results, self._replaced = [], []
        self._results += results
        self._hidden = []
        if any(layer.visible and layer.blending == "additive" for layer in results):
            self._replaced += [layer for layer in sources if layer.blending == "additive"]
            for layer in self._versions(sources, results):
                layer.visible = False

    def toggle(self, preview: Layer | None = None) -> None:
        """Hide all that lies on the image, for one would cover the other, or show it again."""
        layers = self.layers(preview)
        shown = [layer for layer in layers if layer.visible]
        hidden = [layer for layer in layers if layer in self._hidden] or layers[:1]
        self._hidden = shown
        for layer in shown or hidden:
            layer.visible = not shown
        if preview is None:
            for layer in self._there(self._replaced):
                layer.visible = bool(shown)

    def refresh(self) -> None:
        """Show what was replaced when all that replaced it was taken out of the viewer."""
        if self._replaced and not self._there(self._results):
            for layer in self._there(self._replaced):
                layer.visible = True
            self._replaced = []

    def _versions(self, sources: Sequence[Layer], results: Sequence[Layer]) -> list[Layer]:
        """Return the sources, or the results of earlier runs on them, that are seen and added."""
        names = {source.name for source in sources}
        return [
            layer
            for layer in self._viewer.layers
            if layer.visible
            and layer.blending == "additive"
            and layer not in results
            and (layer in sources or names & _names_of_sources(layer))
        ]

    def _there(self, layers: Sequence[Layer]) -> list[Layer]:
        return [layer for layer in layers if layer in self._viewer.layers]


def _names_of_sources(layer: Layer) -> set[str]:
    record = layer.metadata.get(METADATA_KEY, {})
    return {source.get("name", "") for source in record.get("sources", {}).values()}
