"""Regularized least squares on tiles: every tile takes the steps that a sample took.

Conjugate gradients look at the whole image to decide how far to go, and stop before the end.
Tiles that decided for themselves would stop elsewhere, and their borders would show. A sample
therefore decides once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_convfact.batch.halo import Reach
from napari_convfact.batch.methods.deconvolution_tiles import DeconvolutionTiles, Solver
from napari_convfact.foundation.job import Job
from napari_convfact.operations.operation import SpatialImage

if TYPE_CHECKING:
    from napari_convfact.deconvolution.least_squares import ExtendedSolver
    from napari_convfact.deconvolution.settings import Settings


def choose_steps(
    sample: np.ndarray, psf: np.ndarray, settings: Settings, constants: Mapping[str, Any]
) -> Job[dict[str, Any]]:
    """Solve a sample and return the steps that this took.

    Parameters
    ----------
    sample : numpy.ndarray
        A part of the image.
    psf : numpy.ndarray
        Of sum 1.
    settings : Settings
        Of the deconvolution.
    constants : mapping
        ``strength``, and ``engine``, how `Convolution` computes.

    Returns
    -------
    dict
        ``steps``: for each iteration the length of its step, and the share of its direction
        in the next.
    """
    from napari_convfact.deconvolution.regularized import MOST_ITERATIONS, as_tensor
    from napari_convfact.foundation.device import choose_device
    from napari_convfact.foundation.threads import on_one_torch_thread

    device = choose_device(settings.device).name
    solver = _solver(sample.shape, psf, settings, constants, device)
    most = MOST_ITERATIONS if settings.iterations == "auto" else settings.iterations
    job = solver.solve(
        as_tensor(sample, settings, device),
        mean=float(sample.mean(dtype=np.float64)) - settings.background,
        tolerance=settings.tolerance,
        max_iterations=most,
    )
    result = yield from on_one_torch_thread(job)
    return {"steps": result.steps}


@dataclass(frozen=True)
class LeastSquaresTiles(DeconvolutionTiles):
    """Regularized least squares for a scene that goes on outside of the picture."""

    bytes_per_voxel: ClassVar[float] = 45.0
    # There the iteration stops while what lies beyond the picture is still moving.
    faces_count: ClassVar[bool] = False

    def work_shape(self, padded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of the transforms for a window."""
        from napari_convfact.deconvolution.least_squares import preconditioner_torus

        return preconditioner_torus(padded, self.kernel.shape)

    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Measure what a cut does to samples."""
        return (yield from self._reach_by_cuts(image, tolerance))

    def solver(self, padded: tuple[int, ...]) -> Solver:
        """Return what deconvolves windows of one size."""
        from napari_convfact.deconvolution.regularized import as_tensor

        settings = self.settings
        solver = _solver(padded, self.kernel, settings, self.constants, self.device)
        steps = self.constants["steps"]

        def solve(values: np.ndarray, level: float) -> Job[np.ndarray]:
            image = as_tensor(values, settings, self.device)
            mean = level - settings.background
            estimate = yield from solver.repeat(image, steps, mean=mean)
            return estimate.cpu().numpy()

        return solve


def _solver(
    shape: Sequence[int],
    psf: np.ndarray,
    settings: Settings,
    constants: Mapping[str, Any],
    device: str,
) -> ExtendedSolver:
    from napari_convfact.deconvolution.least_squares import ExtendedSolver
    from napari_convfact.deconvolution.regularized import applied_prior

    return ExtendedSolver(
        psf,
        shape,
        prior=applied_prior(settings),
        strength=float(constants["strength"]),
        engine=str(constants["engine"]),
        device=device,
    )
