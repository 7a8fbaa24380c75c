"""What all methods of deconvolution have in common on tiles."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from napari_convfact.batch.halo import Reach, cut_profile
from napari_convfact.batch.method import Output, TileFilter, missing_values
from napari_convfact.batch.samples import sample_windows
from napari_convfact.batch.tiles import Reading
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.operation import SpatialImage

if TYPE_CHECKING:
    from napari_convfact.deconvolution.settings import Settings

#: Voxels of a sample, and how many samples of an image are looked at.
SAMPLE, SAMPLES = 2**22, 4
# So many are looked at where those have no value.
_MORE_SAMPLES = 64
# Safety of errors that were measured on a sample: a volume has worse places. The last one of a
# profile is no cut's but round-off, of which a volume has more extreme values than a sample: it
# counts once more.
_MARGIN = 2.0
# An axis of fewer voxels has no place at a distance from a cut through its middle.
_LEAST_CUT = 4

#: Deconvolves a checked window of an image, whose mean is the second argument (a job).
Solver = Callable[[np.ndarray, float], Job[np.ndarray]]


def liveliest(samples: list[np.ndarray]) -> np.ndarray:
    """Return the sample of the highest contrast."""
    return max(samples, key=lambda sample: float(sample.std()))


def checked_samples(
    data: Any, size: Sequence[int], settings: Settings, within: Sequence[int] | None = None
) -> list[np.ndarray]:
    """Return samples in the working precision; see `sample_windows`.

    Where missing values are filled, these are samples that have any others.
    """
    from napari_convfact.foundation.validate import check_image

    for count in (SAMPLES, _MORE_SAMPLES):
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

    @property
    def fills_missing(self) -> bool:
        """Whether it was asked for."""
        return self.settings.missing == "fill"

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
        """Cut samples across an axis, longer ones until the cut is no longer felt at their end.

        Nothing is measured along an axis that is too short for it: it stays whole.
        """
        spatial = tuple(image.data.shape[-self.ndim :])
        if spatial[axis] < _LEAST_CUT:
            return np.empty(0)
        length = max(128, 12 * self.kernel.shape[axis])
        while True:
            size = [
                min(n, length if a == axis else max(64, 3 * k))
                for a, (n, k) in enumerate(zip(spatial, self.kernel.shape, strict=True))
            ]
            samples = checked_samples(image.data, _shrink(size, axis, SAMPLE), self.settings)
            sample = liveliest(samples)
            apply = partial(self._solve_once, float(sample.mean(dtype=np.float64)))
            profile = yield from cut_profile(apply, sample, axis, faces=self.faces_count)
            profile = _MARGIN * profile + profile[-1]
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
