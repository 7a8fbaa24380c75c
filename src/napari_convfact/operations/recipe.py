"""Recipes: provenance records in files, read back to be run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_convfact.operations.operation import Operation
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.registry import OPERATIONS


@dataclass(frozen=True)
class Recipe:
    """A run that can be repeated.

    Attributes
    ----------
    operation : Operation
        What to run.
    parameters : Parameters
        With which parameters.
    paths : dict of str to Path
        Files of the inputs, where the record knows them.
    """

    operation: Operation
    parameters: Parameters
    paths: dict[str, Path]


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : str or Path
        A JSON file; paths in it are relative to its folder.

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        If it is not a recipe, or names an operation or a parameter that does not exist.
    """
    path = Path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"The recipe {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path.name} is not a recipe: it is not JSON ({error}).") from error
    if not isinstance(record, dict) or record.get("operation") not in OPERATIONS:
        known = ", ".join(OPERATIONS)
        raise ValueError(f"{path.name} is not a recipe: its operation must be one of {known}.")
    operation = OPERATIONS[record["operation"]]
    parameters = operation.parameters.from_dict(record.get("parameters", {}))
    return Recipe(operation, parameters, _paths(record, path.parent))


def save_recipe(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a provenance record as a recipe."""
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    Path(path).write_text(text, encoding="utf-8")


def _paths(record: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    sources = record.get("sources", {})
    return {name: folder / source["path"] for name, source in sources.items() if "path" in source}
