"""A row of sliders for a parameter that is a list of weights."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider

from napari_convfact.gui.editors import Editor

_STEPS_PER_ONE = 50
_LARGEST = 2


class WeightsEditor(Editor):
    """Vertical sliders from 0 to 2, whose value is text as ``"1, 0.5, 0"``; empty where all are 1.

    Parameters
    ----------
    what : str
        What is weighted, for the tool tips.
    """

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._sliders: list[QSlider] = []
        # A recipe's weights may lie between the steps of a slider, or above them.
        self._weights: list[float] = []

    def set_count(self, count: int) -> None:
        """Show as many sliders; new ones stand at 1."""
        while len(self._sliders) > count:
            slider = self._sliders.pop()
            self._weights.pop()
            self._row.removeWidget(slider)
            slider.deleteLater()
        while len(self._sliders) < count:
            self._add()
        self.changed.emit()

    def value(self) -> str:
        """Return the weights as text."""
        if all(weight == 1 for weight in self._weights):
            return ""
        return ", ".join(f"{weight:.12g}" for weight in self._weights)

    def set_value(self, value: str) -> None:
        """Show weights; empty text sets all to 1."""
        weights = [float(part) for part in value.replace(",", " ").split()]
        if not weights:
            weights = [1.0] * len(self._sliders)
        self.set_count(len(weights))
        for slider, weight in zip(self._sliders, weights, strict=True):
            slider.setValue(round(min(weight, _LARGEST) * _STEPS_PER_ONE))
        self._weights = weights
        self.changed.emit()

    def _add(self) -> None:
        slider = QSlider(Qt.Orientation.Vertical)
        slider.setRange(0, _LARGEST * _STEPS_PER_ONE)
        slider.setValue(_STEPS_PER_ONE)
        slider.setFixedHeight(64)
        slider.setToolTip(f"Weight of {self._what} {len(self._sliders) + 1}, from 0 to 2.")
        slider.valueChanged.connect(partial(self._on_moved, len(self._sliders)))
        self._sliders.append(slider)
        self._weights.append(1.0)
        self._row.addWidget(slider)

    def _on_moved(self, index: int, steps: int) -> None:
        self._weights[index] = steps / _STEPS_PER_ONE
        self.changed.emit()
