"""A form made from a parameters dataclass: the essentials on top, the rest folded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_convfact.gui.editors import Editor, KeywordEditor, make_editor
from napari_convfact.operations.parameters import ParameterField, Parameters, fields_of

_COLUMNS = 2  # of tick boxes in a group


class ParameterForm(QWidget):
    """Edits the parameters of an operation.

    Parameters
    ----------
    parameters : type
        The dataclass.
    editors : mapping of str to Editor, optional
        Editors that take the place of a parameter's usual one.
    above : mapping of str to QWidget, optional
        Further rows at the top, by label. The tab key goes through them first, since it
        follows the order in which widgets come into the form.

    Attributes
    ----------
    changed : Signal()
        Sent when a value changes.
    """

    changed = Signal()

    def __init__(
        self,
        parameters: type[Parameters],
        editors: Mapping[str, Editor] | None = None,
        above: Mapping[str, QWidget] | None = None,
    ) -> None:
        super().__init__()
        special = editors or {}
        self._parameters = parameters
        self._fields = {field.name: field for field in fields_of(parameters)}
        self._editors = {
            name: special.get(name) or make_editor(field) for name, field in self._fields.items()
        }
        for name, editor in special.items():
            editor.setToolTip(self._fields[name].field.help)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._rows = self._empty_rows()
        for label, widget in (above or {}).items():
            self.insert_row(self._rows.rowCount(), label, widget)
        self._fill(self._rows, advanced=False)
        layout.addLayout(self._rows)
        self._advanced_rows = self._empty_rows()
        self._fill(self._advanced_rows, advanced=True)
        if self._advanced_rows.rowCount():
            layout.addWidget(self._fold(self._advanced_rows))
        for editor in self._editors.values():
            editor.changed.connect(self._on_changed)
        self._show_what_applies()

    def values(self) -> dict[str, Any]:
        """Return what the editors show."""
        return {name: editor.value() for name, editor in self._editors.items()}

    def parameters(self) -> Parameters:
        """Return the parameters.

        Raises
        ------
        ValueError
            If a value is not legal.
        """
        return self._parameters.from_dict(self.values())

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Show values; names that are left out keep theirs."""
        for name, value in values.items():
            self._editors[name].set_value(value)

    def show_chosen(self, values: Mapping[str, Any]) -> None:
        """Show the numbers that were chosen where the user left the choice to the job."""
        for name, value in values.items():
            editor = self._editors.get(name)
            if isinstance(editor, KeywordEditor) and isinstance(value, (int, float)):
                editor.show_number(value)

    def insert_row(self, row: int, label: str, widget: QWidget) -> None:
        """Put a further widget among the essentials."""
        title = QLabel(label)
        title.setToolTip(widget.toolTip())
        self._rows.insertRow(row, title, widget)

    def editor(self, name: str) -> Editor:
        """Return the editor of a parameter."""
        return self._editors[name]

    @staticmethod
    def _empty_rows() -> QFormLayout:
        rows = QFormLayout()
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.setContentsMargins(0, 0, 0, 0)
        return rows

    def _fill(self, rows: QFormLayout, *, advanced: bool) -> None:
        groups: dict[str, QGridLayout] = {}
        for name, field in self._fields.items():
            if field.field.advanced != advanced:
                continue
            if field.field.group:
                self._add_to_group(field, rows, groups)
                continue
            rows.addRow(field.field.label, self._editors[name])
            rows.labelForField(self._editors[name]).setToolTip(field.field.help)

    def _add_to_group(
        self, field: ParameterField, rows: QFormLayout, groups: dict[str, QGridLayout]
    ) -> None:
        title = field.field.group
        if title not in groups:
            groups[title] = QGridLayout()
            rows.addRow(QLabel(title))
            rows.addRow(groups[title])
        count = groups[title].count()
        groups[title].addWidget(self._editors[field.name], count // _COLUMNS, count % _COLUMNS)

    @staticmethod
    def _fold(rows: QFormLayout) -> QCollapsible:
        fold = QCollapsible("More options")
        inside = QWidget()
        inside.setLayout(rows)
        fold.addWidget(inside)
        return fold

    def _on_changed(self) -> None:
        self._show_what_applies()
        self.changed.emit()

    def _show_what_applies(self) -> None:
        values = self.values()
        for name, field in self._fields.items():
            editor = self._editors[name]
            if field.field.group:
                editor.setEnabled(field.applies(values))
            else:
                self._layout_of(field).setRowVisible(editor, field.applies(values))

    def _layout_of(self, field: ParameterField) -> QFormLayout:
        return self._advanced_rows if field.field.advanced else self._rows
