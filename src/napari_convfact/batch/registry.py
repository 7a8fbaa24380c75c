"""Which operations run on volumes larger than memory."""

from __future__ import annotations

import importlib

from napari_convfact.batch.method import TiledOperation
from napari_convfact.operations.operation import Operation

_HOMES = {
    "deconvolve": "deconvolution",
    "convolve": "convolution",
    "gabor": "gabor",
    "texture": "texture",
    "classify-pixels": "classify_pixels",
}


def can_be_tiled(operation: Operation) -> bool:
    """Return whether an operation can run on tiles, with suitable parameters."""
    return operation.name in _HOMES


def tiled_operation(operation: Operation) -> TiledOperation:
    """Return how an operation runs on tiles.

    Raises
    ------
    ValueError
        If it runs in memory only.
    """
    if not can_be_tiled(operation):
        raise ValueError(
            f"{operation.name} needs the whole image at once and runs in memory only: crop or "
            f"bin the image. In tiles run {', '.join(_HOMES)}."
        )
    module = importlib.import_module(f"napari_convfact.batch.methods.{_HOMES[operation.name]}")
    found: TiledOperation = module.TILED
    return found
