"""Deconvolution on tiles: what all tiles share, and one filter for each kind of method."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_convfact.batch.colours import colours_apart
from napari_convfact.batch.halo import Reach, cut_profile, tail_profiles
from napari_convfact.batch.method import Output, TiledOperation, TileFilter, missing_values
from napari_convfact.batch.source import sample_size, sample_windows
from napari_convfact.batch.tiles import Reading
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.deconvolve import prepare_psf, solver_options
from napari_convfact.operations.deconvolve_parameters import Deconvolve
from napari_convfact.operations.operation import SpatialImage

if TYPE_CHECKING:
    from napari_convfact.deconvolution.settings import Settings

_ON_TORUS: dict[str, Reading] = {
    "periodic": "periodic",
    "zero": "zero",
    "reflect": "reflect",
    "extended": "reflect",
}
# Voxels of a sample, and how many samples the strength is chosen from.
_SAMPLE, _SAMPLES = 2**22, 4
# So many are looked at where those have no value.
_MORE_SAMPLES = 64
# Safety of errors that were measured on a sample.
_MARGIN = 2.0
# Voxels of the torus on which the tail of an inverse filter is measured.
_TAIL = 2**24

#: Deconvolves a checked window of an image, whose mean is the second argument (a job).
Solver = Callable[[np.ndarray, float], Job[np.ndarray]]


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
    samples = _samples(image.data, sample_size(spatial, _SAMPLE), settings)
    found: dict[str, Any] = {"kernel": " ".join(report)}
    if settings.method == "richardson-lucy" or settings.boundary == "extended":
        found["levels"] = yield from _levels(image.data, kernel.ndim, settings)
        # Measured once: tiles with different engines would differ by round-off.
        found["engine"] = Convolution(
            kernel, samples[0].shape, boundary=settings.boundary, device=settings.device
        ).engine
    if settings.method == "richardson-lucy":
        from napari_convfact.batch.richardson_lucy import choose_schedule

        return found | (yield from choose_schedule(_liveliest(samples), kernel, settings, found))
    from napari_convfact.deconvolution.regularized import choose_strength

    strength, rule = choose_strength(np.stack(samples), kernel, settings)
    found |= {"strength": strength, "rule": rule}
    if settings.method != "pseudo-inverse" and settings.boundary == "extended":
        from napari_convfact.batch.least_squares import choose_steps

        found |= yield from choose_steps(_liveliest(samples), kernel, settings, found)
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
        from napari_convfact.batch.richardson_lucy import RichardsonLucyTiles

        return RichardsonLucyTiles(image.name, kernel, settings, constants)
    if settings.boundary == "extended" and settings.method != "pseudo-inverse":
        from napari_convfact.batch.least_squares import LeastSquaresTiles

        return LeastSquaresTiles(image.name, kernel, settings, constants)
    return DirectTiles(image.name, kernel, settings, constants)


def _levels(data: Any, ndim: int, settings: Settings) -> Job[Any]:
    """Return the mean of each image of a stack, nested lists in the order of the leading axes.

    That of a large image is the mean of samples.
    """
    leading, spatial = data.shape[: len(data.shape) - ndim], data.shape[len(data.shape) - ndim :]
    voxels = _SAMPLE if math.prod(spatial) <= _SAMPLE else _SAMPLE // _SAMPLES
    size = sample_size(spatial, voxels)
    levels = np.empty(leading)
    for index in np.ndindex(*leading):
        yield Step(0, 0, "Measuring the mean of each image")
        samples = _samples(data, size, settings, within=index)
        levels[index] = np.mean([sample.mean(dtype=np.float64) for sample in samples])
    return levels.tolist()


def _refuse(parameters: Deconvolve) -> None:
    names = ["residual", "spectrum"]
    if parameters.method == "richardson-lucy":
        names += ["keep_every", "warm_start"]
    for name in names:
        if getattr(parameters, name):
            raise ValueError(f"{name} is made in memory only: leave it out for a run in tiles.")


def _liveliest(samples: list[np.ndarray]) -> np.ndarray:
    return max(samples, key=lambda sample: float(sample.std()))


def _samples(
    data: Any, size: Sequence[int], settings: Settings, within: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Return checked windows; where missing values are filled, those that have any others."""
    from napari_convfact.foundation.validate import check_image

    for count in (_SAMPLES, _MORE_SAMPLES):
        windows = sample_windows(data, size, count, within)
        if settings.missing == "fill":
            windows = [window for window in windows if np.isfinite(window).any()] or windows
        if np.isfinite(windows[0]).any():
            break
    return [check_image(w, missing=settings.missing, dtype=settings.dtype).data for w in windows]


@dataclass(frozen=True)
class DeconvolutionTiles(ABC):
    """What the methods have in common.

    Attributes
    ----------
    name : str
        Of the image.
    kernel : numpy.ndarray
        The prepared PSF.
    settings : Settings
        Of the deconvolution.
    constants : mapping
        What was found for all tiles together.
    """

    bytes_per_voxel: ClassVar[float]
    # Whether the error of a cut counts where it meets the faces of the volume.
    faces_count: ClassVar[bool] = True

    name: str
    kernel: np.ndarray
    settings: Settings
    constants: Mapping[str, Any]

    @property
    def ndim(self) -> int:
        """Spatial axes."""
        return self.kernel.ndim

    @property
    def reading(self) -> Reading:
        """Where windows are taken from."""
        return "inside"

    def torus(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the torus from which windows of a volume are taken."""
        return spatial

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The estimate."""
        return (Output(f"{self.name} deconvolved"),)

    @cached_property
    def device(self) -> str:
        """Where to compute."""
        from napari_convfact.foundation.device import choose_device

        return choose_device(self.settings.device).name

    @abstractmethod
    def work_shape(self, padded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of the transforms for a window."""

    @abstractmethod
    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Measure how far the estimate depends on its surroundings."""

    @abstractmethod
    def solver(self, padded: tuple[int, ...]) -> Solver:
        """Return what deconvolves windows of one size."""

    def filter(self, padded: tuple[int, ...]) -> TileFilter:
        """Return what deconvolves windows of one size, and puts missing values back."""
        from napari_convfact.foundation.validate import check_image

        solve = self.solver(padded)
        levels = np.asarray(self.constants.get("levels", math.nan))

        def apply(window: np.ndarray, leading: tuple[int, ...]) -> Job[list[np.ndarray]]:
            nothing = missing_values(self.outputs, window)
            if self.settings.missing == "fill" and nothing:
                return nothing
            checked = check_image(window, missing=self.settings.missing)
            level = float(levels[leading]) if levels.ndim else float(levels)
            estimate = yield from solve(checked.data, level)
            return [checked.restore_missing(estimate)]

        return apply

    def summary(self) -> dict[str, Any]:
        """Return findings for the provenance record."""
        return {k: v for k, v in self.constants.items() if k not in ("schedule", "steps", "levels")}

    def _reach_by_cuts(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Cut a sample across each axis."""
        profiles = []
        for axis in range(self.ndim):
            yield Step(0, 0, f"Measuring how far a cut across axis {axis + 1} is felt")
            profiles.append((yield from self._cut(image, axis, tolerance)))
        reach = Reach.from_profiles(profiles, tolerance)
        return reach.alike(self.kernel.shape)

    def _cut(self, image: SpatialImage, axis: int, tolerance: float) -> Job[np.ndarray]:
        """Cut samples across an axis, longer ones until the cut is no longer felt at their end."""
        spatial = tuple(image.data.shape[-self.ndim :])
        length = max(128, 12 * self.kernel.shape[axis])
        while True:
            size = [
                min(n, length if a == axis else max(64, 3 * k))
                for a, (n, k) in enumerate(zip(spatial, self.kernel.shape, strict=True))
            ]
            samples = _samples(image.data, _shrink(size, axis, _SAMPLE), self.settings)
            sample = _liveliest(samples)
            apply = partial(self._solve_once, float(sample.mean(dtype=np.float64)))
            profile = yield from cut_profile(apply, sample, axis, faces=self.faces_count)
            # A volume has worse places than a sample of it.
            profile = _MARGIN * profile
            if profile[-1] <= tolerance or length >= spatial[axis]:
                return profile
            length *= 2

    def _solve_once(self, level: float, sample: np.ndarray) -> Job[np.ndarray]:
        return (yield from self.solver(sample.shape)(sample, level))


def _shrink(size: list[int], axis: int, voxels: int) -> list[int]:
    """Halve the other axes until a sample is small enough."""
    while math.prod(size) > voxels:
        others = [n if a != axis else 0 for a, n in enumerate(size)]
        longest = others.index(max(others))
        if others[longest] <= 16:
            break
        size[longest] //= 2
    return size


@dataclass(frozen=True)
class DirectTiles(DeconvolutionTiles):
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


TILED = TiledOperation(constants, method, colours_apart)
