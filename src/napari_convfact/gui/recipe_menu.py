"""The menu that takes a form to a script or a recipe, and a recipe to a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QPushButton, QWidget

from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.provenance import provenance
from napari_convfact.operations.recipe import load_recipe, save_recipe
from napari_convfact.operations.script import python_source
from napari_convfact.storage.formats import open_image, read_image, write_image

Request = Callable[[], tuple[Mapping[str, SpatialImage], Parameters]]


class RecipeMenu(QPushButton):
    """Offers to copy a form as Python and to save or load it as a recipe.

    Parameters
    ----------
    operation : Operation
        The operation.
    request : callable
        Returns inputs and parameters as the form stands, or raises ValueError.
    show : callable
        Takes a mapping of parameter values and shows it in the form.
    parent : QWidget
        The widget.
    """

    def __init__(
        self,
        operation: Operation,
        request: Request,
        show: Callable[[Mapping[str, Any]], None],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._operation = operation
        self._request = request
        self._show = show
        self._menu = QMenu(self)
        self.add_action("Copy as Python", self.copy_as_python)
        self.add_action("Save recipe…", self._ask_and_save)
        self.add_action("Load recipe…", self._ask_and_load)
        self.setMenu(self._menu)
        self.setText("More")
        self.setToolTip("Take this form to a script or the command line, or read it back.")

    def add_action(self, text: str, action: Callable[[], object]) -> None:
        """Add an entry to the menu."""
        self._menu.addAction(text, action)

    def copy_as_python(self) -> None:
        """Put a script that does what the form says on the clipboard."""
        try:
            inputs, parameters = self._inputs()
        except ValueError as error:
            show_error(str(error))
            return
        record = provenance(self._operation, parameters, inputs, {})
        QApplication.clipboard().setText(python_source(record, self._operation))
        show_info("The script is on the clipboard.")

    def save(self, path: Path) -> None:
        """Save a recipe; inputs without a file are saved beside it.

        Raises
        ------
        ValueError
            If the form is not complete.
        """
        inputs, parameters = self._inputs()
        kept = {name: _with_file(image, name, path) for name, image in inputs.items()}
        save_recipe(path, provenance(self._operation, parameters, kept, {}))

    def load(self, path: Path) -> None:
        """Show a recipe's parameters in the form.

        Raises
        ------
        ValueError
            If it is not a recipe of this operation.
        """
        recipe = load_recipe(path)
        if recipe.operation is not self._operation:
            raise ValueError(
                f"{path.name} is a recipe of {recipe.operation.title}: load it in that widget."
            )
        self._show(recipe.parameters.to_dict())

    def _inputs(self) -> tuple[dict[str, SpatialImage], Parameters]:
        """Return the request; only layers that a file still holds keep its path."""
        inputs, parameters = self._request()
        kept = {
            name: image if _is_in_file(image) else replace(image, path=None)
            for name, image in inputs.items()
        }
        return kept, parameters

    def _ask_and_save(self) -> None:
        suggestion = f"{self._operation.name}.json"
        name, _ = QFileDialog.getSaveFileName(self, "Save recipe", suggestion, "Recipe (*.json)")
        if name:
            _or_show_error(self.save, Path(name).with_suffix(".json"))

    def _ask_and_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load recipe", "", "Recipe (*.json)")
        if name:
            _or_show_error(self.load, Path(name))


def _with_file(image: SpatialImage, name: str, recipe: Path) -> SpatialImage:
    if image.path is not None:
        return image
    file = recipe.with_name(f"{recipe.stem}-{name}.tif")
    write_image(file, image, overwrite=True)
    return replace(image, path=file.name)


def _is_in_file(image: SpatialImage) -> bool:
    """Whether the file of a layer can be read here, and holds what the layer holds now."""
    if image.path is None:
        return False
    in_memory = isinstance(image.data, np.ndarray)
    try:
        stored = (read_image if in_memory else open_image)(image.path).data
    except ValueError:
        return False
    if stored.shape != image.data.shape or stored.dtype != image.data.dtype:
        return False
    return not in_memory or np.array_equal(stored, image.data, equal_nan=True)


def _or_show_error(action: Callable[[Path], None], path: Path) -> None:
    try:
        action(path)
    except (ValueError, OSError) as error:
        show_error(str(error))
