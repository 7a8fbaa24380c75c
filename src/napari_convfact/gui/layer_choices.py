"""The layers that an operation works on, one choice for each input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from napari_convfact.gui.layer_choice import LayerChoice
from napari_convfact.gui.layers import spatial_image
from napari_convfact.operations.operation import Input, SpatialImage

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer


class LayerChoices(QObject):
    """The choices of all inputs.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are offered.
    inputs : sequence of Input
        Of an operation.

    Attributes
    ----------
    changed : Signal()
        Sent when another layer is chosen, or a chosen one changes.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, inputs: Sequence[Input], parent: QObject) -> None:
        super().__init__(parent)
        self._inputs = inputs
        self._choices = {item.name: LayerChoice(viewer, item) for item in inputs}
        for choice in self._choices.values():
            choice.changed.connect(self.changed)

    def __getitem__(self, name: str) -> LayerChoice:
        """Return the choice of an input."""
        return self._choices[name]

    def rows(self) -> dict[str, LayerChoice]:
        """Return the choices by the labels that the form gives them."""
        return {item.label: self._choices[item.name] for item in self._inputs}

    def refresh(self) -> None:
        """Offer the layers that the viewer has now."""
        for choice in self._choices.values():
            choice.refresh()

    def keep(self) -> None:
        """Hold on to what is chosen."""
        for choice in self._choices.values():
            choice.keep()

    def set_enabled(self, enabled: bool) -> None:
        """Let the user choose, or not while a run is under way."""
        for choice in self._choices.values():
            choice.setEnabled(enabled)

    def layers(self) -> dict[str, Layer]:
        """Return the chosen layers by input name; optional ones may be missing.

        Raises
        ------
        ValueError
            If a layer is not chosen.
        """
        layers = {}
        for item in self._inputs:
            layer = self._choices[item.name].layer
            if layer is not None:
                layers[item.name] = layer
            elif not item.optional:
                raise ValueError(f"Open or choose a layer for “{item.label}” first.")
        return layers

    def images(self) -> dict[str, SpatialImage]:
        """Return the chosen layers as an operation takes them.

        Raises
        ------
        ValueError
            If a layer is not chosen, or cannot be used.
        """
        return {name: spatial_image(layer) for name, layer in self.layers().items()}
