"""Recipes: provenance records in files, read back to be run again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters
from napari_convfact.operations.registry import find_operation


@dataclass(frozen=True)
class Recipe:
    """A run that can be repeated.

    Attributes
    ----------
    operation : Operation
        What to run.
    parameters : Parameters
        With which parameters.
    sources : dict
        For each input its name, shape, scale, units and, where it is known, path.
    """

    operation: Operation
    parameters: Parameters
    sources: dict[str, dict[str, Any]]


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    path : str or Path
        A JSON file; relative paths in it are relative to its folder.

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
    if not isinstance(record, dict) or "operation" not in record:
        raise ValueError(f"{path.name} is not a recipe: it does not name an operation.")
    operation = find_operation(record["operation"])
    given, sources = record.get("parameters", {}), record.get("sources", {})
    if not all(isinstance(part, dict) for part in (given, *_values(sources))):
        raise ValueError(
            f"{path.name} is not a recipe: its parameters and sources must be named values."
        )
    parameters = operation.parameters.from_dict(given)
    sources = {name: dict(source) for name, source in sources.items()}
    for source in sources.values():
        if "path" in source:
            source["path"] = str(path.parent / str(source["path"]))
    return Recipe(operation, parameters, sources)


def as_recorded(image: SpatialImage, source: Mapping[str, Any]) -> SpatialImage:
    """Return an image from a file as a run took it.

    A viewer may have given it a voxel size, or seen colours where the file has planes.

    Parameters
    ----------
    image : SpatialImage
        As it was read.
    source : mapping
        One of a record's sources, with name, shape, scale and units.

    Returns
    -------
    SpatialImage
        Its labels and its place are kept as far as they fit.

    Raises
    ------
    ValueError
        If the file holds another shape: it was replaced, or a viewer orders its axes otherwise.
    """
    shape = tuple(source["shape"])
    if shape != tuple(image.data.shape):
        raise ValueError(
            f"{image.path} has the shape {tuple(image.data.shape)} and the recipe says {shape}: "
            "give the file that it was made with."
        )
    ndim = len(source["scale"])
    fits = image.ndim >= ndim
    return replace(
        image,
        name=source["name"],
        scale=tuple(source["scale"]),
        units=tuple(source["units"]),
        rgb=len(shape) > ndim,
        axis_labels=image.axis_labels[:ndim] if fits else (),
        translate=image.translate[:ndim] if fits else (),
    )


def _values(sources: Any) -> list[Any]:
    return list(sources.values()) if isinstance(sources, dict) else [None]


def save_recipe(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a provenance record as a recipe."""
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    Path(path).write_text(text, encoding="utf-8")
