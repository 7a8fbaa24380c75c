"""One editor for each kind of parameter: a Qt widget with a value and a signal."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSlider,
    QSpinBox,
    QWidget,
)

from napari_convfact.operations.parameters import ParameterField

_STEPS_PER_DECADE = 20
_LARGEST_INT = 2**31 - 1
_DECIMALS = 9


class Editor(QWidget):
    """Base of the editors.

    Attributes
    ----------
    changed : Signal()
        Sent whenever the value changes.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(6)

    def value(self) -> Any:
        """Return the parameter's value."""
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        """Show a value."""
        raise NotImplementedError


class ChoiceEditor(Editor):
    """A combo box."""

    def __init__(self, choices: tuple[str, ...], *, editable: bool = False) -> None:
        super().__init__()
        self._box = QComboBox()
        self._box.addItems(choices)
        self._box.setEditable(editable)
        self._box.currentTextChanged.connect(self.changed)
        self._row.addWidget(self._box, 1)

    def value(self) -> str:
        """Return the chosen text."""
        return self._box.currentText()

    def set_value(self, value: str) -> None:
        """Choose a text."""
        self._box.setCurrentText(value)


class TextEditor(Editor):
    """A line of text."""

    def __init__(self) -> None:
        super().__init__()
        self._line = QLineEdit()
        self._line.textChanged.connect(self.changed)
        self._row.addWidget(self._line, 1)

    def value(self) -> str:
        """Return the text."""
        return self._line.text()

    def set_value(self, value: str) -> None:
        """Show a text."""
        self._line.setText(value)


class TickEditor(Editor):
    """A tick box, with its label where it is not in a row of its own."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._box = QCheckBox(text)
        self._box.toggled.connect(self.changed)
        self._row.addWidget(self._box, 1)

    def value(self) -> bool:
        """Return whether it is ticked."""
        return self._box.isChecked()

    def set_value(self, value: bool) -> None:
        """Tick or untick it."""
        self._box.setChecked(value)


class IntegerEditor(Editor):
    """A spin box for whole numbers."""

    def __init__(self, field: ParameterField) -> None:
        super().__init__()
        self._box = QSpinBox()
        low, high = field.field.minimum, field.field.maximum
        self._box.setRange(
            int(low) if low is not None else -_LARGEST_INT,
            min(int(high), _LARGEST_INT) if high is not None else _LARGEST_INT,
        )
        self._box.setSingleStep(int(field.field.step or 1))
        _set_unit(self._box, field)
        self._box.valueChanged.connect(self.changed)
        self._row.addWidget(self._box, 1)

    def value(self) -> int:
        """Return the number."""
        return self._box.value()

    def set_value(self, value: int) -> None:
        """Show a number."""
        self._box.setValue(value)


class FloatEditor(Editor):
    """A spin box for numbers."""

    def __init__(self, field: ParameterField) -> None:
        super().__init__()
        step = field.field.step or 0.1
        self._box = _DecimalBox(max(2, 1 - math.floor(math.log10(step))))
        low, high = field.field.minimum, field.field.maximum
        self._box.setRange(-1e12 if low is None else low, 1e12 if high is None else high)
        self._box.setSingleStep(step)
        _set_unit(self._box, field)
        self._box.valueChanged.connect(self.changed)
        self._row.addWidget(self._box, 1)

    def value(self) -> float:
        """Return the number."""
        return self._box.value()

    def set_value(self, value: float) -> None:
        """Show a number."""
        self._box.setValue(value)


class _DecimalBox(QDoubleSpinBox):
    """Shows a few decimals, and more where the number has them: it is not rounded."""

    def __init__(self, shown: int) -> None:
        super().__init__()
        self._shown = shown
        self.setDecimals(_DECIMALS)

    def textFromValue(self, value: float) -> str:  # noqa: N802 - Qt's name
        """Return the number without the zeros that say nothing."""
        text = super().textFromValue(value)
        needed = len(text) - (_DECIMALS - self._shown)
        return text[:needed] + text[needed:].rstrip("0")


class LogarithmicEditor(Editor):
    """A slider over powers of ten with the number beside it."""

    def __init__(self, field: ParameterField) -> None:
        super().__init__()
        low, high = field.field.minimum or 1e-12, field.field.maximum or 1e12
        self._limits = low, high
        self._number = 1.0
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setRange(_ticks(low), _ticks(high))
        self._line = QLineEdit()
        self._line.setFixedWidth(72)
        self._slider.valueChanged.connect(self._on_slider)
        self._line.editingFinished.connect(self._on_text)
        self._row.addWidget(self._slider, 1)
        self._row.addWidget(self._line)

    def value(self) -> float:
        """Return the number."""
        return self._number

    def set_value(self, value: float) -> None:
        """Show a number."""
        low, high = self._limits
        self._number = min(max(float(value), low), high)
        self._line.setText(f"{self._number:.4g}")
        self._slider.blockSignals(True)
        self._slider.setValue(_ticks(self._number))
        self._slider.blockSignals(False)
        self.changed.emit()

    def _on_slider(self, ticks: int) -> None:
        self._number = float(f"{10 ** (ticks / _STEPS_PER_DECADE):.3g}")
        self._line.setText(f"{self._number:.4g}")
        self.changed.emit()

    def _on_text(self) -> None:
        try:
            self.set_value(float(self._line.text()))
        except ValueError:
            self._line.setText(f"{self._number:.4g}")


class KeywordEditor(Editor):
    """A tick box for a keyword such as "auto", and the number that applies without it."""

    def __init__(self, number: Editor, keyword: str | None, start: Any) -> None:
        super().__init__()
        self._keyword = keyword
        self._number = number
        self._box = QCheckBox("default" if keyword is None else keyword)
        number.set_value(start)
        number.changed.connect(self.changed)
        self._box.toggled.connect(self._on_toggled)
        self._row.addWidget(self._box)
        self._row.addWidget(number, 1)

    def value(self) -> Any:
        """Return the keyword or the number."""
        return self._keyword if self._box.isChecked() else self._number.value()

    def set_value(self, value: Any) -> None:
        """Show the keyword or a number."""
        is_keyword = value == self._keyword
        self._box.setChecked(is_keyword)
        self._number.setEnabled(not is_keyword)
        if not is_keyword:
            self._number.set_value(value)

    def show_number(self, value: Any) -> None:
        """Show the number that the keyword led to; the keyword stays in force.

        A number that the user gave stays: it may be a limit that was not reached.
        """
        if not self._box.isChecked():
            return
        self.blockSignals(True)
        self._number.set_value(value)
        self.blockSignals(False)

    def _on_toggled(self, checked: bool) -> None:
        self._number.setEnabled(not checked)
        self.changed.emit()


def make_editor(field: ParameterField) -> Editor:
    """Return the editor of a parameter, showing its default."""
    editor = _plain_editor(field)
    if field.keywords:
        editor = KeywordEditor(editor, field.keywords[0], _start_value(field))
    editor.set_value(field.default)
    editor.setToolTip(field.field.help)
    editor.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return editor


def _plain_editor(field: ParameterField) -> Editor:
    if field.choices:
        return ChoiceEditor(field.choices)
    if field.field.suggestions:
        return ChoiceEditor(field.field.suggestions, editable=True)
    if field.type is bool:
        return TickEditor(field.field.label if field.field.group else "")
    if field.type is int:
        return IntegerEditor(field)
    if field.type is float:
        return LogarithmicEditor(field) if field.field.logarithmic else FloatEditor(field)
    return TextEditor()


def _start_value(field: ParameterField) -> Any:
    """Return a number to begin with where the default is a keyword."""
    if field.type is float and field.field.logarithmic:
        return 1e-3
    low = field.field.minimum or 0
    if field.type is float:
        return max(low, 10 * (field.field.step or 0.1))
    step = int(field.field.step or 1)
    return int(low) + step * math.ceil((10 - low) / step)  # odd where only odd numbers are legal


def _set_unit(box: QSpinBox | QDoubleSpinBox, field: ParameterField) -> None:
    if field.field.unit:
        box.setSuffix(f" {field.field.unit}")


def _ticks(number: float) -> int:
    return round(math.log10(number) * _STEPS_PER_DECADE)
