"""Convolution on tiles: the halo is the kernel's reach, and the result is exact."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_convfact.batch.colours import colours_apart
from napari_convfact.batch.halo import ROUND_OFF, Reach
from napari_convfact.batch.method import Output, TiledOperation, TileFilter, missing_values
from napari_convfact.batch.samples import sample_size
from napari_convfact.batch.tiles import Reading
from napari_convfact.foundation.job import Job, Step
from napari_convfact.operations.convolve import chosen_kernel, gives_signs
from napari_convfact.operations.convolve_parameters import Convolve
from napari_convfact.operations.operation import SpatialImage
from napari_convfact.operations.signed import SIGNED

# Bytes for a voxel of the torus besides the results.
_WORK = 22.0
# Voxels on which engines are compared.
_SAMPLE = 2**22


def constants(inputs: Mapping[str, SpatialImage], parameters: Convolve) -> Job[dict[str, Any]]:
    """Choose the engine; tiles of a convolution share nothing that an image must tell."""
    if parameters.kind == "file" and parameters.depth:
        raise ValueError("Feature maps of a network are made in memory only.")
    if getattr(chosen_kernel(inputs, parameters), "channels", None) is not None:
        raise ValueError("Kernels that mix channels are applied in memory only.")
    yield Step(0, 0, "Choosing how to apply the kernel")
    from napari_convfact.convolution.operator import Convolution

    kernels = _stack(chosen_kernel(inputs, parameters), parameters)
    size = sample_size(inputs["image"].data.shape[1 - kernels.ndim :], _SAMPLE)
    operator = Convolution(kernels[0], size, boundary=parameters.boundary, device=parameters.device)
    # Measured once: tiles with different engines would differ by round-off.
    return {"engine": operator.engine, "kernels": _hash(kernels)}


def method(
    inputs: Mapping[str, SpatialImage], parameters: Convolve, constants: Mapping[str, Any]
) -> ConvolutionTiles:
    """Return how the parameters are carried out on tiles."""
    kernel = chosen_kernel(inputs, parameters)
    kernels = _stack(kernel, parameters)
    if _hash(kernels) != constants["kernels"]:
        raise ValueError(
            f"{parameters.file} holds other kernels than the run was begun with: bring those "
            "back, or start anew."
        )
    return ConvolutionTiles(inputs["image"].name, kernel, kernels, parameters, constants)


def _hash(kernels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(kernels).tobytes()).hexdigest()[:16]


def _stack(kernel: Any, parameters: Convolve) -> np.ndarray:
    """Return all kernels, ``(n, *k)``."""
    if isinstance(kernel, str):
        from napari_convfact.convolution.named import named_bank

        bank = named_bank(
            kernel, ndim=parameters.ndim, sigma=parameters.sigma, size=parameters.size
        )
        return np.asarray(bank.kernels)
    return kernel[None] if isinstance(kernel, np.ndarray) else np.asarray(kernel.kernels)


@dataclass(frozen=True)
class ConvolutionTiles:
    """One kernel, or a bank.

    Attributes
    ----------
    name : str
        Of the image.
    kernel : str, numpy.ndarray or KernelBank
        As `convolve` takes it.
    kernels : numpy.ndarray
        All of them, ``(n, *k)``.
    parameters : Convolve
        The operation's.
    constants : mapping
        The engine.
    """

    name: str
    kernel: Any
    kernels: np.ndarray
    parameters: Convolve
    constants: Mapping[str, Any]

    @property
    def ndim(self) -> int:
        """Spatial axes."""
        return self.kernels.ndim - 1

    @property
    def reading(self) -> Reading:
        """Where windows are taken from."""
        return "periodic" if self.parameters.boundary == "periodic" else "inside"

    @property
    def outputs(self) -> tuple[Output, ...]:
        """One image, with an axis for the kernels if there are several."""
        result = self.parameters.result
        name = f"{self.name} {'convolved' if result == 'filtered' else result}"
        single = isinstance(self.kernel, np.ndarray) or (
            isinstance(self.kernel, str) and len(self.kernels) == 1
        )
        display = SIGNED if gives_signs(self.kernel, self.parameters) else {}
        if single or result == "magnitude":
            return (Output(name, display=display),)
        return (Output(name, (len(self.kernels),), ("kernel",), display),)

    @property
    def bytes_per_voxel(self) -> float:
        """Memory at the peak for a voxel of the torus."""
        return _WORK + 4.0 * len(self.kernels)

    @property
    def fills_missing(self) -> bool:
        """Whether it was asked for."""
        return self.parameters.missing == "fill"

    def torus(self, spatial: tuple[int, ...]) -> tuple[int, ...]:
        """Return the torus from which windows of a volume are taken."""
        return spatial

    def work_shape(self, padded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the size of the transforms for a window."""
        from napari_convfact.foundation.fft import fast_shape

        if self.reading == "periodic":
            return padded
        return fast_shape([n + k - 1 for n, k in zip(padded, self.kernels.shape[1:], strict=True)])

    def reach(self, image: SpatialImage, tolerance: float) -> Job[Reach]:
        """Return the kernels' own reach."""
        del image, tolerance
        yield Step(0, 0, "The halo is the kernel's reach")
        halo = tuple(max(k // 2, k - 1 - k // 2) for k in self.kernels.shape[1:])
        return Reach(halo, (ROUND_OFF,) * self.ndim)

    def filter(self, padded: tuple[int, ...]) -> TileFilter:
        """Return what convolves windows."""
        from napari_convfact.convolution.convolve import convolve_job

        del padded
        p = self.parameters

        def apply(window: np.ndarray, _: tuple[int, ...]) -> Job[list[np.ndarray]]:
            nothing = missing_values(self.outputs, window)
            if p.missing == "fill" and nothing:
                return nothing
            values = yield from convolve_job(
                window,
                self.kernel,
                boundary=p.boundary,
                result=p.result,
                amount=p.amount,
                normalize=p.normalize,
                sigma=p.sigma,
                size=p.size,
                ndim=p.ndim,
                missing=p.missing,
                engine=str(self.constants["engine"]),
                device=p.device,
            )
            return [values]

        return apply

    def summary(self) -> dict[str, Any]:
        """Return findings for the provenance record."""
        return {"kernels": len(self.kernels), "taps": math.prod(self.kernels.shape[1:])}


TILED = TiledOperation(constants, method, colours_apart)
