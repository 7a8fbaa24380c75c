"""A row of sliders for a parameter that is a list of weights."""

from __future__ import annotations

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

    def set_count(self, count: int) -> None:
        """Show as many sliders; new ones stand at 1."""
        while len(self._sliders) > count:
            slider = self._sliders.pop()
            self._row.removeWidget(slider)
            slider.deleteLater()
        while len(self._sliders) < count:
            self._add()
        self.changed.emit()

    def value(self) -> str:
        """Return the weights as text."""
        weights = [slider.value() / _STEPS_PER_ONE for slider in self._sliders]
        if all(weight == 1 for weight in weights):
            return ""
        return ", ".join(f"{weight:g}" for weight in weights)

    def set_value(self, value: str) -> None:
        """Show weights; empty text sets all to 1."""
        weights = [float(part) for part in value.replace(",", " ").split()]
        if not weights:
            weights = [1.0] * len(self._sliders)
        self.set_count(len(weights))
        for slider, weight in zip(self._sliders, weights, strict=True):
            slider.setValue(round(weight * _STEPS_PER_ONE))

    def _add(self) -> None:
        slider = QSlider(Qt.Orientation.Vertical)
        slider.setRange(0, _LARGEST * _STEPS_PER_ONE)
        slider.setValue(_STEPS_PER_ONE)
        slider.setFixedHeight(64)
        slider.setToolTip(f"Weight of {self._what} {len(self._sliders) + 1}, from 0 to 2.")
        slider.valueChanged.connect(self.changed)
        self._sliders.append(slider)
        self._row.addWidget(slider)
