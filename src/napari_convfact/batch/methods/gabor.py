"""A Gabor bank on tiles: energies, phases and maps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.batch.colours import luminance_only
from napari_convfact.batch.halo import Reach
from napari_convfact.batch.method import Output, TiledOperation, TileFilter
from napari_convfact.batch.samples import sample_size, sample_windows
from napari_convfact.batch.tiles import Reading, fast_length
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.gabor import DISPLAY, MAPS, STACKS, make_bank
from napari_convfact.operations.gabor_parameters import Gabor
from napari_convfact.operations.operation import SpatialImage

if TYPE_CHECKING:
    from napari_convfact.gabor.kernels import GaborBank

_IN_MEMORY = ("kernels", "coverage", "reconstruction")
_COLOUR_MAPS = ("orientation", "coherence", "total_energy")
# Bytes for a voxel of the torus: spectrum, response, the bank's spectra (98 to 172 measured).
_WORK = 150.0
# Bytes for each map that is accumulated.
_SUM = 8 * 4.0
_SAMPLE, _SAMPLES = 2**20, 8
_BEYOND: dict[str, Reading] = {"periodic": "periodic", "reflect": "mirror", "zero": "zero"}
# Share of pixels whose colour is as bright as can be, as `GaborResponses.orientation_rgb`.
_BRIGHTEST = 99
# What is left of a kernel beyond its reach of four standard deviations.
_TAIL = math.exp(-(4.0**2) / 2)


def constants(inputs: Mapping[str, SpatialImage], parameters: Gabor) -> Job[dict[str, Any]]:
    """Choose the brightness of the colours once for all tiles."""
    image = inputs["image"]
    for name in _IN_MEMORY:
        if getattr(parameters, name):
            raise ValueError(f"{name} is made in memory only: leave it out for a run in tiles.")
    if not parameters.colours:
        return {}
    yield Step(0, 0, "Looking at samples of the image")
    from napari_convfact.gabor.responses import gabor_filter

    bank = make_bank(parameters)
    size = sample_size(image.data.shape[-parameters.ndim :], _SAMPLE)
    magnitudes = []
    for sample in sample_windows(image.data, size, _SAMPLES):
        responses = gabor_filter(
            sample, bank, boundary=parameters.boundary, device=parameters.device
        )
        found = yield from responses.compute(["total_energy"])
        magnitudes.append(np.sqrt(found["total_energy"]))
    brightest = float(np.percentile(magnitudes, _BRIGHTEST))
    return {"gain": 1 / brightest if brightest > 0 else 1.0}


def method(
    inputs: Mapping[str, SpatialImage], parameters: Gabor, constants: Mapping[str, Any]
) -> GaborTiles:
    """Return how the parameters are carried out on tiles."""
    return GaborTiles(inputs["image"].name, make_bank(parameters), parameters, constants)


@dataclass(frozen=True)
class GaborTiles:
    """Responses of a bank.

    Attributes
    ----------
    name : str
        Of the image.
    bank : GaborBank
        The bank.
    parameters : Gabor
        The operation's.
    constants : mapping
        The brightness of colours.
    """

    name: str
    bank: GaborBank
    parameters: Gabor
    constants: Mapping[str, Any]

    @property
    def ndim(self) -> int:
        """Spatial axes."""
        return self.bank.ndim

    @property
    def reading(self) -> Reading:
        """What windows see beyond the volume's faces."""
        return _BEYOND[self.parameters.boundary]

    @property
    def _wanted(self) -> list[str]:
        return [name for name in (*STACKS, *MAPS) if getattr(self.parameters, name)]

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One image for each output that is ticked; colours have a leading axis."""
        outputs = [self._output(name) for name in self._wanted]
        if self.parameters.colours:
            outputs.append(Output(f"{self.name} colours", (3,), ("colour",)))
        return tuple(outputs)

    def _output(self, name: str) -> Output:
        title = f"{self.name} {name}"
        if name in STACKS:
            return Output(title, self.bank.shape, ("scale", "orientation"), DISPLAY[name])
        if name == "orientation" and self.ndim == 3:
            return Output(title, (3,), ("component",))
        return Output(title, display=DISPLAY[name])

    @property
    def bytes_per_voxel(self) -> float:
        """Memory at the peak for a voxel of the torus."""
        kept = sum(math.prod(output.leading) for output in self.outputs)
        sums = bool(self.parameters.colours or {"orientation", "coherence"} & {*self._wanted})
        return _WORK + 4.0 * kept + sums * _SUM

    @property
    def fills_missing(self) -> bool:
        """They are refused."""
        return False

    def torus(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the torus from which windows of a volume are taken."""
        if self.reading == "periodic":
            return spatial
        return tuple(fast_length(n + 2 * self.bank.reach) for n in spatial)

    def work_shape(self, padded: tuple[int, ...]) -> tuple[int, ...]:
        """Windows are closed to a torus of their own; the halo hides where."""
        return padded

    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Return the largest kernel's reach."""
        del image, tolerance
        yield Step(0, 0, "The halo is the largest kernel's reach")
        return Reach((self.bank.reach,) * self.ndim, (_TAIL,) * self.ndim)

    def filter(self, padded: tuple[int, ...]) -> TileFilter:
        """Return what filters windows; the bank keeps the spectra of their size alone."""
        from napari_convfact.gabor.reductions import color_maps
        from napari_convfact.gabor.responses import gabor_filter

        del padded
        self.bank.release()
        p, wanted = self.parameters, self._wanted
        names = [*wanted, *(n for n in _COLOUR_MAPS if p.colours and n not in wanted)]

        def apply(window: np.ndarray, _: tuple[int, ...]) -> Job[list[np.ndarray]]:
            responses = gabor_filter(window, self.bank, boundary="periodic", device=p.device)
            found = yield from responses.compute(names)
            values = [found[name] for name in wanted]
            if p.colours:
                colours = color_maps(found, gain=float(self.constants["gain"]))
                values.append(np.moveaxis(colours, -1, 0))
            return values

        return apply

    def summary(self) -> dict[str, Any]:
        """Return findings for the provenance record."""
        return {
            "frequencies": [round(f, 6) for f in self.bank.frequencies],
            "orientations": self.bank.shape[1],
            "reach": self.bank.reach,
        }


TILED = TiledOperation(constants, method, luminance_only)
