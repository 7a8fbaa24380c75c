"""A table of features below the form, which can be saved."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_error
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

_HEIGHT = 150


class FeatureTable(QWidget):
    """Shows a table as a job records it: ``{"columns": [...], "rows": [[...], ...]}``."""

    def __init__(self) -> None:
        super().__init__()
        self._content: Mapping[str, Any] = {"columns": [], "rows": []}
        self._table = QTableWidget()
        self._table.setFixedHeight(_HEIGHT)
        self._table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._table.verticalHeader().setVisible(False)
        button = QPushButton("Save table…")
        button.setToolTip("Write the features as a CSV file.")
        button.clicked.connect(self._ask_and_save)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        layout.addWidget(button)
        self.hide()

    def show_table(self, content: Mapping[str, Any]) -> None:
        """Show a table."""
        self._content = content
        columns, rows = content["columns"], content["rows"]
        self._table.setColumnCount(len(columns))
        self._table.setRowCount(len(rows))
        self._table.setHorizontalHeaderLabels([str(name) for name in columns])
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                text = "" if value is None else _text(value)
                self._table.setItem(i, j, QTableWidgetItem(text))
        self._table.resizeColumnsToContents()
        self.show()

    def save(self, path: Path) -> None:
        """Write the table as CSV."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self._content["columns"])
            writer.writerows(self._content["rows"])

    def _ask_and_save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save table", "features.csv", "CSV (*.csv)")
        if not name:
            return
        try:
            self.save(Path(name).with_suffix(".csv"))
        except OSError as error:
            show_error(str(error))


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.5g}"
