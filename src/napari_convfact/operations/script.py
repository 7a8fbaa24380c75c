"""A run as Python source: what "Copy as Python" puts on the clipboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_convfact.operations.operation import Operation
from napari_convfact.operations.parameters import fields_of


def python_source(
    record: Mapping[str, Any], operation: Operation, *, in_tiles: bool = False
) -> str:
    """Return a script that repeats a run.

    Parameters
    ----------
    record : mapping
        The provenance record of the run.
    operation : Operation
        The operation that it names.
    in_tiles : bool
        Whether the run is too large for memory.

    Returns
    -------
    str
        Inputs that have a file are read from it; others are taken from the viewer, as in
        napari's console.
    """
    sources = record["sources"]
    lines = ["import napari_convfact as cf"]
    if any("path" not in source for source in sources.values()):
        lines.append("from napari_convfact.gui.layers import spatial_image")
    lines.append("")
    read = "open_image" if in_tiles else "read_image"
    lines += [f"{name} = {_source(source, read)}" for name, source in sources.items()]
    lines += [
        "paths = cf.run_in_tiles(" if in_tiles else "results = cf.run_operation(",
        f'    "{operation.name}",',
        "    {" + ", ".join(f'"{name}": {name}' for name in sources) + "},",
    ]
    if in_tiles:
        lines.append('    "result.ome.zarr",')
    defaults = {field.name: field.default for field in fields_of(operation.parameters)}
    for name, value in record["parameters"].items():
        if value != defaults[name]:
            lines.append(f"    {name}={value!r},")
    lines.append(")")
    if not in_tiles:
        lines.append('cf.write_image("result.tif", results[0])')
    return "\n".join([*lines, ""])


def _source(source: Mapping[str, Any], read: str) -> str:
    name = repr(source["name"])
    if "path" not in source:
        return f"spatial_image(viewer.layers[{name}])"
    colour = ", rgb=True" if len(source["scale"]) < len(source["shape"]) else ""
    return (  # with the voxel size that the run went by, which need not be the file's
        f"cf.SpatialImage(cf.{read}({source['path']!r}).data, {name}, "
        f"scale={tuple(source['scale'])}, units={tuple(source['units'])}{colour})"
    )
