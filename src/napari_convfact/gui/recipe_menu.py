"""The menu that takes a form to a script or a recipe, and a recipe to a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_error, show_info
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QPushButton, QWidget

from napari_convfact.batch.registry import can_be_tiled
from napari_convfact.foundation.job import Job, Step
from napari_convfact.foundation.memory import memory_budget
from napari_convfact.gui.job_runner import JobRunner, Outcome
from napari_convfact.gui.preferences import memory_limit
from napari_convfact.operations.checksum import in_memory
from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.provenance import provenance
from napari_convfact.operations.recipe import load_recipe, save_recipe
from napari_convfact.operations.script import python_source
from napari_convfact.storage.formats import open_image, read_image, write_image

_Inputs = Mapping[str, SpatialImage]
Request = Callable[[], tuple[_Inputs, Parameters]]


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
        self._runner = JobRunner(self)
        self._runner.finished.connect(self._on_finished)
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

    @property
    def busy(self) -> bool:
        """Whether layers are compared with their files, or a recipe is written."""
        return self._runner.busy

    def copy_as_python(self) -> None:
        """Put a script that does what the form says on the clipboard."""
        self._start("Copy as Python", self._script)

    def save(self, path: Path) -> None:
        """Save a recipe; inputs without a file are saved beside it."""
        self._start("Save recipe", partial(self._saved, path))

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

    def _start(self, title: str, finish: Callable[[_Inputs, Parameters], str]) -> None:
        """Compare the inputs with their files, then do the rest, in a thread."""
        try:
            inputs, parameters = self._request()
        except ValueError as error:
            show_error(str(error))
            return

        def job() -> Job[str]:
            kept = yield from _compared_with_files(inputs)
            return finish(kept, parameters)

        self.setEnabled(False)
        self._runner.start(job, title)

    def _script(self, inputs: _Inputs, parameters: Parameters) -> str:
        operation = self._operation
        plan = operation.plan(inputs, parameters) if operation.plan else None
        too_large = plan is not None and plan.memory > memory_budget(memory_limit())
        tiles = too_large and can_be_tiled(operation)
        return python_source(
            provenance(operation, parameters, inputs, {}), operation, in_tiles=tiles
        )

    def _saved(self, path: Path, inputs: _Inputs, parameters: Parameters) -> str:
        kept = {name: _with_file(image, name, path) for name, image in inputs.items()}
        save_recipe(path, provenance(self._operation, parameters, kept, {}))
        return ""

    def _on_finished(self, outcome: Outcome) -> None:
        self.setEnabled(True)
        if outcome.error is not None:
            show_error(str(outcome.error))
        elif outcome.result:
            QApplication.clipboard().setText(outcome.result)
            show_info("The script is on the clipboard.")

    def _ask_and_save(self) -> None:
        suggestion = f"{self._operation.name}.json"
        name, _ = QFileDialog.getSaveFileName(self, "Save recipe", suggestion, "Recipe (*.json)")
        if name:
            self.save(Path(name).with_suffix(".json"))

    def _ask_and_load(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load recipe", "", "Recipe (*.json)")
        if name:
            try:
                self.load(Path(name))
            except (ValueError, OSError) as error:
                show_error(str(error))


def _compared_with_files(inputs: _Inputs) -> Job[dict[str, SpatialImage]]:
    """Return the inputs; only those that a file still holds keep its path (a job)."""
    kept = {}
    for done, (name, image) in enumerate(inputs.items()):
        yield Step(done, len(inputs), f"Comparing {image.name} with its file")
        kept[name] = image if _is_in_file(image) else replace(image, path=None)
    return kept


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
    changeable = in_memory(image.data)
    try:
        stored = (read_image if changeable else open_image)(image.path).data
    except ValueError:
        return False
    if stored.shape != image.data.shape or stored.dtype != image.data.dtype:
        return False
    return not changeable or np.array_equal(stored, image.data, equal_nan=True)
