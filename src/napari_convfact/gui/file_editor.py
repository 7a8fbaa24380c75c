"""An editor for a parameter that names a file."""

from __future__ import annotations

from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_convfact.gui.editors import TextEditor


class FileEditor(TextEditor):
    """A path with a button that asks for it.

    Parameters
    ----------
    kinds : str
        What to offer, in Qt's form: ``"Banks (*.npz)"``.
    save : bool
        Whether the file is to be written.
    """

    def __init__(self, kinds: str, *, save: bool = False) -> None:
        super().__init__()
        self._kinds = kinds
        self._save = save
        button = QPushButton("Browse")
        button.clicked.connect(self.browse)
        self._row.addWidget(button)

    def browse(self) -> None:
        """Ask for the file and show its path."""
        ask = QFileDialog.getSaveFileName if self._save else QFileDialog.getOpenFileName
        path, _ = ask(self, "Choose a file", self.value(), self._kinds)
        if path:
            self.set_value(path)
