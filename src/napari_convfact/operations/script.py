"""A run as Python source: what "Copy as Python" puts on the clipboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_convfact.operations.operation import Operation
from napari_convfact.operations.parameters import fields_of


def python_source(record: Mapping[str, Any], operation: Operation) -> str:
    """Return a script that repeats a run.

    Parameters
    ----------
    record : mapping
        The provenance record of the run.
    operation : Operation
        The operation that it names.

    Returns
    -------
    str
        Inputs that have a file are read from it; others are taken from the viewer, as in
        napari's console.
    """
    lines = ["import napari_convfact as cf", ""]
    lines += [f"{name} = {_source(source)}" for name, source in record["sources"].items()]
    lines += [
        "results = cf.run_operation(",
        f'    "{operation.name}",',
        "    {" + ", ".join(f'"{name}": {name}' for name in record["sources"]) + "},",
    ]
    defaults = {field.name: field.default for field in fields_of(operation.parameters)}
    for name, value in record["parameters"].items():
        if value != defaults[name]:
            lines.append(f"    {name}={value!r},")
    lines += [")", 'cf.write_image("result.tif", results[0])', ""]
    return "\n".join(lines)


def _source(source: Mapping[str, Any]) -> str:
    if "path" in source:
        return f"cf.read_image({source['path']!r})"
    return (
        f"cf.SpatialImage(viewer.layers[{source['name']!r}].data, {source['name']!r}, "
        f"scale={tuple(source['scale'])}, units={tuple(source['units'])})"
    )
