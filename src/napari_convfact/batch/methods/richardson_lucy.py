"""Richardson-Lucy on tiles: every tile takes the steps that a sample took.

The accelerated iteration looks at the whole image to decide how far to extrapolate. Tiles that
decided for themselves would be sharpened differently, and their borders would show. A sample
therefore decides once, and its schedule makes each step local.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_convfact.batch.halo import Reach
from napari_convfact.batch.methods.deconvolution_tiles import DeconvolutionTiles, Solver
from napari_convfact.batch.tiles import Reading
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.operation import SpatialImage

if TYPE_CHECKING:
    from torch import Tensor

    from napari_convfact.deconvolution.poisson import PoissonModel
    from napari_convfact.deconvolution.settings import Settings


def choose_schedule(
    sample: np.ndarray, psf: np.ndarray, settings: Settings, constants: Mapping[str, Any]
) -> Job[dict[str, Any]]:
    """Return the number of iterations and how far each of them extrapolates.

    Parameters
    ----------
    sample : numpy.ndarray
        A part of the image.
    psf : numpy.ndarray
        Of sum 1.
    settings : Settings
        Of the deconvolution.
    constants : mapping
        ``engine``, how `Convolution` computes.

    Returns
    -------
    dict
        ``iterations``, ``rule`` and ``schedule``: for each iteration the exponent of the
        extrapolation and the factor that keeps the number of photons.
    """
    from napari_convfact.deconvolution.iteration import Iteration
    from napari_convfact.deconvolution.richardson_lucy import RichardsonLucySolver

    iterations, rule = settings.iterations, "iterations"
    if iterations == "auto":
        solver = RichardsonLucySolver(
            psf,
            sample.shape,
            boundary=settings.boundary,
            accelerate=settings.accelerate,
            background=settings.background,
            read_noise=settings.read_noise,
            total_variation=settings.total_variation,
            device=settings.device,
        )
        found = yield from solver.job(sample)
        iterations, rule = found.iterations, "held-out photons of a sample"
    model = _model(psf, sample.shape, settings, constants)
    run = Iteration(
        model,
        *_begin(model, sample, settings, float(sample.mean(dtype=np.float64))),
        accelerate=settings.accelerate,
        total_variation=settings.total_variation,
    )
    for done in range(1, iterations + 1):
        run.advance()
        yield Step(done, iterations, "Iterating on a sample")
    return {"iterations": iterations, "rule": rule, "schedule": run.schedule}


@dataclass(frozen=True)
class RichardsonLucyTiles(DeconvolutionTiles):
    """The iteration with a schedule."""

    bytes_per_voxel: ClassVar[float] = 43.0

    @property
    def reading(self) -> Reading:
        """Where windows are taken from."""
        return "periodic" if self.settings.boundary == "periodic" else "inside"

    def work_shape(self, padded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of the transforms for a window."""
        from napari_convfact.foundation.fft import fast_shape

        if self.reading == "periodic":
            return padded

        return fast_shape([n + k - 1 for n, k in zip(padded, self.kernel.shape, strict=True)])

    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Measure what a cut does to samples."""
        return (yield from self._reach_by_cuts(image, tolerance))

    def solver(self, padded: tuple[int, ...]) -> Solver:
        """Return what deconvolves windows of one size."""
        model = _model(self.kernel, padded, self.settings, self.constants)
        schedule = self.constants["schedule"]

        def solve(values: np.ndarray, level: float) -> Job[np.ndarray]:
            scene = yield from _scheduled(model, values, self.settings, level, schedule)
            return model.to_numpy(scene)

        return solve


def _model(
    psf: np.ndarray, shape: Sequence[int], settings: Settings, constants: Mapping[str, Any]
) -> PoissonModel:
    from napari_convfact.convolution.operator import Convolution
    from napari_convfact.deconvolution.poisson import PoissonModel
    from napari_convfact.foundation.device import choose_device

    device = choose_device(settings.device).name
    operator = Convolution(
        psf,
        shape,
        boundary=settings.boundary,
        engine=str(constants["engine"]),
        device=device,
    )
    return PoissonModel(operator, settings.background + settings.read_noise)


def _begin(
    model: PoissonModel, values: np.ndarray, settings: Settings, level: float
) -> tuple[Tensor, Tensor]:
    """Return data and first scene."""
    import torch

    from napari_convfact.deconvolution.poisson import scene_level

    data = torch.tensor(values, device=model.operator.device).clamp_(min=0)
    data.add_(settings.read_noise)
    return data, model.flat_scene(scene_level(level, settings.background))


def _step(model: PoissonModel, data: Tensor, scene: Tensor, settings: Settings) -> Tensor:
    """Return a plain step's result."""
    from napari_convfact.deconvolution.iteration import corrected
    from napari_convfact.deconvolution.total_variation import total_variation_denominator

    blurred = model.blur(scene)
    model.compare(blurred, data)
    result = corrected(model.back_project(blurred).mul_(model.inverse_sensitivity), scene)
    if settings.total_variation:
        result.div_(
            total_variation_denominator(scene, settings.total_variation, periodic=model.periodic)
        )
    return result


def _scheduled(
    model: PoissonModel,
    values: np.ndarray,
    settings: Settings,
    level: float,
    schedule: Sequence[tuple[float, float]],
) -> Job[Tensor]:
    """Take the steps of a schedule and return the scene."""
    from napari_convfact.deconvolution.acceleration import extrapolate

    data, scene = _begin(model, values, settings, level)
    before = scene.clone() if settings.accelerate else None
    for done, (factor, scale) in enumerate(schedule, start=1):
        result = _step(model, data, scene, settings)
        if before is None:
            scene = result
        else:
            scene = extrapolate(before, result, factor).mul_(scale)
            before = result
        yield Step(done, len(schedule), f"Iteration {done} of {len(schedule)}")
    return scene
