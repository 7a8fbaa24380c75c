"""Convolution kernels as first-class citizens of napari.

The public names are imported when they are first used, so that ``import napari_convfact``
loads neither torch nor napari.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Convolution": "convolution.operator",
    "Deconvolution": "deconvolution.deconvolve",
    "deconvolve": "deconvolution.deconvolve",
    "prepare_kernel": "kernels.prepare",
    "psf_from_beads": "kernels.beads",
    "SpatialImage": "operations.operation",
    "Step": "foundation.job",
    "read_image": "storage.formats",
    "run": "foundation.job",
    "run_operation": "operations.execute",
    "write_image": "storage.formats",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
