"""Texture maps on tiles: one bank for all of them, one mean for each image, exact halos."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_convfact.batch.colours import luminance_only
from napari_convfact.batch.halo import ROUND_OFF, Reach
from napari_convfact.batch.method import (
    MirroredWindows,
    Output,
    TiledOperation,
    TileFilter,
    missing_values,
)
from napari_convfact.batch.samples import sample_size, sample_windows
from napari_convfact.batch.windows import read_window
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.texture import (
    DISPLAY,
    MAPS,
    WORDS,
    bank_job,
    bank_kind,
    frames_of,
    whole_numbers,
)
from napari_convfact.operations.texture_parameters import Texture
from napari_convfact.storage.zarr_pyramid import default_shard

if TYPE_CHECKING:
    from napari_convfact.kernels.bank import KernelBank

_IN_MEMORY = ("mosaic", "kernel_stack", "table")
# Voxels that a bank is learned from, and in how many samples.
_LEARNED, _SAMPLES = 2**22, 8
# Bytes for a voxel of a window besides the results: the image, a residual, sums (27 to 56
# measured, novelty the most).
_WORK = 56.0
# Bytes for each map of the normal equations (2.4 to 5.1 measured).
_EQUATION = 5.2


def constants(inputs: Mapping[str, SpatialImage], parameters: Texture) -> Job[dict[str, Any]]:
    """Prepare the bank and the means of all images once for all tiles."""
    image = inputs["image"]
    for name in _IN_MEMORY:
        if getattr(parameters, name):
            raise ValueError(f"{name} is made in memory only: leave it out for a run in tiles.")
    if not any(getattr(parameters, name) for name in MAPS):
        return {}
    yield Step(0, 0, "Looking at samples of the image")
    data, ndim = image.data, parameters.ndim
    source = "the whole image"
    if math.prod(data.shape) <= _LEARNED:
        frames = frames_of(np.asarray(data), ndim)
    else:
        size = sample_size(data.shape[len(data.shape) - ndim :], _LEARNED // _SAMPLES)
        frames = np.stack(sample_windows(data, size, _SAMPLES))
        source = f"{len(frames)} samples of {' x '.join(map(str, size))} pixels"
    bank = yield from bank_job(inputs, frames, parameters)
    if parameters.bank_file:
        bank.save(parameters.bank_file)
    return {
        "kernels": bank.kernels.tolist(),
        "names": list(bank.names),
        "dilations": list(bank.dilations),
        "source": source if bank_kind(inputs, parameters) in ("learn", "gabor") else "given",
        "means": (yield from means_job(image, ndim)),
    }


def means_job(image: SpatialImage, ndim: int) -> Job[list[float]]:
    """Read each image of a stack once, in parts, and return the means (a job)."""
    data = image.data
    leading, spatial = data.shape[: len(data.shape) - ndim], data.shape[len(data.shape) - ndim :]
    part = default_shard(spatial)
    starts = list(itertools.product(*(range(0, n, p) for n, p in zip(spatial, part, strict=True))))
    means = []
    for index in np.ndindex(*leading):
        total = 0.0
        for start in starts:
            yield Step(0, 0, "Measuring the mean")
            size = [min(p, n - a) for a, p, n in zip(start, part, spatial, strict=True)]
            total += float(read_window(data, index, start, size).sum(dtype=np.float64))
        if not math.isfinite(total):
            raise ValueError(
                f"{image.name} has values that are NaN or infinite: replace them before a run in "
                "tiles."
            )
        means.append(total / math.prod(spatial))
    return means


def method(
    inputs: Mapping[str, SpatialImage], parameters: Texture, constants: Mapping[str, Any]
) -> TextureTiles:
    """Return how the parameters are carried out on tiles."""
    from napari_convfact.kernels.bank import KernelBank

    image, bank = inputs["image"], None
    if constants:
        bank = KernelBank(
            np.array(constants["kernels"], dtype=np.float32),
            tuple(constants["names"]),
            parameters.ndim,
            tuple(constants["dilations"]),
        )
    leading = tuple(image.data.shape[: image.ndim - parameters.ndim])
    return TextureTiles(image.name, leading, bank, parameters, constants)


@dataclass(frozen=True)
class TextureTiles(MirroredWindows):
    """Maps of a bank, and of local models.

    Attributes
    ----------
    name : str
        Of the image.
    leading : tuple of int
        Shape of its leading axes.
    bank : KernelBank or None
        The bank, if a map needs it.
    parameters : Texture
        The operation's.
    constants : mapping
        The bank and the means.
    """

    name: str
    leading: tuple[int, ...]
    bank: KernelBank | None
    parameters: Texture
    constants: Mapping[str, Any]

    @property
    def ndim(self) -> int:
        """Spatial axes."""
        return self.parameters.ndim

    @property
    def _maps(self) -> list[Any]:
        return [name.replace("_", "-") for name in MAPS if getattr(self.parameters, name)]

    @property
    def _dilations(self) -> tuple[int, ...]:
        return whole_numbers(self.parameters.dilations, "dilations")

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One image for each map that is ticked."""
        outputs = [self._output(kind) for kind in self._maps]
        if self.parameters.predictability:
            display = {"colormap": "viridis", "contrast_limits": (0.0, 1.0)}
            count = (len(self._dilations),)
            outputs.append(Output(f"{self.name} predictability", count, ("dilation",), display))
        return tuple(outputs)

    def _output(self, kind: str) -> Output:
        name = f"{self.name} {WORDS.get(kind, kind)}"
        if kind in WORDS:
            assert self.bank is not None
            return Output(name, (len(self.bank),), ("kernel",), DISPLAY[kind])
        labels = kind == "assignment"
        return Output(name, display=DISPLAY[kind], kind="labels" if labels else "image")

    @property
    def bytes_per_voxel(self) -> float:
        """Memory at the peak for a voxel of a window."""
        kept = 4.0 * sum(math.prod(output.leading) for output in self.outputs)
        if not self.parameters.predictability:
            return _WORK + kept
        from napari_convfact.texture.support import make_support

        free = len(make_support(1, 1, self.ndim).groups(self.parameters.tie))
        # The normal equations, the neighbours, and the weights of all dilations twice.
        equations = free * (free + 3) / 2 + 2 * free + 2 * len(self._dilations) * (free + 2)
        return _WORK + kept + _EQUATION * equations

    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Return how far kernels and averages extend."""
        del image, tolerance
        yield Step(0, 0, "The halo is the reach of kernels and averages")
        from napari_convfact.texture.local import local_halo
        from napari_convfact.texture.maps import maps_halo

        p = self.parameters
        halos = [(0,) * self.ndim]
        if self.bank is not None:
            pooled = any(kind != "residual" for kind in self._maps)
            halos.append(maps_halo(self.bank, p.sigma if pooled else 0.0))
        if p.predictability:
            halos.append(local_halo(dilations=self._dilations, sigma=p.sigma, ndim=self.ndim))
        halo = tuple(max(axis) for axis in zip(*halos, strict=True))
        return Reach(halo, (ROUND_OFF,) * self.ndim)

    def filter(self, padded: tuple[int, ...]) -> TileFilter:
        """Return what maps windows."""
        from napari_convfact.texture.local import local_autoregression_job
        from napari_convfact.texture.maps import residual_maps_job

        del padded
        p = self.parameters

        def apply(window: np.ndarray, leading: tuple[int, ...]) -> Job[list[np.ndarray]]:
            nothing = missing_values(self.outputs, window)
            if nothing:
                return nothing
            values = []
            for kind in self._maps:
                assert self.bank is not None
                maps = yield from residual_maps_job(
                    window,
                    self.bank,
                    sigma=p.sigma,
                    kind=kind,
                    mean=self._mean(leading),
                    device=p.device,
                )
                values.append(maps)
            if p.predictability:
                models = yield from local_autoregression_job(
                    window,
                    dilations=self._dilations,
                    sigma=p.sigma,
                    tie=p.tie,
                    device=p.device,
                )
                values.append(models.predictability)
            return values

        return apply

    def _mean(self, leading: tuple[int, ...]) -> float:
        number = int(np.ravel_multi_index(leading, self.leading)) if leading else 0
        return float(self.constants["means"][number])

    def summary(self) -> dict[str, Any]:
        """Return findings for the provenance record."""
        if self.bank is None:
            return {}
        return {"kernels": len(self.bank), "bank": self.constants["source"]}


TILED = TiledOperation(constants, method, luminance_only)
