"""The list of operations; every face is made from it."""

from __future__ import annotations

from napari_convfact.operations import deconvolve
from napari_convfact.operations.operation import Operation

OPERATIONS: dict[str, Operation] = {
    operation.name: operation for operation in (deconvolve.OPERATION,)
}
