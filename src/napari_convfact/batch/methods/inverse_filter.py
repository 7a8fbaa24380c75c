"""Wiener, Tikhonov and pseudo-inverse on tiles: one product in the Fourier domain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from napari_convfact.batch.halo import Reach, tail_profiles
from napari_convfact.batch.methods.deconvolution_tiles import DeconvolutionTiles, Solver
from napari_convfact.batch.tiles import Reading
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.operation import SpatialImage

if TYPE_CHECKING:
    from napari_convfact.deconvolution.settings import Settings

_ON_TORUS: dict[str, Reading] = {
    "periodic": "periodic",
    "zero": "zero",
    "reflect": "reflect",
    "extended": "reflect",
}
# Voxels of the torus on which the tail of an inverse filter is measured.
_TAIL = 2**24


@dataclass(frozen=True)
class InverseFilterTiles(DeconvolutionTiles):
    """One product in the Fourier domain: Wiener, Tikhonov, pseudo-inverse."""

    bytes_per_voxel: ClassVar[float] = 22.0

    @property
    def reading(self) -> Reading:
        """What fills the gap of the torus that the whole volume would be transformed on."""
        return _ON_TORUS[self.settings.boundary]

    def torus(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the torus from which windows of a volume are taken."""
        from napari_convfact.deconvolution.direct import torus_for

        return torus_for(spatial, self.kernel.shape, self.reading)

    @property
    def _periodic(self) -> Settings:
        """Windows are closed to a torus of their own; the halo hides where."""
        return replace(self.settings, boundary="periodic")

    def work_shape(self, padded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of the transforms for a window."""
        return padded

    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Measure the tail of the inverse filter."""
        yield Step(0, 0, "Measuring the tail of the inverse filter")
        from napari_convfact.deconvolution.regularized import make_filter
        from napari_convfact.foundation import fft

        spatial = image.data.shape[-self.ndim :]
        longest = [2 * n for n in spatial]
        shape = [min(max(64, 8 * k), n) for k, n in zip(self.kernel.shape, longest, strict=True)]
        while True:
            inverse = make_filter(
                shape,
                self.kernel,
                self._periodic,
                "cpu",
                self._strength,
            )
            response = fft.irfftn(inverse.gain, shape, overwrite=True).numpy()
            reach = Reach.from_profiles(tail_profiles(response), tolerance)
            # A tail that reaches half around its torus is not known yet.
            unknown = [h is None or h > n // 3 for h, n in zip(reach.halo, shape, strict=True)]
            growing = [u and n < most for u, n, most in zip(unknown, shape, longest, strict=True)]
            grown = [
                min(2 * n, most) if g else n
                for g, n, most in zip(growing, shape, longest, strict=True)
            ]
            if not any(growing) or math.prod(grown) > _TAIL:
                break
            shape = grown
            yield Step(0, 0, "Measuring the tail of the inverse filter")
        halo = [None if u else h for u, h in zip(unknown, reach.halo, strict=True)]
        return Reach(tuple(halo), reach.seam_error)

    def solver(self, padded: tuple[int, ...]) -> Solver:
        """Return what deconvolves windows of one size; the level is not needed."""
        from napari_convfact.deconvolution.regularized import as_tensor, make_filter

        inverse = make_filter(padded, self.kernel, self._periodic, self.device, self._strength)

        def solve(values: np.ndarray, _: float) -> Job[np.ndarray]:
            yield Step(0, 0, "Inverse filter")
            return inverse.apply(as_tensor(values, self.settings, self.device)).cpu().numpy()

        return solve

    @property
    def _strength(self) -> float:
        return float(self.constants["strength"])
