"""Very large and very small intensities, deconvolved in a unit of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_convfact.deconvolution.result import Deconvolution
from napari_convfact.deconvolution.settings import Settings
from napari_convfact.foundation.job import Step
from napari_convfact.foundation.scale import intensity_unit, largest_magnitude


def unit_of(items: np.ndarray, settings: Settings) -> float:
    """Return what images and their background are to be divided by; mostly 1."""
    return intensity_unit(
        max(largest_magnitude(items), abs(settings.background), settings.read_noise)
    )


def settings_in(unit: float, settings: Settings) -> Settings:
    """Return the settings for data that were divided by a unit."""
    return replace(
        settings,
        background=settings.background / unit,
        # The model adds it to the counts, as it does the background.
        read_noise=settings.read_noise / unit,
    )


def back_from(unit: float, found: Deconvolution) -> Deconvolution:
    """Return a result in the image's own intensities."""
    kept = found.intermediate
    history = found.history
    if found.strength is None:  # a log-likelihood, which is as large as the counts
        history = tuple(value * unit for value in history)
    return replace(
        found,
        estimate=found.estimate * found.estimate.dtype.type(unit),
        intermediate=None if kept is None else kept * kept.dtype.type(unit),
        history=history,
    )


def shown_in(unit: float, step: Step) -> Step:
    """Return a step whose preview is in the image's own intensities."""
    preview = step.preview
    if preview is not None:
        preview = preview * preview.dtype.type(unit)
    return Step(step.done, step.total, step.message, preview)
