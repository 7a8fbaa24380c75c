"""The record of how a result was made, which is also a recipe for making it again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from napari_convfact.operations.checksum import checksum
from napari_convfact.operations.operation import Operation, SpatialImage
from napari_convfact.operations.parameters import Parameters

METADATA_KEY = "napari_convfact"


def provenance(
    operation: Operation,
    parameters: Parameters,
    inputs: Mapping[str, SpatialImage],
    summary: Mapping[str, Any],
    settled: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a JSON-ready record of a run.

    Parameters
    ----------
    operation : Operation
        What was run.
    parameters : Parameters
        With which parameters.
    inputs : mapping of str to SpatialImage
        On what.
    summary : mapping
        What the job found, as the chosen strength.
    settled : mapping, optional
        `Result.settled`: it takes the place of parameters that were left open.

    Returns
    -------
    dict
        With the keys operation, parameters, sources, versions, created and summary.
    """
    return {
        "operation": operation.name,
        "parameters": parameters.to_dict() | dict(settled or {}),
        "sources": {name: _describe(image) for name, image in inputs.items()},
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "summary": dict(summary),
    }


def versions() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    names = ("napari-convfact", "numpy", "scipy", "torch")
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


def _describe(image: SpatialImage) -> dict[str, Any]:
    description = {
        "name": image.name,
        "shape": [int(n) for n in image.data.shape],
        "dtype": str(image.data.dtype),
        "scale": [float(s) for s in image.scale],
        "units": list(image.units),
    }
    known = {"path": image.path, "checksum": checksum(image.data)}
    return description | {key: value for key, value in known.items() if value}
