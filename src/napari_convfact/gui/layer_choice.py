"""A combo box of the viewer's image layers that follows the layer list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import QComboBox, QSizePolicy, QStyle, QStyleOptionComboBox, QStylePainter

from napari_convfact.operations.operation import Input

if TYPE_CHECKING:
    from napari.viewer import Viewer

_KERNEL_WORDS = ("psf", "kernel", "otf")
_BEADS_WORD = "bead"  # what a kernel is measured from, or a kernel itself
_LARGEST_KERNEL = 33
# What a run or a preview reads of a layer.
_READ = ("data", "scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")


class LayerChoice(QComboBox):
    """Lets the user choose a layer of the right kind.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are offered.
    item : Input
        What the layer is for.

    Attributes
    ----------
    changed : Signal()
        Sent when another layer is chosen, or the chosen one changes.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer, item: Input) -> None:
        super().__init__()
        self._viewer = viewer
        self._item = item
        self._kind = Labels if item.kind == "labels" else Image
        self.setToolTip(item.help)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(12)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.currentIndexChanged.connect(self._on_chosen)
        self.activated.connect(self.keep)  # sent where the user chooses, not the program
        self._layers: list[Layer | None] = []
        self._followed: Layer | None = None
        self._kept = False
        self.refresh()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Layer) -> None:
        """Choose a layer."""
        self.keep()
        self.setCurrentIndex(self._layers.index(layer))

    def keep(self) -> None:
        """Hold on to what is chosen: it is no guess any more."""
        self._kept = True

    def shown_name(self) -> str:
        """Return the name as there is room for it.

        Names of results differ in how they end: Qt would cut just that.
        """
        control, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(control, self._option(), part, self).width()
        middle = Qt.TextElideMode.ElideMiddle
        return self.fontMetrics().elidedText(self.currentText(), middle, room)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw the box with the name that fits in."""
        del event
        painter, option = QStylePainter(self), self._option()
        option.currentText = self.shown_name()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def _option(self) -> QStyleOptionComboBox:
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        return option

    def refresh(self) -> None:
        """Offer the layers that the viewer has now.

        What the user chose stays while it is there; so does a guess that still looks right.
        """
        chosen = self.layer
        layers: list[Layer | None] = [
            layer for layer in self._viewer.layers if isinstance(layer, self._kind)
        ]
        if self._item.optional:
            layers.insert(0, None)
        self.blockSignals(True)
        self.clear()
        self._layers = layers
        self.addItems([layer.name if layer else "none" for layer in layers])
        self._kept = self._kept and chosen in layers
        guess = self._first_guess(layers)
        stays = self._kept or not self._is_better(guess, layers, chosen)
        self.setCurrentIndex(layers.index(chosen) if stays else guess)
        self.blockSignals(False)
        if self.layer is not chosen:
            self._on_chosen()

    def _on_chosen(self) -> None:
        """Follow the layer that is chosen now."""
        before, self._followed = self._followed, self.layer
        for name in _READ:
            if before is not None:
                before.events[name].disconnect(self._on_layer)
            if self._followed is not None:
                self._followed.events[name].connect(self._on_layer)
        self.changed.emit()

    def _on_layer(self, event: object) -> None:
        del event
        self.changed.emit()

    def _is_better(self, guess: int, layers: list[Layer | None], chosen: Layer | None) -> bool:
        if chosen is None or chosen not in layers:
            return True
        return self._likeness(layers[guess]) > self._likeness(chosen)

    def _likeness(self, layer: Layer | None) -> int:
        """Return how much a layer looks like what is wanted, from 0."""
        if layer is None or self._kind is Labels:
            return int(layer is not None)
        if self._item.kind == "kernel":
            return kernel_likeness(layer)
        return int(not is_kernel(layer))

    def _first_guess(self, layers: list[Layer | None]) -> int:
        if self._item.kind == "image":
            large = _first(layers, lambda layer: not is_small(layer), default=0)
            return _first(layers, lambda layer: not is_kernel(layer), default=large)
        if self._item.optional:
            return 0
        # A lone image is not its own PSF.
        newest = len(layers) - 1 or -1
        beads = _first(layers, is_kernel, default=newest)
        return _first(layers, lambda layer: kernel_likeness(layer) > 1, default=beads)


def is_kernel(layer: Layer) -> bool:
    """Whether a layer seems to be a kernel or beads, by its name or its size."""
    return kernel_likeness(layer) > 0


def kernel_likeness(layer: Layer) -> int:
    """Return 2 for what seems to be a kernel, 1 for beads, 0 for anything else."""
    words = layer.name.lower()
    if any(word in words for word in _KERNEL_WORDS) or is_small(layer):
        return 2
    return int(_BEADS_WORD in words)


def is_small(layer: Layer) -> bool:
    """Whether a layer has the size of a kernel: small, with a sample in its middle."""
    shape = layer.data.shape
    return all(n <= _LARGEST_KERNEL and n % 2 for n in shape) and max(shape) > 1


def _first(layers: list[Layer | None], wanted: Callable[[Layer], bool], *, default: int) -> int:
    for index, layer in enumerate(layers):
        if layer is not None and wanted(layer):
            return index
    return default
