"""Deconvolution on tiles: what is found once for all of them, and which method they take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.batch.colours import colours_apart
from napari_convfact.batch.method import TiledOperation
from napari_convfact.batch.methods.deconvolution_tiles import (
    SAMPLE,
    SAMPLES,
    DeconvolutionTiles,
    checked_samples,
    liveliest,
)
from napari_convfact.batch.methods.inverse_filter import InverseFilterTiles
from napari_convfact.batch.methods.least_squares import LeastSquaresTiles, choose_steps
from napari_convfact.batch.methods.richardson_lucy import RichardsonLucyTiles, choose_schedule
from napari_convfact.batch.samples import sample_size
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.deconvolve import prepare_psf, solver_options
from napari_convfact.operations.deconvolve_parameters import Deconvolve
from napari_convfact.operations.operation import SpatialImage

if TYPE_CHECKING:
    from napari_convfact.deconvolution.settings import Settings


def constants(inputs: Mapping[str, SpatialImage], parameters: Deconvolve) -> Job[dict[str, Any]]:
    """Choose the strength, or iterations and start, once for all tiles."""
    image, psf = inputs["image"], inputs["psf"]
    _refuse(parameters)
    kernel, report = prepare_psf(image, psf, parameters)
    yield Step(0, 0, "Looking at samples of the image")
    from napari_convfact.convolution.operator import Convolution
    from napari_convfact.deconvolution.settings import Settings

    settings = Settings(**solver_options(parameters))
    spatial = tuple(image.data.shape[-kernel.ndim :])
    samples = checked_samples(image.data, sample_size(spatial, SAMPLE), settings)
    _refuse_unusual(samples, settings)
    found: dict[str, Any] = {"kernel": " ".join(report)}
    if settings.method == "richardson-lucy" or settings.boundary == "extended":
        found["levels"] = yield from _levels(image.data, kernel.ndim, settings)
        # Measured once: tiles with different engines would differ by round-off.
        found["engine"] = Convolution(
            kernel, samples[0].shape, boundary=settings.boundary, device=settings.device
        ).engine
    if settings.method == "richardson-lucy":
        return found | (yield from choose_schedule(liveliest(samples), kernel, settings, found))
    from napari_convfact.deconvolution.regularized import choose_strength

    strength, rule = choose_strength(np.stack(samples), kernel, settings)
    found |= {"strength": strength, "rule": rule}
    if settings.method != "pseudo-inverse" and settings.boundary == "extended":
        found |= yield from choose_steps(liveliest(samples), kernel, settings, found)
    return found


def method(
    inputs: Mapping[str, SpatialImage], parameters: Deconvolve, constants: Mapping[str, Any]
) -> DeconvolutionTiles:
    """Return how the parameters are carried out on tiles."""
    from napari_convfact.deconvolution.settings import Settings

    image = inputs["image"]
    kernel, _ = prepare_psf(image, inputs["psf"], parameters)
    settings = Settings(**solver_options(parameters))
    if settings.method == "richardson-lucy":
        return RichardsonLucyTiles(image.name, kernel, settings, constants)
    if settings.boundary == "extended" and settings.method != "pseudo-inverse":
        return LeastSquaresTiles(image.name, kernel, settings, constants)
    return InverseFilterTiles(image.name, kernel, settings, constants)


def _levels(data: Any, ndim: int, settings: Settings) -> Job[Any]:
    """Return the mean of each image of a stack, nested lists in the order of the leading axes.

    That of a large image is the mean of samples.
    """
    leading, spatial = data.shape[: len(data.shape) - ndim], data.shape[len(data.shape) - ndim :]
    voxels = SAMPLE if math.prod(spatial) <= SAMPLE else SAMPLE // SAMPLES
    size = sample_size(spatial, voxels)
    levels = np.empty(leading)
    for index in np.ndindex(*leading):
        yield Step(0, 0, "Measuring the mean of each image")
        samples = checked_samples(data, size, settings, within=index)
        levels[index] = np.mean([sample.mean(dtype=np.float64) for sample in samples])
    return levels.tolist()


def _refuse(parameters: Deconvolve) -> None:
    names = ["residual", "spectrum"]
    if parameters.method == "richardson-lucy":
        names += ["keep_every", "warm_start"]
    for name in names:
        if getattr(parameters, name):
            raise ValueError(f"{name} is made in memory only: leave it out for a run in tiles.")


def _refuse_unusual(samples: list[np.ndarray], settings: Settings) -> None:
    """Refuse intensities that would need a unit of their own, which tiles do not share."""
    from napari_convfact.deconvolution.units import unit_of

    if any(unit_of(sample, settings) != 1 for sample in samples):
        largest = max(float(np.abs(sample).max()) for sample in samples)
        raise ValueError(
            f"The image's values reach {largest:.2g}, whose squares float32 cannot hold: multiply "
            "it by a constant before a run in tiles."
        )


TILED = TiledOperation(constants, method, colours_apart)
