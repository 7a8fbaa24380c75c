"""Convolution kernels as first-class citizens of napari.

The public names are imported when they are first used, so that ``import napari_convfact``
loads neither torch nor napari.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Autoregression": "texture.autoregression",
    "Convolution": "convolution.operator",
    "Deconvolution": "deconvolution.result",
    "Factorization": "factorization.result",
    "GaborBank": "gabor.kernels",
    "GaborResponses": "gabor.responses",
    "KernelBank": "kernels.bank",
    "Microscope": "kernels.microscope",
    "Solution": "convolution.solution",
    "SpatialImage": "operations.operation",
    "Step": "foundation.job",
    "TextureClassifier": "texture.classifier",
    "ar_spectrum": "texture.spectrum",
    "ar_synthesize": "texture.spectrum",
    "bank_errors": "texture.bank_errors",
    "classify_pixels": "texture.pixels",
    "convolve": "convolution.convolve",
    "deconvolution_spectra": "deconvolution.spectrum",
    "deconvolve": "deconvolution.deconvolve",
    "factorize": "factorization.factorize",
    "feature_maps": "convolution.feature_maps",
    "fit_autoregression": "texture.autoregression",
    "gabor_bank": "gabor.bank",
    "gabor_filter": "gabor.responses",
    "kernel_from_rectangle": "kernels.crop",
    "learn_bank": "texture.bank_learning",
    "local_autoregression": "texture.local",
    "open_image": "storage.formats",
    "plan_filtering": "factorization.plan",
    "prepare_kernel": "kernels.prepare",
    "psf_from_beads": "kernels.beads",
    "read_image": "storage.formats",
    "reduce_bank": "texture.bank_errors",
    "residual_features": "texture.features",
    "residual_image": "deconvolution.spectrum",
    "residual_maps": "texture.maps",
    "run": "foundation.job",
    "run_in_tiles": "batch.execute",
    "run_operation": "operations.execute",
    "strength_curve": "deconvolution.curve",
    "theoretical_psf": "kernels.psf",
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
